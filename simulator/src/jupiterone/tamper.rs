//! Changes without anyone's knowledge, as another client of the account would make them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::graph::{Graph, Stored};
use super::job::Owner;
use super::object;
use super::sync_mode::SyncMode;

/// A change to one object. As JSON: `{"delete":{"scope":"…","key":"…"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tamper {
    /// Sets a property, or removes it where the value is null.
    SetProperty {
        /// The scope, or the integration instance's id.
        scope: String,
        key: String,
        property: String,
        #[serde(default)]
        value: Value,
    },
    /// Deletes an object; an entity takes its relationships with it.
    Delete {
        /// The scope, or the integration instance's id.
        scope: String,
        key: String,
    },
    /// Adds an object: a relationship if it names an end, else an entity.
    Add {
        /// The scope, or the integration instance's id.
        scope: String,
        /// The object in its upload form.
        object: Map<String, Value>,
    },
}

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TamperError {
    /// The scope has no living object of that key.
    #[error("no object \"{key}\" in scope \"{scope}\"")]
    NotFound {
        /// The scope asked for.
        scope: String,
        /// The key asked for.
        key: String,
    },
    /// The object could not have been uploaded either.
    #[error("{0}")]
    Refused(String),
}

pub(crate) fn tamper(graph: &mut Graph, tamper: Tamper, now: u64) -> Result<(), TamperError> {
    match tamper {
        Tamper::SetProperty { scope, key, property, value } => {
            let stored = find(graph, &scope, &key)?;
            if value.is_null() {
                stored.object.properties.remove(&property);
            } else {
                stored.object.properties.insert(property, value);
            }
            stored.touch(now);
        }
        Tamper::Delete { scope, key } => {
            let stored = find(graph, &scope, &key)?;
            stored.delete(now);
            let id = stored.id.clone();
            graph.delete_relationships_of(&BTreeSet::from([id]), now);
        }
        Tamper::Add { scope, object } => add(graph, &scope, object, now)?,
    }
    Ok(())
}

fn find<'a>(graph: &'a mut Graph, scope: &str, key: &str) -> Result<&'a mut Stored, TamperError> {
    let not_found = TamperError::NotFound { scope: scope.into(), key: key.into() };
    let Some(dataset) = graph.datasets.get_mut(scope) else { return Err(not_found) };
    let entity = dataset.entities.get_mut(key).filter(|stored| stored.is_living());
    let relationship = dataset.relationships.get_mut(key).filter(|stored| stored.is_living());
    entity.or(relationship).ok_or(not_found)
}

fn add(graph: &mut Graph, scope: &str, object: Map<String, Value>, now: u64) -> Result<(), TamperError> {
    let refused = |refusal: super::refusal::Refusal| TamperError::Refused(refusal.to_string());
    let is_relationship = object.keys().any(|name| name.starts_with("_from"));
    let value = Value::Object(object);
    let (_, object) = if is_relationship {
        object::relationship(&value, SyncMode::Diff, false).map_err(refused)?
    } else {
        object::entity(&value, SyncMode::Diff, false).map_err(refused)?
    };
    let key = object.text("_key").unwrap_or_default().to_owned();
    let mut stored = Stored::new(scope, &key, object, now);
    if is_relationship {
        let ends = graph.resolve_ends(scope, &stored.object);
        stored.ends = Some(ends.ok_or_else(|| TamperError::Refused("an end is missing".into()))?);
    }
    let dataset = graph.dataset(&Owner { source: "api".into(), scope: scope.into() });
    let objects = if is_relationship { &mut dataset.relationships } else { &mut dataset.entities };
    objects.insert(key, stored);
    Ok(())
}
