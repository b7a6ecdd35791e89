//! What each test begins with: the broker, names of its own, records.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedHeaders;
use service::config::{GroupProtocol, Kafka};
use service::kafka::partition::{PartitionReader, Record, Start};
use service::kafka::transaction::{TRANSACTION_TIMEOUT, TransactionalProducer};
use service::kafka::{client_config, wait_for_commits};

/// Longer than anything that works takes, shorter than a person waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn config_at(bootstrap_servers: &str) -> ClientConfig {
    let kafka = Kafka {
        bootstrap_servers: bootstrap_servers.to_owned(),
        topic_prefix: "anthropic".to_owned(),
        partitions: 2,
        replication_factor: -1,
        create_topics: true,
        group_protocol: GroupProtocol::Classic,
        properties: BTreeMap::new(),
    };
    client_config(&kafka, &BTreeMap::new()).unwrap()
}

pub(crate) fn config() -> ClientConfig {
    config_at(&tests::broker::bootstrap_servers())
}

/// A name that no other test has.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4())
}

pub(crate) fn make_topic(name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = config().create().unwrap();
    let new = settings
        .iter()
        .fold(NewTopic::new(name, partitions, TopicReplication::Fixed(1)), |new, (name, value)| {
            new.set(name, value)
        });
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let results = block_on(admin.create_topics(&[new], &options)).unwrap();
    for result in results {
        assert!(result.is_ok(), "{result:?}");
    }
}

pub(crate) fn topic(name: &str) -> String {
    let name = unique(name);
    make_topic(&name, 1, &[]);
    name
}

pub(crate) fn producer(transactional_id: &str) -> TransactionalProducer {
    TransactionalProducer::open(&config(), transactional_id, TRANSACTION_TIMEOUT).unwrap()
}

pub(crate) fn reader(topic: &str, start: Start) -> PartitionReader {
    PartitionReader::open(&config(), &unique("readers"), topic, 0, start).unwrap()
}

pub(crate) fn send(producer: &TransactionalProducer, topic: &str, key: &str, value: Option<&str>) {
    producer.send(topic, 0, key, value.map(str::as_bytes), OwnedHeaders::new()).unwrap();
}

/// One committed transaction with these records, readable when this returns.
pub(crate) fn write(producer: &TransactionalProducer, topic: &str, records: &[(&str, Option<&str>)]) {
    producer.begin().unwrap();
    for (key, value) in records {
        send(producer, topic, key, *value);
    }
    producer.commit().unwrap();
    wait_for_commits(&config(), topic, 0).unwrap();
}

/// Waits until the broker has this many records and markers, committed or not.
pub(crate) fn wait_for_offset(topic: &str, end: i64) {
    let consumer: BaseConsumer = config().set("isolation.level", "read_uncommitted").create().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap().1 < end {
        assert!(Instant::now() < deadline, "the records did not reach the broker");
    }
}

/// Reads until the end of the partition is met.
pub(crate) fn read_to_end(reader: &mut PartitionReader) -> Vec<Record> {
    let deadline = Instant::now() + PATIENCE;
    let mut records = Vec::new();
    while !reader.is_at_end().unwrap() {
        assert!(Instant::now() < deadline, "the end of the partition was not met");
        records.extend(reader.next(Duration::from_millis(500)).unwrap());
    }
    records
}

pub(crate) fn keys(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(record.key.as_deref().unwrap()).unwrap()).collect()
}
