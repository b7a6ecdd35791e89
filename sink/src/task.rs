//! One partition's task: it holds the graphs of its organizations, reads on, and keeps JupiterOne equal to them.

mod caught_up;
mod jobs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use graph::plan::Phase;
use graph::state::{FoldError, State, States};
use jiff::Timestamp;
use schemas::collection::POLL;
use service::admin::Heartbeat;
use service::kafka::check_known;
use service::kafka::partition::{Message, PartitionReader, Start, with_short_fetch_wait};
use service::kafka::restore::restore_to;
use service::metrics::Metrics;
use service::shutdown::CancellationToken;
use service::tasks::Error;
use service::wait::WaitReporter;

use self::caught_up::CaughtUp;
use self::jobs::check_name;
use crate::organization::{Carried, Organization};
use crate::organizations;
use crate::setup::Setup;
use crate::sync_topic::{Records, SyncTopic};
use crate::traces::Traces;

/// Longest wait for a record while something else is to come: how soon an ended job is noticed.
const TICK: Duration = Duration::from_millis(100);
/// The same while nothing is: how soon the task's end is noticed. A record ends the wait at once.
const QUIET_TICK: Duration = Duration::from_millis(500);
/// Least time between two questions for the partition's end while records come: each is a request to the broker.
const LAG_INTERVAL: Duration = Duration::from_secs(10);
/// The same while no records come: a small part of the compaction lag, within which an end must have been met. Each
/// question that no broker answers holds the loop up for eight seconds.
const END_INTERVAL: Duration = Duration::from_mins(1);
/// How long the loop may be silent: the longest of its blocking calls are a transaction's.
const SILENCE_BOUND: Duration = Duration::from_mins(5);

/// Why a job was aborted, or not started, when the sink stops.
pub(crate) const STOPPED: &str = "the sink is stopping";

/// What the task of a partition leaves to the next one in the same process.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    organizations: BTreeMap<String, Carried>,
    /// The records as the task had written them, where others were found in their place.
    overwritten: Option<Records>,
}

pub(crate) struct Task {
    pub(crate) setup: Arc<Setup>,
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
    caught_up: CaughtUp,
    traces: Traces,
    /// Ends the sync jobs, as the task's own end does.
    stop_jobs: CancellationToken,
}

impl Task {
    /// Fences the predecessor, reads the sync records, and restores the graphs, in this order: a predecessor that is
    /// not fenced may upload a newer graph than the one that was restored. `None` where it was stopped before it was
    /// open.
    pub(crate) fn open(
        setup: Arc<Setup>,
        partition: i32,
        legacy: &mut Legacy,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, Error> {
        let began = Instant::now();
        let heartbeat = setup.health.heartbeat(format!("partition {partition}"), SILENCE_BOUND);
        let is_stopped = || {
            heartbeat.beat();
            shutdown.is_cancelled()
        };
        let Setup { kafka, group_id, sync_topic, .. } = setup.as_ref();
        let reporter =
            WaitReporter::new(&setup.health, format!("{sync_topic} partition {partition}, writing"));
        let opened = SyncTopic::open_unless(kafka, group_id, sync_topic, partition, reporter, is_stopped);
        let Some(topic) = opened? else { return Ok(None) };
        service::failpoint!("sink::after_fencing");
        let Some(records) = topic.restore(is_stopped)? else { return Ok(None) };
        setup.count_false_takeover(partition, legacy.overwritten.take().as_ref(), &records);
        for sync in records.values() {
            setup.targets.learn(sync, now_ms());
        }
        let caught_up = CaughtUp::at(now_ms());
        let mut traces = Traces::default();
        let restored = restored_unless(&setup, partition, &mut traces, is_stopped)?;
        let Some((reader, states)) = restored else { return Ok(None) };
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
            caught_up,
            traces,
            stop_jobs: shutdown.child_token(),
        };
        task.meet();
        task.setup.metrics.restored(began.elapsed());
        Ok(Some(task))
    }

    /// Waits for no answer to a transaction once that is canceled.
    pub(crate) fn give_up_when(&self, lost: &CancellationToken) {
        self.topic.give_up_when(lost.clone());
    }

