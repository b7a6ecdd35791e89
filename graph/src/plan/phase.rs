//! The phases of an organization's synchronization, and what a job's end leaves in its record. Pure.

use std::time::Duration;

use jiff::Timestamp;
use schemas::sync::{Intent, Sync, Wait};

use super::{DEBOUNCE_MS, Situation, next, unwritten};

/// First pause after a sync job that failed for JupiterOne's sake; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// Longest pause that JupiterOne may ask for: a header that is wrong must not end the synchronization for days.
const LONGEST_ASKED: Duration = Duration::from_hours(1);
/// How long an organization is paused whose key, account or target is refused: the time between fixing it and
/// seeing it work.
const REFUSED_PAUSE: Duration = Duration::from_mins(5);
/// How long an organization is paused whose data is refused, unless the data changes: each try uploads all of it.
const DATA_PAUSE: Duration = Duration::from_hours(1);
/// How long until what needs a person is decided again although no record came: it reads the whole graph, and time alone
/// decides little.
const DECIDED_PAUSE: Duration = Duration::from_mins(1);

/// What an organization's synchronization is doing. Each phase has a [`Phase::reason`], and says in [`Phase::then`] what
/// ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// JupiterOne holds the graph.
    Synced {
        /// When a job follows although nothing changes (ms).
        until_ms: i64,
    },
    /// A job is due, but must wait for something that needs no person.
    Waiting(WaitsFor),
    Uploading {
        revision: i64,
        /// Why it was started.
        cause: &'static str,
    },
    /// The last job failed, or left objects unwritten.
    Retrying {
        error: String,
        /// When it is tried again.
        retry: Retry,
    },
    /// A person has to fix or approve something.
    Paused {
        /// What, and how.
        reason: String,
        /// When it is tried again anyway; `None`: it is decided again with each record.
        retry: Option<Retry>,
    },
}

/// What a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// The end of the poll that runs, up to then (ms).
    Poll {
        /// When it starts anyway.
        until_ms: i64,
    },
    /// The first whole listing of the organization itself.
    Listing,
    /// A place among the jobs that may run at a time.
    Turn {
        /// Why a job is due.
        cause: &'static str,
    },
}

/// When another try is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Not before (ms).
    pub at_ms: i64,
    /// Unless the graph changes first.
    pub ends_with_change: bool,
}

/// How a sync job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Finished,
    /// It must not be tried again before something is fixed.
    Refused {
        reason: String,
        /// Whether the object or the data was refused; else the key, the account or the target.
        is_for_data: bool,
    },
    /// To be tried again later.
    Failed {
        reason: String,
        /// How long JupiterOne wants to be left alone.
        after: Option<Duration>,
        /// Whether each try may leave an open job.
        leaves_jobs: bool,
    },
    /// The process or the task ends.
    Stopped,
}

impl Outcome {
    /// Why the job is given up.
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused { reason, .. } | Self::Failed { reason, .. } => reason,
            Self::Finished | Self::Stopped => "the sink ends",
        }
    }
}

impl Retry {
    pub fn describe(&self) -> String {
        let earlier = if self.ends_with_change { ", or as soon as the graph changes" } else { "" };
        format!("the next try is at {}{earlier}", time(self.at_ms))
    }
}

impl Phase {
    pub const NAMES: [&'static str; 5] = ["synced", "waiting", "uploading", "retrying", "paused"];

    pub fn name(&self) -> &'static str {
        match self {
            Self::Synced { .. } => "synced",
            Self::Waiting(_) => "waiting",
            Self::Uploading { .. } => "uploading",
            Self::Retrying { .. } => "retrying",
            Self::Paused { .. } => "paused",
        }
    }

    /// Why it is so.
    pub fn reason(&self) -> String {
        match self {
            Self::Synced { .. } => "JupiterOne holds the graph".to_owned(),
            Self::Waiting(WaitsFor::Poll { .. }) => {
                "a poll that may bring more changes has not ended".to_owned()
            }
            Self::Waiting(WaitsFor::Listing) => {
                "the collection `organization` was never listed whole; run `producer poll` to see why"
                    .to_owned()
            }
            Self::Waiting(WaitsFor::Turn { cause }) => format!("a sync job is due: {cause}"),
            Self::Uploading { revision, cause } => format!("a sync job of revision {revision} runs: {cause}"),
            Self::Retrying { error, .. } => error.clone(),
            Self::Paused { reason, .. } => reason.clone(),
        }
    }

