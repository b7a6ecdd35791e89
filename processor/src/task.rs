//! One partition's work: its transactional producer, its state, its place in the raw topic.

mod restore;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::anyhow;
use graph::{partition_state::Unfit, state::barrier_key};
use rdkafka::{
    ClientConfig,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, RDKafkaErrorCode},
};
use schemas::topics::Topic;
use service::{
    admin::{Health, Heartbeat},
    kafka::{
        NewerRecord, check_known,
        partition::{self, PartitionReader, Record, Start, warn_of_unread},
        transaction::{self, TRANSACTION_TIMEOUT, TransactionalProducer},
    },
    metrics::Metrics,
    wait::Teller,
};
use tracing::{info, warn};

use self::restore::{check_raw, restored};
use crate::{batch::Batch, gauges, intake::Intake};

/// One wait for a raw record: decides how soon a stop is noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// The same while something can be committed and no listing is open: records that have been fetched already share the
/// transaction, and no others are waited for.
const READY_TIMEOUT: Duration = Duration::from_millis(1);
/// How long something that can be committed waits for what comes behind it, in a backlog or before an open listing: a
/// kill undoes no more work, and readers of the changes wait no longer.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// How long a task may be behind before the lag is asked for, and how often from then on. Not sooner: the answer comes
/// behind that of the fetch that waits for the next record.
const LAG_INTERVAL: Duration = Duration::from_secs(15);

/// How long a task may be silent before the process counts as dead: each of a transaction's calls has a bound of its
/// own, a minute at most, and a million new API keys in one listing are reconciled in about 90 s.
const SILENCE_BOUND: Duration = Duration::from_mins(5);

/// What all tasks of a process share.
pub struct Shared {
    /// What every client begins with.
    pub client: ClientConfig,
    /// Consumer group; with the partition, the transactional id.
    pub group_id: String,
    /// Begins the topics' names.
    pub prefix: String,
    /// How many partitions the topics have.
    pub partition_count: i32,
    /// Whether to end at the end of the raw topic as it is at the start.
    pub until_end: bool,
    /// Metrics.
    pub metrics: Metrics,
    /// Health.
    pub health: Arc<Health>,
}

/// Who the process is in its consumer group, asked anew for each transaction.
pub type GroupMetadata = Arc<dyn Fn() -> ConsumerGroupMetadata + Send + Sync>;

/// Why a task failed, by what its owner does next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the partition. Wait for the next assignment.
    #[error("another process took over")]
    Fenced(#[source] transaction::Error),
    /// The brokers ended a transaction that took too long, and fenced its producer. Take the partition back after a pause.
    #[error(
        "a transaction of {records} records took {} s, and transaction.timeout.ms allows {} s; set \
         kafka.properties.\"transaction.timeout.ms\" to at least {}, and transaction.max.timeout.ms of the brokers to \
         no less",
        .took.as_secs(), .allowed.as_secs(), .took.as_millis() * 2
    )]
    Late {
        /// How many records it had.
        records: usize,
        /// From its begin to the error.
        took: Duration,
        /// The configured timeout.
        allowed: Duration,
        /// How it ended.
        #[source]
        source: transaction::Error,
    },
    /// Drop the task, open it again after a pause: everything uncommitted is read again.
    #[error("the task must be opened anew")]
    Reopen(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The task was stopped while it restored: nothing is committed, and nothing is lost.
    #[error("it was stopped before it was open")]
    Stopped,
    /// The state or the data of this partition needs a person. Close the partition; the others keep running.
    #[error("the partition is closed")]
    Closed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A person has to mend something that concerns every partition. Stop the process.
    #[error("a person has to look at this")]
    Fatal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<transaction::Error> for Error {
    fn from(error: transaction::Error) -> Self {
        match error {
            transaction::Error::Fenced { .. } => Self::Fenced(error),
            // Opening the task again would fence the member that has the partition now.
            transaction::Error::Abortable { source: Some(ref source), .. } if is_displaced(source) => {
                Self::Fenced(error)
            }
            transaction::Error::Abortable { .. }
            | transaction::Error::OutcomeUnknown { .. }
            | transaction::Error::Unreachable { .. } => Self::Reopen(error.into()),
            transaction::Error::TooLarge { .. } => Self::Closed(error.into()),
            transaction::Error::Fatal { .. } => Self::Fatal(error.into()),
        }
    }
}

/// Whether the group's coordinator has replaced this member, which may not have learned of it yet.
fn is_displaced(source: &KafkaError) -> bool {
    let code = source.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::FencedInstanceId))
}

