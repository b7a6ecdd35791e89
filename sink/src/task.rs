//! One partition's task: it holds the graphs of its organizations, reads on, and keeps JupiterOne equal to them.

mod error;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use schemas::collection::POLL;
use schemas::state::{FoldError, State, States};
use schemas::topics::MIN_COMPACTION_LAG_MS;
use service::admin::Heartbeat;
use service::config::Destination;
use service::exit::{Shutdown, ShutdownTrigger, shutdown};
use service::kafka::partition::{PartitionReader, Record, Start};
use service::kafka::restore::restore;
use tracing::{error, info, warn};

pub(crate) use self::error::{TaskError, read_failed};
use self::error::{restore_failed, write_failed};
use crate::batch::{self, MAX_BODY_BYTES};
use crate::configured;
use crate::events;
use crate::job::{self, End, Work};
use crate::organization::Organization;
use crate::plan::{Plan, Urgency};
use crate::setup::Setup;
use crate::sync_topic::{self, Records, SyncTopic};

/// Longest wait for a record: how soon an ended job or the task's end is noticed.
const TICK: Duration = Duration::from_millis(100);
/// Least time between two questions how far the partition's end is: each is a request to the broker.
const LAG_INTERVAL: Duration = Duration::from_secs(10);
/// How long the loop may be silent: the longest of its blocking calls are a transaction's.
const SILENCE_BOUND: Duration = Duration::from_mins(5);

/// Why a job was given up, or not begun, for whoever asked for the end.
pub(crate) const STOPPED: &str = "the sink was asked to end";

/// What came of considering an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Considered {
    /// JupiterOne holds its graph.
    Synced,
    /// Not yet.
    Waiting,
    /// Its [`Organization::refusal`] says why not.
    Refused,
    /// A job runs.
    Started,
}

/// The writer of the partition's sync records and what they said when it was opened.
struct Writer {
    topic: Arc<SyncTopic>,
    records: Records,
}

/// One partition's task.
pub(crate) struct Task {
    setup: Arc<Setup>,
    partition: i32,
    reader: PartitionReader,
    states: States,
    /// By id; those that the configuration lists.
    pub(crate) organizations: BTreeMap<String, Organization>,
    writer: Option<Writer>,
    heartbeat: Heartbeat,
    /// Ends the sync jobs.
    trigger: ShutdownTrigger,
    stopping: Shutdown,
}

impl Task {
    /// Restores the graphs. The partition's sync records are taken over once it has an organization to synchronize.
    pub(crate) fn open(setup: Arc<Setup>, partition: i32) -> Result<Self, TaskError> {
        let reader = PartitionReader::open(
            &setup.kafka,
            &setup.group_id,
            &setup.graph_topic,
            partition,
            Start::Beginning,
        )
        .map_err(|error| read_failed(partition, error))?;
        let heartbeat = setup.health.heartbeat(format!("partition {partition}"), SILENCE_BOUND);
        let (trigger, stopping) = shutdown();
        let mut task = Self {
            setup,
            partition,
            reader,
            states: States::default(),
            organizations: BTreeMap::new(),
            writer: None,
            heartbeat,
            trigger,
            stopping,
        };
        let Self { reader, states, heartbeat, .. } = &mut task;
        restore(reader, |record| {
            heartbeat.beat();
            fold(states, &record)
        })
        .map_err(|error| restore_failed(partition, error))?;
        task.meet()?;
        Ok(task)
    }

    /// Keeps JupiterOne equal until the end is asked for.
    pub(crate) fn run(&mut self, shutdown: &Shutdown) -> Result<(), TaskError> {
        let (mut is_at_end, mut lag_asked) = (true, Instant::now());
        while !shutdown.is_requested() {
            self.heartbeat.beat();
            self.take_ended()?;
            if is_at_end {
                self.start_jobs()?;
            }
            while let Some(record) =
                self.reader.next(TICK).map_err(|error| read_failed(self.partition, error))?
            {
                self.heartbeat.beat();
                self.follow(&record)?;
                self.tell_lag(&mut lag_asked)?;
                if shutdown.is_requested() {
                    return Ok(());
                }
            }
            // A compacted topic makes sense at its end only.
            is_at_end = self.reader.is_at_end();
            if is_at_end {
                self.setup.metrics.set_lag(self.partition, 0);
                self.meet()?;
            }
        }
        Ok(())
    }

    /// Says, now and then, how far behind the partition's end the task is.
    fn tell_lag(&self, asked: &mut Instant) -> Result<(), TaskError> {
        if asked.elapsed() >= LAG_INTERVAL {
            let end = self.reader.end_offset().map_err(|error| read_failed(self.partition, error))?;
            self.setup.metrics.set_lag(self.partition, end - self.reader.position());
            *asked = Instant::now();
        }
        Ok(())
    }

