//! What a finalized job does to the graph: entities first, relationships afterward.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::graph::{Graph, Stored, Written};
use super::job::Job;
use super::object::{Address, Object};
use super::settings::Settings;
use super::sync_mode::SyncMode;

/// Writes and deletes the job's entities; a deleted entity takes its relationships with it.
pub(crate) fn entities(graph: &mut Graph, job: &mut Job, settings: &Settings, now: u64) {
    let staged = std::mem::take(&mut job.staged.entities);
    let uploaded: BTreeSet<Address> = staged.keys().cloned().collect();
    for (address, mut object) in staged {
        if is_lost(job, &address) {
            job.counters.num_entity_create_errors += 1;
            continue;
        }
        if let (Some(name), true) = (&settings.account_name_tag, job.owner.is_instance()) {
            object.properties.insert("tag.AccountName".into(), json!(name));
        }
        match job.mode {
            SyncMode::Patch => patch(graph, job, settings, &address, object, now),
            SyncMode::Override => pin(graph, job, &address, object, now),
            _ => replace_entity(graph, job, &address, object, now),
        }
    }
    let mut deleted = BTreeSet::new();
    if job.mode == SyncMode::Diff {
        for (key, stored) in &mut graph.dataset(&job.owner).entities {
            if is_absent(key, stored, &uploaded, &job.partial_types) && stored.delete(now) {
                deleted.insert(stored.id.clone());
            }
        }
    }
    for address in std::mem::take(&mut job.staged.delete_entities) {
        let Some((scope, key)) = graph.find_entity(&job.owner.scope, &address) else {
            job.counters.num_entity_delete_errors += 1;
            continue;
        };
        if let Some(stored) =
            graph.datasets.get_mut(&scope).and_then(|dataset| dataset.entities.get_mut(&key))
        {
            stored.delete(now);
            deleted.insert(stored.id.clone());
        }
    }
    let count = deleted.len() as u64;
    job.counters.num_entities_to_delete += count;
    job.counters.num_entities_deleted += count;
    let relationships = graph.delete_relationships_of(&deleted, now);
    job.counters.num_relationships_to_delete += relationships;
    job.counters.num_relationships_deleted += relationships;
}

/// Writes and deletes the job's relationships.
pub(crate) fn relationships(graph: &mut Graph, job: &mut Job, settings: &Settings, now: u64) {
    let staged = std::mem::take(&mut job.staged.relationships);
    let uploaded: BTreeSet<Address> = staged.keys().cloned().collect();
    for (address, object) in staged {
        if is_lost(job, &address) {
            job.counters.num_relationship_create_errors += 1;
            continue;
        }
        replace_relationship(graph, job, &address, object, now);
    }
    let by_absence =
        job.mode == SyncMode::Diff || (job.mode == SyncMode::CrossScope && settings.cross_scope_deletes);
    let explicit = std::mem::take(&mut job.staged.delete_relationships);
    let mut deleted = 0;
    let mut found = 0;
    let dataset = graph.dataset(&job.owner);
    for (key, stored) in &mut dataset.relationships {
        let named = explicit.contains(&Address::Key(key.clone()))
            || explicit.contains(&Address::Id(stored.id.clone()));
        found += u64::from(named && stored.is_living());
        let absent = by_absence && is_absent(key, stored, &uploaded, &job.partial_types);
        if (named || absent) && stored.delete(now) {
            deleted += 1;
        }
    }
    dataset.forget();
    job.counters.num_relationships_to_delete += deleted;
    job.counters.num_relationships_deleted += deleted;
    job.counters.num_relationship_delete_errors += (explicit.len() as u64).saturating_sub(found);
    let c = &mut job.counters;
    c.num_mutations_submitted = c.num_entities_created
        + c.num_entities_updated
        + c.num_entities_deleted
        + c.num_relationships_created
        + c.num_relationships_updated
        + c.num_relationships_deleted;
    c.num_mutations_completed = c.num_mutations_submitted;
}

fn is_lost(job: &Job, address: &Address) -> bool {
    matches!(address, Address::Key(key) if job.lost.contains(key))
}

fn is_absent(key: &str, stored: &Stored, uploaded: &BTreeSet<Address>, partial: &BTreeSet<String>) -> bool {
    !uploaded.contains(&Address::Key(key.to_owned()))
        && !stored.object.text("_type").is_some_and(|kind| partial.contains(kind))
}

