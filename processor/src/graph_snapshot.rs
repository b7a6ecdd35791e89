//! The records of the graph topic, for commands: it is read to its end, and the caller keeps what it needs.

use graph::state::{FoldError, GraphKey};
use rdkafka::ClientConfig;
use schemas::{graph_value::GraphValue, topics::Topic};
use service::{
    config::Config,
    kafka::{
        cluster_admin::ClusterAdmin,
        partition::{PartitionReader, Start, with_short_fetch_wait},
        restore, topics, wait_for_commits,
    },
};

/// The graph topic of a configuration.
pub struct GraphSnapshot {
    client: ClientConfig,
    topic: String,
    reader: PartitionReader,
    partition_count: i32,
}

impl GraphSnapshot {
    /// Opens the topic, which must exist.
    pub fn open(config: &Config, client: &ClientConfig) -> anyhow::Result<Self> {
        let Some(graph) = Self::find(config, client)? else {
            return Err(topics::does_not_exist(Topic::Graph, &config.kafka.topic_prefix));
        };
        Ok(graph)
    }

    /// Like [`Self::open`]; `None` if the topic does not exist.
    pub fn find(config: &Config, client: &ClientConfig) -> anyhow::Result<Option<Self>> {
        let topic = Topic::Graph.name(&config.kafka.topic_prefix);
        let Some(partition_count) = ClusterAdmin::new(client)?.partition_count(&topic)? else {
            return Ok(None);
        };
        // The group of `anthropic-graph changes`: nothing is committed, and it has no members.
        let group_id = format!("{}.tail", config.kafka.topic_prefix);
        let client = with_short_fetch_wait(client);
        let reader = PartitionReader::open(&client, &group_id, &topic, 0, Start::Beginning)?;
        Ok(Some(Self { client, topic, reader, partition_count }))
    }

    /// Partitions of the topic (count).
    pub fn partition_count(&self) -> i32 {
        self.partition_count
    }

    /// Passes all records of a partition to `show`, in order.
    pub fn read(
        &mut self,
        partition: i32,
        mut show: impl FnMut(&str, GraphKey, Option<GraphValue>),
    ) -> anyhow::Result<()> {
        wait_for_commits(&self.client, &self.topic, partition)?;
        self.reader.turn_to(&self.topic, partition, Start::Beginning)?;
        restore(&mut self.reader, |record| {
            let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            let Some((organization_id, graph_key)) = GraphKey::parse(&key) else {
                return Err(FoldError::Key(key));
            };
            if graph_key == GraphKey::Barrier {
                return Ok(());
            }
            let value = record.value.map(GraphValue::decode).transpose();
            let value = value.map_err(|source| FoldError::Value { key: key.clone(), source })?;
            show(organization_id, graph_key, value);
            Ok(())
        })?;
        Ok(())
    }
}
