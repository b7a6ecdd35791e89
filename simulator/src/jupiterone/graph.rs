//! What JupiterOne holds: one dataset per scope, deleted objects included.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Builder;

use super::job::Owner;
use super::object::{Address, Object};

/// How many deleted objects of one kind a scope remembers, the newest: JupiterOne, too, forgets them in time.
const DELETED_LIMIT: usize = 20_000;

/// The objects of one scope, in the order of their keys, with the server's own fields.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GraphView {
    pub entities: Vec<Map<String, Value>>,
    pub relationships: Vec<Map<String, Value>>,
}

/// Everything in the account.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) datasets: BTreeMap<String, Dataset>,
}

#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) owner: Owner,
    pub(crate) entities: BTreeMap<String, Stored>,
    pub(crate) relationships: BTreeMap<String, Stored>,
}

/// An entity or a relationship, living or deleted.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) object: Object,
    /// What OVERRIDE jobs pinned; it wins over what is uploaded.
    pub(crate) pins: Map<String, Value>,
    /// The `_id`s of a relationship's ends.
    pub(crate) ends: Option<(String, String)>,
    version: u64,
    created_on: u64,
    begin_on: u64,
    end_on: Option<u64>,
}

/// What writing an object came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Created,
    Updated,
    Unchanged,
}

impl Graph {
    /// The dataset of a scope, made on first use.
    pub(crate) fn dataset(&mut self, owner: &Owner) -> &mut Dataset {
        self.datasets.entry(owner.scope.clone()).or_insert_with(|| Dataset {
            owner: owner.clone(),
            entities: BTreeMap::new(),
            relationships: BTreeMap::new(),
        })
    }

    /// The scope and key of a living entity.
    pub(crate) fn find_entity(&self, scope: &str, address: &Address) -> Option<(String, String)> {
        match address {
            Address::Key(key) => {
                let stored = self.datasets.get(scope)?.entities.get(key)?;
                stored.is_living().then(|| (scope.to_owned(), key.clone()))
            }
            Address::Id(id) => self.datasets.iter().find_map(|(scope, dataset)| {
                let found =
                    dataset.entities.iter().find(|(_, stored)| stored.is_living() && stored.id == *id);
                found.map(|(key, _)| (scope.clone(), key.clone()))
            }),
        }
    }

    /// The `_id`s of the entities that a relationship of `scope` names, where both are living.
    pub(crate) fn resolve_ends(&self, scope: &str, relationship: &Object) -> Option<(String, String)> {
        let end = |key: &str, id: &str, foreign: &str| {
            let address = match (relationship.text(key), relationship.text(id)) {
                (_, Some(id)) => Address::Id(id.into()),
                (Some(key), None) => Address::Key(key.into()),
                (None, None) => return None,
            };
            let (scope, key) = self.find_entity(relationship.text(foreign).unwrap_or(scope), &address)?;
            Some(self.datasets[&scope].entities[&key].id.clone())
        };
        Some((
            end("_fromEntityKey", "_fromEntityId", "_fromEntityScope")?,
            end("_toEntityKey", "_toEntityId", "_toEntityScope")?,
        ))
    }

    /// Deletes every living relationship, of any scope, that has one of these entities as an end.
    pub(crate) fn delete_relationships_of(&mut self, entities: &BTreeSet<String>, now: u64) -> u64 {
        let mut deleted = 0;
        for stored in self.datasets.values_mut().flat_map(|dataset| dataset.relationships.values_mut()) {
            let hit = stored
                .ends
                .as_ref()
                .is_some_and(|(from, to)| entities.contains(from) || entities.contains(to));
            if hit && stored.delete(now) {
                deleted += 1;
            }
        }
        deleted
    }

    /// What a person sees of a scope; empty for an unknown one.
    pub(crate) fn view(&self, scope: &str, account_id: &str, deleted: bool) -> GraphView {
        let Some(dataset) = self.datasets.get(scope) else { return GraphView::default() };
        let show = |objects: &BTreeMap<String, Stored>| {
            objects
                .values()
                .filter(|stored| deleted || stored.is_living())
                .map(|stored| stored.view(&dataset.owner, account_id))
                .collect()
        };
        GraphView { entities: show(&dataset.entities), relationships: show(&dataset.relationships) }
    }
}

impl Dataset {
    /// Forgets the oldest deleted objects beyond the bound.
    pub(crate) fn forget(&mut self) {
        for objects in [&mut self.entities, &mut self.relationships] {
            let mut ended: Vec<u64> = objects.values().filter_map(|stored| stored.end_on).collect();
            if ended.len() > DELETED_LIMIT {
                ended.sort_unstable();
                let oldest_kept = ended[ended.len() - DELETED_LIMIT];
                objects.retain(|_, stored| stored.end_on.is_none_or(|end_on| end_on >= oldest_kept));
            }
        }
    }
}

impl Stored {
    pub(crate) fn new(scope: &str, key: &str, object: Object, now: u64) -> Self {
        Self {
            id: id(scope, key),
            object,
            pins: Map::new(),
            ends: None,
            version: 1,
            created_on: now,
            begin_on: now,
            end_on: None,
        }
    }

    pub(crate) fn is_living(&self) -> bool {
        self.end_on.is_none()
    }

    /// Whether it was living.
    pub(crate) fn delete(&mut self, now: u64) -> bool {
        let living = self.is_living();
        self.end_on.get_or_insert(now);
        living
    }

    /// Replaces the uploaded properties; a deleted object is re-created, under the same `_id`.
    pub(crate) fn replace(&mut self, object: Object, ends: Option<(String, String)>, now: u64) -> Written {
        let written = match (self.is_living(), self.object == object && self.ends == ends) {
            (true, true) => return Written::Unchanged,
            (true, false) => Written::Updated,
            (false, _) => Written::Created,
        };
        if written == Written::Created {
            self.created_on = now;
            self.end_on = None;
        }
        self.object = object;
        self.ends = ends;
        self.touch(now);
        written
    }

    /// Begins a new version.
    pub(crate) fn touch(&mut self, now: u64) {
        self.version += 1;
        self.begin_on = now;
    }

    fn view(&self, owner: &Owner, account_id: &str) -> Map<String, Value> {
        let mut view = self.object.properties.clone();
        view.extend(self.pins.clone());
        let scope_name = if owner.is_instance() { "_integrationInstanceId" } else { "_scope" };
        for (name, value) in [
            ("_id", json!(self.id)),
            ("_accountId", json!(account_id)),
            ("_source", json!(owner.source)),
            (scope_name, json!(owner.scope)),
            ("_version", json!(self.version)),
            ("_createdOn", json!(self.created_on)),
            ("_beginOn", json!(self.begin_on)),
            ("_deleted", json!(!self.is_living())),
        ] {
            view.insert(name.into(), value);
        }
        if let Some(end_on) = self.end_on {
            view.insert("_endOn".into(), json!(end_on));
        }
        view
    }
}

/// A UUID that looks like version 5, fixed by scope and key; JupiterOne's namespace is not public.
fn id(scope: &str, key: &str) -> String {
    let digest = Sha256::new().chain_update(scope).chain_update([0]).chain_update(key).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_sha1_bytes(bytes).into_uuid().to_string()
}
