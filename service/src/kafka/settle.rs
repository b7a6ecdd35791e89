//! Waiting until what was committed can be read.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use tracing::warn;

use super::client::{Log, with};
use super::partition::{Error, QUERY_TIMEOUT};

/// How long an open transaction is waited for: a broker under load writes a committed one's markers in less, and what
/// is open for longer is another writer's, which may take minutes.
const SETTLE_BOUND: Duration = Duration::from_secs(30);
/// Pause between two questions whether it has ended.
const SETTLE_PAUSE: Duration = Duration::from_millis(50);

/// Waits until every transaction that has written to the partition before now has ended, so that a reader of committed
/// records meets all of them. A commit is answered before its markers are in the partitions: whoever reads to the end
/// right behind another process's last commit would stop short of it.
pub fn settle(base: &ClientConfig, topic: &str, partition: i32) -> Result<(), Error> {
    let end = |isolation_level: &str| {
        let promises = [("isolation.level", isolation_level), ("enable.auto.commit", "false")];
        let consumer: BaseConsumer<Log> = with(base, &[], &promises).create_with_context(Log)?;
        let (_, end) = consumer.fetch_watermarks(topic, partition, QUERY_TIMEOUT)?;
        Ok(end)
    };
    let failed =
        |source: KafkaError| Error::Unreachable { topic: topic.to_owned(), partition, source: source.into() };
    let written = end("read_uncommitted").map_err(failed)?;
    let deadline = Instant::now() + SETTLE_BOUND;
    while end("read_committed").map_err(failed)? < written {
        if Instant::now() >= deadline {
            warn!(topic, partition, "a transaction is still open; what it wrote is left for the next run");
            return Ok(());
        }
        thread::sleep(SETTLE_PAUSE);
    }
    Ok(())
}
