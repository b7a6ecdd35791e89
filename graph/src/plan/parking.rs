//! Parked objects: which are not tried again, what must not be deleted because of them, and how many pause the
//! organization. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::state::State;
use schemas::element::ElementType;
use schemas::sync::{Parked, ParkedState};

/// Refused objects of one job (count) beyond which something general is wrong: to find each costs about twice the
/// logarithm of its batch's objects in requests.
const MAX_REFUSED: usize = 100;
/// The same as a part of the job's objects: what single bad values never reach.
const MAX_REFUSED_FRACTION: f64 = 0.1;
/// Refused objects (count) that are never too many, for organizations of which a tenth is less.
const FEW_REFUSED: usize = 5;

/// How many objects of so many may be refused before the organization is paused instead (count).
pub fn most_refused(objects: usize) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a tenth of a count far below 2^52"
    )]
    let part = (objects as f64 * MAX_REFUSED_FRACTION) as usize;
    part.clamp(FEW_REFUSED, MAX_REFUSED)
}

/// Those of the refused objects that are still what was refused: trying them again would change nothing.
pub fn unchanged(state: &State, refused: &[Parked]) -> Vec<Parked> {
    let is_same = |refused: &&Parked| {
        state.graph().get(&refused.element_key).is_some_and(|element| element.digest() == refused.digest)
    };
    refused.iter().filter(is_same).cloned().collect()
}

/// Names of the types of which JupiterOne may hold an older form of a parked object, and of their relationships:
/// their absence from the upload means nothing.
pub fn partial_types(refused: &[Parked]) -> BTreeSet<ElementType> {
    let mut types = BTreeSet::new();
    for kind in refused.iter().filter(|refused| refused.state == ParkedState::Parked) {
        if let Some(kind) = ElementType::parse(&kind.element_type) {
            types.insert(kind);
            types.extend(kind.relationships());
        }
    }
    types
}

/// The newly refused objects and those left as they are. An object that was refused before keeps its time.
pub fn joined(before: &[Parked], left: &[Parked], refused: Vec<Parked>) -> Vec<Parked> {
    let since: BTreeMap<&str, i64> =
        before.iter().map(|parked| (parked.element_key.as_str(), parked.since_ts_ms)).collect();
    let mut by_key: BTreeMap<String, Parked> =
        left.iter().map(|parked| (parked.element_key.clone(), parked.clone())).collect();
    for mut parked in refused {
        parked.since_ts_ms = since.get(parked.element_key.as_str()).copied().unwrap_or(parked.since_ts_ms);
        by_key.insert(parked.element_key.clone(), parked);
    }
    by_key.into_values().collect()
}

/// How many objects of each type are not uploaded.
pub fn counts(refused: &[Parked]) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for parked in refused.iter().filter(|refused| refused.state == ParkedState::Parked) {
        *counts.entry(parked.element_type.clone()).or_insert(0) += 1;
    }
    counts
}