impl From<partition::Error> for Error {
    fn from(error: partition::Error) -> Self {
        match error {
            partition::Error::Unreachable { .. } => Self::Reopen(error.into()),
            partition::Error::OffsetOutOfRange { .. } => Self::Closed(error.into()),
            partition::Error::Fatal { .. } => Self::Fatal(error.into()),
        }
    }
}

impl From<NewerRecord> for Error {
    fn from(error: NewerRecord) -> Self {
        Self::Closed(error.into())
    }
}

impl From<Unfit> for Error {
    fn from(error: Unfit) -> Self {
        Self::Closed(error.into())
    }
}

/// How a task ended in good order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What is not whole, a line each: failed listings and new dead letters.
    pub incomplete: Vec<String>,
}

/// One partition's work.
pub struct Task<'a> {
    shared: &'a Shared,
    partition: i32,
    producer: TransactionalProducer,
    reader: PartitionReader,
    group: GroupMetadata,
    intake: Intake,
    /// Since when something can be committed.
    ready_since: Option<Instant>,
    heartbeat: Heartbeat,
    /// Committed by this process.
    dead_letters: u64,
}

impl<'a> Task<'a> {
    /// Fences the predecessor, restores, and goes to the committed offset, in this order: only once the
    /// predecessor's transaction has ended are the graph and the offset what they stay. The restore ends at a barrier
    /// that the task itself has written.
    ///
    /// A stop is noticed until the producer is open and all through the restore: whoever waits for the partition, or for the
    /// process's end, does not wait for the whole of it.
    pub fn open(
        shared: &'a Shared,
        partition: i32,
        group: GroupMetadata,
        stop: &AtomicBool,
    ) -> Result<Self, Error> {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        let heartbeat = shared.health.heartbeat(format!("partition {partition}"), SILENCE_BOUND);
        let transactional_id = format!("{}-{partition}", shared.group_id);
        let teller = Teller::new(&shared.health, format!("partition {partition}, writing"));
        let is_stopped = || {
            heartbeat.beat();
            stop.load(Ordering::Relaxed)
        };
        let opened = TransactionalProducer::open_unless(
            &shared.client,
            &transactional_id,
            TRANSACTION_TIMEOUT,
            teller,
            is_stopped,
        )?;
        let Some(producer) = opened else { return Err(Error::Stopped) };
        service::failpoint!("processor::after_init_transactions");
        let graph = Topic::Graph.name(&shared.prefix);
        let key = barrier_key(partition, shared.partition_count);
        let barrier = producer.write_barrier(&graph, partition, &key)?;
        service::failpoint!("processor::after_barrier");
        let state = restored(shared, partition, &producer, barrier, &heartbeat, stop)?;
        service::failpoint!("processor::after_restore");
        let raw = Topic::Raw.name(&shared.prefix);
        let mut reader =
            PartitionReader::open(&shared.client, &shared.group_id, &raw, partition, Start::Beginning)?;
        if !reader.resume()? {
            state.check_unread(&shared.group_id, &raw, reader.position())?;
            if let Some(offset) = state.maybe_unread(reader.position()) {
                warn_of_unread(&raw, partition, offset);
            }
        }
        check_raw(shared, partition, &reader, &state)?;
        info!(partition, offset = reader.position(), "task opened");
        Ok(Self {
            shared,
            partition,
            producer,
            reader,
            group,
            intake: Intake::new(raw, partition, state),
            ready_since: None,
            heartbeat,
            dead_letters: 0,
        })
    }