    /// Keeps JupiterOne equal until the end is asked for.
    pub(crate) fn run(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        self.wait_for_records()?;
        let mut is_at_end = true;
        while !shutdown.is_cancelled() {
            self.heartbeat.beat();
            self.check_not_behind()?;
            self.take_ended()?;
            self.show_uploads();
            if is_at_end {
                self.start_jobs()?;
            }
            is_at_end = self.read_on(shutdown)?;
            if is_at_end {
                self.setup.metrics.set_lag(self.partition, 0);
                self.meet();
            }
            // Behind the last record there may be markers, which only the reader's position passes.
            self.caught_up.read_to(self.reader.position());
            self.ask_end(END_INTERVAL)?;
        }
        Ok(())
    }

    /// Reads for a moment, and says whether that ended at the partition's end: a compacted topic makes sense there only.
    ///
    /// While records keep coming, no broker reports the end, and the marker of the newest transaction keeps the position
    /// before it. So the leader is asked, and the first record behind the end that it names waits for the next round.
    fn read_on(&mut self, shutdown: &CancellationToken) -> Result<bool, Error> {
        let (mut end, mut until, mut has_read) = (None, Instant::now() + self.patience(), false);
        while !shutdown.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            let Some(record) = self.reader.next(left).map_err(Error::of_restored)? else {
                return Ok(self.reader.is_idle() || self.has_only_a_marker_left(has_read));
            };
            has_read = true;
            until = until.min(Instant::now() + TICK);
            if end.is_some_and(|end| record.offset >= end) {
                self.reader.keep(record);
                return Ok(true);
            }
            self.heartbeat.beat();
            self.follow(record.as_message())?;
            self.caught_up.read_to(self.reader.position());
            self.ask_end(LAG_INTERVAL)?;
            if end.is_none() && Instant::now() >= until {
                let Ok(named) = self.reader.end_offset() else { return Ok(false) };
                if self.reader.position() >= named {
                    return Ok(true);
                }
                (end, until) = (Some(named), Instant::now() + TICK);
            }
        }
        Ok(false)
    }

    /// Whether no record can be left to read: behind the last one, there is its transaction's marker. A broker reports the
    /// end only with its answer to a fetch, which it delays by half a second while no record arrives. If records arrive
    /// more often than that, it never reports the end. So the leader is asked over the producer's connection, which waits
    /// for nothing. If it does not answer although records arrive, the leader is asked over the reader's connection.
    fn has_only_a_marker_left(&self, has_read: bool) -> bool {
        let of_reader = || if has_read { self.reader.end_offset().ok() } else { None };
        let end = self.topic.end_of(&self.setup.graph_topic).or_else(of_reader);
        end.is_some_and(|end| end <= self.reader.position() + 1)
    }

    /// How long the first record of a round is waited for.
    fn patience(&self) -> Duration {
        let now_ms = now_ms();
        let next = self.organizations.values().map(|it| match it.running {
            Some(_) => 0,
            None => it.due_ms.saturating_sub(now_ms),
        });
        let next =
            next.min().map_or(QUIET_TICK, |left| Duration::from_millis(u64::try_from(left).unwrap_or(0)));
        next.clamp(TICK, QUIET_TICK)
    }

    /// Goes on reading with a reader that lets the brokers wait for records: the one that restored asks them again all the
    /// time.
    fn wait_for_records(&mut self) -> Result<(), Error> {
        let Setup { kafka, group_id, graph_topic, .. } = self.setup.as_ref();
        let position = Start::Offset(self.reader.position());
        let reader = PartitionReader::open(kafka, group_id, graph_topic, self.partition, position);
        std::mem::replace(&mut self.reader, reader.map_err(Error::of_restored)?).close();
        Ok(())
    }

    /// Asks for the partition's end, at most once in the interval, and says how far behind it the task is.
    fn ask_end(&mut self, interval: Duration) -> Result<(), Error> {
        let end = self.caught_up.ask(&self.reader, interval, now_ms());
        if let Some(end) = end.map_err(Error::of_restored)? {
            self.setup.metrics.set_lag(self.partition, (end - self.reader.position()).max(0));
        }
        Ok(())
    }

    /// Ends the sync jobs that run, each within its bound. What it gives back is for the partition's next task in this
    /// process.
    pub(crate) fn close(self) -> Legacy {
        self.stop_jobs.cancel();
        let mut legacy = Legacy { organizations: self.carried, overwritten: None };
        for (id, mut organization) in self.organizations {
            if let Some(running) = organization.running.take() {
                // How it ended no longer matters to this task; the sync topic says it.
                let _ = self.setup.runtime.block_on(running);
            }
            let name = &organization.configured.name;
            self.setup.health.clear(&check_name(name));
            self.setup.metrics.forget_organization(name, &Phase::NAMES);
            let written = self.topic.last().remove(&organization.sync.key());
            legacy.organizations.insert(id, organization.carry(written));
        }
        legacy.overwritten = self.is_overwritten.then(|| self.topic.last());
        legacy
    }

    /// Folds a record that was written after the restore.
    fn follow(&mut self, record: Message<'_>) -> Result<(), Error> {
        self.check_not_behind()?;
        check_known(&self.setup.graph_topic, self.partition, record)?;
        let key = record.key.unwrap_or_default();
        let id = key.split(|byte| *byte == b'/').next().unwrap_or_default();
        if let Some(organization) = str::from_utf8(id).ok().and_then(|id| self.organizations.get_mut(id)) {
            organization.due_ms = i64::MIN;
        }
        fold(&mut self.states, record)
            .with_context(|| format!("failed to fold the record at offset {}", record.offset))
            .map_err(Error::Closed)?;
        self.traces.note(record, &self.states);
        Ok(())
    }

    /// A task that met the end within the compaction lag has read every record since.
    fn check_not_behind(&self) -> Result<(), Error> {
        if self.caught_up.is_too_long_ago(now_ms()) {
            return Err(Error::Reopen(anyhow!(
                "the end of the partition was not reached for longer than min.compaction.lag.ms, so records may have been \
                 compacted away unread"
            )));
        }
        Ok(())
    }

    /// Takes up the organizations that the configuration lists.
    fn meet(&mut self) {
        let mut found = Vec::new();
        for (id, state) in self.states.iter() {
            let Some(name) = name_of(state) else { continue };
            self.setup.targets.meet(name, id);
            if let Some(configured) = organizations::matching(&self.setup.configured, id, name)
                && !self.organizations.contains_key(id)
            {
                found.push((id.to_owned(), Arc::clone(configured)));
            }
        }
        for (id, configured) in found {
            let read = configured.record(&self.records, &id);
            let organization = Organization::new(configured, &id, read, self.carried.remove(&id));
            self.setup.metrics.expect_sync(&organization.configured.name);
            self.setup.metrics.set_parked(&organization.configured.name, &organization.sync.parked);
            show_behind(&self.setup.metrics, &organization);
            self.organizations.insert(id, organization);
        }
        for (id, organization) in &mut self.organizations {
            if let Some(state) = self.states.get(id)
                && organization.arrivals.note(state)
            {
                show_behind(&self.setup.metrics, organization);
            }
        }
    }
}