    /// Ends the sync jobs that run, each within its bound.
    pub(crate) fn close(&mut self) {
        self.trigger.ask();
        for organization in self.organizations.values_mut() {
            if let Some(running) = organization.running.take() {
                // How it ended no longer matters to this task; the sync topic says it.
                let _ = self.setup.runtime.block_on(running);
            }
            self.setup.health.clear(&check_name(&organization.configured.name));
        }
        self.setup.metrics.forget_partition(self.partition);
    }

    fn start_jobs(&mut self) -> Result<(), TaskError> {
        let ids: Vec<String> = self.organizations.keys().cloned().collect();
        for id in ids {
            self.consider(&id, Urgency::Patient)?;
        }
        Ok(())
    }

    fn take_ended(&mut self) -> Result<(), TaskError> {
        let ended: Vec<String> = self
            .organizations
            .values()
            .filter(|organization| organization.running.is_some() && !organization.is_running())
            .map(|organization| organization.id.clone())
            .collect();
        for id in ended {
            self.take_end(&id)?;
        }
        Ok(())
    }

    /// Waits for the sync jobs that run. They are given up when the end is asked for.
    pub(crate) fn wait_for_jobs(&mut self, shutdown: &Shutdown) {
        let Self { setup, organizations, trigger, .. } = self;
        setup.runtime.block_on(async {
            tokio::select! {
                () = all_ended(organizations) => {}
                () = shutdown.requested() => trigger.ask(),
            }
        });
    }

    /// Waits for the organization's job, if one runs, and takes in how it ended.
    pub(crate) fn take_end(&mut self, id: &str) -> Result<(), TaskError> {
        let organization = self.organizations.get_mut(id).expect("an organization is never taken away");
        let Some(running) = organization.running.take() else { return Ok(()) };
        let end = self.setup.runtime.block_on(running).unwrap_or_else(|_| End::Retry {
            sync: organization.sync.clone(),
            after: None,
            reason: "the sync job's code panicked".to_owned(),
        });
        let name = organization.configured.name.clone();
        let now_ms = now_ms();
        match end {
            End::Finished(sync) => {
                organization.finished(sync);
                self.setup.metrics.count_sync_job(&name, "finished");
                self.tell(id, None);
            }
            End::Paused { sync, revision, is_for_data } => {
                let reason = sync.paused.clone().unwrap_or_default();
                organization.paused(sync, revision, is_for_data, now_ms);
                self.setup.metrics.count_sync_job(&name, "refused");
                self.tell(id, Some(reason));
            }
            End::Retry { sync, after, reason } => {
                let pause = organization.failed(sync, after, reason.clone(), now_ms);
                self.setup.metrics.count_sync_job(&name, "failed");
                warn!(
                    organization.name = name,
                    organization.id = id,
                    pause_s = pause.as_secs(),
                    "sync job failed, and is tried again: {reason}"
                );
                self.setup.health.set(check_name(&name), Err(reason));
            }
            End::Stopped => {
                organization.failure = Some(STOPPED.to_owned());
                self.setup.metrics.count_sync_job(&name, "aborted");
            }
            End::Lost(error) => return Err(write_failed(self.partition, error)),
        }
        Ok(())
    }

    /// Plans for an organization and starts its job if one is due.
    pub(crate) fn consider(&mut self, id: &str, urgency: Urgency) -> Result<Considered, TaskError> {
        let Some(state) = self.states.get(id) else { return Ok(Considered::Waiting) };
        let organization = self.organizations.get_mut(id).expect("only known organizations are considered");
        if organization.running.is_some() {
            return Ok(Considered::Started);
        }
        let now_ms = now_ms();
        if let Err(reason) = self.setup.directory.check(&organization.configured, id) {
            return self.refuse(id, reason);
        }
        let place = (self.partition, self.setup.partitions);
        let job = match organization.plan(state, place, urgency, now_ms) {
            Plan::Nothing => {
                self.tell(id, None);
                return self.record_pause(id, None).map(|()| Considered::Synced);
            }
            Plan::Wait => return Ok(Considered::Waiting),
            Plan::Refuse(reason) => return self.refuse(id, reason),
            Plan::Sync(job) => job,
        };
        if let Err(reason) = self.setup.directory.claim(&organization.configured, id, now_ms) {
            return self.refuse(id, reason);
        }
        let batches = match batch::batches(state.graph().elements(), MAX_BODY_BYTES) {
            Ok(batches) => batches,
            Err(too_large) => return self.refuse(id, too_large.to_string()),
        };
        let is_instance = matches!(organization.configured.destination, Destination::Instance(_));
        let events = if is_instance { events::events(state, &job.incomplete) } else { Vec::new() };
        let work = Work {
            organization: organization.configured.name.clone(),
            destination: organization.configured.destination.clone(),
            client: Arc::clone(&organization.configured.client),
            job,
            batches,
            events,
            sync: organization.sync.clone(),
            sync_topic: Arc::clone(
                &self.writer.as_ref().expect("opened when the organization was met").topic,
            ),
        };
        organization.running = Some(self.setup.runtime.spawn(job::run(work, self.stopping.clone())));
        Ok(Considered::Started)
    }

