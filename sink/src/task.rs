//! One partition's task: it holds the graphs of its organizations, reads on, and keeps JupiterOne equal to them.

mod end;
mod error;
mod jobs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use graph::state::{FoldError, State, States};
use jiff::Timestamp;
use schemas::collection::POLL;
use service::admin::Heartbeat;
use service::kafka::check_known;
use service::kafka::partition::{PartitionReader, Record, Start};
use service::kafka::restore::restore_to;
use service::shutdown::{Shutdown, ShutdownTrigger};
use service::wait::Teller;

use self::end::End;
pub(crate) use self::error::{TaskError, read_failed};
use self::error::{restore_failed, write_failed};
use self::jobs::check_name;
use crate::configured;
use crate::organization::{Carried, Organization};
use crate::setup::Setup;
use crate::sync_topic::{Records, SyncTopic};

/// Longest wait for a record: how soon an ended job or the task's end is noticed.
const TICK: Duration = Duration::from_millis(100);
/// Least time between two questions for the partition's end while records come: each is a request to the broker.
const LAG_INTERVAL: Duration = Duration::from_secs(10);
/// The same while no records come: a small part of the compaction lag, within which an end must have been met. Each
/// question that no broker answers holds the loop up for eight seconds.
const END_INTERVAL: Duration = Duration::from_mins(1);
/// How long the loop may be silent: the longest of its blocking calls are a transaction's.
const SILENCE_BOUND: Duration = Duration::from_mins(5);

/// Why a job was given up, or not begun, for whoever asked for the end.
pub(crate) const STOPPED: &str = "the sink was asked to end";

/// What the task of a partition leaves to the next one in the same process.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    organizations: BTreeMap<String, Carried>,
    /// The records as the task had written them, where others were found in their place.
    overwritten: Option<Records>,
}

/// One partition's task.
pub(crate) struct Task {
    setup: Arc<Setup>,
    partition: i32,
    reader: PartitionReader,
    states: States,
    /// By id; those that the configuration lists.
    pub(crate) organizations: BTreeMap<String, Organization>,
    topic: Arc<SyncTopic>,
    /// What the sync topic said when the task was opened.
    records: Records,
    carried: BTreeMap<String, Carried>,
    /// Whether others' records were found in the place of its own.
    is_overwritten: bool,
    heartbeat: Heartbeat,
    /// When the records were read last.
    looked: Instant,
    /// How often the targets had changed when it was last asked.
    target_changes: u64,
    end: End,
    /// Ends the sync jobs.
    trigger: ShutdownTrigger,
    stopping: Shutdown,
}

impl Task {
    /// Fences the predecessor, reads the sync records, and restores the graphs, in this order: a predecessor that is
    /// not fenced may upload a newer graph than the one that was restored. `None` where it was stopped before it was
    /// open.
    pub(crate) fn open(
        setup: Arc<Setup>,
        partition: i32,
        legacy: &mut Legacy,
        shutdown: &Shutdown,
    ) -> Result<Option<Self>, TaskError> {
        let heartbeat = setup.health.heartbeat(format!("partition {partition}"), SILENCE_BOUND);
        let is_stopped = || {
            heartbeat.beat();
            shutdown.is_requested()
        };
        let Setup { kafka, group_id, sync_topic, .. } = setup.as_ref();
        let teller = Teller::new(&setup.health, format!("{sync_topic} partition {partition}, writing"));
        let opened = SyncTopic::open_unless(kafka, group_id, sync_topic, partition, teller, is_stopped);
        let Some(topic) = opened.map_err(|error| write_failed(partition, error))? else { return Ok(None) };
        service::failpoint!("sink::after_fencing");
        let records = topic.restore(is_stopped).map_err(|error| restore_failed(partition, error))?;
        let Some(records) = records else { return Ok(None) };
        setup.tell_whether_overwritten(partition, legacy.overwritten.take().as_ref(), &records);
        for sync in records.values() {
            setup.targets.learn(sync);
        }
        let end = End::met(now_ms());
        let Some((reader, states)) = restored_unless(&setup, partition, is_stopped)? else { return Ok(None) };
        let (trigger, stopping) = service::shutdown::shutdown();
        let mut task = Self {
            setup,
            partition,
            reader,
            states,
            organizations: BTreeMap::new(),
            topic: Arc::new(topic),
            records,
            carried: std::mem::take(&mut legacy.organizations),
            is_overwritten: false,
            heartbeat,
            looked: Instant::now(),
            target_changes: 0,
            end,
            trigger,
            stopping,
        };
        task.meet();
        Ok(Some(task))
    }

    /// Keeps JupiterOne equal until the end is asked for.
    pub(crate) fn run(&mut self, shutdown: &Shutdown) -> Result<(), TaskError> {
        let mut is_at_end = true;
        while !shutdown.is_requested() {
            self.heartbeat.beat();
            self.check_not_behind()?;
            self.take_ended()?;
            if is_at_end {
                self.start_jobs()?;
            }
            while let Some(record) =
                self.reader.next(TICK).map_err(|error| read_failed(self.partition, error))?
            {
                self.heartbeat.beat();
                self.follow(&record)?;
                self.end.read_to(self.reader.position());
                self.ask_end(LAG_INTERVAL)?;
                if shutdown.is_requested() {
                    return Ok(());
                }
            }
            // A compacted topic makes sense at its end only.
            is_at_end = self.reader.is_idle();
            if is_at_end {
                self.setup.metrics.set_lag(self.partition, 0);
                self.meet();
            }
            // Behind the last record there may be markers, which only the reader's position passes.
            self.end.read_to(self.reader.position());
            self.ask_end(END_INTERVAL)?;
        }
        Ok(())
    }