/// The states of the partition's organizations at its end, and the reader that goes on from there.
pub(crate) fn restored(setup: &Setup, partition: i32) -> Result<(PartitionReader, States), Error> {
    let restored = restored_unless(setup, partition, &mut Traces::default(), || false)?;
    Ok(restored.expect("it is never stopped"))
}

/// The same, given up with `None` as soon as it `is_stopped`.
fn restored_unless(
    setup: &Setup,
    partition: i32,
    traces: &mut Traces,
    is_stopped: impl Fn() -> bool,
) -> Result<Option<(PartitionReader, States)>, Error> {
    let Setup { kafka, group_id, graph_topic, .. } = setup;
    let kafka = with_short_fetch_wait(kafka);
    let mut reader = PartitionReader::open(&kafka, group_id, graph_topic, partition, Start::Beginning)
        .map_err(Error::of_restored)?;
    let mut states = States::default();
    let end = reader.end_offset().map_err(Error::of_restored)?;
    let is_complete = restore_to(&mut reader, end, is_stopped, |record| {
        fold(&mut states, record)?;
        traces.note(record, &states);
        Ok::<_, FoldError>(())
    })?;
    Ok(is_complete.then_some((reader, states)))
}

fn fold(states: &mut States, record: Message<'_>) -> Result<(), FoldError> {
    states.fold_record(&String::from_utf8_lossy(record.key.unwrap_or_default()), record.value)
}

/// Shows how far JupiterOne is behind the newest graph.
fn show_behind(metrics: &Metrics, organization: &Organization) {
    let finished = organization.sync.finished.as_ref().map_or(0, |finished| finished.revision);
    let behind = organization.arrivals.revision().saturating_sub(finished).max(0);
    metrics.set_behind(&organization.configured.name, behind);
}

/// The organization's name in the configuration of the processor that wrote its graph.
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