    /// When it ends without a person (ms).
    pub fn until_ms(&self) -> Option<i64> {
        match self {
            Self::Synced { until_ms } | Self::Waiting(WaitsFor::Poll { until_ms }) => Some(*until_ms),
            Self::Retrying { retry, .. } | Self::Paused { retry: Some(retry), .. } => Some(retry.at_ms),
            Self::Waiting(_) | Self::Uploading { .. } | Self::Paused { retry: None, .. } => None,
        }
    }

    /// What ends it, in words.
    pub fn then(&self) -> String {
        match self {
            Self::Synced { until_ms } => {
                format!("a sync job follows at {}, or as soon as the graph changes", time(*until_ms))
            }
            Self::Waiting(WaitsFor::Poll { until_ms }) => {
                format!("the sync job starts when the poll ends, at the latest at {}", time(*until_ms))
            }
            Self::Waiting(WaitsFor::Listing) => "the sync job starts after the next whole listing".to_owned(),
            Self::Waiting(WaitsFor::Turn { .. }) => {
                "a running sink starts the sync job when one of its running jobs ends".to_owned()
            }
            Self::Uploading { .. } => "the phase ends with the job".to_owned(),
            Self::Retrying { retry, .. } | Self::Paused { retry: Some(retry), .. } => retry.describe(),
            Self::Paused { retry: None, .. } => {
                "take the step that the reason names; the sink then continues without a restart".to_owned()
            }
        }
    }

    /// Reason and, where a try follows, its time.
    pub fn describe(&self) -> String {
        match self {
            Self::Retrying { retry, .. } | Self::Paused { retry: Some(retry), .. } => {
                format!("{}; {}", self.reason(), retry.describe())
            }
            Self::Synced { .. } | Self::Waiting(_) | Self::Uploading { .. } | Self::Paused { .. } => {
                self.reason()
            }
        }
    }

    /// When to decide again unless a record comes or the job ends (ms).
    pub fn due_ms(&self, now_ms: i64) -> i64 {
        match self {
            Self::Waiting(WaitsFor::Turn { .. }) => i64::MIN,
            Self::Waiting(WaitsFor::Listing) | Self::Uploading { .. } => i64::MAX,
            Self::Paused { retry: None, .. } => now_ms + milliseconds(DECIDED_PAUSE),
            Self::Synced { .. } | Self::Waiting(_) | Self::Retrying { .. } | Self::Paused { .. } => {
                self.until_ms().unwrap_or(i64::MAX)
            }
        }
    }
}

/// The record after a job of that revision ended so. Failures count on until a job leaves nothing to do.
#[must_use]
pub fn ended(mut sync: Sync, outcome: &Outcome, revision: i64, now_ms: i64) -> Sync {
    let failures = sync.wait.as_ref().map_or(0, |wait| wait.failures);
    let wait = |reason: String, pause: Duration, ends_with_change: bool, failures| Wait {
        reason,
        since_ts_ms: now_ms,
        until_ts_ms: Some(now_ms + milliseconds(pause)),
        revision: ends_with_change.then_some(revision),
        failures,
    };
    match outcome {
        Outcome::Finished => {
            sync.paused = None;
            sync.wait = unwritten(&sync)
                .map(|reason| wait(reason, doubled(failures, DATA_PAUSE), true, failures.saturating_add(1)));
        }
        Outcome::Refused { reason, is_for_data } => {
            let pause = if *is_for_data { DATA_PAUSE } else { REFUSED_PAUSE };
            sync.paused = Some(reason.clone());
            sync.wait = Some(wait(reason.clone(), pause, *is_for_data, failures));
        }
        Outcome::Failed { reason, after, leaves_jobs } => {
            // Each try may leave an open job at JupiterOne: a day has few of them.
            let longest = if *leaves_jobs { DATA_PAUSE } else { LONGEST_PAUSE };
            let pause = after.unwrap_or_default().min(LONGEST_ASKED).max(doubled(failures, longest));
            sync.paused = None;
            sync.wait = Some(wait(reason.clone(), pause, false, failures.saturating_add(1)));
        }
        Outcome::Stopped => {}
    }
    sync
}

