//! The broker: librdkafka's mock cluster in this process, or a Kafka somewhere else.

use anyhow::Context as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use schemas::topics::{DEFAULT_PREFIX, Retention, Topic};
use serde_json::Value;
use service::config::Config;
use service::kafka::client_config;
use service::kafka::topics::{self, Broker, Wanted};
use uuid::Uuid;

/// Of every topic (count): all of an organization's records lie in one partition, so more would be empty.
pub(crate) const PARTITIONS: i32 = 1;

/// Where the topics are, and what keeps them.
pub(crate) struct Kafka {
    /// The settings that the services get.
    pub(crate) broker: Broker,
    pub(crate) bootstrap_servers: String,
    /// Begins the topics' names.
    pub(crate) prefix: String,
    /// Lives as long as this.
    _cluster: Option<MockCluster<'static, DefaultProducerContext>>,
}

impl Kafka {
    /// Starts the mock cluster, with all five topics.
    pub(crate) fn embedded() -> anyhow::Result<Self> {
        let cluster = MockCluster::new(1).context("failed to start the embedded broker")?;
        for topic in Topic::ALL {
            let name = topic.name(DEFAULT_PREFIX);
            cluster.create_topic(&name, PARTITIONS, 1).with_context(|| format!("failed to create {name}"))?;
        }
        Ok(Self {
            broker: Broker::Embedded,
            bootstrap_servers: cluster.bootstrap_servers(),
            prefix: DEFAULT_PREFIX.to_owned(),
            _cluster: Some(cluster),
        })
    }

    /// A real one, under a prefix of its own.
    pub(crate) fn real(bootstrap_servers: &str) -> Self {
        Self {
            broker: Broker::Kafka,
            bootstrap_servers: bootstrap_servers.to_owned(),
            prefix: format!("quickstart-{}", &Uuid::new_v4().simple().to_string()[..8]),
            _cluster: None,
        }
    }

    /// Commands of `anthropic-graph` read the topics with this configuration.
    pub(crate) fn configuration(&self) -> String {
        // A string of JSON is one of TOML.
        let [servers, prefix] = [&self.bootstrap_servers, &self.prefix].map(|it| Value::from(it.as_str()));
        format!("[kafka]\nbootstrap_servers = {servers}\ntopic_prefix = {prefix}\n")
    }

    /// What a real Kafka keeps after the end, and how to delete it.
    pub(crate) fn remains(&self) -> Vec<String> {
        let Self { bootstrap_servers, prefix, .. } = self;
        match self.broker {
            Broker::Embedded => Vec::new(),
            Broker::Kafka => vec![
                format!("  Kafka       keeps the five topics {prefix}.*; to delete them:"),
                format!("    kafka-topics.sh --bootstrap-server {bootstrap_servers} \\"),
                format!("      --delete --topic '{prefix}[.].*'"),
            ],
        }
    }

    /// Has all five topics there before anyone reads them. Blocks.
    pub(crate) fn prepare(config: &Config, broker: Broker) -> anyhow::Result<()> {
        let client = client_config(&config.kafka, &service::config::environment())?;
        let wanted = Wanted {
            topics: &Topic::ALL,
            prefix: &config.kafka.topic_prefix,
            partitions: config.kafka.partitions,
            replication_factor: config.kafka.replication_factor,
            retention: Retention::default(),
            create: config.kafka.create_topics,
            must_see_settings: true,
            broker,
        };
        topics::ensure(&client, &wanted).context("failed to prepare the topics")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Kafka;

    #[test]
    fn the_topics_on_a_real_kafka_can_be_read_and_deleted() {
        let kafka = Kafka::real("one:9092,two:9092");
        let configuration = kafka.configuration();
        let prefix = &kafka.prefix;
        assert!(prefix.starts_with("quickstart-"), "{prefix}");
        assert_eq!(
            configuration,
            format!("[kafka]\nbootstrap_servers = \"one:9092,two:9092\"\ntopic_prefix = \"{prefix}\"\n")
        );
        let remains = kafka.remains().join("\n");
        assert!(remains.contains("kafka-topics.sh --bootstrap-server one:9092,two:9092 \\\n"), "{remains}");
        assert!(remains.ends_with(&format!("--delete --topic '{prefix}[.].*'")), "{remains}");
        assert!(Kafka::embedded().expect("an embedded broker").remains().is_empty());
    }
}
