//! One partition's work: its transactional producer, its state, its place in the raw topic.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::anyhow;
use rdkafka::{ClientConfig, consumer::ConsumerGroupMetadata};
use schemas::{codec::decode_raw, raw::outcome, topics::Topic};
use service::{
    admin::{Health, Heartbeat},
    kafka::{
        headers::TRACEPARENT,
        partition::{self, PartitionReader, Record, Start},
        restore::{self, RestoreError},
        transaction::{self, TRANSACTION_TIMEOUT, TransactionalProducer},
    },
    metrics::Metrics,
};
use tracing::{error, info, warn};

use crate::{
    batch::{Batch, Refusal},
    listing::{Assembler, Unit, organization_and_collection},
    partition_state::{PartitionState, Unfit},
    report::{self, Report},
};

/// One wait for a raw record: decides how soon a stop is noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// How often the lag is asked for (the brokers answer it).
const LAG_INTERVAL: Duration = Duration::from_secs(15);

/// How long a task may be silent before the process counts as dead: each of a transaction's calls has a bound of its
/// own, a minute at most.
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
    /// Drop the task, open it again after a pause: everything uncommitted is read again.
    #[error("the task must be opened anew")]
    Reopen(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A person has to mend something. Stop the process.
    #[error("a person has to look at this")]
    Fatal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<transaction::Error> for Error {
    fn from(error: transaction::Error) -> Self {
        match error {
            transaction::Error::Fenced { .. } => Self::Fenced(error),
            transaction::Error::Abortable { .. }
            | transaction::Error::OutcomeUnknown { .. }
            | transaction::Error::Unreachable { .. } => Self::Reopen(error.into()),
            transaction::Error::TooLarge { .. } | transaction::Error::Fatal { .. } => {
                Self::Fatal(error.into())
            }
        }
    }
}

impl From<partition::Error> for Error {
    fn from(error: partition::Error) -> Self {
        match error {
            partition::Error::Unreachable { .. } => Self::Reopen(error.into()),
            partition::Error::OffsetOutOfRange { .. } | partition::Error::Fatal { .. } => {
                Self::Fatal(error.into())
            }
        }
    }
}

impl From<Unfit> for Error {
    fn from(error: Unfit) -> Self {
        Self::Fatal(error.into())
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
    state: PartitionState,
    assembler: Assembler,
    batch: Batch,
    heartbeat: Heartbeat,
    /// Committed by this process.
    dead_letters: u64,
    /// Of the next transaction.
    report: Report,
}

impl<'a> Task<'a> {
    /// Fences the predecessor, restores, and goes to the committed offset, in this order: only once the
    /// predecessor's transaction has ended are the graph and the offset what they stay.
    pub fn open(shared: &'a Shared, partition: i32, group: GroupMetadata) -> Result<Self, Error> {
        let heartbeat = shared.health.heartbeat(format!("partition {partition}"), SILENCE_BOUND);
        let transactional_id = format!("{}-{partition}", shared.group_id);
        let producer = TransactionalProducer::open(&shared.client, &transactional_id, TRANSACTION_TIMEOUT)?;
        service::failpoint!("processor::after_init_transactions");
        let state = restored(shared, partition, &heartbeat)?;
        service::failpoint!("processor::after_restore");
        let raw = Topic::Raw.name(&shared.prefix);
        let mut reader =
            PartitionReader::open(&shared.client, &shared.group_id, &raw, partition, Start::Beginning)?;
        reader.resume()?;
        state.check_raw_end(reader.end_offset()?)?;
        info!(partition, offset = reader.position(), "task opened");
        Ok(Self {
            shared,
            partition,
            producer,
            reader,
            group,
            state,
            assembler: Assembler::default(),
            batch: Batch::default(),
            heartbeat,
            dead_letters: 0,
            report: Report::default(),
        })
    }

    /// Works until it is stopped or, where the process runs until the end, until `end`.
    pub fn run(&mut self, stop: &AtomicBool, end: Option<i64>) -> Result<Ended, Error> {
        let mut lag_asked: Option<Instant> = None;
        loop {
            self.heartbeat.beat();
            let is_over = end.is_some_and(|end| self.reader.position() >= end || self.reader.is_at_end());
            if is_over {
                self.drop_open();
            }
            if is_over || stop.load(Ordering::Relaxed) {
                self.commit()?;
                return Ok(Ended { incomplete: self.incomplete() });
            }
            match self.reader.next(POLL_TIMEOUT)? {
                Some(record) => self.take(record),
                // Nothing more waits to share the transaction.
                None => self.commit()?,
            }
            if self.batch.is_full() {
                self.commit()?;
            }
            if self.reader.is_at_end() {
                self.shared.metrics.set_lag(self.partition, 0);
            } else if lag_asked.is_none_or(|asked| asked.elapsed() >= LAG_INTERVAL) {
                // A question for people: that it has no answer is no reason to begin anew.
                if let Ok(end) = self.reader.end_offset() {
                    self.shared.metrics.set_lag(self.partition, end - self.reader.position());
                }
                lag_asked = Some(Instant::now());
            }
        }
    }

    /// The end of the raw partition as it is now.
    pub fn raw_end(&self) -> Result<i64, Error> {
        Ok(self.reader.end_offset()?)
    }

    fn take(&mut self, record: Record) {
        let (offset, trace) = (record.offset, traceparent(&record));
        match self.assemble(&record) {
            Ok(unit) => {
                if let Some(unit) = unit {
                    self.reconcile(unit, trace.as_deref());
                }
            }
            Err(refusal) => self.refuse(record, &refusal),
        }
        self.report_leftovers();
        if self.assembler.is_at_rest() {
            self.batch.advance(offset + 1);
        }
    }

    /// Below the end every transaction is whole, so a listing that is open there never gets its manifest.
    fn drop_open(&mut self) {
        if !self.assembler.is_at_rest() {
            self.assembler.drop_open();
            self.report_leftovers();
            self.batch.advance(self.reader.position());
        }
    }

    fn report_leftovers(&mut self) {
        for leftover in self.assembler.take_leftovers() {
            error!(
                partition = self.partition,
                organization.id = leftover.organization_id,
                collection = leftover.collection,
                listing.id = leftover.listing_id,
                resources = leftover.resources,
                "a listing without a manifest was dropped; only another program writes one"
            );
        }
    }

    fn assemble(&mut self, record: &Record) -> Result<Option<Unit>, Refusal> {
        let Some(value) = &record.value else {
            let message = "a raw record has a value; this one is a tombstone".to_owned();
            return Err(Refusal { stage: "decode", message });
        };
        let raw = decode_raw(value).map_err(|error| Refusal::new("decode", error))?;
        self.state
            .check_place(&raw.record.organization_id)
            .map_err(|error| Refusal::new("assemble", error))?;
        self.assembler.take(raw, record.offset).map_err(|error| Refusal::new("assemble", error))
    }

    /// A record that cannot be used goes to the dead letters, and its listing is partial.
    fn refuse(&mut self, record: Record, refusal: &Refusal) {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        error!(
            partition = self.partition,
            offset = record.offset,
            stage = refusal.stage,
            reason = refusal.message,
            "a raw record cannot be used; it goes to the dead letters"
        );
        if let Some((organization_id, collection)) = organization_and_collection(&key) {
            let reason = format!("the raw record at offset {} cannot be used", record.offset);
            self.assembler.spoil(organization_id, collection, reason);
        }
        let topic = Topic::Raw.name(&self.shared.prefix);
        self.batch.add_dead_letter(&topic, self.partition, record, refusal);
        self.report.add_dead_letter();
    }

    fn reconcile(&mut self, unit: Unit, traceparent: Option<&str>) {
        let mut reconciled = self.state.reconcile(&unit);
        match &unit {
            Unit::Listing(listing) => self.report.add(listing, &reconciled),
            Unit::Decision { organization_id, offset, .. } => {
                let partition = self.partition;
                warn!(
                    organization.id = organization_id,
                    partition, offset, "a decision was read; this version has no holds"
                );
            }
            Unit::Mark { .. } => {}
        }
        let organization_id = unit.organization_id().to_owned();
        // A first listing may be large, and what it led to is larger.
        drop(unit);
        self.batch.add(&organization_id, &mut reconciled, traceparent);
        self.state.fold(&organization_id, reconciled.records);
    }

    /// Commits what is gathered, if there is anything. On any error this task is to be dropped: its state is ahead.
    fn commit(&mut self) -> Result<(), Error> {
        let Some(next_offset) = self.batch.next_offset() else { return Ok(()) };
        if !self.assembler.is_at_rest() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.batch);
        service::failpoint!("processor::before_begin");
        self.producer.begin()?;
        if let Err(error) = self.write(batch, next_offset) {
            return Err(self.abandon(error));
        }
        service::failpoint!("processor::before_commit");
        self.producer.commit()?;
        service::failpoint!("processor::after_commit");
        self.dead_letters += std::mem::take(&mut self.report).tell(&self.shared.metrics, self.partition);
        Ok(())
    }

    fn write(&self, batch: Batch, next_offset: i64) -> Result<(), transaction::Error> {
        // Each is freed once librdkafka has its copy: a first listing may be large.
        for output in batch.into_outputs() {
            let topic = output.topic.name(&self.shared.prefix);
            service::failpoint!("processor::mid_produce");
            self.producer.send(
                &topic,
                self.partition,
                &output.key,
                output.value.as_deref(),
                output.headers(),
            )?;
        }
        let raw = Topic::Raw.name(&self.shared.prefix);
        service::failpoint!("processor::write_fails", Err(service::failpoints::refused()));
        service::failpoint!("processor::before_send_offsets");
        self.producer.send_offsets(&[(&raw, self.partition, next_offset)], &(self.group)())
    }

    /// Aborts where that is possible, so that nobody waits for the transaction's timeout.
    fn abandon(&self, error: transaction::Error) -> Error {
        service::failpoint!("processor::during_abandon");
        if !matches!(error, transaction::Error::Fenced { .. } | transaction::Error::OutcomeUnknown { .. })
            && let Err(abort) = self.producer.abort()
        {
            let error = format!("{:#}", anyhow!(abort));
            warn!(partition = self.partition, error, "the transaction could not be aborted");
        }
        error.into()
    }

    fn incomplete(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (_, state) in self.state.states().iter() {
            for coverage in state.coverage().values() {
                let Some(latest) = &coverage.latest else { continue };
                if latest.outcome != outcome::WHOLE && latest.outcome != outcome::GONE {
                    let reason = latest.reason.as_deref().unwrap_or("no reason was given");
                    let (name, collection) = (&coverage.organization_name, &coverage.collection);
                    lines.push(format!("{name}: {collection} {}: {reason}", latest.outcome));
                }
            }
        }
        if self.dead_letters > 0 {
            lines.push(format!("{} new dead letters in partition {}", self.dead_letters, self.partition));
        }
        lines
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        report::forget(&self.shared.metrics, self.state.states());
    }
}

fn restored(shared: &Shared, partition: i32, heartbeat: &Heartbeat) -> Result<PartitionState, Error> {
    let topic = Topic::Graph.name(&shared.prefix);
    let mut state = PartitionState::new(partition, shared.partition_count);
    let mut reader =
        PartitionReader::open(&shared.client, &shared.group_id, &topic, partition, Start::Beginning)?;
    let restored = restore::restore(&mut reader, |record| {
        heartbeat.beat();
        service::failpoint!("processor::mid_restore");
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
        state.restore(&key, record.value.as_deref())
    });
    match restored {
        Ok(_) => state.check()?,
        Err(RestoreError::Read(error)) => return Err(error.into()),
        Err(error @ RestoreError::Stalled { .. }) => return Err(Error::Reopen(error.into())),
        Err(error @ RestoreError::Apply { .. }) => return Err(Error::Fatal(error.into())),
    }
    for (organization_id, state) in state.states().iter() {
        let poll = state.poll();
        info!(
            partition,
            organization.id = organization_id,
            revision = poll.revision,
            elements = poll.element_count,
            "restored"
        );
    }
    report::show(&shared.metrics, state.states());
    Ok(state)
}

fn traceparent(record: &Record) -> Option<String> {
    let (_, value) = record.headers.iter().find(|(name, _)| name == TRACEPARENT)?;
    String::from_utf8(value.clone()?).ok()
}