/// The phase in which the last job's end left the organization, while it lasts.
pub(super) fn recorded(sync: &Sync, revision: i64, now_ms: i64) -> Option<Phase> {
    let wait = sync.wait.as_ref()?;
    let retry = Retry { at_ms: wait.until_ts_ms?, ends_with_change: wait.revision.is_some() };
    if now_ms >= retry.at_ms || wait.revision.is_some_and(|at| at != revision) {
        return None;
    }
    Some(match &sync.paused {
        Some(reason) => Phase::Paused { reason: reason.clone(), retry: Some(retry) },
        None => Phase::Retrying { error: wait.reason.clone(), retry },
    })
}

/// The phase as far as the topics show it to other programs, and since when, if that is recorded (ms). It is
/// what a sink that starts would enter, unless the record says what one is doing.
pub fn phase_from_topics(situation: &Situation<'_>) -> (Phase, Option<i64>) {
    let Situation { state, sync, now_ms, .. } = *situation;
    if let Some((phase, since_ms)) = phase_from_record(sync, state.revision(), now_ms) {
        return (phase, Some(since_ms));
    }
    let phase = next(None, situation).phase;
    let ended_ms = sync.finished.as_ref().map(|finished| finished.ended_ts_ms);
    let since_ms = ended_ms.filter(|_| matches!(phase, Phase::Synced { .. }));
    (phase, since_ms)
}

/// The phase that follows from the record alone, if the graph is at that revision, and since when (ms).
pub fn phase_from_record(sync: &Sync, revision: i64, now_ms: i64) -> Option<(Phase, i64)> {
    let wait = sync.wait.as_ref();
    if let Some((phase, wait)) = recorded(sync, revision, now_ms).zip(wait) {
        return Some((phase, wait.since_ts_ms));
    }
    // An intent from before a job's end is left if the outcome of the job is unknown.
    let is_open = |intent: &&Intent| {
        !intent.job_id.is_empty() && wait.is_none_or(|wait| wait.since_ts_ms < intent.started_ts_ms)
    };
    if let Some(intent) = sync.intent.as_ref().filter(is_open) {
        let cause = if intent.asks { "it checks what the target holds" } else { "its start is recorded" };
        return Some((Phase::Uploading { revision: intent.revision, cause }, intent.started_ts_ms));
    }
    let Wait { since_ts_ms, .. } = wait.filter(|wait| wait.until_ts_ms.is_none())?;
    let reason = sync.paused.clone()?;
    Some((Phase::Paused { reason, retry: None }, *since_ts_ms))
}

/// Records what a person has to fix or to allow before the next job.
pub(super) fn record_pause(sync: &mut Sync, reason: &str, now_ms: i64) {
    let before = sync.wait.take();
    let since = before.as_ref().filter(|wait| wait.until_ts_ms.is_none()).map(|wait| wait.since_ts_ms);
    sync.paused = Some(reason.to_owned());
    sync.wait = Some(Wait {
        reason: reason.to_owned(),
        since_ts_ms: since.unwrap_or(now_ms),
        until_ts_ms: None,
        revision: None,
        failures: before.map_or(0, |wait| wait.failures),
    });
}

/// Up to when a change waits for its poll's end (ms): one that came while there was something else to wait for has
/// waited.
pub(super) fn poll_bound_ms(previous: Option<&Phase>, now_ms: i64) -> i64 {
    match previous {
        None | Some(Phase::Synced { .. } | Phase::Uploading { .. }) => now_ms + DEBOUNCE_MS,
        Some(Phase::Waiting(WaitsFor::Poll { until_ms })) => *until_ms,
        Some(Phase::Waiting(_) | Phase::Retrying { .. } | Phase::Paused { .. }) => now_ms,
    }
}

/// The pause after one more failure.
fn doubled(failures: i64, longest: Duration) -> Duration {
    let factor = 2_u32.saturating_pow(u32::try_from(failures).unwrap_or(u32::MAX));
    FIRST_PAUSE.saturating_mul(factor).min(longest)
}

fn time(ts_ms: i64) -> String {
    format!("{:.0}", Timestamp::from_millisecond(ts_ms).unwrap_or_default())
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}
