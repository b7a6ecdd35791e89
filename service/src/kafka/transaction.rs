//! Writing: a producer whose every record belongs to a transaction.
//!
//! librdkafka's mock cluster answers these calls and keeps none of their promises: only a real broker aborts, fences
//! and commits offsets with the records.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use thiserror::Error;
use tracing::debug;

use super::acls::{Denial, denial};
use super::client::with;
use super::framing::Framing;
use crate::backoff::pauses;
use crate::metrics::transaction_ended;
use crate::shutdown::CancellationToken;
use crate::wait::{Wait, WaitReporter};

mod barrier;
mod producer_thread;

use producer_thread::{BUSY_PAUSE, Deliveries, Failure, ProducerThread};

/// `transaction.timeout.ms`: how long the coordinator lets a transaction stay open before it aborts it. A dead task's
/// readers wait at most this long; a live task's largest transaction must fit.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_mins(5);
/// How long `open` tries to reach the coordinator: a rolling restart of the brokers takes less.
const OPEN_BOUND: Duration = Duration::from_mins(1);
/// How long a full queue or undelivered records are waited for: far more than a leader election takes, far less than
/// the transaction may last.
const DELIVERY_BOUND: Duration = Duration::from_mins(1);
/// How long a commit, an abort or sending offsets is repeated: as `DELIVERY_BOUND`.
const COMMIT_BOUND: Duration = Duration::from_mins(1);
/// One try of a transaction call. It is resumed by calling again, so its length only decides how soon we notice the
/// bound, and that the wait is long.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The same while a producer is opened, the first and the longest: a stop is noticed between two tries. librdkafka that
/// has no broker connected tries again half a second later, but at once where it is called again.
const OPEN_CALL_TIMEOUTS: [Duration; 2] = [Duration::from_millis(25), Duration::from_secs(2)];
/// How long sending offsets may take before its call is taken for one that never returns: librdkafka 2.12.1 asks for the
/// group's coordinator again only if the state of a connection changes, and ignores its timeout meanwhile. One try, and
/// one request that a broker leaves unanswered (`socket.timeout.ms`).
const OFFSETS_BOUND: Duration = Duration::from_secs(15);
/// How long librdkafka's log is waited for, which names the topic that is denied. It is served every millisecond, except by
/// a machine that is busy.
const LOG_BOUND: Duration = Duration::from_secs(2);
/// How long the end of a partition is waited for, which the caller can do without.
const END_BOUND: Duration = Duration::from_secs(1);
/// What ends a wait for records to be taken.
const TAKEN: &str = "it ends once the leaders of their partitions accept them, which needs \
                     min.insync.replicas replicas in sync; check that the brokers are up and reachable";
/// What ends a wait for the answer to a call.
const ANSWERED: &str = "it ends once the coordinator answers, which needs a leader, and min.insync.replicas, of its \
                        partition of __transaction_state or __consumer_offsets; check that the brokers are up and reachable";
/// Set where the user does not say otherwise.
const DEFAULTS: [(&str, &str); 4] = [
    // The elements of an organization repeat each other: a third of the bytes for little CPU.
    ("compression.type", "lz4"),
    // Records of a transaction are sent in one go, and the commit waits for the last: waiting for more is lost time.
    ("linger.ms", "1"),
    // Of memory for records not yet acknowledged, per task (KiB); librdkafka's own bound is 1 GiB.
    ("queue.buffering.max.kbytes", "32768"),
    ("queue.buffering.max.messages", "100000"),
];

