//! `processor check`: checks configuration, brokers, topics and coverage without changing anything.

use std::collections::BTreeMap;

use anyhow::Context as _;
use graph::state::GraphKey;
use rdkafka::ClientConfig;
use schemas::{
    coverage::{Coverage, HoldState},
    graph_value::GraphValue,
    raw::NO_REASON,
};
use service::{
    check::{self, Line},
    config::Config,
    exit::Outcome,
    kafka::{client_config, topics::Wanted},
    schema_registry,
    startup::Options,
    wording::{self, time},
};

use crate::{graph_snapshot::GraphSnapshot, needs::NEEDS};

/// Prints a line per check, and a note for each collection that is incomplete or has held deletions.
pub async fn check(config: Config, options: Options) -> anyhow::Result<Outcome> {
    let client = client_config(&config.kafka, &options.environment)?;
    let registry = schema_registry::check(&config, &options.environment, NEEDS.writes, "processor").await;
    tokio::task::spawn_blocking(move || {
        let mut lines = vec![check::configuration(config.organizations.len())];
        lines.extend(check::kafka(&client, &Wanted::by(&NEEDS, &config, options.broker), "processor"));
        let is_readable = lines.iter().all(Line::is_good);
        lines.extend(registry);
        if is_readable {
            match notes(&config, &client) {
                Ok(notes) => lines.extend(notes.into_iter().map(Line::Note)),
                Err(error) => {
                    lines.push(Line::Failed(format!("kafka: cannot read the graph topic: {error:#}")));
                }
            }
        }
        check::print(&lines)
    })
    .await
    .context("the checking thread ended")?
}

/// Notes from the graph topic; none if the topic does not exist yet.
fn notes(config: &Config, client: &ClientConfig) -> anyhow::Result<Vec<String>> {
    let Some(mut graph) = GraphSnapshot::find(config, client)? else { return Ok(Vec::new()) };
    let mut notes = Vec::new();
    for partition in 0..graph.partition_count() {
        let mut known = Known::default();
        graph.read(partition, |organization_id, key, value| known.take(organization_id, key, value))?;
        notes.extend(known.notes());
    }
    Ok(notes)
}

/// Coverage and holds of a partition, by organization ID and collection.
#[derive(Debug, Default)]
struct Known {
    coverage: BTreeMap<(String, String), Coverage>,
    /// Keys of the elements whose deletion is held, with their collections.
    held: BTreeMap<(String, String), String>,
}

impl Known {
    fn take(&mut self, organization_id: &str, key: GraphKey, value: Option<GraphValue>) {
        let of = |key: String| (organization_id.to_owned(), key);
        match (key, value) {
            (GraphKey::Coverage(key), Some(GraphValue::Coverage(coverage))) => {
                self.coverage.insert(of(key), *coverage);
            }
            (GraphKey::Coverage(key), _) => drop(self.coverage.remove(&of(key))),
            (GraphKey::Hold(key), Some(GraphValue::Hold(hold))) if hold.state == HoldState::Proposed => {
                self.held.insert(of(key), hold.collection);
            }
            (GraphKey::Hold(key), _) => drop(self.held.remove(&of(key))),
            _ => {}
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for ((organization_id, collection), coverage) in &self.coverage {
            let name = &coverage.organization_name;
            if let Some(since) = coverage.not_whole_since_ts_ms {
                let latest = coverage.latest.as_ref();
                let reason = latest.and_then(|it| it.reason.as_deref()).unwrap_or(NO_REASON);
                let outcome = latest.map_or("not listed", |latest| latest.outcome.as_str());
                let since = time(since);
                notes.push(format!(
                    "organization {name}: {collection} has no whole listing since {since}, {outcome}: {reason}"
                ));
            }
            let is_held = |((of, _), within): &(&(String, String), &String)| {
                of == organization_id && *within == collection
            };
            let held = self.held.iter().filter(is_held).count();
            if held > 0 {
                let held = wording::count(held, "deletion");
                notes.push(format!(
                    "organization {name}: {held} of {collection} held; see `anthropic-graph holds list`"
                ));
            }
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use graph::state::GraphKey;
    use schemas::{
        coverage::{Coverage, Hold, HoldState, Latest},
        graph_value::GraphValue,
        raw::Outcome,
    };

    use super::Known;

    fn coverage(not_whole_since_ts_ms: Option<i64>) -> (GraphKey, GraphValue) {
        let coverage = Coverage {
            latest: Some(Latest {
                outcome: Outcome::Failed,
                reason: Some("403 permission_error".to_owned()),
                poll_id: None,
                raw_offset: 7,
                ended_ts_ms: 1,
            }),
            not_whole_since_ts_ms,
            ..Coverage::new("o", "nimbus", "users")
        };
        (GraphKey::Coverage("users".to_owned()), GraphValue::Coverage(coverage.into()))
    }

    fn hold(element_key: &str, state: HoldState) -> (GraphKey, GraphValue) {
        let hold = Hold {
            organization_id: "o".to_owned(),
            element_key: element_key.to_owned(),
            collection: "users".to_owned(),
            listing_id: "l".to_owned(),
            raw_offset: 1,
            proposed_ts_ms: 2,
            state,
            agreeing: 1,
        };
        (GraphKey::Hold(element_key.to_owned()), GraphValue::Hold(hold.into()))
    }

    #[test]
    fn a_collection_is_noted_while_it_is_not_whole_or_has_holds() {
        let mut known = Known::default();
        let mut take = |(key, value): (GraphKey, GraphValue)| known.take("o", key, Some(value));
        take(coverage(Some(5_000)));
        take(hold("anthropic_user:1", HoldState::Proposed));
        take(hold("anthropic_user:2", HoldState::Proposed));
        take(hold("anthropic_user:2", HoldState::Rejected));
        assert_eq!(
            known.notes(),
            [
                "organization nimbus: users has no whole listing since 1970-01-01T00:00:05Z, failed: 403 permission_error",
                "organization nimbus: 1 deletion of users held; see `anthropic-graph holds list`",
            ]
        );
        let (key, whole) = coverage(None);
        known.take("o", key, Some(whole));
        known.take("o", GraphKey::Hold("anthropic_user:1".to_owned()), None);
        assert_eq!(known.notes(), Vec::<String>::new());
    }
}
