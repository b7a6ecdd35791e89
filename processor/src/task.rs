//! The task of a partition: its transactional producer, its state, its position in the raw topic.

mod restore;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use graph::{partition_state::Unfit, state::barrier_key};
use rdkafka::ClientConfig;
use schemas::topics::Topic;
use service::{
    admin::{Health, Heartbeat},
    kafka::{
        NewerRecord, check_known,
        partition::{self, Message, PartitionReader, Start, warn_of_unread},
        transaction::{self, TRANSACTION_TIMEOUT, TransactionalProducer},
    },
    metrics::Metrics,
    shutdown::CancellationToken,
    tasks::{Assigned, Ended, Error, Membership},
    wait::WaitReporter,
};
use tracing::{info, warn};

use self::restore::{check_raw, restored};
use crate::{batch::Batch, gauges, pipeline::Pipeline};

/// Timeout for a raw record: decides how soon a stop is noticed. Each is a wakeup, of every partition.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);
/// The same while something can be committed and no listing is open: only records that are fetched already join the
/// transaction.
const READY_TIMEOUT: Duration = Duration::from_millis(1);
/// How long what can be committed waits for more records, in a backlog or before an open listing. It bounds the work
/// that a kill undoes and the delay for readers of the changes.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// Records of an open listing that are taken before the task looks at the clock again (count).
const AT_ONCE: usize = 100;
/// How long a task may lag before the lag is requested, and how often after that. Not sooner, because the response
/// comes after that of the fetch that waits for the next record.
const LAG_INTERVAL: Duration = Duration::from_secs(15);

/// How long a task may be silent before the process is considered dead. Each call of a transaction takes at most a
/// minute, and a million new API keys in one listing are reconciled in about 90 s.
const SILENCE_BOUND: Duration = Duration::from_mins(5);

/// What all tasks of a process share.
pub struct Shared {
    /// The base configuration of every client.
    pub client: ClientConfig,
    /// Consumer group; with the partition, it forms the transactional ID.
    pub group_id: String,
    /// Prefix of the topics.
    pub prefix: String,
    /// Partitions of the topics (count).
    pub partition_count: i32,
    /// Whether to stop at the current end of the raw topic.
    pub until_end: bool,
    pub metrics: Metrics,
    pub health: Arc<Health>,
}

/// The brokers aborted a transaction that took too long, and fenced its producer.
#[derive(Debug, thiserror::Error)]
#[error(
    "a transaction of {records} records took {} s, and transaction.timeout.ms allows {} s; set \
     kafka.properties.\"transaction.timeout.ms\" to at least {}, and transaction.max.timeout.ms of the brokers to \
     no less",
    .took.as_secs(), .allowed.as_secs(), .took.as_millis() * 2
)]
struct Late {
    /// Records of the transaction (count).
    records: usize,
    /// Time from its beginning to the error.
    took: Duration,
    allowed: Duration,
    source: transaction::Error,
}

/// What the state does not fit to needs a person.
fn unfit(error: Unfit) -> Error {
    Error::Closed(error.into())
}

/// The task of a partition.
pub struct Task<'a> {
    shared: &'a Shared,
    partition: i32,
    raw_topic: String,
    producer: TransactionalProducer,
    reader: PartitionReader,
    group: Membership,
    pipeline: Pipeline,
    /// When something could first be committed.
    ready_since: Option<Instant>,
    heartbeat: Heartbeat,
    /// Committed by this process.
    dead_letters: u64,
}