    /// Works until it is stopped or, where the process runs until the end, until `end`.
    pub fn run(&mut self, stop: &AtomicBool, end: Option<i64>) -> Result<Ended, Error> {
        let mut lag_known = Instant::now();
        loop {
            self.heartbeat.beat();
            let is_over = end.is_some_and(|end| self.reader.position() >= end);
            if is_over {
                self.intake.drop_open(self.reader.position());
            }
            if is_over || stop.load(Ordering::Relaxed) {
                self.commit()?;
                return Ok(Ended { incomplete: self.intake.incomplete(self.dead_letters) });
            }
            let is_ready = self.ready_since.is_some() && self.intake.is_at_rest();
            match self.reader.next(if is_ready { READY_TIMEOUT } else { POLL_TIMEOUT })? {
                Some(record) => {
                    if let Err(newer) = check_known(self.reader.topic(), self.partition, &record) {
                        self.commit()?;
                        return Err(newer.into());
                    }
                    self.take(record);
                }
                None if is_ready => self.commit()?,
                None => {}
            }
            let is_due = self.ready_since.is_some_and(|since| since.elapsed() >= COMMIT_INTERVAL);
            if is_due || self.intake.batch().is_full() {
                self.commit()?;
            }
            if self.reader.is_idle() && end.is_none() {
                self.shared.metrics.set_lag(self.partition, 0);
                lag_known = Instant::now();
            } else if lag_known.elapsed() >= LAG_INTERVAL {
                // A question for people: that it has no answer is no reason to open the task again.
                match self.reader.end_offset() {
                    Ok(end) => self.shared.metrics.set_lag(self.partition, end - self.reader.position()),
                    // Who runs until the end waits for records that may never come.
                    Err(error) if end.is_some() => return Err(error.into()),
                    Err(_) => {}
                }
                lag_known = Instant::now();
            }
        }
    }

    fn take(&mut self, record: Record) {
        self.intake.take(record);
        if self.intake.batch().next_offset().is_some() {
            self.ready_since.get_or_insert_with(Instant::now);
        }
    }

    /// The end of the raw partition as it is now.
    pub fn raw_end(&self) -> Result<i64, Error> {
        Ok(self.reader.end_offset()?)
    }

    /// Commits what is gathered, if there is anything. On any error this task is to be dropped: its state is ahead.
    fn commit(&mut self) -> Result<(), Error> {
        self.ready_since = None;
        let Some(batch) = self.intake.take_batch() else { return Ok(()) };
        let (records, began) = (batch.len(), Instant::now());
        if let Err(error) = self.transact(batch) {
            return Err(self.failed(error, records, began.elapsed()));
        }
        service::failpoint!("processor::after_commit");
        let report = self.intake.take_report();
        let states = self.intake.state().states();
        self.dead_letters += report.tell(&self.shared.metrics, self.partition, states);
        Ok(())
    }

    fn transact(&self, batch: Batch) -> Result<(), transaction::Error> {
        service::failpoint!("processor::before_begin");
        self.producer.begin()?;
        if let Err(error) = self.write(batch) {
            self.abandon(&error);
            return Err(error);
        }
        service::failpoint!("processor::before_commit");
        self.producer.commit()
    }

    fn write(&self, batch: Batch) -> Result<(), transaction::Error> {
        let offsets = batch.next_offset();
        // Each is freed once librdkafka has its copy: a first listing may be large.
        for output in batch.into_outputs() {
            service::failpoint!("processor::mid_produce");
            // A broker may be slow to take a large listing.
            self.heartbeat.beat();
            output.send(&self.producer, &self.shared.prefix, self.partition)?;
        }
        let raw = Topic::Raw.name(&self.shared.prefix);
        service::failpoint!("processor::write_fails", Err(transaction::Error::of_a_failpoint()));
        service::failpoint!("processor::before_send_offsets");
        let offsets: Vec<_> = offsets.iter().map(|next| (raw.as_str(), self.partition, *next)).collect();
        self.producer.send_offsets(&offsets, (self.group)())
    }

    /// What a failed transaction means: one that took longer than the brokers allow was ended by them.
    fn failed(&self, source: transaction::Error, records: usize, took: Duration) -> Error {
        let configured = self.shared.client.get("transaction.timeout.ms").and_then(|text| text.parse().ok());
        let allowed = configured.map_or(TRANSACTION_TIMEOUT, Duration::from_millis);
        let is_ended =
            matches!(source, transaction::Error::Fenced { .. } | transaction::Error::Abortable { .. });
        if is_ended && took >= allowed {
            return Error::Late { records, took, allowed, source };
        }
        source.into()
    }

    /// Aborts where that is possible, so that nobody waits for the transaction's timeout. Else the next opening does.
    fn abandon(&self, error: &transaction::Error) {
        use transaction::Error::{Fenced, OutcomeUnknown, Unreachable};

        service::failpoint!("processor::during_abandon");
        if !matches!(error, Fenced { .. } | OutcomeUnknown { .. } | Unreachable { .. })
            && let Err(abort) = self.producer.abort()
        {
            let error = format!("{:#}", anyhow!(abort));
            warn!(partition = self.partition, error, "the transaction could not be aborted");
        }
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        gauges::forget(&self.shared.metrics, self.intake.state().states());
    }
}
