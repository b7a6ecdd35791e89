//! Which raw records tell anything: the others are dead letters.

use schemas::{
    codec::encode,
    element::Element,
    raw::{Decision, END, Manifest, Mark, RawRecord, START},
};

use super::reference_mapping::{Place, elements};

/// Longest text that changes and state repeat (bytes).
const MAX_TEXT: usize = 4_096;
/// A resource one of whose elements is larger (bytes, encoded) or has a longer key is refused: its change would fit
/// into no message.
const MAX_ELEMENT: usize = 450_000;
/// Longest key of an element (bytes).
const MAX_KEY: usize = 4_096;
/// A raw record no larger than this (bytes) has no element that could be too large.
const SAFE_RECORD: usize = 600;

/// Whether it is one of the things that a raw record can be. One that is not tells nothing, and whatever it was to say
/// is missing.
pub(super) fn is_usable(record: &RawRecord, size: usize) -> bool {
    let RawRecord { organization_id, collection, listing_id, mark, manifest, decision, resource, .. } =
        record;
    let parts = [mark.is_some(), manifest.is_some(), decision.is_some(), resource.is_some()];
    if parts.into_iter().filter(|part| *part).count() != 1
        || organization_id.is_empty()
        || organization_id.contains('/')
        || !texts(record).all(|text| text.len() <= MAX_TEXT)
        || mark.as_ref().is_some_and(|mark| mark.kind != START && mark.kind != END)
    {
        return false;
    }
    if mark.is_some() || decision.is_some() {
        return true;
    }
    let is_members = collection.strip_prefix("members/").is_some_and(|id| !id.is_empty());
    let is_known =
        is_members || matches!(collection.as_str(), "organization" | "users" | "workspaces" | "api_keys");
    if !is_known || listing_id.is_none() {
        return false;
    }
    let Some(resource) = resource else { return true };
    let place = Place { organization_id, collection, account_name: None };
    let mapped = elements(place, resource);
    !mapped.is_empty() && !resource.id().is_empty() && (size <= SAFE_RECORD || mapped.iter().all(fits))
}

/// The texts of a record that changes and state repeat, but for its resource's.
fn texts(record: &RawRecord) -> impl Iterator<Item = String> {
    let RawRecord { organization_id, organization_name, collection, poll_id, listing_id, .. } = record;
    let mut texts = vec![organization_id.clone(), organization_name.clone(), collection.clone()];
    texts.extend(poll_id.iter().chain(listing_id).cloned());
    if let Some(Decision { kind, collection, element_key, listing_id, by, .. }) = &record.decision {
        texts.extend([kind, by].into_iter().chain(collection).chain(element_key).chain(listing_id).cloned());
    }
    if let Some(Manifest { parameters, configuration, .. }) = &record.manifest {
        texts.push(parameters.iter().flat_map(|(name, value)| [name.as_str(), value]).collect());
        texts.extend(configuration.account_name.clone());
    }
    if let Some(Mark { kind, reason, outcomes, .. }) = &record.mark {
        texts.push(kind.clone());
        texts.extend(reason.clone());
        for line in outcomes {
            texts.extend([line.collection.clone(), line.outcome.clone()]);
            texts.extend(line.reason.clone());
        }
    }
    texts.into_iter()
}

fn fits(element: &Element) -> bool {
    let tags = element.workspace.iter().flat_map(|workspace| workspace.tags.keys());
    let names: usize = tags.map(|name| name.len() + 8).sum();
    element.key.len() <= MAX_KEY && encode(element).len() + names <= MAX_ELEMENT
}
