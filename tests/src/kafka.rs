//! A stranger's look at topics: plain librdkafka, nothing of the services' own client.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// Longer than anything on a broker of the same machine takes, shorter than a person waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longer than a broker under load takes to write a committed transaction's markers.
const MARKERS: Duration = Duration::from_secs(5);

/// A record as it lies in a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// Its key; ours are UTF-8, a dead letter's may be anything.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// Its key as text.
    pub fn key_text(&self) -> &str {
        let key = self.key.as_deref().expect("every record of ours has a key");
        std::str::from_utf8(key).expect("every key of ours is UTF-8")
    }

    /// The first header of that name, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    fn of(message: &BorrowedMessage<'_>) -> Self {
        let header = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(|all| all.iter().map(header).collect()).unwrap_or_default(),
        }
    }
}

/// Every committed record of a topic, partition by partition, up to its end as it is now (before an open transaction,
/// if there is one). A topic that does not exist has none.
pub fn read(bootstrap_servers: &str, topic: &str) -> Vec<Record> {
    let consumer = consumer(bootstrap_servers);
    let mut open: BTreeSet<i32> = (0..partitions(&consumer, topic)).collect();
    for partition in &open {
        settle(bootstrap_servers, &consumer, topic, *partition, MARKERS);
    }
    let mut list = TopicPartitionList::new();
    for partition in &open {
        list.add_partition_offset(topic, *partition, Offset::Beginning).expect("Beginning is an offset");
    }
    consumer.assign(&list).expect("an assignment is taken");
    let mut records = Vec::new();
    let mut deadline = Instant::now() + PATIENCE;
    while !open.is_empty() {
        assert!(Instant::now() < deadline, "{topic}: partitions {open:?} have not been read to their end");
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => {
                records.push(Record::of(&message));
                // Of silence: a topic may hold any number of records.
                deadline = Instant::now() + PATIENCE;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(error)) => panic!("{topic}: {error}"),
        }
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// Waits until no transaction is open on any partition of a topic.
pub fn await_ends(bootstrap_servers: &str, topic: &str) {
    let consumer = consumer(bootstrap_servers);
    for partition in 0..partitions(&consumer, topic) {
        let has_ended = settle(bootstrap_servers, &consumer, topic, partition, PATIENCE);
        assert!(has_ended, "{topic}: a transaction is open in partition {partition}");
    }
}

/// A commit is answered before its markers are written: waits until what a process has committed just now is
/// readable, or, where a transaction stays open, no longer than that. Whether none is open.
fn settle(
    bootstrap_servers: &str,
    committed: &BaseConsumer,
    topic: &str,
    partition: i32,
    patience: Duration,
) -> bool {
    let written: BaseConsumer = config(bootstrap_servers)
        .set("isolation.level", "read_uncommitted")
        .create()
        .expect("the settings are known ones");
    let end = |consumer: &BaseConsumer| {
        consumer.fetch_watermarks(topic, partition, PATIENCE).expect("the broker answers").1
    };
    let written = end(&written);
    let deadline = Instant::now() + patience;
    while end(committed) < written {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// The partitions of a topic that a reader of committed records cannot read to their end, a line each: their last stable
/// offset lies before an open transaction.
pub fn unstable(bootstrap_servers: &str, topic: &str) -> Vec<String> {
    let committed = consumer(bootstrap_servers);
    let written = config(bootstrap_servers)
        .set("isolation.level", "read_uncommitted")
        .create::<BaseConsumer>()
        .expect("the settings are known ones");
    let line = |partition| {
        let [stable, end] = [&committed, &written]
            .map(|consumer| consumer.fetch_watermarks(topic, partition, PATIENCE).map_or(-1, |(_, end)| end));
        (stable < end).then(|| format!("{topic} partition {partition}: stable up to {stable} of {end}"))
    };
    (0..partitions(&committed, topic)).filter_map(line).collect()
}

/// Waits until a broker answers.
///
/// # Panics
/// When it does not within the bound.
pub fn until_it_answers(bootstrap_servers: &str, bound: Duration) {
    let consumer: BaseConsumer = config(bootstrap_servers)
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg)
        .create()
        .expect("the settings are known ones");
    let deadline = Instant::now() + bound;
    loop {
        match consumer.fetch_metadata(None, Duration::from_secs(1)) {
            Ok(metadata) if !metadata.brokers().is_empty() => return,
            answer => assert!(Instant::now() < deadline, "the broker does not answer: {:?}", answer.err()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What compaction would leave of these records: the last one of each key, without tombstones.
pub fn fold(records: impl IntoIterator<Item = Record>) -> BTreeMap<String, Record> {
    let mut latest = BTreeMap::new();
    for record in records {
        let key = record.key_text().to_owned();
        if record.value.is_some() {
            latest.insert(key, record);
        } else {
            latest.remove(&key);
        }
    }
    latest
}

/// Makes a topic with these settings, and as many replicas as the brokers make by default.
pub fn create_topic(bootstrap_servers: &str, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let results = block_on(admin(bootstrap_servers).create_topics(&[new], &options));
    for result in results.expect("the broker answers") {
        result.unwrap_or_else(|(topic, error)| panic!("{topic} cannot be made: {error}"));
    }
}

/// Deletes a topic, and waits until it is gone.
pub fn delete_topic(bootstrap_servers: &str, topic: &str) {
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let results = block_on(admin(bootstrap_servers).delete_topics(&[topic], &options));
    for result in results.expect("the broker answers") {
        result.unwrap_or_else(|(topic, error)| panic!("{topic} cannot be deleted: {error}"));
    }
    let deadline = Instant::now() + PATIENCE;
    while partition_count(bootstrap_servers, topic) > 0 {
        assert!(Instant::now() < deadline, "{topic} is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Gives a topic more partitions: this many.
pub fn grow_topic(bootstrap_servers: &str, topic: &str, partitions: i32) {
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let new = NewPartitions::new(topic, usize::try_from(partitions).expect("a count"));
    let results = block_on(admin(bootstrap_servers).create_partitions([&new], &options));
    for result in results.expect("the broker answers") {
        result.unwrap_or_else(|(topic, error)| panic!("{topic} cannot grow: {error}"));
    }
    let deadline = Instant::now() + PATIENCE;
    while partition_count(bootstrap_servers, topic) < partitions {
        assert!(Instant::now() < deadline, "{topic} does not grow");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Gives a topic these settings, and takes from it all others of its own.
pub fn alter_topic(bootstrap_servers: &str, topic: &str, settings: &[(&str, &str)]) {
    let alteration = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let alteration = settings.iter().fold(alteration, |all, (name, value)| all.set(name, value));
    let results = block_on(admin(bootstrap_servers).alter_configs([&alteration], &AdminOptions::new()));
    for result in results.expect("the broker answers") {
        result.unwrap_or_else(|(_, error)| panic!("{topic} cannot be altered: {error}"));
    }
}

/// Commits an offset for a group that has no members, as `kafka-consumer-groups.sh --reset-offsets` does.
pub fn commit(bootstrap_servers: &str, group: &str, topic: &str, partition: i32, offset: i64) {
    let consumer: BaseConsumer =
        config(bootstrap_servers).set("group.id", group).create().expect("the settings are known ones");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("it is an offset");
    consumer.commit(&list, CommitMode::Sync).expect("the broker takes the offset");
}

/// Removes a group that has no members with all its offsets, as the broker does once they expire.
pub fn delete_group(bootstrap_servers: &str, group: &str) {
    let results = block_on(admin(bootstrap_servers).delete_groups(&[group], &AdminOptions::new()));
    for result in results.expect("the broker answers") {
        result.unwrap_or_else(|(group, error)| panic!("{group} cannot be deleted: {error}"));
    }
}

/// Removes the records of a topic that is not compacted below these offsets, as retention does.
pub fn delete_records(bootstrap_servers: &str, topic: &str, before: &[(i32, i64)]) {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in before {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("it is an offset");
    }
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    let deleted =
        block_on(admin(bootstrap_servers).delete_records(&list, &options)).expect("the broker answers");
    deleted.elements().iter().for_each(|element| element.error().expect("the broker deletes these records"));
}

/// Writes one record, outside any transaction; returns its offset.
pub fn write(
    bootstrap_servers: &str,
    topic: &str,
    partition: i32,
    key: &str,
    value: Option<&[u8]>,
    headers: &[(&str, &[u8])],
) -> i64 {
    let mut config = config(bootstrap_servers);
    let producer: FutureProducer = config.set("acks", "all").create().expect("the settings are known ones");
    let headers = headers
        .iter()
        .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
    let mut record = FutureRecord::to(topic).partition(partition).key(key).headers(headers);
    if let Some(value) = value {
        record = record.payload(value);
    }
    match block_on(producer.send(record, PATIENCE)) {
        Ok(delivery) => delivery.offset,
        Err((error, _)) => panic!("{topic}: {error}"),
    }
}

/// A transaction of another program that has one record in a topic's partition and goes on until it is aborted.
pub struct OpenTransaction(BaseProducer);

impl OpenTransaction {
    pub fn begin(bootstrap_servers: &str, topic: &str, partition: i32) -> Self {
        let mut config = config(bootstrap_servers);
        let id = format!("other-program-{topic}-{partition}");
        let producer: BaseProducer =
            config.set("transactional.id", id).create().expect("the settings are known ones");
        producer.init_transactions(PATIENCE).expect("the broker answers");
        producer.begin_transaction().expect("a new producer has no transaction");
        let record = BaseRecord::to(topic).partition(partition).key("key").payload("value");
        producer.send(record).map_err(|(error, _)| error).expect("the queue has room");
        producer.flush(PATIENCE).expect("the broker takes a record");
        Self(producer)
    }

    pub fn abort(self) {
        self.0.abort_transaction(PATIENCE).expect("the broker answers");
    }
}

/// Writes these records into a topic in their order, each into its partition, outside any transaction.
pub fn write_all(bootstrap_servers: &str, topic: &str, records: &[Record]) {
    let mut config = config(bootstrap_servers);
    // Idempotence keeps the order.
    config.set("acks", "all").set("enable.idempotence", "true");
    let producer: FutureProducer = config.create().expect("the settings are known ones");
    let deliveries: Vec<_> = records
        .iter()
        .map(|record| {
            let key = record.key.as_deref().unwrap_or_default();
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: value.as_ref() })
            });
            let written = FutureRecord::to(topic).partition(record.partition).key(key).headers(headers);
            let written = match &record.value {
                Some(value) => written.payload(value),
                None => written,
            };
            producer.send_result(written).map_err(|(error, _)| error).expect("the queue has room")
        })
        .collect();
    for delivery in deliveries {
        let delivered = block_on(delivery).expect("the producer lives");
        delivered.map_err(|(error, _)| error).expect("the broker takes a record");
    }
}

/// How many partitions a topic has; none where it does not exist.
pub fn partition_count(bootstrap_servers: &str, topic: &str) -> i32 {
    partitions(&consumer(bootstrap_servers), topic)
}

/// The offset that a group committed, by partition; a partition without one is left out.
pub fn committed(bootstrap_servers: &str, group: &str, topic: &str) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer =
        config(bootstrap_servers).set("group.id", group).create().expect("the settings are known ones");
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, partitions(&consumer, topic) - 1);
    let committed = consumer.committed_offsets(list, PATIENCE).expect("the broker answers");
    let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    committed
        .elements()
        .iter()
        .filter_map(|element| Some((element.partition(), offset(element.offset())?)))
        .collect()
}

fn consumer(bootstrap_servers: &str) -> BaseConsumer {
    config(bootstrap_servers)
        .set("group.id", "tests-read-and-commit-nothing")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        // An idle partition answers at once instead of half a second later.
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("the settings are known ones")
}

fn admin(bootstrap_servers: &str) -> AdminClient<DefaultClientContext> {
    config(bootstrap_servers).create().expect("the settings are known ones")
}

fn config(bootstrap_servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap_servers);
    config
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> i32 {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("the broker answers");
    let known = metadata.topics().iter().find(|known| known.name() == topic);
    known.map_or(0, |known| i32::try_from(known.partitions().len()).expect("Kafka counts in 32 bits"))
}
