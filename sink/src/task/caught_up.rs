//! When a task last had read everything that was committed to its partition.

use std::time::{Duration, Instant};

use schemas::topics::MIN_COMPACTION_LAG_MS;
use service::kafka::partition::{Error, PartitionReader};
use tracing::debug;

/// The end of the partition, as its leader names it. What a broker reports while records are fetched does not count: the
/// last report stands while no broker can be reached, and records may be compacted away meanwhile.
#[derive(Debug)]
pub(super) struct CaughtUp {
    /// Everything that was committed by then has been read (ms, by this machine's clock alone).
    at_ms: i64,
    /// When the leader was last asked.
    asked: Instant,
    /// The end that it named (offset) and when it was asked (ms), until that end has been read to.
    named: Option<(i64, i64)>,
}

impl CaughtUp {
    /// Of a task that has read everything that was committed by then (ms).
    pub(super) fn at(ms: i64) -> Self {
        Self { at_ms: ms, asked: Instant::now(), named: None }
    }

    /// Asks the leader for the end, at most once in the interval: each question is a request. Returns the end if the
    /// leader named it. A leader that cannot be reached is not an error: the reader waits for it too.
    pub(super) fn ask(
        &mut self,
        reader: &PartitionReader,
        interval: Duration,
        now_ms: i64,
    ) -> Result<Option<i64>, Error> {
        if self.asked.elapsed() < interval {
            return Ok(None);
        }
        let answer = reader.end_offset();
        // After the answer: the loop must not wait for an unreachable leader without a pause.
        self.asked = Instant::now();
        match answer {
            Ok(end) => {
                // An earlier end that is not reached yet stays: one that moved on with every answer might never be.
                self.named.get_or_insert((end, now_ms));
                self.read_to(reader.position());
                Ok(Some(end))
            }
            Err(error @ Error::Unreachable { .. }) => {
                debug!(
                    topic = reader.topic(),
                    partition = reader.partition(),
                    "the end of the partition is not known: {:#}",
                    anyhow::Error::from(error)
                );
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Notes that every record before that offset has been read.
    pub(super) fn read_to(&mut self, position: i64) {
        if let Some((_, asked_ms)) = self.named.take_if(|(end, _)| position >= *end) {
            self.at_ms = asked_ms;
        }
    }

    /// Whether records may have been compacted away unread. Not judged by the time of a record: its writer may have
    /// another clock, and a record that was compacted away has none.
    pub(super) fn is_too_long_ago(&self, now_ms: i64) -> bool {
        now_ms - self.at_ms > i64::try_from(MIN_COMPACTION_LAG_MS).expect("an hour")
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use schemas::topics::MIN_COMPACTION_LAG_MS;
    use service::kafka::partition::{PartitionReader, Start};

    use super::CaughtUp;

    const LAG_MS: i64 = MIN_COMPACTION_LAG_MS.cast_signed();
    /// Longest wait for the mock cluster to report the end.
    const BOUND: Duration = Duration::from_secs(30);

    #[test]
    fn a_sink_that_slept_longer_than_the_compaction_lag_is_behind_whatever_it_reads_next() {
        let caught_up = CaughtUp::at(1_000);
        assert!(!caught_up.is_too_long_ago(1_000 + LAG_MS));
        assert!(caught_up.is_too_long_ago(1_001 + LAG_MS));
        assert!(!caught_up.is_too_long_ago(0), "a clock that is set back");
    }

    #[test]
    fn an_end_counts_from_when_it_was_asked_for_once_it_is_read_to() {
        let mut caught_up = CaughtUp::at(0);
        caught_up.named = Some((10, 5_000));
        caught_up.read_to(9);
        assert_eq!(caught_up.at_ms, 0);
        caught_up.read_to(10);
        assert_eq!((caught_up.at_ms, caught_up.named), (5_000, None));
        caught_up.read_to(11);
        assert_eq!(caught_up.at_ms, 5_000);
    }

    #[test]
    fn a_broker_that_is_gone_does_not_prove_an_end_that_it_reported_before() {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("graph", 1, 1).expect("a topic");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let mut reader =
            PartitionReader::open(&config, "sink", "graph", 0, Start::Beginning).expect("a reader");
        let deadline = Instant::now() + BOUND;
        while !reader.is_idle() {
            assert!(Instant::now() < deadline, "no end is reported");
            assert!(reader.next(Duration::from_millis(100)).expect("it can be read").is_none());
        }
        let mut caught_up = CaughtUp::at(0);
        assert_eq!(caught_up.ask(&reader, Duration::from_hours(1), 1_000).expect("no question"), None);
        assert_eq!(caught_up.at_ms, 0, "asked less than the interval ago");
        assert_eq!(caught_up.ask(&reader, Duration::ZERO, 1_000).expect("an answer"), Some(0));
        assert_eq!(caught_up.at_ms, 1_000);

        cluster.broker_down(1).expect("it goes down");
        assert!(reader.next(Duration::from_millis(100)).expect("it waits").is_none());
        assert!(reader.is_idle(), "the report stands");
        assert_eq!(caught_up.ask(&reader, Duration::ZERO, 2_000).expect("it waits"), None);
        assert_eq!(caught_up.at_ms, 1_000);
        assert!(caught_up.is_too_long_ago(1_001 + LAG_MS));
    }
}