impl<'a> Task<'a> {
    /// Fences the previous owner, restores the state, and seeks to the committed offset. The order matters: the graph
    /// and the offset are final only after the previous owner's transaction has ended. The restore ends at a barrier
    /// that the task itself has written.
    ///
    /// A stop is noticed before the producer is open and during the restore, so a rebalance or a shutdown does not wait
    /// for the whole restore. Then it is `None`: nothing was committed or lost.
    pub fn open(shared: &'a Shared, assigned: &Assigned) -> Result<Option<Self>, Error> {
        let Assigned { partition, ref stop, ref lost, membership: ref group, .. } = *assigned;
        if stop.is_cancelled() {
            return Ok(None);
        }
        let began = Instant::now();
        let heartbeat = shared.health.heartbeat(format!("partition {partition}"), SILENCE_BOUND);
        let transactional_id = format!("{}-{partition}", shared.group_id);
        let reporter = WaitReporter::new(&shared.health, format!("partition {partition}, writing"));
        let is_stopped = || {
            heartbeat.beat();
            stop.is_cancelled()
        };
        let opened = TransactionalProducer::open_unless(
            &shared.client,
            &transactional_id,
            TRANSACTION_TIMEOUT,
            reporter,
            is_stopped,
        )?;
        let Some(mut producer) = opened else { return Ok(None) };
        producer.give_up_when(lost.clone());
        service::failpoint!("processor::after_init_transactions");
        let graph = Topic::Graph.name(&shared.prefix);
        let key = barrier_key(partition, shared.partition_count);
        let barrier = producer.write_barrier(&graph, partition, &key)?;
        service::failpoint!("processor::after_barrier");
        let restored = restored(shared, partition, &producer, barrier, &heartbeat, stop)?;
        let Some((state, look)) = restored else { return Ok(None) };
        service::failpoint!("processor::after_restore");
        let raw = Topic::Raw.name(&shared.prefix);
        let mut reader =
            PartitionReader::open(&shared.client, &shared.group_id, &raw, partition, Start::Beginning)?;
        if let Some(committed) = group.member().committed(partition)? {
            reader.resume(committed)?;
        } else {
            state.check_unread(&shared.group_id, &raw, reader.position()).map_err(unfit)?;
            if let Some(offset) = state.maybe_unread(reader.position()) {
                warn_of_unread(&raw, partition, offset);
            }
        }
        check_raw(look, &reader, &state)?;
        shared.metrics.restored(began.elapsed());
        info!(partition, offset = reader.position(), "opened the task of partition {partition}");
        Ok(Some(Self {
            shared,
            partition,
            producer,
            reader,
            group: group.clone(),
            pipeline: Pipeline::new(raw.clone(), partition, state),
            raw_topic: raw,
            ready_since: None,
            heartbeat,
            dead_letters: 0,
        }))
    }

    /// Processes records until it is stopped or, with `--until-end`, until `end`.
    pub fn run(&mut self, stop: &CancellationToken, end: Option<i64>) -> Result<Ended, Error> {
        let mut lag_known = Instant::now();
        loop {
            self.heartbeat.beat();
            let is_over = end.is_some_and(|end| self.reader.position() >= end);
            if is_over {
                self.pipeline.drop_open(self.reader.position());
            }
            if is_over || stop.is_cancelled() {
                self.commit()?;
                return Ok(Ended { incomplete: self.pipeline.incomplete(self.dead_letters) });
            }
            let is_ready = self.ready_since.is_some() && self.pipeline.is_at_rest();
            let timeout = match self.ready_since {
                _ if is_ready => READY_TIMEOUT,
                Some(since) => COMMIT_INTERVAL.saturating_sub(since.elapsed()).min(POLL_TIMEOUT),
                None => POLL_TIMEOUT,
            };
            match self.take(timeout, end)? {
                Some(Err(newer)) => {
                    self.commit()?;
                    return Err(newer.into());
                }
                None if is_ready => self.commit()?,
                Some(Ok(())) | None => {}
            }
            if self.pipeline.batch().next_offset().is_some() {
                self.ready_since.get_or_insert_with(Instant::now);
            }
            let is_due = self.ready_since.is_some_and(|since| since.elapsed() >= COMMIT_INTERVAL);
            if is_due || self.pipeline.batch().is_full() {
                self.commit()?;
            }
            if self.reader.is_idle() && end.is_none() {
                self.shared.metrics.set_lag(self.partition, 0);
                lag_known = Instant::now();
            } else if lag_known.elapsed() >= LAG_INTERVAL {
                // The lag is only shown to people, so a failure is not a reason to reopen the task.
                match self.reader.end_offset() {
                    Ok(end) => self.shared.metrics.set_lag(self.partition, end - self.reader.position()),
                    // A run until the end may wait for records that never come.
                    Err(error) if end.is_some() => return Err(error.into()),
                    Err(_) => {}
                }
                lag_known = Instant::now();
            }
        }
    }

