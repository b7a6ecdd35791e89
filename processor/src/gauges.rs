//! The gauges of collections: when each was last whole, since when it is not, and its holds.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use graph::state::{GraphKey, GraphRecord, State, States};
use schemas::{
    collection::{Collection, POLL},
    coverage::{Coverage, HoldState},
    graph_value::GraphValue,
};
use service::metrics::Metrics;

/// The collections whose gauges a transaction changes.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// The organization's name by organization ID and collection.
    names: BTreeMap<(String, String), String>,
}

impl Touched {
    /// Adds the collections of records that are not yet folded into the state.
    pub(crate) fn note(&mut self, organization_id: &str, state: Option<&State>, records: &[GraphRecord]) {
        for (key, value) in records {
            let hold = |key: &str| state.and_then(|state| state.holds().get(key));
            let collection = match (key, value) {
                (GraphKey::Coverage(collection), _) => collection,
                (GraphKey::Hold(_), Some(GraphValue::Hold(hold))) => &hold.collection,
                (GraphKey::Hold(key), _) => match hold(key) {
                    Some(hold) => &hold.collection,
                    None => continue,
                },
                _ => continue,
            };
            let coverage = match value {
                Some(GraphValue::Coverage(coverage)) => Some(coverage.as_ref()),
                _ => state.and_then(|state| state.coverage().get(collection)),
            };
            if let Some(coverage) = coverage {
                let key = (organization_id.to_owned(), collection.clone());
                self.names.insert(key, coverage.organization_name.clone());
            }
        }
    }

    /// Adds the collections of another one.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.names.append(&mut other.names);
    }

    /// Sets their gauges from the states.
    pub(crate) fn show(self, metrics: &Metrics, states: &States) {
        for ((organization_id, collection), name) in self.names {
            let state = states.get(&organization_id);
            if collection == POLL
                && let Some(state) = state
            {
                show_organization(metrics, &name, state);
            }
            match state.and_then(|state| Some((state, state.coverage().get(&collection)?))) {
                Some((state, coverage)) => show_collection(metrics, state, coverage),
                None => metrics.forget_collection(&name, &collection),
            }
        }
    }
}

/// Sets the gauges of restored states.
pub(crate) fn show(metrics: &Metrics, states: &States) {
    for (_, state) in states.iter() {
        if let Some(poll) = state.coverage().get(POLL) {
            show_organization(metrics, &poll.organization_name, state);
        }
        state.coverage().values().for_each(|coverage| show_collection(metrics, state, coverage));
    }
}

/// Removes the gauges of these states: the partition's next owner sets them, and an age that only grows would raise
/// alerts.
pub(crate) fn forget(metrics: &Metrics, states: &States) {
    for coverage in states.iter().flat_map(|(_, state)| state.coverage().values()) {
        metrics.forget_collection(&coverage.organization_name, &coverage.collection);
        if coverage.collection == POLL {
            metrics.forget_elements(&coverage.organization_name);
        }
    }
}

fn show_organization(metrics: &Metrics, name: &str, state: &State) {
    metrics.set_elements(name, state.graph().len(), state.withheld().len());
}

fn show_collection(metrics: &Metrics, state: &State, coverage: &Coverage) {
    let (name, collection) = (&coverage.organization_name, &coverage.collection);
    if Collection::parse(collection).is_none() {
        return;
    }
    if let Some(whole) = &coverage.whole {
        metrics.listed_whole(name, collection, time(whole.ended_ts_ms));
    }
    metrics.not_whole(name, collection, coverage.not_whole_since_ts_ms.map(time));
    let held = |hold_state| state.held(collection, hold_state);
    metrics.held(name, collection, held(&HoldState::Proposed), held(&HoldState::Rejected));
    metrics.held_since(name, collection, state.held_since(collection, &HoldState::Proposed).map(time));
}

fn time(ts_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ts_ms).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use graph::state::{GraphKey, GraphRecord, States};
    use prometheus_client::{encoding::text::encode, registry::Registry};
    use schemas::{
        coverage::{Coverage, Hold, HoldState, WholeListing},
        graph_value::GraphValue,
    };
    use service::metrics::Metrics;

    use super::{Touched, forget, show};

    fn coverage(not_whole_since_ts_ms: Option<i64>) -> GraphRecord {
        let coverage = Coverage {
            whole: Some(WholeListing { ended_ts_ms: 2, ..WholeListing::default() }),
            not_whole_since_ts_ms,
            ..Coverage::new("o", "nimbus", "users")
        };
        (GraphKey::Coverage("users".to_owned()), Some(GraphValue::Coverage(coverage.into())))
    }

    fn hold() -> GraphRecord {
        let hold = Hold {
            organization_id: "o".to_owned(),
            element_key: "anthropic_user:ada".to_owned(),
            collection: "users".to_owned(),
            listing_id: "l".to_owned(),
            raw_offset: 1,
            proposed_ts_ms: 2,
            state: HoldState::Proposed,
            agreeing: 1,
        };
        (GraphKey::Hold(hold.element_key.clone()), Some(GraphValue::Hold(hold.into())))
    }

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).expect("text");
        text
    }

    /// A transaction of these records.
    fn commit(metrics: &Metrics, states: &mut States, records: Vec<GraphRecord>) {
        let mut touched = Touched::default();
        touched.note("o", states.get("o"), &records);
        for (key, value) in records {
            states.entry("o").fold(&key, value).expect("a record of the graph topic");
        }
        touched.show(metrics, states);
    }

    #[test]
    fn a_partition_that_went_to_another_process_shows_no_age() {
        let mut states = States::default();
        let (metrics, registry) = Metrics::new("processor");
        commit(&metrics, &mut states, vec![coverage(None), hold()]);
        forget(&metrics, &states);
        assert!(!text(&registry).contains("collection=\"users\""));
        show(&metrics, &states);
        assert!(text(&registry).contains("collection=\"users\""));
    }

    #[test]
    fn a_hold_and_a_failed_listing_are_shown_until_they_end() {
        let mut states = States::default();
        let (metrics, registry) = Metrics::new("processor");
        let labels = "{organization=\"nimbus\",collection=\"users\"";
        let since = format!("anthropic_graph_not_whole_since_timestamp_seconds{labels}}}");
        let held = format!("anthropic_graph_holds{labels},state=\"proposed\"}}");
        let oldest = format!("anthropic_graph_oldest_hold_timestamp_seconds{labels}}}");
        commit(&metrics, &mut states, vec![hold(), coverage(Some(5_000))]);
        let shown = text(&registry);
        assert!(shown.contains(&format!("{since} 5.0")), "{shown}");
        assert!(shown.contains(&format!("{held} 1")), "{shown}");
        assert!(shown.contains(&format!("{oldest} 0.002")), "{shown}");
        // A decision ends a hold and does not change the coverage.
        commit(&metrics, &mut states, vec![(hold().0, None)]);
        assert!(text(&registry).contains(&format!("{held} 0")));
        assert!(!text(&registry).contains(&oldest));
        commit(&metrics, &mut states, vec![coverage(None)]);
        assert!(!text(&registry).contains(&since));
        commit(&metrics, &mut states, vec![(coverage(None).0, None)]);
        assert!(!text(&registry).contains("collection=\"users\""));
    }
}
