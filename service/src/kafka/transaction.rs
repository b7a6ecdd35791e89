//! Writing: a producer whose every record belongs to a transaction.
//!
//! librdkafka's mock cluster answers these calls and keeps none of their promises: only a real broker aborts, fences
//! and commits offsets with the records.

use std::sync::Arc;
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

use super::client::with;
use crate::wait::{Teller, Wait};

mod barrier;
mod polled;

use polled::{BUSY_PAUSE, Deliveries, Failure, PolledProducer};

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
/// The same while a producer is opened: a stop is noticed between two tries.
const OPEN_CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long sending offsets may take before its call is taken for one that never returns: librdkafka 2.12.1 asks for the
/// group's coordinator again only if the state of a connection changes, and ignores its timeout meanwhile. One try, and
/// one request that a broker leaves unanswered (`socket.timeout.ms`).
const OFFSETS_BOUND: Duration = Duration::from_secs(15);
/// What ends a wait for records to be taken.
const TAKEN: &str = "it ends once the leaders of their partitions take them, which needs as many replicas in sync as \
                     min.insync.replicas asks for; check that the brokers are up and reachable";
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
        "another process took over the transactional id {transactional_id}; this one's transaction is aborted"
    )]
    Fenced {
        /// Whose.
        transactional_id: String,
        /// librdkafka's error.
        #[source]
        source: Box<KafkaError>,
    },
    /// The transaction cannot be committed and nothing of it will be seen. Abort, drop the task's state, restore.
    #[error("the transaction must be aborted: {reason}")]
    Abortable {
        /// Why.
        reason: String,
        /// librdkafka's error, if it is one.
        #[source]
        source: Option<Box<KafkaError>>,
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
    /// The transaction is committed or not: nobody knows. Never abort; drop the producer, open another (which
    /// settles it), restore.
    #[error("no answer to the commit within {} s; whether it happened is settled when the producer is opened again", .bound.as_secs())]
    OutcomeUnknown {
        /// How long the commit was repeated.
        bound: Duration,
        /// The last try's error.
        #[source]
        source: Box<KafkaError>,
    },
    /// The brokers did not answer within the bound. Drop the producer; try again later.
    #[error("the brokers {bootstrap_servers} did not answer to {call} within {} s; check that they are up and reachable", .bound.as_secs())]
    Unreachable {
        /// The configured addresses.
        bootstrap_servers: String,
        /// What was asked.
        call: &'static str,
        /// How long.
        bound: Duration,
        /// The last try's error.
        #[source]
        source: Box<KafkaError>,
    },
    /// Nothing helps but a person: no permission, a wrong configuration, a programmer's error. Stop.
    #[error("{call} failed for good")]
    Fatal {
        /// What was asked.
        call: &'static str,
        /// librdkafka's error.
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
    polled: PolledProducer,
    transactional_id: String,
    bootstrap_servers: String,
    teller: Teller,
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
            Self::open_unless(base, transactional_id, transaction_timeout, Teller::default(), || false)?;
        Ok(opened.expect("nobody stops it"))
    }

    /// The same, given up with `None` as soon as it `is_stopped`. The predecessor may have been fenced by then. What the
    /// producer waits for, now and later, the `teller` tells.
    pub fn open_unless(
        base: &ClientConfig,
        transactional_id: &str,
        transaction_timeout: Duration,
        teller: Teller,
        is_stopped: impl Fn() -> bool,
    ) -> Result<Option<Self>, Error> {
        let timeout_ms = transaction_timeout.as_millis().to_string();
        let promises = [("transactional.id", transactional_id), ("enable.idempotence", "true")];
        // Brokers may allow less (`transaction.max.timeout.ms`), so the user may.
        let base = with(base, &[("transaction.timeout.ms", &timeout_ms)], &[]);
        let config = with(&base, &DEFAULTS, &promises);
        let polled = PolledProducer::new(&config).map_err(|source| fatal("making the producer", source))?;
        let this = Self {
            polled,
            transactional_id: transactional_id.to_owned(),
            bootstrap_servers: config.get("bootstrap.servers").unwrap_or_default().to_owned(),
            teller,
        };
        let init_transactions = || {
            // Asked before a broker is connected, librdkafka waits for half a second before it asks again.
            let _connected = this.producer().client().fetch_cluster_id(OPEN_CALL_TIMEOUT);
            this.producer().init_transactions(OPEN_CALL_TIMEOUT)
        };
        match this.repeat_unless("init_transactions", OPEN_BOUND, &is_stopped, init_transactions) {
            Ok(()) => Ok(Some(this)),
            Err(_) if is_stopped() => Ok(None),
            Err(source) if is_retriable(&source) => {
                Err(this.unreachable("init_transactions", OPEN_BOUND, source))
            }
            Err(source) => Err(this.named("init_transactions", source)),
        }
    }

    /// Has every transaction aborted that is delivered before an end that the partition has had: it is that of another
    /// topic by this name.
    pub fn expect_behind(&self, topic: &str, partition: i32, end: i64) {
        self.producer().context().expect_behind(topic, partition, end);
    }

    /// Begins a transaction. The coordinator learns of it with the first record or offset.
    pub fn begin(&self) -> Result<(), Error> {
        self.producer().context().forget();
        self.polled.set_busy(true);
        self.producer().begin_transaction().map_err(|source| self.named("begin_transaction", source))
    }

    /// Hands over one record; no value is a tombstone. Waits, within a bound, where the queue is full.
    pub fn send(
        &self,
        topic: &str,
        partition: i32,
        key: &str,
        value: Option<&[u8]>,
        headers: OwnedHeaders,
    ) -> Result<(), Error> {
        let mut record = BaseRecord::to(topic).partition(partition).key(key).headers(headers);
        record.payload = value;
        let deadline = Instant::now() + DELIVERY_BOUND;
        let mut wait: Option<Wait> = None;
        loop {
            let source = match self.producer().send(record) {
                Ok(()) => {
                    if let Some(wait) = &mut wait {
                        wait.comes();
                    }
                    return Ok(());
                }
                Err((source, refused)) => {
                    record = refused;
                    source
                }
            };
            match source.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) if Instant::now() < deadline => {
                    self.surface_failure()?;
                    wait.get_or_insert_with(|| self.wait_for("records to be delivered", TAKEN)).goes_on("");
                    thread::sleep(BUSY_PAUSE);
                }
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    return Err(too_large(topic, key.len() + value.map_or(0, <[u8]>::len)));
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
            self.polled.within(OFFSETS_BOUND, move |producer| {
                producer.send_offsets_to_transaction(&list, &group, CALL_TIMEOUT)
            })
        }) {
            Ok(()) => Ok(()),
            Err(source @ KafkaError::Global(RDKafkaErrorCode::OperationTimedOut)) => {
                Err(self.unreachable("send_offsets_to_transaction", OFFSETS_BOUND, source))
            }
            Err(source) if is_retriable(&source) => {
                Err(abortable("the offsets were not taken in time", Some(source)))
            }
            Err(source) => Err(self.named("send_offsets_to_transaction", source)),
        }
    }

    /// Commits the transaction, once all its records are delivered.
    pub fn commit(&self) -> Result<(), Error> {
        self.wait_for_deliveries()?;
        match self.repeat("commit_transaction", || self.producer().commit_transaction(CALL_TIMEOUT)) {
            Ok(()) => {
                self.polled.set_busy(false);
                Ok(())
            }
            Err(source) if is_retriable(&source) => {
                Err(Error::OutcomeUnknown { bound: COMMIT_BOUND, source: source.into() })
            }
            Err(source) => Err(self.named("commit_transaction", source)),
        }
    }

    /// Aborts the transaction. Not after [`Error::OutcomeUnknown`] or [`Error::Fenced`].
    pub fn abort(&self) -> Result<(), Error> {
        match self.repeat("abort_transaction", || self.producer().abort_transaction(CALL_TIMEOUT)) {
            Ok(()) => {
                self.polled.set_busy(false);
                Ok(())
            }
            Err(source) if is_retriable(&source) => {
                Err(self.unreachable("abort_transaction", COMMIT_BOUND, source))
            }
            Err(source) => Err(self.named("abort_transaction", source)),
        }
    }

    fn producer(&self) -> &BaseProducer<Deliveries> {
        self.polled.producer()
    }

    /// `commit_transaction` flushes, and its flush does not return before 100 ms while a record is in flight: with
    /// none left it returns at once.
    fn wait_for_deliveries(&self) -> Result<(), Error> {
        let deadline = Instant::now() + DELIVERY_BOUND;
        let mut wait = self.wait_for("records to be delivered", TAKEN);
        while self.producer().in_flight_count() > 0 {
            self.surface_failure()?;
            if Instant::now() >= deadline {
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
            Some(Failure::MadeAnew { topic }) => {
                let reason = format!("the topic {topic} was made anew, or its brokers lost records");
                Err(abortable(&reason, None))
            }
            Some(Failure::Undelivered { topic, bytes, source }) => match source.rdkafka_error_code() {
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => Err(too_large(&topic, bytes)),
                _ => Err(self.refused(&topic, source)),
            },
        }
    }

    /// A record that was not taken or not delivered: the transaction's end, and the producer's if it is fenced.
    fn refused(&self, topic: &str, source: KafkaError) -> Error {
        match self.producer().client().fatal_error() {
            Some((RDKafkaErrorCode::Fenced, _)) => self.fenced(source),
            Some(_) => fatal("sending a record", source),
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
        call: impl Fn() -> KafkaResult<()>,
    ) -> KafkaResult<()> {
        let deadline = Instant::now() + bound;
        let mut wait = self.wait_for(name, ANSWERED);
        loop {
            match call() {
                Err(error) if is_retriable(&error) && Instant::now() < deadline && !is_stopped() => {
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

    fn wait_for(&self, what: &str, ends: &'static str) -> Wait {
        self.teller.wait(format!("{what} (transactional.id {})", self.transactional_id), ends)
    }

    fn named(&self, call: &'static str, source: KafkaError) -> Error {
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
