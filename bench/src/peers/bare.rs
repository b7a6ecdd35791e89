//! librdkafka and nothing else: what Kafka and its client allow.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedHeaders, BorrowedMessage, OwnedHeaders, ToBytes},
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};
use service::kafka::partition::is_permanent;
use uuid::Uuid;

/// How long a broker may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a full queue, or records on their way, are left alone.
const PAUSE: Duration = Duration::from_millis(1);
/// Further behind the end than any last record is (offsets).
const NEAR_END: i64 = 64;

/// How many records were read, and how long that took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) records: u64,
    pub(crate) took: Duration,
}

/// Reads a partition from an offset to its end as it is now, committed records only. The clock runs from the assignment
/// to the last record.
pub(crate) fn read(
    bootstrap_servers: &str,
    topic: &str,
    partition: i32,
    start: i64,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<()>,
) -> Result<Read> {
    let consumer = consumer(bootstrap_servers)?;
    let (_, end) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(start))?;
    let began = Instant::now();
    consumer.assign(&list)?;
    let (mut records, mut ended) = (0, began);
    loop {
        match consumer.poll(PATIENCE) {
            Some(Ok(message)) => {
                each(&message)?;
                records += 1;
                // Only near the end, where the last offsets may be markers of transactions: a clock costs time.
                if message.offset() + NEAR_END >= end {
                    ended = Instant::now();
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => {
                return Ok(Read { records, took: ended - began });
            }
            Some(Err(error)) if is_permanent(&error) => {
                return Err(error).with_context(|| format!("cannot read {topic}"));
            }
            // librdkafka tries again.
            Some(Err(_)) => {}
            None => bail!("{topic} was not read to its end within {} s of silence", PATIENCE.as_secs()),
        }
    }
}

/// A record that was read, to be written elsewhere.
pub(crate) struct Copied {
    topic: String,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
}

/// Appends copies of a partition's records, as records of another topic.
pub(crate) fn copy(
    bootstrap_servers: &str,
    (from, to): (&str, &str),
    partition: i32,
    into: &mut Vec<Copied>,
) -> Result<()> {
    read(bootstrap_servers, from, partition, 0, |message| {
        into.push(Copied {
            topic: to.to_owned(),
            key: message.key().unwrap_or_default().to_vec(),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map(BorrowedHeaders::detach).unwrap_or_default(),
        });
        Ok(())
    })?;
    Ok(())
}

/// Writes records into a partition, so many in a transaction. The clock runs from the first transaction's begin to the
/// last one's commit.
pub(crate) fn write(
    bootstrap_servers: &str,
    partition: i32,
    records: Vec<Copied>,
    in_a_transaction: usize,
) -> Result<Duration> {
    let producer = producer(bootstrap_servers, &format!("bench-{}", Uuid::new_v4().simple()))?;
    let mut records = records.into_iter().peekable();
    let began = Instant::now();
    while records.peek().is_some() {
        producer.begin_transaction()?;
        for record in records.by_ref().take(in_a_transaction) {
            let mut next =
                BaseRecord::to(&record.topic).partition(partition).key(&record.key).headers(record.headers);
            next.payload = record.value.as_deref();
            send(&producer, next)?;
        }
        commit(&producer)?;
    }
    Ok(began.elapsed())
}

/// A producer of transactions, ready to begin one.
pub(crate) fn producer(
    bootstrap_servers: &str,
    id: &str,
) -> Result<ThreadedProducer<DefaultProducerContext>> {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("transactional.id", id)
        .set("transaction.timeout.ms", "300000")
        // As the services.
        .set("compression.type", "lz4")
        .set("linger.ms", "1")
        .create()?;
    producer.init_transactions(PATIENCE)?;
    Ok(producer)
}

/// Commits once everything is delivered: before, librdkafka's flush takes 100 ms at least.
pub(crate) fn commit(producer: &ThreadedProducer<DefaultProducerContext>) -> Result<()> {
    while producer.in_flight_count() > 0 {
        thread::sleep(PAUSE);
    }
    Ok(producer.commit_transaction(PATIENCE)?)
}

/// Hands a record over, and waits where the queue is full.
pub(crate) fn send<K: ToBytes + ?Sized>(
    producer: &ThreadedProducer<DefaultProducerContext>,
    mut record: BaseRecord<'_, K, [u8]>,
) -> Result<()> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                record = refused;
                thread::sleep(PAUSE);
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// A consumer of committed records, with librdkafka's own bounds on what is fetched ahead.
pub(crate) fn consumer(bootstrap_servers: &str) -> Result<BaseConsumer> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", bootstrap_servers)
        .set("group.id", "bench")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .create()?)
}
