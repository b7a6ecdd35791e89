//! Objects that JupiterOne refuses: which are left as they are, what must not be deleted because of them, and how
//! many are too many. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::state::State;
use schemas::element::ElementType;
use schemas::sync::{Parked, parked};

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
        state.graph().get(&refused.element_key).is_some_and(|element| element.digest == refused.digest)
    };
    refused.iter().filter(is_same).cloned().collect()
}

/// Names of the types of which JupiterOne may hold an older form of a parked object, and of their relationships:
/// absence from the upload says nothing of them.
pub fn partial_types(refused: &[Parked]) -> BTreeSet<ElementType> {
    let mut types = BTreeSet::new();
    for kind in refused.iter().filter(|refused| refused.state == parked::PARKED) {
        if let Some(kind) = ElementType::parse(&kind.element_type) {
            types.insert(kind);
            types.extend(relationships_of(kind));
        }
    }
    types
}

/// The newly refused joined with those that were left as they are; whoever was refused before is since then.
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
    for parked in refused.iter().filter(|refused| refused.state == parked::PARKED) {
        *counts.entry(parked.element_type.clone()).or_insert(0) += 1;
    }
    counts
}

/// Types of the relationships that an entity of the type can be an end of; none for a relationship.
fn relationships_of(kind: ElementType) -> &'static [ElementType] {
    use ElementType as T;
    match kind {
        T::Account => &[T::AccountHasUser, T::AccountHasWorkspace],
        T::User => &[T::AccountHasUser, T::UserAssignedWorkspace, T::UserCreatedApiKey],
        T::Workspace => &[T::AccountHasWorkspace, T::UserAssignedWorkspace, T::WorkspaceHasApiKey],
        T::ApiKey => &[T::UserCreatedApiKey, T::WorkspaceHasApiKey],
        _ => &[],
    }
}
