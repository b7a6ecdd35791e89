//! One organization in the hands of its partition's task: what JupiterOne holds, and what keeps it from more.

use std::sync::Arc;
use std::time::Duration;

use graph::state::State;
use jiff::Timestamp;
use schemas::sync::Sync;
use tokio::task::JoinHandle;

use crate::configured::Configured;
use crate::job::End;
use graph::plan::{self, DEBOUNCE_MS, Plan, Situation, Urgency};

/// First pause after a sync job that failed for JupiterOne's sake; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Longest pause that JupiterOne may ask for: a header that is wrong must not end the synchronization for days.
const LONGEST_ASKED: Duration = Duration::from_hours(1);
/// How long an organization is paused whose key, account or target is refused: the time between mending it and
/// seeing it work.
const REFUSED_PAUSE: Duration = Duration::from_mins(5);
/// How long a refused plan is not made again unless the graph or another organization's target changes: it reads the
/// whole graph, and time alone decides little.
const REFUSED_REST: Duration = Duration::from_mins(1);
/// How long an organization is paused whose data is refused, unless the data changes: each try uploads all of it.
const DATA_PAUSE: Duration = Duration::from_hours(1);

/// One organization.
pub(crate) struct Organization {
    pub(crate) configured: Arc<Configured>,
    pub(crate) id: String,
    /// What JupiterOne holds.
    pub(crate) sync: Sync,
    /// The job that runs.
    pub(crate) running: Option<JoinHandle<End>>,
    /// Why no job is started, as last told.
    pub(crate) refusal: Option<String>,
    /// Why the last job failed, unless it ended otherwise.
    pub(crate) failure: Option<String>,
    unsynced_since_ms: Option<i64>,
    failures: u32,
    rest: Option<Rest>,
    /// When it is to be planned for (ms).
    pub(crate) due_ms: i64,
    /// Whether its job waits for one of another organization to end.
    pub(crate) is_queued: bool,
}

/// What an organization's next task goes on with when its partition is opened again.
#[derive(Debug)]
pub(crate) struct Carried {
    /// The record as the task had written it.
    written: Option<Sync>,
    refusal: Option<String>,
    failure: Option<String>,
    failures: u32,
    rest: Option<Rest>,
}

/// What came of considering an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Considered {
    /// JupiterOne holds its graph.
    Synced,
    /// Not yet.
    Waiting,
    /// Its [`Organization::refusal`] says why not.
    Refused,
    /// As many jobs run as may.
    Queued,
    /// A job runs.
    Started,
}

/// No job before then.
#[derive(Debug)]
struct Rest {
    until_ms: i64,
    /// It ends early when the revision is another.
    ends_after: Option<i64>,
}

impl Organization {
    pub(crate) fn new(configured: Arc<Configured>, id: &str, sync: Option<Sync>) -> Self {
        let sync = sync.unwrap_or_default();
        let target = configured.target(id);
        // The name may be another than when the record was written.
        let sync = Sync {
            organization_id: id.to_owned(),
            organization_name: configured.name.clone(),
            target,
            ..sync
        };
        Self {
            configured,
            id: id.to_owned(),
            sync,
            running: None,
            refusal: None,
            failure: None,
            unsynced_since_ms: None,
            failures: 0,
            rest: None,
            due_ms: i64::MIN,
            is_queued: false,
        }
    }

    /// Ends the work on it; its failures and pauses go on in the next task.
    pub(crate) fn carry(self, written: Option<Sync>) -> Carried {
        let Self { refusal, failure, failures, rest, .. } = self;
        Carried { written, refusal, failure, failures, rest }
    }

    /// Goes on with what the task before knew. What a person or another sink has written since is a reason to try at
    /// once.
    #[must_use]
    pub(crate) fn with(self, carried: Carried, read: Option<&Sync>) -> Self {
        let Carried { written, refusal, failure, failures, rest } = carried;
        if written.as_ref() == read {
            Self { refusal, failure, failures, rest, ..self }
        } else {
            Self { refusal, ..self }
        }
    }