    fn refuse(&mut self, id: &str, reason: String) -> Result<Considered, TaskError> {
        let organization = self.organizations.get(id).expect("only known organizations are refused");
        if organization.refusal.as_ref() != Some(&reason) {
            self.setup.metrics.count_sync_job(&organization.configured.name, "refused");
            self.tell(id, Some(reason.clone()));
        }
        self.record_pause(id, Some(reason)).map(|()| Considered::Refused)
    }

    /// Says once why the organization is paused, or that it no longer is.
    fn tell(&mut self, id: &str, reason: Option<String>) {
        let organization = self.organizations.get_mut(id).expect("only known organizations are told of");
        let name = &organization.configured.name;
        if let Some(reason) = &reason
            && organization.refusal.as_ref() != Some(reason)
        {
            error!(organization.name = name, organization.id = id, "paused: {reason}");
        } else if reason.is_none() && organization.refusal.is_some() {
            info!(organization.name = name, organization.id = id, "no longer paused");
        }
        self.setup.health.set(check_name(name), reason.clone().map_or(Ok(()), Err));
        organization.refusal = reason;
    }

    /// Writes why the organization is paused to the sync topic, if that is new.
    fn record_pause(&mut self, id: &str, reason: Option<String>) -> Result<(), TaskError> {
        let organization = self.organizations.get_mut(id).expect("only known organizations are recorded");
        if organization.sync.paused == reason {
            return Ok(());
        }
        let Some(writer) = &self.writer else { return Ok(()) };
        let sync = schemas::sync::Sync { paused: reason, ..organization.sync.clone() };
        let written = self.setup.runtime.block_on(writer.topic.write(sync.clone()));
        written.map_err(|error| write_failed(self.partition, error))?;
        organization.sync = sync;
        Ok(())
    }

    /// Folds a record that was written after the restore.
    fn follow(&mut self, record: &Record) -> Result<(), TaskError> {
        let lag_ms = i64::try_from(MIN_COMPACTION_LAG_MS).expect("an hour");
        if record.timestamp_ms.is_some_and(|written_ms| now_ms() - written_ms > lag_ms) {
            let source = anyhow::anyhow!(
                "fell behind by more than min.compaction.lag.ms, so records may have been compacted away unread"
            );
            return Err(TaskError::Reopen { partition: self.partition, source });
        }
        fold(&mut self.states, record).map_err(|source| TaskError::Fatal {
            partition: self.partition,
            source: anyhow::Error::from(source)
                .context(format!("failed to fold the record at offset {}", record.offset)),
        })
    }

    /// Takes up the organizations that the configuration lists; the first one makes this the partition's one sink.
    fn meet(&mut self) -> Result<(), TaskError> {
        let mut found = Vec::new();
        for (id, state) in self.states.iter() {
            let Some(name) = name_of(state) else { continue };
            self.setup.directory.meet(name, id);
            if let Some(configured) = configured::matching(&self.setup.configured, id, name)
                && !self.organizations.contains_key(id)
            {
                found.push((id.to_owned(), Arc::clone(configured)));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.take_over()?,
        };
        for (id, configured) in found {
            let key = format!("{id}/{}", configured.target(&id));
            let organization = Organization::new(configured, &id, writer.records.get(&key).cloned());
            self.organizations.insert(id, organization);
        }
        self.writer = Some(writer);
        Ok(())
    }

    fn take_over(&self) -> Result<Writer, TaskError> {
        let Setup { kafka, group_id, sync_topic, .. } = self.setup.as_ref();
        let topic = SyncTopic::open(kafka, group_id, sync_topic, self.partition)
            .map_err(|error| write_failed(self.partition, error))?;
        // After the predecessor is fenced: nobody writes between the reading and the first record of ours.
        let records = sync_topic::read(kafka, group_id, sync_topic, self.partition)
            .map_err(|error| restore_failed(self.partition, error))?;
        for sync in records.values() {
            self.setup.directory.learn(sync);
        }
        Ok(Writer { topic: Arc::new(topic), records })
    }
}

fn fold(states: &mut States, record: &Record) -> Result<(), FoldError> {
    let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
    states.fold_record(&key, record.value.as_deref())
}

/// Waits until no job runs.
async fn all_ended(organizations: &BTreeMap<String, Organization>) {
    while organizations.values().any(Organization::is_running) {
        tokio::time::sleep(TICK).await;
    }
}

/// The organization's name in the configuration of whoever wrote its graph.
fn name_of(state: &State) -> Option<&str> {
    let coverage = state.coverage();
    coverage
        .get(POLL)
        .or_else(|| coverage.values().next())
        .map(|coverage| coverage.organization_name.as_str())
}

fn check_name(organization: &str) -> String {
    format!("organization {organization}")
}

/// Now (ms since 1970).
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