fn replace_entity(graph: &mut Graph, job: &mut Job, address: &Address, object: Object, now: u64) {
    let Address::Key(key) = address else {
        job.counters.num_entity_update_errors += 1;
        return;
    };
    let dataset = graph.dataset(&job.owner);
    let before = dataset.entities.get(key).map(|stored| stored.object.raw.clone()).unwrap_or_default();
    let (created, updated, deleted) = raw_changes(&before, &object.raw);
    job.counters.num_entity_raw_data_entries_created += created;
    job.counters.num_entity_raw_data_entries_updated += updated;
    job.counters.num_entity_raw_data_entries_deleted += deleted;
    let written = if let Some(stored) = dataset.entities.get_mut(key) {
        stored.replace(object, None, now)
    } else {
        dataset.entities.insert(key.clone(), Stored::new(&job.owner.scope, key, object, now));
        Written::Created
    };
    count_entity(job, written);
}

fn count_entity(job: &mut Job, written: Written) {
    match written {
        Written::Created => job.counters.num_entities_created += 1,
        Written::Updated => job.counters.num_entities_updated += 1,
        Written::Unchanged => {}
    }
}

/// Adds and changes properties, keeps the others.
fn patch(graph: &mut Graph, job: &mut Job, settings: &Settings, address: &Address, object: Object, now: u64) {
    let found = graph.find_entity(&job.owner.scope, address);
    let stored = found.and_then(|(scope, key)| graph.datasets.get_mut(&scope)?.entities.get_mut(&key));
    if let Some(stored) = stored {
        let mut merged = stored.object.clone();
        merged.properties.extend(object.properties);
        merged.raw.extend(object.raw);
        count_entity(job, stored.replace(merged, None, now));
        return;
    }
    let whole = ["_key", "_type", "_class"].iter().all(|name| object.properties.contains_key(*name));
    if settings.patch_creates && whole {
        replace_entity(graph, job, address, object, now);
    } else {
        job.counters.num_entity_update_errors += 1;
    }
}

/// Pins properties on an entity that exists.
fn pin(graph: &mut Graph, job: &mut Job, address: &Address, object: Object, now: u64) {
    let found = graph.find_entity(&job.owner.scope, address);
    let stored = found.and_then(|(scope, key)| graph.datasets.get_mut(&scope)?.entities.get_mut(&key));
    let Some(stored) = stored else {
        job.counters.num_entity_update_errors += 1;
        return;
    };
    let mut pins: Vec<(String, Value)> = object.properties.into_iter().collect();
    pins.retain(|(name, value)| !name.starts_with('_') && stored.pins.get(name) != Some(value));
    if !pins.is_empty() {
        stored.pins.extend(pins);
        stored.touch(now);
        job.counters.num_entities_updated += 1;
    }
}

fn replace_relationship(graph: &mut Graph, job: &mut Job, address: &Address, object: Object, now: u64) {
    let Address::Key(key) = address else { return };
    let Some(ends) = graph.resolve_ends(&job.owner.scope, &object) else {
        job.counters.num_relationship_create_errors += 1;
        return;
    };
    let dataset = graph.dataset(&job.owner);
    let before = dataset.relationships.get(key).map(|stored| stored.object.raw.clone()).unwrap_or_default();
    let (created, updated, deleted) = raw_changes(&before, &object.raw);
    job.counters.num_relationship_raw_data_entries_created += created;
    job.counters.num_relationship_raw_data_entries_updated += updated;
    job.counters.num_relationship_raw_data_entries_deleted += deleted;
    let written = if let Some(stored) = dataset.relationships.get_mut(key) {
        stored.replace(object, Some(ends), now)
    } else {
        let mut stored = Stored::new(&job.owner.scope, key, object, now);
        stored.ends = Some(ends);
        dataset.relationships.insert(key.clone(), stored);
        Written::Created
    };
    match written {
        Written::Created => job.counters.num_relationships_created += 1,
        Written::Updated => job.counters.num_relationships_updated += 1,
        Written::Unchanged => {}
    }
}

fn raw_changes(before: &BTreeMap<String, [u8; 32]>, after: &BTreeMap<String, [u8; 32]>) -> (u64, u64, u64) {
    let created = after.keys().filter(|name| !before.contains_key(*name)).count();
    let updated =
        after.iter().filter(|(name, digest)| before.get(*name).is_some_and(|old| old != *digest)).count();
    let deleted = before.keys().filter(|name| !after.contains_key(*name)).count();
    (created as u64, updated as u64, deleted as u64)
}
