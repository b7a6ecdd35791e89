//! Which raw records can be used: the others are dead letters.

use schemas::{
    codec::encode,
    element::{Content, Element},
    raw::{Decision, Manifest, Mark, MarkKind, RawBody, RawRecord},
};

use super::reference_mapping::{Place, elements};

/// Longest string that changes and state repeat (bytes).
const MAX_TEXT: usize = 4_096;
/// A resource one of whose elements is larger (bytes, encoded) or has a longer key is refused: its change would fit
/// into no message.
const MAX_ELEMENT: usize = 450_000;
/// Longest key of an element (bytes).
const MAX_KEY: usize = 4_096;
/// A raw record no larger than this (bytes) has no element that could be too large.
const SAFE_RECORD: usize = 600;

/// Whether it is one of the things that a raw record can be. One that is not cannot be used, and its content is
/// missing.
pub(super) fn is_usable(record: &RawRecord, size: usize) -> bool {
    let RawRecord { organization_id, collection, listing_id, body, .. } = record;
    if organization_id.is_empty()
        || organization_id.contains('/')
        || !texts(record).all(|text| text.len() <= MAX_TEXT)
    {
        return false;
    }
    let resource = match body {
        RawBody::Mark(mark) => return matches!(mark.kind, MarkKind::Start | MarkKind::End),
        RawBody::Decision(_) => return true,
        RawBody::Manifest(_) => None,
        RawBody::Resource(resource) => Some(resource),
    };
    let is_members = collection.strip_prefix("members/").is_some_and(|id| !id.is_empty());
    let is_known =
        is_members || matches!(collection.as_str(), "organization" | "users" | "workspaces" | "api_keys");
    if !is_known || listing_id.is_none() {
        return false;
    }
    let Some(resource) = resource else { return true };
    let place = Place { organization_id, collection, account_name: None };
    let mapped = elements(place, resource);
    !resource.id().is_empty() && !mapped.is_empty() && (size <= SAFE_RECORD || mapped.iter().all(fits))
}

/// The strings of a record that changes and state repeat, but for its resource's.
fn texts(record: &RawRecord) -> impl Iterator<Item = String> {
    let RawRecord { organization_id, organization_name, collection, poll_id, listing_id, .. } = record;
    let mut texts = vec![organization_id.clone(), organization_name.clone(), collection.clone()];
    texts.extend(poll_id.iter().chain(listing_id).cloned());
    match &record.body {
        RawBody::Decision(Decision { kind, collection, element_key, listing_id, by, .. }) => {
            texts.push(kind.to_string());
            texts.extend([by].into_iter().chain(collection).chain(element_key).chain(listing_id).cloned());
        }
        RawBody::Manifest(Manifest { parameters, configuration, .. }) => {
            texts.push(parameters.iter().flat_map(|(name, value)| [name.as_str(), value]).collect());
            texts.extend(configuration.account_name.clone());
        }
        RawBody::Mark(Mark { kind, reason, outcomes, .. }) => {
            texts.push(kind.to_string());
            texts.extend(reason.clone());
            for line in outcomes {
                texts.extend([line.collection.clone(), line.outcome.to_string()]);
                texts.extend(line.reason.clone());
            }
        }
        RawBody::Resource(_) => {}
    }
    texts.into_iter()
}

fn fits(element: &Element) -> bool {
    let tags =
        if let Content::Workspace(workspace) = &element.content { Some(&workspace.tags) } else { None };
    let names: usize = tags.into_iter().flatten().map(|(name, _)| name.len() + 8).sum();
    element.key.len() <= MAX_KEY && encode(element).len() + names <= MAX_ELEMENT
}
