//! Reading: one partition, from an offset on, committed records only.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::client::{is_rejection, with};
use super::framing::value;

mod end_offset;
mod error;
mod record;

pub use end_offset::EndOffset;
pub use error::{Error, is_permanent};
pub use record::{Message, Record};

/// How long one question to the brokers (offsets) may take: within the ten seconds that a person waits for an answer.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(8);
/// Pause between two tries of a question that no leader answered.
const QUERY_PAUSE: Duration = Duration::from_millis(100);

/// Set where the user does not say otherwise. The bounds on memory are per partition and a process may read from
/// dozens: librdkafka's own (64 MiB queued, 50 MiB a fetch) are made for one consumer.
const DEFAULTS: [(&str, &str); 6] = [
    // Records fetched ahead (KiB).
    ("queued.max.messages.kbytes", "4096"),
    // Below this many records in the queue more are fetched (count).
    ("queued.min.messages", "10000"),
    QUEUE_BACKOFF,
    // One fetch (bytes); a larger record is still delivered, alone.
    ("fetch.max.bytes", "2097152"),
    ("max.partition.fetch.bytes", "2097152"),
    // The broker answers a fetch without records after this (ms): an idle partition costs two requests a second.
    ("fetch.wait.max.ms", "500"),
];

/// How soon a full queue is looked at again (ms): librdkafka's own second is one for each queue of a backlog.
pub const QUEUE_BACKOFF: (&str, &str) = ("fetch.queue.backoff.ms", "10");

/// The same (ms) for a reader that stops at the end.
const SHORT_FETCH_WAIT: (&str, &str) = ("fetch.wait.max.ms", "10");

const PROMISES: [(&str, &str); 5] = [
    ("isolation.level", "read_committed"),
    // A task's offset that is gone is a gap in the history: jumping over it is a person's decision.
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
];

/// For a reader that stops at the end: the broker reports the end at once. A service that follows a topic
/// lets the broker wait for records instead. A setting of the user stays.
pub fn with_short_fetch_wait(base: &ClientConfig) -> ClientConfig {
    with(base, &[SHORT_FETCH_WAIT], &[])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record there is.
    Beginning,
    Offset(i64),
}