/// What went wrong, by what the caller does next.
#[derive(Debug, Error)]
pub enum Error {
    /// Another producer with this transactional id was opened: the partition has another owner. Close the task
    /// without aborting.
    #[error(
        "another process took over the transactional ID {transactional_id}; the transaction of this process \
         is aborted"
    )]
    Fenced {
        transactional_id: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The transaction cannot be committed and nothing of it will be seen. Abort, drop the task's state, restore.
    #[error("the transaction must be aborted: {reason}")]
    Abortable {
        reason: String,
        /// librdkafka's error, if it is one.
        #[source]
        source: Option<Box<KafkaError>>,
    },
    /// The brokers' authorizer denies it; trying again will not help. Stop. If the coordinator knows of the transaction, it
    /// aborts it in time.
    #[error("{permission} is not granted")]
    Denied {
        /// What is missing.
        permission: String,
        /// librdkafka's error.
        #[source]
        source: Box<KafkaError>,
    },
    /// A record is larger than the producer or the broker takes; sending it again will not help. Abort.
    #[error(
        "a record of {bytes} bytes is too large for the topic {topic}; raise message.max.bytes of the topic, and in kafka.properties"
    )]
    TooLarge {
        /// Where it should have gone.
        topic: String,
        /// Its key and value together.
        bytes: usize,
    },
    /// It is unknown whether the transaction is committed. Never abort; drop the producer, open another (which
    /// settles it), restore.
    #[error("no answer to the commit within {} s; its outcome is determined when the producer is reopened", .waited.as_secs())]
    OutcomeUnknown {
        /// How long the commit was repeated.
        waited: Duration,
        /// The last try's error.
        #[source]
        source: Box<KafkaError>,
    },
    /// The brokers did not answer within the bound. Drop the producer; try again later.
    #[error("the brokers {bootstrap_servers} did not answer to {call} within {} s; check that they are up and reachable", .bound.as_secs())]
    Unreachable {
        bootstrap_servers: String,
        call: &'static str,
        bound: Duration,
        /// The last try's error.
        #[source]
        source: Box<KafkaError>,
    },
    /// Nothing helps but a person: no permission, a wrong configuration, a programmer's error. Stop.
    #[error("{call} failed permanently")]
    Fatal {
        call: &'static str,
        #[source]
        source: Box<KafkaError>,
    },
}

#[cfg(feature = "failpoints")]
impl Error {
    /// One after which a transaction is aborted, for a place that fails.
    pub fn of_a_failpoint() -> Self {
        Self::Abortable { reason: "a failpoint wants it".to_owned(), source: None }
    }
}

/// A producer with a transactional id. One thread uses it; a second thread, inside, serves its events.
pub struct TransactionalProducer {
    thread: ProducerThread,
    transactional_id: String,
    bootstrap_servers: String,
    framing: Framing,
    reporter: WaitReporter,
    /// When the open transaction began.
    began: Mutex<Option<Instant>>,
    /// Its records so far (count).
    records: AtomicU64,
    /// Canceled when the end of a transaction is no longer awaited.
    given_up: CancellationToken,
}

impl TransactionalProducer {
    /// Makes the producer and ends its predecessor's transaction: what the predecessor had open is aborted, what it
    /// had begun to commit is committed, and the predecessor itself is fenced.
    pub fn open(
        base: &ClientConfig,
        transactional_id: &str,
        transaction_timeout: Duration,
    ) -> Result<Self, Error> {
        let opened =
            Self::open_unless(base, transactional_id, transaction_timeout, WaitReporter::default(), || {
                false
            })?;
        Ok(opened.expect("it is never stopped"))
    }

    /// The same, given up with `None` as soon as it `is_stopped`. The predecessor may have been fenced by then. The
    /// `reporter` reports what the producer waits for, now and later.
    pub fn open_unless(
        base: &ClientConfig,
        transactional_id: &str,
        transaction_timeout: Duration,
        reporter: WaitReporter,
        is_stopped: impl Fn() -> bool,
    ) -> Result<Option<Self>, Error> {
        let timeout_ms = transaction_timeout.as_millis().to_string();
        let framing = Framing::of(base);
        let promises = [("transactional.id", transactional_id), ("enable.idempotence", "true")];
        // Brokers may allow less (`transaction.max.timeout.ms`), so the user may.
        let base = with(base, &[("transaction.timeout.ms", &timeout_ms)], &[]);
        let config = with(&base, &DEFAULTS, &promises);
        let thread = ProducerThread::new(&config).map_err(|source| fatal("making the producer", source))?;
        let this = Self {
            thread,
            transactional_id: transactional_id.to_owned(),
            bootstrap_servers: config.get("bootstrap.servers").unwrap_or_default().to_owned(),
            framing,
            reporter,
            began: Mutex::default(),
            records: AtomicU64::new(0),
            given_up: CancellationToken::new(),
        };
        let [first, longest] = OPEN_CALL_TIMEOUTS;
        let mut timeouts = pauses(first, longest);
        let init_transactions = || this.producer().init_transactions(timeouts.next().unwrap_or(longest));
        match this.repeat_unless("init_transactions", OPEN_BOUND, &is_stopped, init_transactions) {
            Ok(()) => Ok(Some(this)),
            Err(_) if is_stopped() => Ok(None),
            Err(source) if is_retriable(&source) => {
                Err(this.unreachable("init_transactions", OPEN_BOUND, source))
            }
            Err(source) => Err(this.named("init_transactions", source)),
        }
    }

