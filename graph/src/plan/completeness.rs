//! What an organization's graph does not know: types that a DIFF must not delete by absence, and words for it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::state::State;
use schemas::collection::{Collection, Family};
use schemas::coverage::Coverage;
use schemas::element::ElementType;
use schemas::raw::Outcome;

/// The types of which the graph may lack objects that exist: those owned by collections that have never been whole,
/// and those of relationships withheld for an end that such a collection owns. What was whole once is in the graph,
/// frozen or held, and so in the upload.
pub fn partial_types(state: &State) -> BTreeSet<ElementType> {
    let mut types: BTreeSet<ElementType> = BTreeSet::new();
    for collection in Collection::SINGLE {
        if !was_whole(state, &collection) {
            types.extend(ElementType::owned_by(collection.family()));
        }
    }
    if types.contains(&ElementType::Workspace) || unlisted_members(state).next().is_some() {
        types.extend(ElementType::owned_by(Family::Members));
    }
    let known = types.clone();
    for withheld in state.withheld().values() {
        let waits = withheld.missing.iter().filter_map(|key| ElementType::parse(key.split_once(':')?.0));
        if waits.into_iter().any(|end| known.contains(&end)) {
            types.extend(ElementType::parse(withheld.element.kind()));
        }
    }
    types
}

/// The collections that are not whole now, each with the reason after a colon, sorted: for people.
pub fn incomplete(state: &State) -> Vec<String> {
    let mut reasons: BTreeMap<String, String> = BTreeMap::new();
    for (name, coverage) in state.coverage() {
        if Collection::parse(name).is_some() && coverage.not_whole_since_ts_ms.is_some() {
            reasons.insert(name.clone(), reason(coverage));
        }
    }
    for collection in Collection::SINGLE {
        if !was_whole(state, &collection) {
            reasons.entry(collection.to_string()).or_insert_with(|| "not listed yet".to_owned());
        }
    }
    for name in unlisted_members(state) {
        reasons.entry(name).or_insert_with(|| "not listed yet".to_owned());
    }
    reasons.into_iter().map(|(name, reason)| format!("{name}: {reason}")).collect()
}

/// Whether the collection was ever listed whole.
pub fn was_whole(state: &State, collection: &Collection) -> bool {
    state.coverage().get(&collection.to_string()).is_some_and(|coverage| coverage.whole.is_some())
}

/// Whether the API says that the collection has no list.
fn is_gone(state: &State, collection: &Collection) -> bool {
    let coverage = state.coverage().get(&collection.to_string());
    coverage.and_then(|coverage| coverage.latest.as_ref()).is_some_and(|it| it.outcome == Outcome::Gone)
}

/// Names of the members collections of listed workspaces that were never whole. An archived workspace may refuse to
/// list its members forever, and the default one has no list where the API answers 404. They must not keep the
/// memberships of all others in JupiterOne.
fn unlisted_members(state: &State) -> impl Iterator<Item = String> {
    state
        .graph()
        .iter()
        .filter(|element| element.kind() == ElementType::Workspace.name())
        .filter_map(|element| element.decode().content.workspace())
        .filter(|workspace| workspace.archived_on.is_none())
        .map(|workspace| Collection::Members(workspace.id))
        .filter(|collection| !was_whole(state, collection) && !is_gone(state, collection))
        .map(|collection| collection.to_string())
}

fn reason(coverage: &Coverage) -> String {
    let latest = coverage.latest.as_ref();
    latest
        .and_then(|latest| latest.reason.clone().or_else(|| Some(latest.outcome.to_string())))
        .unwrap_or_else(|| "not whole".to_owned())
}
