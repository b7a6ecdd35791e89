//! Reading: one partition, from an offset on, committed records only.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use thiserror::Error;
use tracing::debug;

use super::client::{Log, with};

mod record;

pub use record::Record;

/// How long one question to the brokers (offsets) may take: within the ten seconds that a person waits for an answer.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(8);

/// Set where the user does not say otherwise. The bounds on memory are per partition and a process may read from
/// dozens: librdkafka's own (64 MiB queued, 50 MiB a fetch) are made for one consumer.
const DEFAULTS: [(&str, &str); 5] = [
    // Records fetched ahead (KiB).
    ("queued.max.messages.kbytes", "4096"),
    // Below this many records in the queue more are fetched (count).
    ("queued.min.messages", "10000"),
    // One fetch (bytes); a larger record is still delivered, alone.
    ("fetch.max.bytes", "2097152"),
    ("max.partition.fetch.bytes", "2097152"),
    // The broker answers a fetch without records after this (ms): an idle partition costs two requests a second.
    ("fetch.wait.max.ms", "500"),
];

/// The same in milliseconds for who reads to the end and no further.
const HURRIED_WAIT: (&str, &str) = ("fetch.wait.max.ms", "10");

const PROMISES: [(&str, &str); 5] = [
    ("isolation.level", "read_committed"),
    // A task's offset that is gone is a gap in the history: jumping over it is a person's decision.
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
];

/// For who reads to the end as it is and no further: a broker says at once that there is no more, where a service lets
/// it wait for records. The user's own setting stays.
pub fn hurried(base: &ClientConfig) -> ClientConfig {
    with(base, &[HURRIED_WAIT], &[])
}

/// What went wrong, by what the caller does next.
#[derive(Debug, Error)]
pub enum Error {
    /// The next offset is no longer, or not yet, in the topic: records are lost to this reader. A person decides.
    #[error(
        "{topic} partition {partition} has the offsets {beginning} to {end}, and the next to read is {committed}: \
         records were deleted before they were read, or the topic was made anew; to go on with what there is, stop \
         the service and reset its group's offset with kafka-consumer-groups.sh --reset-offsets --to-earliest"
    )]
    OffsetOutOfRange {
        /// Of the partition.
        topic: String,
        /// Its number.
        partition: i32,
        /// The next offset to read.
        committed: i64,
        /// The first offset there is.
        beginning: i64,
        /// The end offset.
        end: i64,
    },
    /// The brokers did not answer in time. Try again later.
    #[error("no broker answered for {topic} partition {partition} within {} s; check that they are up and reachable", QUERY_TIMEOUT.as_secs())]
    Unreachable {
        /// Of the partition.
        topic: String,
        /// Its number.
        partition: i32,
        /// The last try's error.
        #[source]
        source: Box<KafkaError>,
    },
    /// Nothing helps but a person: no such partition, no permission, a wrong configuration. Stop.
    #[error("cannot read {topic} partition {partition}")]
    Fatal {
        /// Of the partition.
        topic: String,
        /// Its number.
        partition: i32,
        /// librdkafka's error.
        #[source]
        source: Box<KafkaError>,
    },
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record there is.
    Beginning,
    /// At this offset.
    Offset(i64),
}

/// A consumer of one partition. It is assigned, not subscribed: a [`super::member::Member`] says whose it is.
pub struct PartitionReader {
    consumer: BaseConsumer<Log>,
    topic: String,
    partition: i32,
    start: Start,
    position: i64,
    is_fetching: bool,
    is_at_end: bool,
    /// A record that was read and not yet wanted.
    kept: Option<Record>,
}

impl PartitionReader {
    /// Makes the consumer and asks where the partition begins. Nothing is fetched before the first [`Self::next`].
    pub fn open(
        base: &ClientConfig,
        group_id: &str,
        topic: &str,
        partition: i32,
        start: Start,
    ) -> Result<Self, Error> {
        let mut config = with(base, &DEFAULTS, &PROMISES);
        config.set("group.id", group_id);
        let consumer = config.create_with_context(Log).map_err(|source: KafkaError| Error::Fatal {
            topic: topic.to_owned(),
            partition,
            source: source.into(),
        })?;
        let mut reader = Self {
            consumer,
            topic: topic.to_owned(),
            partition,
            start,
            position: 0,
            is_fetching: false,
            is_at_end: false,
            kept: None,
        };
        reader.begin(start)?;
        Ok(reader)
    }

    /// Leaves the partition for another one. A consumer takes a tenth of a second to go, so whoever reads one partition
    /// after the other keeps it.
    pub fn turn_to(&mut self, topic: &str, partition: i32, start: Start) -> Result<(), Error> {
        self.restart()?;
        topic.clone_into(&mut self.topic);
        self.partition = partition;
        self.begin(start)
    }

