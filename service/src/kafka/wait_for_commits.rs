//! Waiting until what was committed can be read.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use tracing::warn;

use super::client::{Log, with};
use super::partition::{Error, QUERY_TIMEOUT};
use crate::backoff::pauses;

/// How long an open transaction is waited for: a broker under load writes a committed one's markers in less, and what
/// is open for longer is another writer's, which may take minutes.
const COMMIT_BOUND: Duration = Duration::from_secs(30);
/// First and longest pause between two questions whether it has ended. The markers of a
/// commit that was just answered are there within milliseconds.
const COMMIT_PAUSES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

/// Waits until every transaction that has written to the partition before now has ended, so that a reader of committed
/// records meets all of them. A commit is answered before its markers are in the partitions: a reader to the end
/// right after another process's last commit would stop short of it.
pub fn wait_for_commits(base: &ClientConfig, topic: &str, partition: i32) -> Result<(), Error> {
    wait_for_all_commits(base, topic, [partition])
}

/// The same for several partitions, one after the other. A consumer takes a tenth of a second to go, so all share two.
pub fn wait_for_all_commits(
    base: &ClientConfig,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
) -> Result<(), Error> {
    let mut readers: Option<(BaseConsumer<Log>, BaseConsumer<Log>)> = None;
    for partition in partitions {
        let failed = |source| unreachable(topic, partition, source);
        let (all, committed) = match readers.take() {
            Some(readers) => readers,
            None => (
                reader(base, "read_uncommitted").map_err(failed)?,
                reader(base, "read_committed").map_err(failed)?,
            ),
        };
        let end = |reader: &BaseConsumer<Log>| end_offset(reader, topic, partition);
        let written = end(&all)?;
        let deadline = Instant::now() + COMMIT_BOUND;
        let [first, longest] = COMMIT_PAUSES;
        for pause in pauses(first, longest) {
            if end(&committed)? >= written {
                break;
            }
            if Instant::now() >= deadline {
                warn!(
                    topic,
                    partition,
                    "a transaction in {topic} partition {partition} is still open; its records are left for the next run"
                );
                break;
            }
            thread::sleep(pause);
        }
        readers = Some((all, committed));
    }
    Ok(())
}

/// The end of a partition with the records of open transactions. A reader of committed records gets there once these
/// transactions have ended.
pub fn written_end(base: &ClientConfig, topic: &str, partition: i32) -> Result<i64, Error> {
    let reader = reader(base, "read_uncommitted").map_err(|source| unreachable(topic, partition, source))?;
    end_offset(&reader, topic, partition)
}

fn end_offset(reader: &BaseConsumer<Log>, topic: &str, partition: i32) -> Result<i64, Error> {
    let offsets = reader.fetch_watermarks(topic, partition, QUERY_TIMEOUT);
    offsets.map(|(_, end)| end).map_err(|source| unreachable(topic, partition, source))
}

fn unreachable(topic: &str, partition: i32, source: KafkaError) -> Error {
    Error::Unreachable { topic: topic.to_owned(), partition, source: source.into() }
}

fn reader(base: &ClientConfig, isolation_level: &str) -> Result<BaseConsumer<Log>, KafkaError> {
    let promises = [("isolation.level", isolation_level), ("enable.auto.commit", "false")];
    with(base, &[], &promises).create_with_context(Log)
}
