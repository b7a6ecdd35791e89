//! Raw records, as the producer makes them of what the Admin API answers.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    codec::{Raw, resource_digest},
    collection::Collection,
    raw::{ListingOutcome, Manifest, RawRecord, Resource, outcome},
};

use crate::{
    reference::{Listed, Organization},
    step::Fault,
    world::{World, workspace_id},
};

pub(crate) fn collection(number: u8) -> Collection {
    match number {
        0 => Collection::Organization,
        1 => Collection::Users,
        2 => Collection::Workspaces,
        3 => Collection::ApiKeys,
        other => Collection::Members(workspace_id(other - 4)),
    }
}

pub(crate) fn line(collection: &Collection, fault: Fault) -> ListingOutcome {
    let (outcome, reason) = match fault {
        Fault::Failed => (outcome::FAILED, Some("403 permission_error".to_owned())),
        Fault::Gone => (outcome::GONE, None),
        _ => (outcome::WHOLE, None),
    };
    ListingOutcome {
        collection: collection.to_string(),
        outcome: outcome.to_owned(),
        reason,
        http_status: None,
        request_id: None,
        listing_id: None,
    }
}

pub(crate) fn record(organization: &Organization, collection: &str) -> RawRecord {
    RawRecord {
        organization_id: organization.id.clone(),
        organization_name: organization.name.clone(),
        collection: collection.to_owned(),
        poll_id: None,
        listing_id: None,
        observed_ts_ms: 0,
        mark: None,
        manifest: None,
        decision: None,
        resource: None,
    }
}

pub(crate) fn raw(record: RawRecord) -> Raw {
    let resource_digest = resource_digest(record.resource.as_ref());
    Raw { record, resource_digest }
}

pub(crate) fn listed(
    world: &World,
    collection: &Collection,
    template: &RawRecord,
    manifest: Manifest,
) -> Listed {
    let is_scoped = |resource: &Resource| {
        resource.api_key.as_ref().is_some_and(|key| {
            let scope = key.scope.clone().unwrap_or_default();
            let is_named = scope.workspace_id.is_some() || key.workspace_id.is_some();
            is_named || scope.kind.as_deref() == Some("organization")
        })
    };
    let resources = world.resources(collection, true);
    let unscoped: BTreeSet<String> = resources
        .iter()
        .filter(|resource| !is_scoped(resource))
        .map(|resource| format!("anthropic_api_key:{}", resource.id()))
        .collect();
    Listed {
        collection: collection.clone(),
        listing_id: template.listing_id.clone().expect("a listing has an id"),
        poll_id: template.poll_id.clone(),
        offset: 0,
        manifest,
        elements: BTreeMap::new(),
        unscoped,
        damaged: false,
    }
}

/// What the organization's API answers, as raw records.
pub(crate) fn raws(world: &World, collection: &Collection, with_archived: bool) -> Vec<Raw> {
    let resources = world.resources(collection, with_archived);
    let template = record(&Organization::new(&world.organization_id, ""), &collection.to_string());
    resources.into_iter().map(|it| raw(RawRecord { resource: Some(it), ..template.clone() })).collect()
}
