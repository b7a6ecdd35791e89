//! What an integration's job shows the people who look at it in JupiterOne. Pure.

use std::collections::BTreeMap;

use graph::state::State;
use schemas::collection::Collection;

use crate::jupiterone::Event;

/// Reasons that one warning names (count); the others are counted.
const MAX_REASONS: usize = 20;

/// One event a collection (all members collections in one), in JupiterOne's words, and a warning where the graph does
/// not know everything.
pub(crate) fn events(state: &State, incomplete: &[String]) -> Vec<Event> {
    let mut whole: BTreeMap<&'static str, i64> = BTreeMap::new();
    for (name, coverage) in state.coverage() {
        if let (Some(collection), Some(listing)) = (Collection::parse(name), &coverage.whole) {
            *whole.entry(collection.family().name()).or_insert(0) += listing.count;
        }
    }
    let mut events: Vec<Event> = whole
        .into_iter()
        .map(|(family, count)| Event {
            name: "step_end",
            description: format!("Collection {family}: {count} resources in its last whole listing."),
        })
        .collect();
    if !incomplete.is_empty() {
        let mut reasons = incomplete[..incomplete.len().min(MAX_REASONS)].join("; ");
        if incomplete.len() > MAX_REASONS {
            reasons = format!("{reasons}; and {} more", incomplete.len() - MAX_REASONS);
        }
        let description = format!("Some data is incomplete, and its last known state is kept: {reasons}.");
        events.push(Event { name: "warn_incomplete_data", description });
    }
    events
}