    /// The next record; none where the timeout is over or the partition's end was met ([`Self::is_at_end`]).
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Record>, Error> {
        if let Some(record) = self.kept.take() {
            return Ok(Some(self.passed(record)));
        }
        self.fetch()?;
        let deadline = Instant::now() + timeout;
        loop {
            match self.consumer.poll(whole(deadline.saturating_duration_since(Instant::now()))) {
                Some(Ok(message)) => {
                    let record = Record::of(&message);
                    drop(message);
                    return Ok(Some(self.passed(record)));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.is_at_end = true;
                    return Ok(None);
                }
                Some(Err(error)) => self.judge(error)?,
                None => {}
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    /// The next offset to read. Behind the last record there may be transaction markers, which occupy offsets and are
    /// never delivered: whether the reader is at the end is for [`Self::is_at_end`] to say.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Whether the end of the partition was met behind the last record read.
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }

    /// The end of what is committed (the last stable offset): one past the last offset readable now.
    pub fn end_offset(&self) -> Result<i64, Error> {
        self.watermarks().map(|(_, end)| end)
    }

    /// The oldest offset there is.
    pub fn beginning_offset(&self) -> Result<i64, Error> {
        self.watermarks().map(|(beginning, _)| beginning)
    }

    /// The next offset to read that the reader's group has committed, if it has.
    pub fn committed(&self) -> Result<Option<i64>, Error> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, self.partition);
        let list =
            self.consumer.committed_offsets(list, QUERY_TIMEOUT).map_err(|error| self.failed(error))?;
        let element = list.find_partition(&self.topic, self.partition);
        match element.map(|element| element.error().map(|()| element.offset())) {
            Some(Ok(Offset::Offset(offset))) => Ok(Some(offset)),
            Some(Err(error)) => Err(self.failed(error)),
            _ => Ok(None),
        }
    }

    /// Goes to the offset that the group has committed; without one it stays where it is and says `false`.
    ///
    /// Asks where the partition begins and ends, since a reader beyond the end would merely wait. An offset just before
    /// the beginning has lost nothing: what is missing is the marker behind the last record read, for no transaction
    /// fits into one offset.
    pub fn resume(&mut self) -> Result<bool, Error> {
        let Some(committed) = self.committed()? else { return Ok(false) };
        let (beginning, end) = self.watermarks()?;
        if committed > end || committed + 1 < beginning {
            return Err(self.out_of_range(committed, beginning, end));
        }
        self.seek(committed.max(beginning))?;
        Ok(true)
    }

    /// Goes to an offset.
    pub fn seek(&mut self, offset: i64) -> Result<(), Error> {
        self.start = Start::Offset(offset);
        self.position = offset;
        self.restart()
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Forgets what was fetched, the meeting of the end among it, and begins again at the position.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        self.kept = None;
        self.is_at_end = false;
        if self.is_fetching {
            self.start = Start::Offset(self.position);
            self.is_fetching = false;
            self.consumer.unassign().map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    /// Gives a record back to be the next one.
    pub(super) fn keep(&mut self, record: Record) {
        self.position = record.offset;
        self.is_at_end = false;
        self.kept = Some(record);
    }

    /// Moves the position over offsets known to hold no records.
    pub(super) fn pass_to(&mut self, offset: i64) {
        self.position = self.position.max(offset);
    }

    fn begin(&mut self, start: Start) -> Result<(), Error> {
        self.start = start;
        self.position = match start {
            Start::Beginning => self.beginning_offset()?,
            Start::Offset(offset) => offset,
        };
        Ok(())
    }

    fn passed(&mut self, record: Record) -> Record {
        self.position = record.offset + 1;
        self.is_at_end = false;
        record
    }

    fn fetch(&mut self) -> Result<(), Error> {
        if self.is_fetching {
            return Ok(());
        }
        let offset = match self.start {
            Start::Beginning => Offset::Beginning,
            Start::Offset(offset) => Offset::Offset(offset),
        };
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, self.partition, offset).map_err(|error| self.failed(error))?;
        self.consumer.assign(&list).map_err(|error| self.failed(error))?;
        self.is_fetching = true;
        Ok(())
    }

    fn watermarks(&self) -> Result<(i64, i64), Error> {
        self.consumer
            .fetch_watermarks(&self.topic, self.partition, QUERY_TIMEOUT)
            .map_err(|error| self.failed(error))
    }

    /// Sorts what `poll` reports: librdkafka mends most of it by itself.
    fn judge(&self, error: KafkaError) -> Result<(), Error> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                let (beginning, end) = self.watermarks()?;
                Err(self.out_of_range(self.position, beginning, end))
            }
            // The partition is assigned: the group is asked for its committed offset only, which says so itself.
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => Ok(()),
            _ if is_permanent(&error) => Err(self.failed(error)),
            _ => {
                debug!(topic = self.topic, partition = self.partition, %error, "librdkafka tries again");
                Ok(())
            }
        }
    }

    fn out_of_range(&self, committed: i64, beginning: i64, end: i64) -> Error {
        let (topic, partition) = (self.topic.clone(), self.partition);
        Error::OffsetOutOfRange { topic, partition, committed, beginning, end }
    }

    fn failed(&self, source: KafkaError) -> Error {
        let (topic, partition) = (self.topic.clone(), self.partition);
        if is_permanent(&source) || source.rdkafka_error_code().is_none() {
            Error::Fatal { topic, partition, source: source.into() }
        } else {
            Error::Unreachable { topic, partition, source: source.into() }
        }
    }
}

/// In whole milliseconds, upward: rdkafka cuts the rest off and spins through it. Nor may one poll be longer than its
/// interval for events, or a rest comes of that.
fn whole(timeout: Duration) -> Duration {
    let milliseconds = u64::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    Duration::from_millis(milliseconds).min(Duration::from_secs(1))
}

/// Whether what a consumer reports is for a person to mend. librdkafka mends the rest by itself, such as a broker that
/// went away.
pub fn is_permanent(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::SaslAuthenticationFailed
                    | RDKafkaErrorCode::InvalidArgument
                    | RDKafkaErrorCode::State
            )
        )
}