    /// Takes the next record and, while a listing is open, those that are fetched already. `None`: no record came.
    fn take(
        &mut self,
        timeout: Duration,
        end: Option<i64>,
    ) -> Result<Option<Result<(), NewerRecord>>, partition::Error> {
        let (pipeline, raw, partition) = (&mut self.pipeline, &self.raw_topic, self.partition);
        let mut take = |record: Message<'_>| {
            check_known(raw, partition, record)?;
            pipeline.take(record);
            Ok(pipeline.is_at_rest())
        };
        let mut taken = self.reader.visit(timeout, &mut take)?;
        for _ in 1..AT_ONCE {
            let is_before_end = end.is_none_or(|end| self.reader.position() < end);
            if !is_before_end || !matches!(taken, Some(Ok(false))) {
                break;
            }
            match self.reader.visit(Duration::ZERO, &mut take)? {
                None => break,
                next => taken = next,
            }
        }
        Ok(taken.map(|taken| taken.map(drop)))
    }

    /// The current end of the raw partition.
    pub fn raw_end(&self) -> Result<i64, Error> {
        Ok(self.reader.end_offset()?)
    }

    /// Commits what is collected, if anything. After an error the task must be dropped, because its state is ahead.
    fn commit(&mut self) -> Result<(), Error> {
        self.ready_since = None;
        let Some(batch) = self.pipeline.take_batch() else { return Ok(()) };
        let (records, began) = (batch.len(), Instant::now());
        if let Err(error) = self.transact(&batch) {
            batch.fail(&error);
            return Err(self.failed(error, records, began.elapsed()));
        }
        service::failpoint!("processor::after_commit");
        let report = self.pipeline.take_report();
        let states = self.pipeline.state().states();
        self.dead_letters += report.publish(&self.shared.metrics, self.partition, states);
        Ok(())
    }

    fn transact(&self, batch: &Batch) -> Result<(), transaction::Error> {
        service::failpoint!("processor::before_begin");
        self.producer.begin()?;
        if let Err(error) = self.write(batch) {
            self.abandon(&error);
            return Err(error);
        }
        service::failpoint!("processor::before_commit");
        self.producer.commit()
    }

    fn write(&self, batch: &Batch) -> Result<(), transaction::Error> {
        for output in batch.outputs() {
            service::failpoint!("processor::mid_produce");
            // A broker may be slow to accept a large listing.
            self.heartbeat.beat();
            output.send(&self.producer, &self.shared.prefix, self.partition)?;
        }
        let raw = Topic::Raw.name(&self.shared.prefix);
        service::failpoint!("processor::write_fails", Err(transaction::Error::of_a_failpoint()));
        service::failpoint!("processor::before_send_offsets");
        let offsets: Vec<_> =
            batch.next_offset().into_iter().map(|next| (raw.as_str(), self.partition, next)).collect();
        self.producer.send_offsets(&offsets, self.group.member().group_metadata())
    }

    /// Classifies a failed transaction: the brokers abort one that takes longer than they allow.
    fn failed(&self, source: transaction::Error, records: usize, took: Duration) -> Error {
        let configured = self.shared.client.get("transaction.timeout.ms").and_then(|text| text.parse().ok());
        let allowed = configured.map_or(TRANSACTION_TIMEOUT, Duration::from_millis);
        let is_ended =
            matches!(source, transaction::Error::Fenced { .. } | transaction::Error::Abortable { .. });
        if is_ended && took >= allowed {
            return Error::Fenced(Late { records, took, allowed, source }.into());
        }
        source.into()
    }

    /// Aborts the transaction if possible, so that readers do not wait for its timeout. Otherwise the next opening
    /// aborts it.
    fn abandon(&self, error: &transaction::Error) {
        use transaction::Error::{Denied, Fenced, OutcomeUnknown, Unreachable};

        service::failpoint!("processor::during_abandon");
        if !matches!(error, Denied { .. } | Fenced { .. } | OutcomeUnknown { .. } | Unreachable { .. })
            && let Err(abort) = self.producer.abort()
        {
            let error = format!("{:#}", anyhow!(abort));
            warn!(partition = self.partition, error, "cannot abort the transaction");
        }
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        gauges::forget(&self.shared.metrics, self.pipeline.state().states());
    }
}