    /// Whether its job is not done yet.
    pub(crate) fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.is_finished())
    }

    /// What to do now.
    pub(crate) fn plan(&mut self, state: &State, place: (i32, i32), urgency: Urgency, now_ms: i64) -> Plan {
        if self.is_resting(state.poll().revision, now_ms) {
            return Plan::Wait;
        }
        if !plan::is_unsynced(state, &self.sync) {
            self.unsynced_since_ms = None;
        }
        let is_unsynced = plan::is_unsynced(state, &self.sync);
        let unsynced_since_ms =
            if is_unsynced { *self.unsynced_since_ms.get_or_insert(now_ms) } else { now_ms };
        plan::plan(&Situation {
            organization_id: &self.id,
            state,
            sync: &self.sync,
            rules: &self.configured.rules,
            partition: place.0,
            partitions: place.1,
            unsynced_since_ms,
            now_ms,
            urgency,
        })
    }

    /// A job ended well.
    pub(crate) fn finished(&mut self, sync: Sync) {
        self.sync = sync;
        self.failures = 0;
        self.failure = None;
        self.rest = None;
        self.unsynced_since_ms = None;
    }

    /// A job ended, and JupiterOne did not write all of it; how long until it is repeated, unless the data changes.
    pub(crate) fn unwritten(&mut self, sync: Sync, reason: String, now_ms: i64) -> Duration {
        let revision = sync.finished.as_ref().map(|finished| finished.revision);
        self.sync = sync;
        self.failure = Some(reason);
        self.unsynced_since_ms = None;
        let pause = self.doubled(DATA_PAUSE);
        self.rest = Some(Rest { until_ms: now_ms + milliseconds(pause), ends_after: revision });
        pause
    }

    /// A job must not be tried again soon.
    pub(crate) fn paused(&mut self, sync: Sync, revision: i64, is_for_data: bool, now_ms: i64) {
        self.sync = sync;
        self.failure = None;
        let pause = if is_for_data { DATA_PAUSE } else { REFUSED_PAUSE };
        self.rest = Some(Rest {
            until_ms: now_ms + milliseconds(pause),
            ends_after: is_for_data.then_some(revision),
        });
    }

    /// A job failed; how long until the next.
    pub(crate) fn failed(
        &mut self,
        sync: Sync,
        after: Option<Duration>,
        leaves_jobs: bool,
        reason: String,
        now_ms: i64,
    ) -> Duration {
        self.sync = sync;
        self.failure = Some(reason);
        // Each try may leave an open job at JupiterOne: a day has few of them.
        let longest = if leaves_jobs { DATA_PAUSE } else { LONGEST_PAUSE };
        let pause = after.unwrap_or_default().min(LONGEST_ASKED).max(self.doubled(longest));
        self.rest = Some(Rest { until_ms: now_ms + milliseconds(pause), ends_after: None });
        pause
    }

    /// The pause after one more failure.
    fn doubled(&mut self, longest: Duration) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(longest);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Notes when to plan for it next, unless the graph changes or its job ends before.
    pub(crate) fn considered(&mut self, considered: Considered, now_ms: i64) {
        self.is_queued = considered == Considered::Queued;
        self.due_ms = match considered {
            Considered::Started => i64::MAX,
            Considered::Queued => i64::MIN,
            Considered::Refused => now_ms + milliseconds(REFUSED_REST),
            Considered::Synced => self.sync.finished.as_ref().map_or(i64::MAX, |finished| {
                plan::full_sync_due_ms(&self.id, &self.configured.rules, finished.ended_ts_ms)
            }),
            Considered::Waiting => {
                let rest_ms =
                    self.rest.as_ref().map(|rest| rest.until_ms).filter(|until_ms| *until_ms > now_ms);
                let debounce_ms = self.unsynced_since_ms.map(|since_ms| since_ms + DEBOUNCE_MS);
                rest_ms.or(debounce_ms.filter(|until_ms| *until_ms > now_ms)).unwrap_or(i64::MAX)
            }
        };
    }

    /// When its pause ends, in words that follow a reason; empty where no time ends it.
    pub(crate) fn resumes(&self, now_ms: i64) -> String {
        let Some(rest) = self.rest.as_ref().filter(|rest| rest.until_ms > now_ms) else {
            return String::new();
        };
        let until = Timestamp::from_millisecond(rest.until_ms).unwrap_or_default();
        let earlier = if rest.ends_after.is_some() { ", or as soon as the graph changes" } else { "" };
        format!("; the next try is at {until:.0}{earlier}")
    }

    /// How long no job is started.
    pub(crate) fn rest(&self, now_ms: i64) -> Duration {
        let rest_ms = self.rest.as_ref().map_or(0, |rest| rest.until_ms - now_ms);
        Duration::from_millis(u64::try_from(rest_ms).unwrap_or(0))
    }

    fn is_resting(&self, revision: i64, now_ms: i64) -> bool {
        self.rest
            .as_ref()
            .is_some_and(|rest| now_ms < rest.until_ms && rest.ends_after.is_none_or(|at| at == revision))
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