/// A consumer of one partition. It is assigned, not subscribed: a [`super::member::Member`] says whose it is.
pub struct PartitionReader {
    consumer: BaseConsumer<EndOffset>,
    topic: String,
    partition: i32,
    start: Start,
    position: i64,
    is_fetching: bool,
    is_idle: bool,
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
        let consumer = config.create_with_context(EndOffset::default()).map_err(|source: KafkaError| {
            Error::Fatal { topic: topic.to_owned(), partition, source: source.into() }
        })?;
        let mut reader = Self {
            consumer,
            topic: topic.to_owned(),
            partition,
            start,
            position: 0,
            is_fetching: false,
            is_idle: false,
            kept: None,
        };
        reader.begin(start)?;
        Ok(reader)
    }

    /// Leaves the partition for another one. Closing a consumer takes a tenth of a second, so a program that reads one partition
    /// after the other keeps it.
    pub fn turn_to(&mut self, topic: &str, partition: i32, start: Start) -> Result<(), Error> {
        self.restart()?;
        topic.clone_into(&mut self.topic);
        self.partition = partition;
        self.begin(start)
    }

    /// Closes the consumer on a thread of its own: it takes a tenth of a second to go.
    pub fn close(self) {
        let closing = thread::Builder::new().name("kafka close".to_owned()).spawn(move || drop(self));
        if let Err(error) = closing {
            debug!(%error, "no thread is left; the consumer was closed here");
        }
    }

    /// The next record. `None` after the timeout, or if a broker had no more ([`Self::is_idle`]).
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Record>, Error> {
        self.visit(timeout, |message| message.detach())
    }

    /// What the visitor makes of the next record, where it was read; `None` as in [`Self::next`].
    pub fn visit<T>(
        &mut self,
        timeout: Duration,
        visitor: impl FnOnce(Message<'_>) -> T,
    ) -> Result<Option<T>, Error> {
        if let Some(record) = self.kept.take() {
            self.pass(record.offset);
            return Ok(Some(visitor(record.as_message())));
        }
        self.fetch()?;
        // A record that was fetched already needs no look at the clock.
        let mut left = Duration::ZERO;
        let mut deadline = None;
        loop {
            match self.consumer.poll(whole(left)) {
                Some(Ok(message)) => {
                    self.position = message.offset() + 1;
                    self.is_idle = false;
                    let value = value(&message);
                    return Ok(Some(visitor(Message::fetched(&message, value.as_deref()))));
                }
                // What the broker knows ends here, and all of it has been delivered. It need not know all there is.
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    let end = self.consumer.context().take();
                    self.position = end.map_or(self.position, |end| end.max(self.position));
                    self.is_idle = true;
                    return Ok(None);
                }
                Some(Err(error)) => self.judge(error)?,
                None => {}
            }
            let now = Instant::now();
            left = deadline.get_or_insert(now + timeout).saturating_duration_since(now);
            if left.is_zero() {
                return Ok(None);
            }
        }
    }

    /// The next offset to read: every committed record before it has been returned. Behind the last record there may
    /// be transaction markers, which occupy offsets and are never returned; the position passes them when a broker says
    /// that it has no more.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// Whether the broker that was asked last had nothing after the last record. A hint, no proof: a broker that was
    /// elected a moment ago does not know yet what its predecessor committed. [`Self::is_at_end`] asks.
    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Whether every record that is committed now has been returned. Asks the leader.
    pub fn is_at_end(&self) -> Result<bool, Error> {
        Ok(self.position >= self.end_offset()?)
    }

    /// The end of what is committed (the last stable offset): one past the last offset readable now. The leader answers,
    /// and one that was elected a moment ago only once it knows (KIP-207), so a reader whose [`Self::position`] is there
    /// has read everything that was committed before the question.
    pub fn end_offset(&self) -> Result<i64, Error> {
        self.watermarks().map(|(_, end)| end)
    }

    /// The oldest offset there is.
    pub fn beginning_offset(&self) -> Result<i64, Error> {
        self.watermarks().map(|(beginning, _)| beginning)
    }

    /// The next offset to read that the reader's group has committed, if it has.
    pub fn committed(&self) -> Result<Option<i64>, Error> {
        committed(&self.consumer, &self.topic, self.partition)
    }

    /// Goes to the offset that the group has committed.
    ///
    /// Asks where the partition begins and ends, since a reader beyond the end would merely wait. An offset just before
    /// the beginning has most likely lost nothing: retention left the next transaction's first record, and what is
    /// missing is the marker after the last record read. But a record that was written outside any transaction, such as
    /// a person's decision, takes one offset too, and the two can no longer be distinguished: hence a warning.
    pub fn resume(&mut self, committed: i64) -> Result<(), Error> {
        let (beginning, end) = self.watermarks()?;
        if committed > end || committed + 1 < beginning {
            return Err(self.out_of_range(committed, beginning, end));
        }
        if committed < beginning {
            warn_of_unread(&self.topic, self.partition, committed);
        }
        self.seek(committed.max(beginning))
    }

    /// Goes to an offset.
    pub fn seek(&mut self, offset: i64) -> Result<(), Error> {
        self.start = Start::Offset(offset);
        self.position = offset;
        self.restart()
    }

    pub fn partition(&self) -> i32 {
        self.partition
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Forgets what was fetched, and begins again at the position.
    fn restart(&mut self) -> Result<(), Error> {
        self.kept = None;
        self.is_idle = false;
        if self.is_fetching {
            self.start = Start::Offset(self.position);
            self.is_fetching = false;
            self.consumer.unassign().map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    /// Gives a record back to be the next one.
    pub fn keep(&mut self, record: Record) {
        self.position = record.offset;
        self.is_idle = false;
        self.kept = Some(record);
    }

    fn begin(&mut self, start: Start) -> Result<(), Error> {
        self.start = start;
        self.position = match start {
            Start::Beginning => self.beginning_offset()?,
            Start::Offset(offset) => {
                self.learn_topic();
                offset
            }
        };
        Ok(())
    }

    /// librdkafka that is to fetch from a topic of which it knows nothing asks for it with its next tick, up to a second
    /// later. Every question about the topic's offsets has learned it.
    fn learn_topic(&self) {
        if let Err(error) = self.consumer.fetch_metadata(Some(&self.topic), QUERY_TIMEOUT) {
            debug!(topic = self.topic, partition = self.partition, %error, "nothing is known of the topic yet");
        }
    }

    fn pass(&mut self, offset: i64) {
        self.position = offset + 1;
        self.is_idle = false;
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

    /// Repeated while a new leader takes over, which its predecessor and librdkafka learn a moment later, and while a broker
    /// does not know a topic that was just created.
    fn watermarks(&self) -> Result<(i64, i64), Error> {
        let deadline = Instant::now() + QUERY_TIMEOUT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.consumer.fetch_watermarks(&self.topic, self.partition, left) {
                Ok(offsets) => return Ok(offsets),
                Err(error)
                    if is_permanent(&error) && !is_unknown(&error)
                        || Instant::now() + QUERY_PAUSE >= deadline =>
                {
                    return Err(self.failed(error));
                }
                Err(error) => {
                    debug!(topic = self.topic, partition = self.partition, %error, "asking for the offsets again");
                    thread::sleep(QUERY_PAUSE);
                }
            }
        }
    }

    /// Sorts what `poll` reports: librdkafka recovers from most of it.
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
        failed(&self.topic, self.partition, source)
    }
}

/// The next offset to read that the consumer's group has committed, if it has.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Result<Option<i64>, Error> {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    let list = consumer.committed_offsets(list, QUERY_TIMEOUT);
    let list = list.map_err(|error| failed(topic, partition, error))?;
    let element = list.find_partition(topic, partition);
    match element.map(|element| element.error().map(|()| element.offset())) {
        Some(Ok(Offset::Offset(offset))) => Ok(Some(offset)),
        Some(Err(error)) => Err(failed(topic, partition, error)),
        _ => Ok(None),
    }
}

fn failed(topic: &str, partition: i32, source: KafkaError) -> Error {
    let topic = topic.to_owned();
    // A new reader reads the credentials again, which may have been rotated.
    if is_rejection(&source) {
        Error::Unreachable { topic, partition, source: source.into() }
    } else if is_permanent(&source) || source.rdkafka_error_code().is_none() {
        Error::Fatal { topic, partition, source: source.into() }
    } else {
        Error::Unreachable { topic, partition, source: source.into() }
    }
}

/// Says that one offset of a raw partition is gone that may have had an unread record.
pub fn warn_of_unread(topic: &str, partition: i32, offset: i64) {
    warn!(
        topic,
        partition,
        offset,
        "retention deleted one offset that was not read yet; it most likely held a transaction marker, but it may have \
         held a decision: check `anthropic-graph holds list`, and repeat an approve, reject or forget that had no effect"
    );
}

/// Whether the broker does not know the partition.
fn is_unknown(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownTopicOrPartition)
}

/// In whole milliseconds, upward: rdkafka cuts the rest off and spins through it. Nor may one poll be longer than its
/// interval for events, or a rest comes of that.
pub(super) fn whole(timeout: Duration) -> Duration {
    let milliseconds = u64::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    Duration::from_millis(milliseconds).min(Duration::from_secs(1))
}
