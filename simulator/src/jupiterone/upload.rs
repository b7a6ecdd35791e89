//! Uploads: a request is staged whole or refused whole.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::job::Job;
use super::object::{self, Address, Object};
use super::received::Received;
use super::refusal::Refusal;
use super::route::Route;
use super::settings::{ExplicitDeletes, IllegalProperties, ResentBatches, Settings};
use super::sync_mode::SyncMode;

/// How many entities an OVERRIDE job takes, as documented.
const OVERRIDE_LIMIT: usize = 10_000;

/// Stages what the request uploads.
pub(crate) fn stage(
    job: &mut Job,
    route: Route,
    request: &Received,
    body: &Value,
    settings: &Settings,
) -> Result<(), Refusal> {
    if !body.is_object() {
        return Err(Refusal::bad("INVALID_REQUEST", "The body must be an object."));
    }
    let batch = request.correlation_id.clone().map(|id| (id, request.digest));
    let dedupe = settings.resent_batches == ResentBatches::DedupeByCorrelationId;
    if dedupe && batch.as_ref().is_some_and(|batch| job.staged.batches.contains(batch)) {
        return Ok(());
    }
    let lenient =
        request.flag("ignoreIllegalProperties") || settings.illegal_properties == IllegalProperties::Ignore;
    let replace = request.flag("ignoreDuplicates") || job.ignore_duplicates;
    let mode = job.mode;
    check_mode(mode, route, body)?;

    let entities = array(body, "entities", "ENTITY_IS_NOT_ARRAY", route == Route::Entities)?;
    let entities = parse(entities, |value| object::entity(value, mode, lenient))?;
    let relationships =
        array(body, "relationships", "RELATIONSHIP_IS_NOT_ARRAY", route == Route::Relationships)?;
    let relationships = parse(relationships, |value| object::relationship(value, mode, lenient))?;
    let (delete_entities, delete_relationships) = deletions(route, mode, body, settings)?;
    if mode == SyncMode::Override && job.staged.entities.len() + entities.len() > OVERRIDE_LIMIT {
        let message = format!("An OVERRIDE job takes at most {OVERRIDE_LIMIT} entities.");
        return Err(Refusal::bad("TOO_MANY_ENTITIES", message));
    }
    if !replace {
        check_duplicates(&job.staged.entities, &entities)?;
        check_duplicates(&job.staged.relationships, &relationships)?;
    }

    let raw = |objects: &[(Address, Object)]| objects.iter().map(|(_, o)| o.raw.len() as u64).sum::<u64>();
    let counters = &mut job.counters;
    counters.num_entities_uploaded += entities.len() as u64;
    counters.num_entity_raw_data_entries_uploaded += raw(&entities);
    counters.num_relationships_uploaded += relationships.len() as u64;
    counters.num_relationship_raw_data_entries_uploaded += raw(&relationships);
    job.staged.entities.extend(entities);
    job.staged.relationships.extend(relationships);
    job.staged.delete_entities.extend(delete_entities);
    job.staged.delete_relationships.extend(delete_relationships);
    job.staged.batches.extend(batch);
    Ok(())
}

/// PATCH and OVERRIDE take entities only, `CROSS_SCOPE` relationships only.
fn check_mode(mode: SyncMode, route: Route, body: &Value) -> Result<(), Refusal> {
    let refused = match mode {
        SyncMode::Patch | SyncMode::Override => (Route::Relationships, "relationships"),
        SyncMode::CrossScope => (Route::Entities, "entities"),
        SyncMode::Diff | SyncMode::CreateOrUpdate => return Ok(()),
    };
    if route == refused.0 || (route == Route::Upload && body.get(refused.1).is_some()) {
        let message = format!("A job of this sync mode does not take {}.", refused.1);
        return Err(Refusal::bad("SYNC_MODE_MISMATCH", message));
    }
    Ok(())
}

/// The array of that name where the route reads it; it must be there on its own route.
fn array<'a>(
    body: &'a Value,
    name: &str,
    code: &'static str,
    required: bool,
) -> Result<&'a [Value], Refusal> {
    match body.get(name) {
        Some(Value::Array(values)) => Ok(values),
        None if !required => Ok(&[]),
        _ => Err(Refusal::bad(code, format!("\"{name}\" should be an array"))),
    }
}

fn parse(
    values: &[Value],
    check: impl Fn(&Value) -> Result<(Address, Object), Refusal>,
) -> Result<Vec<(Address, Object)>, Refusal> {
    values.iter().map(check).collect()
}

fn deletions(
    route: Route,
    mode: SyncMode,
    body: &Value,
    settings: &Settings,
) -> Result<(Vec<Address>, Vec<Address>), Refusal> {
    let names = ["deleteEntities", "deleteRelationships"];
    if route != Route::Upload || names.iter().all(|name| body.get(name).is_none()) {
        return Ok((Vec::new(), Vec::new()));
    }
    let deletes = matches!(mode, SyncMode::Diff | SyncMode::CreateOrUpdate);
    if !deletes || settings.explicit_deletes == ExplicitDeletes::Reject {
        return Err(Refusal::bad("DELETES_NOT_SUPPORTED", "This job does not take explicit deletions."));
    }
    let read = |name: &str| -> Result<Vec<Address>, Refusal> {
        array(body, name, "DELETIONS_ARE_NOT_ARRAY", false)?.iter().map(object::deletion).collect()
    };
    Ok((read(names[0])?, read(names[1])?))
}

fn check_duplicates(
    staged: &BTreeMap<Address, Object>,
    objects: &[(Address, Object)],
) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for (address, _) in objects {
        if staged.contains_key(address) || !seen.insert(address) {
            let (Address::Key(name) | Address::Id(name)) = address;
            return Err(Refusal::bad(
                "DUPLICATE_KEY",
                format!("\"{name}\" was uploaded to this job before."),
            ));
        }
    }
    Ok(())
}