    /// Asks for the partition's end, at most once in the interval, and says how far behind it the task is.
    fn ask_end(&mut self, interval: Duration) -> Result<(), TaskError> {
        let end = self.end.ask(&self.reader, interval, now_ms());
        if let Some(end) = end.map_err(|error| read_failed(self.partition, error))? {
            self.setup.metrics.set_lag(self.partition, (end - self.reader.position()).max(0));
        }
        Ok(())
    }

    /// Ends the sync jobs that run, each within its bound. What it gives back is for the partition's next task in this
    /// process.
    pub(crate) fn close(self) -> Legacy {
        self.trigger.ask();
        let mut legacy = Legacy { organizations: self.carried, overwritten: None };
        for (id, mut organization) in self.organizations {
            if let Some(running) = organization.running.take() {
                // How it ended no longer matters to this task; the sync topic says it.
                let _ = self.setup.runtime.block_on(running);
            }
            let name = &organization.configured.name;
            self.setup.health.clear(&check_name(name));
            self.setup.metrics.forget_organization(name);
            let written = self.topic.last().remove(&organization.sync.key());
            legacy.organizations.insert(id, organization.carry(written));
        }
        self.setup.metrics.forget_partition(self.partition);
        legacy.overwritten = self.is_overwritten.then(|| self.topic.last());
        legacy
    }

    /// Folds a record that was written after the restore.
    fn follow(&mut self, record: &Record) -> Result<(), TaskError> {
        self.check_not_behind()?;
        check_known(&self.setup.graph_topic, self.partition, record)
            .map_err(|newer| TaskError::Closed { partition: self.partition, source: newer.into() })?;
        let key = record.key.as_deref().unwrap_or_default();
        let id = key.split(|byte| *byte == b'/').next().unwrap_or_default();
        if let Some(organization) = str::from_utf8(id).ok().and_then(|id| self.organizations.get_mut(id)) {
            organization.due_ms = i64::MIN;
        }
        fold(&mut self.states, record).map_err(|source| TaskError::Closed {
            partition: self.partition,
            source: anyhow::Error::from(source)
                .context(format!("failed to fold the record at offset {}", record.offset)),
        })
    }

    /// A task that met the end within the compaction lag has read every record since.
    fn check_not_behind(&self) -> Result<(), TaskError> {
        if self.end.is_too_long_ago(now_ms()) {
            let source = anyhow::anyhow!(
                "the end of the partition was not reached for longer than min.compaction.lag.ms, so records may have been \
                 compacted away unread"
            );
            return Err(TaskError::Reopen { partition: self.partition, source });
        }
        Ok(())
    }

    /// Takes up the organizations that the configuration lists.
    fn meet(&mut self) {
        let mut found = Vec::new();
        for (id, state) in self.states.iter() {
            let Some(name) = name_of(state) else { continue };
            self.setup.targets.meet(name, id);
            if let Some(configured) = configured::matching(&self.setup.configured, id, name)
                && !self.organizations.contains_key(id)
            {
                found.push((id.to_owned(), Arc::clone(configured)));
            }
        }
        for (id, configured) in found {
            let read = configured.record(&self.records, &id).cloned();
            let mut organization = Organization::new(configured, &id, read.clone());
            if let Some(carried) = self.carried.remove(&id) {
                organization = organization.with(carried, read.as_ref());
            }
            self.setup.metrics.set_parked(&organization.configured.name, &organization.sync.parked);
            self.organizations.insert(id, organization);
        }
    }
}

/// The states of the partition's organizations at its end, and the reader that goes on from there.
pub(crate) fn restored(setup: &Setup, partition: i32) -> Result<(PartitionReader, States), TaskError> {
    Ok(restored_unless(setup, partition, || false)?.expect("nobody stops it"))
}

/// The same, given up with `None` as soon as it `is_stopped`.
fn restored_unless(
    setup: &Setup,
    partition: i32,
    is_stopped: impl Fn() -> bool,
) -> Result<Option<(PartitionReader, States)>, TaskError> {
    let Setup { kafka, group_id, graph_topic, .. } = setup;
    let mut reader = PartitionReader::open(kafka, group_id, graph_topic, partition, Start::Beginning)
        .map_err(|error| read_failed(partition, error))?;
    let mut states = States::default();
    let end = reader.end_offset().map_err(|error| read_failed(partition, error))?;
    let is_complete = restore_to(&mut reader, end, is_stopped, |record| fold(&mut states, &record))
        .map_err(|error| restore_failed(partition, error))?;
    Ok(is_complete.then_some((reader, states)))
}

fn fold(states: &mut States, record: &Record) -> Result<(), FoldError> {
    let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
    states.fold_record(&key, record.value.as_deref())
}

/// The organization's name in the configuration of whoever wrote its graph.
pub(crate) fn name_of(state: &State) -> Option<&str> {
    let coverage = state.coverage();
    coverage
        .get(POLL)
        .or_else(|| coverage.values().next())
        .map(|coverage| coverage.organization_name.as_str())
}

/// Now (ms since 1970).
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
