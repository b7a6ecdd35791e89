//! Coverage and holds of each organization, from the graph topic.

use std::collections::BTreeMap;

use graph::state::GraphKey;
use rdkafka::ClientConfig;
use schemas::{
    codec::DecodeError,
    collection::POLL,
    coverage::{Coverage, Hold, Poll},
    graph_value::GraphValue,
    topics::Topic,
};
use service::{
    config::Config,
    kafka::{cluster_admin::ClusterAdmin, partition::Message, topics},
};

use crate::topic_reader;

/// Coverage and holds of one organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Freshness {
    /// Its name in the configuration of the producer that polled it last.
    pub(crate) name: String,
    /// Its newest poll, and totals of its graph.
    pub(crate) poll: Poll,
    pub(crate) coverage: BTreeMap<String, Coverage>,
    /// Held deletions, by element key.
    pub(crate) holds: BTreeMap<String, Hold>,
}

/// Reads the graph topic to its end, by organization ID.
pub(crate) fn read(config: &Config, client: &ClientConfig) -> anyhow::Result<BTreeMap<String, Freshness>> {
    let name = Topic::Graph.name(&config.kafka.topic_prefix);
    let Some(partitions) = ClusterAdmin::new(client)?.partition_count(&name)? else {
        return Err(topics::does_not_exist(Topic::Graph, &config.kafka.topic_prefix));
    };
    let mut all: BTreeMap<String, Freshness> = BTreeMap::new();
    topic_reader::read(config, client, Topic::Graph, 0..partitions, |record| fold(&mut all, record))?;
    Ok(all)
}

/// Elements are not needed here, so they are not decoded.
fn fold(all: &mut BTreeMap<String, Freshness>, record: Message<'_>) -> Result<(), DecodeError> {
    let key = String::from_utf8_lossy(record.key.unwrap_or_default());
    let Some((organization_id, key)) = GraphKey::parse(&key) else { return Ok(()) };
    if matches!(key, GraphKey::Element(_) | GraphKey::Withheld(_) | GraphKey::Barrier) {
        return Ok(());
    }
    let value = record.value.map(GraphValue::decode).transpose()?;
    all.entry(organization_id.to_owned()).or_default().take(key, value);
    Ok(())
}

impl Freshness {
    /// Applies a record of the organization.
    pub(crate) fn take(&mut self, key: GraphKey, value: Option<GraphValue>) {
        match (key, value) {
            (GraphKey::Hold(key), Some(GraphValue::Hold(hold))) => drop(self.holds.insert(key, *hold)),
            (GraphKey::Hold(key), _) => drop(self.holds.remove(&key)),
            (GraphKey::Coverage(collection), Some(GraphValue::Coverage(coverage))) => {
                self.name.clone_from(&coverage.organization_name);
                if collection == POLL {
                    self.poll = coverage.poll.unwrap_or_default();
                } else {
                    self.coverage.insert(collection, *coverage);
                }
            }
            (GraphKey::Coverage(collection), _) => drop(self.coverage.remove(&collection)),
            _ => {}
        }
    }
}
