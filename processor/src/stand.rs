//! What stands in the graph topic, for a person's question: read to its end, and only what is asked for is kept.

use anyhow::bail;
use graph::state::{FoldError, GraphKey};
use rdkafka::ClientConfig;
use schemas::{codec::GraphValue, topics::Topic};
use service::{
    config::Config,
    kafka::{
        partition::{PartitionReader, Start, hurried},
        restore, settle,
        upkeep::Upkeep,
    },
};

/// The graph topic of a configuration.
pub(crate) struct Stand {
    client: ClientConfig,
    topic: String,
    reader: PartitionReader,
    partition_count: i32,
}

impl Stand {
    /// Asks whether it is there.
    pub(crate) fn open(config: &Config, client: &ClientConfig) -> anyhow::Result<Self> {
        let Some(stand) = Self::find(config, client)? else {
            let topic = Topic::Graph.name(&config.kafka.topic_prefix);
            bail!("the topic {topic} does not exist; the processor makes it when it first runs");
        };
        Ok(stand)
    }

    /// The same, `None` where it is not there.
    pub(crate) fn find(config: &Config, client: &ClientConfig) -> anyhow::Result<Option<Self>> {
        let topic = Topic::Graph.name(&config.kafka.topic_prefix);
        let Some(partition_count) = Upkeep::new(client)?.partition_count(&topic)? else { return Ok(None) };
        // The group of `processor tail`: nothing is committed, and nobody is a member.
        let group_id = format!("{}.tail", config.kafka.topic_prefix);
        let client = hurried(client);
        let reader = PartitionReader::open(&client, &group_id, &topic, 0, Start::Beginning)?;
        Ok(Some(Self { client, topic, reader, partition_count }))
    }

    /// How many partitions it has.
    pub(crate) fn partition_count(&self) -> i32 {
        self.partition_count
    }

    /// Shows all records of a partition in their order.
    pub(crate) fn read(
        &mut self,
        partition: i32,
        mut show: impl FnMut(&str, GraphKey, Option<GraphValue>),
    ) -> anyhow::Result<()> {
        settle(&self.client, &self.topic, partition)?;
        self.reader.turn_to(&self.topic, partition, Start::Beginning)?;
        restore(&mut self.reader, |record| {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            let Some((organization_id, graph_key)) = GraphKey::parse(&key) else {
                return Err(FoldError::Key(key));
            };
            if graph_key == GraphKey::Barrier {
                return Ok(());
            }
            let value = record.value.as_deref().map(GraphValue::decode).transpose();
            let value = value.map_err(|source| FoldError::Value { key: key.clone(), source })?;
            show(organization_id, graph_key, value);
            Ok(())
        })?;
        Ok(())
    }
}
