//! Following partitions from given offsets on, committed records only.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use service::kafka::{
    client::{Log, fresh},
    partition::{QUEUE_BACKOFF, is_permanent},
    value,
};
use tracing::debug;

use super::Reading;

/// One wait for a record: decides how soon the end is noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a question to the brokers may take: within the ten seconds that a person waits for an answer.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(8);
/// How often Kafka is asked whether it answers again.
const TROUBLE_INTERVAL: Duration = Duration::from_secs(5);
/// Records fetched ahead (KiB): one consumer reads all partitions.
const QUEUED_KIB: &str = "16384";

/// A partition of a topic.
pub(super) type Place = (String, i32);

/// Instructions to a follower.
#[derive(Debug, Clone, Copy)]
pub(super) enum Heard<'a> {
    Record {
        topic: &'a str,
        partition: i32,
        offset: i64,
        key: &'a [u8],
        value: Option<&'a [u8]>,
    },
    /// Nothing came for a moment; with `true`, all partitions are at their ends, as far as the brokers know.
    Silence {
        is_at_end: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was asked to.
    Asked,
    /// An offset was deleted: the topic has to be read again.
    Gone,
}

/// Makes a consumer of these topics, which is not assigned yet.
pub(super) fn consumer(reading: &Reading) -> anyhow::Result<BaseConsumer<Log>> {
    let mut client = fresh(&reading.client);
    client.set("group.id", &reading.group_id).set("queued.max.messages.kbytes", QUEUED_KIB);
    client.set(QUEUE_BACKOFF.0, QUEUE_BACKOFF.1);
    client.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    client.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    client.set("auto.offset.reset", "error");
    client.create_with_context(Log).context("failed to create a consumer")
}

/// The oldest offset of a partition, and the one after the newest.
pub(super) fn watermarks(
    consumer: &BaseConsumer<Log>,
    topic: &str,
    partition: i32,
) -> anyhow::Result<(i64, i64)> {
    consumer
        .fetch_watermarks(topic, partition, QUERY_TIMEOUT)
        .with_context(|| format!("failed to ask for the offsets of {topic} partition {partition}"))
}

/// Gives `hear` every record of these partitions from their offsets on, until the end is asked for.
pub(super) fn follow(
    reading: &Reading,
    consumer: &BaseConsumer<Log>,
    from: &BTreeMap<Place, i64>,
    mut hear: impl FnMut(Heard<'_>) -> anyhow::Result<bool>,
) -> anyhow::Result<Ended> {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in from {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
            .context("failed to name an offset")?;
    }
    consumer.assign(&list).context("failed to assign the partitions")?;
    let mut open: BTreeSet<Place> = from.keys().cloned().collect();
    let topics: Vec<String> = from.keys().map(|(topic, _)| topic.clone()).collect();
    let mut trouble: Option<Instant> = None;
    while !reading.shutdown.is_cancelled() {
        match consumer.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => {
                trouble = calm(reading, trouble);
                let value = value(&message);
                let goes_on = hear(Heard::Record {
                    topic: message.topic(),
                    partition: message.partition(),
                    offset: message.offset(),
                    key: message.key().unwrap_or_default(),
                    value: value.as_deref(),
                })?;
                if !goes_on {
                    return Ok(Ended::Gone);
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                // The event does not name its topic.
                let ended = topics.iter().find(|topic| open.contains(&((*topic).clone(), partition)));
                if let Some(topic) = ended {
                    open.remove(&(topic.clone(), partition));
                }
                trouble = calm(reading, trouble);
                if !hear(Heard::Silence { is_at_end: open.is_empty() })? {
                    return Ok(Ended::Gone);
                }
            }
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                    return Ok(Ended::Gone);
                }
                // The partitions are assigned: the group is a name only, and need not be granted.
                Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {}
                _ if is_permanent(&error) => return Err(error).context("failed to read"),
                _ => {
                    debug!(%error, "librdkafka tries again");
                    trouble.get_or_insert_with(Instant::now);
                }
            },
            None => {
                if !hear(Heard::Silence { is_at_end: open.is_empty() })? {
                    return Ok(Ended::Gone);
                }
                trouble = ask_again(reading, consumer, from, trouble);
            }
        }
    }
    Ok(Ended::Asked)
}

/// Says that nothing is read once Kafka has not answered for a while, and takes it back once it does.
fn ask_again(
    reading: &Reading,
    consumer: &BaseConsumer<Log>,
    from: &BTreeMap<Place, i64>,
    trouble: Option<Instant>,
) -> Option<Instant> {
    let since = trouble.filter(|since| since.elapsed() >= TROUBLE_INTERVAL);
    let (Some(_), Some(((topic, partition), _))) = (since, from.iter().next()) else { return trouble };
    match consumer.fetch_watermarks(topic, *partition, Duration::from_secs(2)) {
        Ok(_) => calm(reading, trouble),
        Err(error) => {
            reading.progress.update(|state| state.trouble = Some(format!("Kafka does not answer ({error})")));
            Some(Instant::now())
        }
    }
}

fn calm(reading: &Reading, trouble: Option<Instant>) -> Option<Instant> {
    if trouble.is_some() {
        reading.progress.update(|state| state.trouble = None);
    }
    None
}