    /// Repeats no call of a transaction once that is canceled: the partition is lost, so the next owner settles what is open.
    pub fn give_up_when(&mut self, lost: CancellationToken) {
        self.given_up = lost;
    }

    /// Has every transaction aborted that is delivered before an end that the partition has had: it is that of another
    /// topic by this name.
    pub fn expect_behind(&self, topic: &str, partition: i32, end: i64) {
        self.producer().context().expect_behind(topic, partition, end);
    }

    /// Begins a transaction. The coordinator learns of it with the first record or offset.
    pub fn begin(&self) -> Result<(), Error> {
        self.producer().context().forget();
        self.thread.set_busy(true);
        self.records.store(0, Ordering::Relaxed);
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.producer().begin_transaction().map_err(|source| self.named("begin_transaction", source))
    }

    /// Hands over one record, whose value is in single-object encoding; no value is a tombstone. Waits, within a bound, where the queue is full.
    pub fn send(
        &self,
        topic: &str,
        partition: i32,
        key: &str,
        value: Option<&[u8]>,
        headers: OwnedHeaders,
    ) -> Result<(), Error> {
        let (value, headers) = match value {
            Some(value) => {
                let (value, headers) = self.framing.frame(value, headers);
                (Some(value), headers)
            }
            None => (None, headers),
        };
        let mut record = BaseRecord::to(topic).partition(partition).key(key).headers(headers);
        record.payload = value.as_deref();
        let deadline = Instant::now() + DELIVERY_BOUND;
        let mut wait: Option<Wait> = None;
        loop {
            let source = match self.producer().send(record) {
                Ok(()) => {
                    if let Some(wait) = &mut wait {
                        wait.comes();
                    }
                    self.records.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err((source, refused)) => {
                    record = refused;
                    source
                }
            };
            match source.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) if !self.is_over(deadline) => {
                    self.surface_failure()?;
                    wait.get_or_insert_with(|| self.wait_for("records to be delivered", TAKEN)).goes_on("");
                    thread::sleep(BUSY_PAUSE);
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    return Err(too_large(topic, key.len() + value.as_deref().map_or(0, <[u8]>::len)));
                }
                _ => {
                    self.surface_failure()?;
                    return Err(self.refused(topic, source));
                }
            }
        }
    }

    /// Puts consumed offsets into the transaction: of each topic and partition the next offset to read. `group` is
    /// the member's, so that a member whose partitions have moved on is refused.
    ///
    /// After [`Error::Unreachable`] a call may still be under way. It ends with the client, which another producer under
    /// the same transactional id fences.
    pub fn send_offsets(
        &self,
        offsets: &[(&str, i32, i64)],
        group: ConsumerGroupMetadata,
    ) -> Result<(), Error> {
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for &(topic, partition, next) in offsets {
            list.add_partition_offset(topic, partition, Offset::Offset(next))
                .map_err(|source| fatal("send_offsets_to_transaction", source))?;
        }
        let (list, group) = (Arc::new(list), Arc::new(group));
        match self.repeat("send_offsets_to_transaction", || {
            let (list, group) = (Arc::clone(&list), Arc::clone(&group));
            self.thread.within(OFFSETS_BOUND, move |producer| {
                producer.send_offsets_to_transaction(&list, &group, CALL_TIMEOUT)
            })
        }) {
            Ok(()) => Ok(()),
            Err(source @ KafkaError::Global(RDKafkaErrorCode::OperationTimedOut)) => {
                Err(self.unreachable("send_offsets_to_transaction", OFFSETS_BOUND, source))
            }
            Err(source) if is_retriable(&source) => {
                Err(abortable("the offsets were not accepted in time", Some(source)))
            }
            Err(source) => Err(self.named("send_offsets_to_transaction", source)),
        }
    }

    /// The end of what is committed in a partition, as its leader names it; `None` if it does not answer at once. A
    /// consumer's own question would be answered only after its fetch, which waits for records.
    pub fn end_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        match self.producer().client().fetch_watermarks(topic, partition, END_BOUND) {
            Ok((_, end)) => Some(end),
            Err(error) => {
                debug!(topic, partition, %error, "the end of the partition is not known");
                // Refreshes the cached metadata: librdkafka keeps asking a leader that was replaced.
                let _ = self.producer().client().fetch_metadata(Some(topic), END_BOUND);
                None
            }
        }
    }

    /// Commits the transaction, once all its records are delivered.
    pub fn commit(&self) -> Result<(), Error> {
        self.wait_for_deliveries()?;
        let began = Instant::now();
        match self.repeat("commit_transaction", || self.producer().commit_transaction(CALL_TIMEOUT)) {
            Ok(()) => {
                self.thread.set_busy(false);
                self.count("committed");
                Ok(())
            }
            Err(source) if is_retriable(&source) => {
                Err(Error::OutcomeUnknown { waited: began.elapsed(), source: source.into() })
            }
            Err(source) => Err(self.named("commit_transaction", source)),
        }
    }

    /// Aborts the transaction. Not after [`Error::OutcomeUnknown`] or [`Error::Fenced`].
    pub fn abort(&self) -> Result<(), Error> {
        match self.repeat("abort_transaction", || self.producer().abort_transaction(CALL_TIMEOUT)) {
            Ok(()) => {
                self.thread.set_busy(false);
                self.count("aborted");
                Ok(())
            }
            Err(source) if is_retriable(&source) => {
                Err(self.unreachable("abort_transaction", COMMIT_BOUND, source))
            }
            Err(source) => Err(self.named("abort_transaction", source)),
        }
    }

    /// Counts the open transaction, if there is one.
    fn count(&self, outcome: &'static str) {
        if let Some(began) = self.began.lock().unwrap_or_else(PoisonError::into_inner).take() {
            transaction_ended(outcome, self.records.load(Ordering::Relaxed), began.elapsed());
        }
    }

    fn producer(&self) -> &BaseProducer<Deliveries> {
        self.thread.producer()
    }

    /// `commit_transaction` flushes, and its flush does not return before 100 ms while a record is in flight: with
    /// none left it returns at once.
    fn wait_for_deliveries(&self) -> Result<(), Error> {
        let deadline = Instant::now() + DELIVERY_BOUND;
        let mut wait = self.wait_for("records to be delivered", TAKEN);
        while self.producer().in_flight_count() > 0 {
            self.surface_failure()?;
            if self.is_over(deadline) {
                return Err(abortable("its records were not delivered in time", None));
            }
            wait.goes_on("");
            thread::sleep(BUSY_PAUSE);
        }
        self.surface_failure()?;
        wait.comes();
        Ok(())
    }

    fn surface_failure(&self) -> Result<(), Error> {
        match self.producer().context().failure() {
            None => Ok(()),
            Some(Failure::Recreated { topic }) => {
                let reason = format!("the topic {topic} was re-created, or its brokers lost records");
                Err(abortable(&reason, None))
            }
            Some(Failure::Undelivered { topic, bytes, source }) => match source.rdkafka_error_code() {
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => Err(too_large(&topic, bytes)),
                _ => Err(self.refused(&topic, source)),
            },
        }
    }

    /// The same of a failure that librdkafka has logged, which the thread that serves its log may not have seen yet.
    fn surface_failure_within(&self, bound: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + bound;
        while Instant::now() < deadline {
            self.surface_failure()?;
            thread::sleep(BUSY_PAUSE);
        }
        Ok(())
    }

    /// A record that was not taken or not delivered: the transaction's end, and the producer's if it is fenced.
    fn refused(&self, topic: &str, source: KafkaError) -> Error {
        match self.producer().client().fatal_error() {
            Some((RDKafkaErrorCode::Fenced, _)) => self.fenced(source),
            Some(_) => fatal("sending a record", source),
            None if denial(&source) == Some(Denial::Topic) => {
                Error::Denied { permission: format!("Write on the topic {topic}"), source: source.into() }
            }
            None => abortable(&format!("a record was not delivered to the topic {topic}"), Some(source)),
        }
    }

    /// Repeats a call that may be resumed while its error says so.
    fn repeat(&self, name: &str, call: impl Fn() -> KafkaResult<()>) -> KafkaResult<()> {
        self.repeat_unless(name, COMMIT_BOUND, || false, call)
    }

    fn repeat_unless(
        &self,
        name: &str,
        bound: Duration,
        is_stopped: impl Fn() -> bool,
        mut call: impl FnMut() -> KafkaResult<()>,
    ) -> KafkaResult<()> {
        let deadline = Instant::now() + bound;
        let mut wait = self.wait_for(name, ANSWERED);
        loop {
            match call() {
                Err(error) if is_retriable(&error) && !self.is_over(deadline) && !is_stopped() => {
                    debug!(transactional.id = self.transactional_id, %error, "repeating {name}");
                    wait.goes_on(&error.to_string());
                    thread::sleep(BUSY_PAUSE);
                }
                result => {
                    if result.is_ok() {
                        wait.comes();
                    }
                    return result;
                }
            }
        }
    }

    fn is_over(&self, deadline: Instant) -> bool {
        Instant::now() >= deadline || self.given_up.is_cancelled()
    }

    fn wait_for(&self, what: &str, ends: &'static str) -> Wait {
        self.reporter.wait(format!("{what} (transactional.id {})", self.transactional_id), ends)
    }

    fn named(&self, call: &'static str, source: KafkaError) -> Error {
        let permission = match denial(&source) {
            Some(Denial::Topic) => match self.surface_failure_within(LOG_BOUND) {
                Err(named) => return named,
                Ok(()) => Some("Read or Write on a topic of the transaction".to_owned()),
            },
            Some(Denial::Group) => Some("Read on the group".to_owned()),
            Some(Denial::TransactionalId) => {
                Some(format!("Write on the transactional ID {}", self.transactional_id))
            }
            Some(Denial::Cluster) | None => None,
        };
        if let Some(permission) = permission {
            return Error::Denied { permission, source: source.into() };
        }
        let KafkaError::Transaction(error) = &source else { return fatal(call, source) };
        let is_fenced = matches!(error.code(), RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced);
        if error.is_fatal() && is_fenced {
            self.fenced(source)
        } else if error.txn_requires_abort() {
            abortable(&format!("{call} was refused"), Some(source))
        } else {
            fatal(call, source)
        }
    }

    fn fenced(&self, source: KafkaError) -> Error {
        self.count("fenced");
        Error::Fenced { transactional_id: self.transactional_id.clone(), source: source.into() }
    }

    fn unreachable(&self, call: &'static str, bound: Duration, source: KafkaError) -> Error {
        Error::Unreachable {
            bootstrap_servers: self.bootstrap_servers.clone(),
            call,
            bound,
            source: source.into(),
        }
    }
}

impl Drop for TransactionalProducer {
    fn drop(&mut self) {
        // The next producer with this transactional ID settles it.
        self.count("failed");
    }
}

fn fatal(call: &'static str, source: KafkaError) -> Error {
    Error::Fatal { call, source: source.into() }
}

fn abortable(reason: &str, source: Option<KafkaError>) -> Error {
    Error::Abortable { reason: reason.to_owned(), source: source.map(Box::new) }
}

fn too_large(topic: &str, bytes: usize) -> Error {
    Error::TooLarge { topic: topic.to_owned(), bytes }
}

fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        // `commit_transaction` flushes before it asks the coordinator.
        KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => true,
        _ => false,
    }
}
