//! Raw records, as the producer makes them of what the Admin API answers.

use std::collections::{BTreeMap, BTreeSet};

use graph::mapping::{self, Context};
use schemas::{
    collection::Collection,
    element::Element,
    raw::{ListingOutcome, Manifest, Outcome, RawBody, RawRecord, Resource},
    resource::{encode_resource, resource_digest},
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
        Fault::Failed => (Outcome::Failed, Some("403 permission_error".to_owned())),
        Fault::Gone => (Outcome::Gone, None),
        _ => (Outcome::Whole, None),
    };
    ListingOutcome {
        collection: collection.to_string(),
        outcome,
        reason,
        http_status: None,
        request_id: None,
        listing_id: None,
    }
}

pub(crate) fn record(organization: &Organization, collection: &str, body: RawBody) -> RawRecord {
    RawRecord {
        organization_id: organization.id.clone(),
        organization_name: organization.name.clone(),
        collection: collection.to_owned(),
        poll_id: None,
        listing_id: None,
        observed_ts_ms: 0,
        body,
    }
}

/// The elements that a resource stands for.
pub(crate) fn mapped(context: &Context, resource: &Resource) -> Vec<Element> {
    mapping::elements(context, resource, resource_digest(&encode_resource(resource)))
}

pub(crate) fn listed(
    world: &World,
    collection: &Collection,
    template: &RawRecord,
    manifest: Manifest,
) -> Listed {
    let is_scoped = |resource: &Resource| {
        let Resource::ApiKey(key) = resource else { return false };
        let scope = key.scope.clone().unwrap_or_default();
        let is_named = scope.workspace_id.is_some() || key.workspace_id.is_some();
        is_named || scope.kind.as_deref() == Some("organization")
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
