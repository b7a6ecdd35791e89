//! What the gauges show of collections: when each was whole, since when it has not been, what is held.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use graph::state::{GraphKey, State, States};
use schemas::{
    codec::GraphValue,
    collection::Collection,
    coverage::{Coverage, hold_state},
};
use service::metrics::Metrics;

/// A record of the graph topic.
pub(crate) type GraphRecord = (GraphKey, Option<GraphValue>);

/// The collections of which a transaction changes what is shown.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// The organization's name by its id and the collection.
    names: BTreeMap<(String, String), String>,
}

impl Touched {
    /// Notes the collections of records that are not folded into the state yet.
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

    /// Adds what another one has noted.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.names.append(&mut other.names);
    }

    /// Shows them as they are in the states now.
    pub(crate) fn show(self, metrics: &Metrics, states: &States) {
        for ((organization_id, collection), name) in self.names {
            let state = states.get(&organization_id);
            match state.and_then(|state| Some((state, state.coverage().get(&collection)?))) {
                Some((state, coverage)) => show_collection(metrics, state, coverage),
                None => metrics.forget_collection(&name, &collection),
            }
        }
    }
}

/// Shows restored states.
pub(crate) fn show(metrics: &Metrics, states: &States) {
    for (_, state) in states.iter() {
        state.coverage().values().for_each(|coverage| show_collection(metrics, state, coverage));
    }
}

/// Shows no more of these states: whoever has the partition next does, and an age that only grows would alarm.
pub(crate) fn forget(metrics: &Metrics, states: &States) {
    for coverage in states.iter().flat_map(|(_, state)| state.coverage().values()) {
        metrics.forget_collection(&coverage.organization_name, &coverage.collection);
    }
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
    metrics.held(name, collection, held(hold_state::PROPOSED), held(hold_state::REJECTED));
}

fn time(ts_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ts_ms).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use graph::state::{GraphKey, States};
    use prometheus_client::{encoding::text::encode, registry::Registry};
    use schemas::{
        codec::GraphValue,
        coverage::{Coverage, Hold, WholeListing, hold_state},
    };
    use service::metrics::Metrics;

    use super::{GraphRecord, Touched, forget, show};

    fn coverage(not_whole_since_ts_ms: Option<i64>) -> GraphRecord {
        let coverage = Coverage {
            organization_id: "o".to_owned(),
            organization_name: "nimbus".to_owned(),
            collection: "users".to_owned(),
            whole: Some(WholeListing {
                listing_id: "l".to_owned(),
                raw_offset: 1,
                started_ts_ms: 1,
                ended_ts_ms: 2,
                count: 0,
                parameters: [].into(),
            }),
            latest: None,
            not_whole_since_ts_ms,
            poll: None,
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
            state: hold_state::PROPOSED.to_owned(),
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
        let since = format!("anthropic_graph_not_whole_since_seconds{labels}}}");
        let held = format!("anthropic_graph_holds{labels},state=\"proposed\"}}");
        commit(&metrics, &mut states, vec![hold(), coverage(Some(5_000))]);
        let shown = text(&registry);
        assert!(shown.contains(&format!("{since} 5.0")), "{shown}");
        assert!(shown.contains(&format!("{held} 1")), "{shown}");
        // A decision ends a hold and leaves the coverage alone.
        commit(&metrics, &mut states, vec![(hold().0, None)]);
        assert!(text(&registry).contains(&format!("{held} 0")));
        commit(&metrics, &mut states, vec![coverage(None)]);
        assert!(text(&registry).contains(&format!("{since} 0.0")));
        commit(&metrics, &mut states, vec![(coverage(None).0, None)]);
        assert!(!text(&registry).contains("collection=\"users\""));
    }
}
