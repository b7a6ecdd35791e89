//! What the sink does for an organization now: one function, [`next`], of the graph, the record in the sync topic, the
//! phase before, and the time. Pure.
//!
//! ```text
//!                    the graph changes, or the full sync interval is over
//!        ┌──────────────────────────────────────────────────────────┐
//!        │                                                          ▼
//!    ┌────────┐                        poll ended, listed whole, ┌─────────┐
//!    │ Synced │                        a place is free           │ Waiting │
//!    └────────┘                     ┌────────────────────────────┴─────────┘
//!        ▲                          ▼                               │
//!        │  JupiterOne holds all ┌───────────┐                      │ the guard, the target or the topics
//!        └───────────────────────┤ Uploading │                      │ need a person
//!                                └─┬───────┬─┘                      ▼
//!        the job failed, or left   │   ▲   │ the key, the        ┌────────┐
//!        objects unwritten         ▼   │   │ target or the data  │ Paused │
//!                         ┌──────────┐ │   │ is refused          └────────┘
//!                         │ Retrying │ │   └───────────────────────▶ │ ▲
//!                         └────┬─────┘ │                             ▼ │ decided again: with each record, when it
//!                              └───────┴──────────────────────────────┘ was fixed or allowed, at its next time
//! ```
//!
//! Any phase may follow when it is decided again; a job that runs is never decided about.

pub mod completeness;
pub mod first_sync;
pub mod guard;
pub mod parking;
mod phase;
pub mod sync_state;

use std::collections::{BTreeMap, BTreeSet};

use crate::state::State;
use schemas::collection::Collection;
use schemas::coverage::Poll;
use schemas::element::ElementType;
use schemas::sync::{Finished, Parked, Sync};
use schemas::topics::murmur2;

use self::guard::Snapshot;
pub use self::phase::{Outcome, Phase, Retry, WaitsFor, ended, phase_from_record, phase_from_topics};

/// How long a change waits for its poll to end (ms): within it all changes of a small organization's poll go in one
/// sync job, and none is in JupiterOne later than a person would notice.
pub const DEBOUNCE_MS: i64 = 5_000;

/// Full syncs of organizations are this many steps apart at the most (count).
const SPREAD_STEPS: u32 = 1_000;
/// They are spread over one part of the interval in so many (count).
const SPREAD_PART: i64 = 10;
/// How far another machine's clock may be ahead (ms). More means that the clock is wrong.
pub const CLOCK_TOLERANCE_MS: i64 = 60 * 60 * 1000;

/// How pressing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// A change may wait for its poll's end.
    Patient,
    /// Now, since the process ends after it.
    Now,
    /// Now, although nothing changed: a person asked.
    Forced,
}

/// What the configuration says of an organization's sync jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// At least one job in this time (ms).
    pub full_sync_interval_ms: i64,
    /// The guard: largest part of a type's objects that a job may delete (0 to 1).
    pub max_deleted_fraction: f64,
    /// The guard: how many objects of a type a job may delete whatever the part.
    pub max_deleted_count: u32,
    /// Whether API keys are uploaded with the class `NHI` too.
    pub nhi_class: bool,
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    pub organization_id: &'a str,
    /// All that is known, at the end of the partition.
    pub state: &'a State,
    pub sync: &'a Sync,
    pub rules: &'a Rules,
    /// The partition that it was read from.
    pub partition: i32,
    /// How many partitions the graph topic has.
    pub partitions: i32,
    /// Why another organization keeps it from its target, if so.
    pub conflict: Option<&'a str>,
    /// Whether a job may start: few enough others run.
    pub has_turn: bool,
    /// Now (ms).
    pub now_ms: i64,
    /// How pressing it is.
    pub urgency: Urgency,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What the organization's synchronization is doing.
    pub phase: Phase,
    /// The job to start.
    pub job: Option<Job>,
    /// What the sync topic must say.
    pub record: Sync,
}

/// What a sync job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub revision: i64,
    /// Why, for the log.
    pub cause: &'static str,
    pub snapshot: Snapshot,
    /// Types that must not be deleted by absence.
    pub partial_types: Vec<String>,
    /// Objects that JupiterOne refused and that are not tried again in full.
    pub parked: Vec<Parked>,
    /// What the snapshot does not know, in words.
    pub incomplete: Vec<String>,
    /// Whether a job of its own has to find out first what the target holds.
    pub needs_probe: bool,
}

impl Job {
    /// The partial types, those of these refused objects included; sorted.
    pub fn partial_types_with(&self, parked: &[Parked]) -> Vec<String> {
        let mut types = parking::partial_types(parked);
        types.extend(self.partial_types.iter().filter_map(|name| ElementType::parse(name)));
        types.into_iter().map(|kind| kind.name().to_owned()).collect()
    }
}

/// Decides what follows the phase before; none: the organization was just met.
pub fn next(previous: Option<&Phase>, situation: &Situation<'_>) -> Decision {
    let Situation { state, sync, now_ms, .. } = *situation;
    let mut record = sync.clone();
    let (phase, job) = match decide(previous, situation) {
        Ok(job) if situation.has_turn => {
            (Phase::Uploading { revision: job.revision, cause: job.cause }, Some(job))
        }
        Ok(job) => (Phase::Waiting(WaitsFor::Turn { cause: job.cause }), None),
        Err(phase) => (phase, None),
    };
    match &phase {
        Phase::Synced { .. } => {
            (record.paused, record.wait) = (None, None);
            record_held(state, &mut record);
        }
        Phase::Paused { reason, retry: None } => phase::record_pause(&mut record, reason, now_ms),
        Phase::Paused { .. } | Phase::Waiting(_) | Phase::Uploading { .. } | Phase::Retrying { .. } => {}
    }
    Decision { phase, job, record }
}

/// The job that is due, or the phase in which none is.
fn decide(previous: Option<&Phase>, situation: &Situation<'_>) -> Result<Job, Phase> {
    let Situation { organization_id, state, sync, rules, now_ms, .. } = *situation;
    let poll = state.poll();
    let paused = |reason: String| Phase::Paused { reason, retry: None };
    if let Some(reason) = situation.conflict {
        return Err(paused(reason.to_owned()));
    }
    if let Some(phase) = phase::recorded(sync, poll.revision, now_ms) {
        return Err(phase);
    }
    let Some(cause) = cause(situation, &poll) else {
        let ended_ms = sync.finished.as_ref().map_or(now_ms, |finished| finished.ended_ts_ms);
        return Err(Phase::Synced { until_ms: full_sync_due_ms(organization_id, rules, ended_ms) });
    };
    if let Some(reason) = misplaced(situation, &poll) {
        return Err(paused(reason));
    }
    if !completeness::was_whole(state, &Collection::Organization) {
        return Err(Phase::Waiting(WaitsFor::Listing));
    }
    if situation.urgency == Urgency::Patient && !poll.ended {
        let until_ms = phase::poll_bound_ms(previous, now_ms);
        if now_ms < until_ms {
            return Err(Phase::Waiting(WaitsFor::Poll { until_ms }));
        }
    }
    let account = ElementType::Account.entity_key(organization_id);
    if state.graph().get(&account).is_none() {
        return Err(paused(
            "the graph has no anthropic_account, so a sync job would delete the account from JupiterOne; run \
             `producer poll`; if that does not bring the account back, see why its listing fails"
                .to_owned(),
        ));
    }
    // Only trying finds out whether JupiterOne takes by now what it refused.
    let parked = if tries_all(situation) { Vec::new() } else { unchanged(situation) };
    let partial_types = partial_types(state, &parked);
    if let Some(reason) = guarded(situation, &poll, &partial_types) {
        return Err(paused(reason));
    }
    let incomplete = completeness::incomplete(state);
    let snapshot = Snapshot::of(state);
    let needs_probe = first_sync::needs_probe(sync, poll.revision);
    Ok(Job { revision: poll.revision, cause, snapshot, partial_types, parked, incomplete, needs_probe })
}

/// How many objects a sync job of the graph as it is would delete, by type, against the last finished one; at the most,
/// which is where it tries again what JupiterOne refused.
pub fn deletions(state: &State, sync: &Sync) -> BTreeMap<String, i64> {
    let partial_types = partial_types(state, &[]);
    let finished = sync.finished.as_ref();
    finished.map(|finished| guard::deletions(finished, state, &partial_types)).unwrap_or_default()
}

/// Records what is held now, where the last finished job's record says otherwise although the graph is the same: the
/// approval of a hold explains its deletion, although no sync job ran between the two.
fn record_held(state: &State, sync: &mut Sync) {
    let Some(finished) = &mut sync.finished else { return };
    if finished.revision == state.poll().revision && !(state.holds().is_empty() && finished.held.is_empty()) {
        let held = guard::held(state);
        (finished.held, finished.held_samples) = (held.counts, held.samples);
    }
}

/// What JupiterOne did not write of the last finished job, in words.
pub fn unwritten(sync: &Sync) -> Option<String> {
    let finished = sync.finished.as_ref().filter(|finished| finished.unwritten > 0)?;
    Some(format!(
        "JupiterOne finished sync job {} without writing {} objects; the job is repeated with growing pauses",
        finished.job_id, finished.unwritten
    ))
}

/// Why a job is wanted; `None`: it is not.
fn cause(situation: &Situation<'_>, poll: &Poll) -> Option<&'static str> {
    let Some(finished) = &situation.sync.finished else { return Some("first") };
    if finished.revision != poll.revision || is_recreated(situation.sync, poll) {
        Some("changes")
    } else if situation.urgency == Urgency::Forced {
        Some("asked for")
    } else if is_other_form(situation, finished) {
        Some("nhi_class changed")
    } else if finished.unwritten > 0 {
        Some("objects were not written")
    } else if is_over(situation, finished.ended_ts_ms) {
        Some("full sync interval")
    } else if fills_a_gap(situation, finished) {
        Some("a collection became whole")
    } else {
        None
    }
}

/// When a job is due although nothing changes, if one ended then (ms). Organizations that were synchronized together are
/// spread over the last tenth of the interval by their IDs.
pub fn full_sync_due_ms(organization_id: &str, rules: &Rules, ended_ts_ms: i64) -> i64 {
    let interval = rules.full_sync_interval_ms;
    let place = i64::from(murmur2(organization_id.as_bytes()) % SPREAD_STEPS);
    let early = interval / i64::from(SPREAD_STEPS) * place / SPREAD_PART;
    ended_ts_ms.saturating_add(interval - early)
}

/// Whether the full sync interval is over since then. A time that is far ahead was written with a wrong clock, and must
/// not keep jobs away until then.
fn is_over(situation: &Situation<'_>, ts_ms: i64) -> bool {
    let Situation { organization_id, rules, now_ms, .. } = *situation;
    now_ms >= full_sync_due_ms(organization_id, rules, ts_ms) || ts_ms - now_ms > CLOCK_TOLERANCE_MS
}

/// Whether the last job uploaded objects in another form than the configuration now asks for.
fn is_other_form(situation: &Situation<'_>, finished: &Finished) -> bool {
    finished.nhi_class.unwrap_or_default() != situation.rules.nhi_class
}

/// Whether a job tries again what JupiterOne refused: a person asked, it has another form now, or the last that did is as
/// long ago as the interval, whatever jobs came since.
fn tries_all(situation: &Situation<'_>) -> bool {
    let is_due = |finished: &Finished| {
        is_over(situation, finished.tried_all_ts_ms) || is_other_form(situation, finished)
    };
    situation.urgency == Urgency::Forced || situation.sync.finished.as_ref().is_none_or(is_due)
}

fn unchanged(situation: &Situation<'_>) -> Vec<Parked> {
    parking::unchanged(situation.state, &situation.sync.parked)
}

/// Names of the types that the graph or JupiterOne leave incomplete, sorted.
fn partial_types(state: &State, parked: &[Parked]) -> Vec<String> {
    let mut types: BTreeSet<ElementType> = parking::partial_types(parked);
    types.extend(completeness::partial_types(state));
    types.into_iter().map(|kind| kind.name().to_owned()).collect()
}

/// Whether the last job left types partial that are complete now: what JupiterOne holds of them from before may be
/// gone.
fn fills_a_gap(situation: &Situation<'_>, finished: &Finished) -> bool {
    !finished.partial_types.is_empty() && {
        let partial_types = partial_types(situation.state, &unchanged(situation));
        finished.partial_types.iter().any(|kind| !partial_types.contains(kind))
    }
}

/// Why the graph that was read cannot be the organization's whole graph.
fn misplaced(situation: &Situation<'_>, poll: &Poll) -> Option<String> {
    let elements = i64::try_from(situation.state.graph().len()).unwrap_or(i64::MAX);
    if poll.partition_count != situation.partitions {
        Some(format!(
            "the organization was written when the topics had {} partitions, and the graph topic has {}; set \
             a new kafka.topic_prefix and poll again; then run `anthropic-graph sync approve` once",
            poll.partition_count, situation.partitions
        ))
    } else if schemas::topics::partition(situation.organization_id, situation.partitions)
        != situation.partition
    {
        Some(format!(
            "the organization is in partition {}, where it does not belong: another program wrote it, or the \
             topics were changed; set a new kafka.topic_prefix and poll again; then run `anthropic-graph sync \
             approve` once",
            situation.partition
        ))
    } else if poll.element_count != elements {
        Some(format!(
            "the graph topic has {elements} elements, but its coverage counts {}: records are missing; set a \
             new kafka.topic_prefix and poll again, or rebuild from the raw topic with `anthropic-graph \
             reset`; then run `anthropic-graph sync approve` once",
            poll.element_count
        ))
    } else {
        None
    }
}

/// Why the guard does not allow the job, and how a person can.
fn guarded(situation: &Situation<'_>, poll: &Poll, partial_types: &[String]) -> Option<String> {
    let Situation { state, sync, rules, .. } = *situation;
    let revision = poll.revision;
    let way_out = format!(
        "if that is right, run `anthropic-graph sync approve --organization {} --revision {revision} --by $(id -un)`",
        sync.organization_name
    );
    let is_approved = guard::approved(sync).is_some_and(|approval| approval.revision <= revision);
    if let Some(intent) = sync.intent.as_ref().filter(|it| it.revision > revision && !it.job_id.is_empty())
        && !is_approved
    {
        return Some(format!(
            "the graph is at revision {revision}, and the unfinished sync job {} is of revision {}: records of the graph \
             topic are missing, or the topic was re-created; {way_out}",
            intent.job_id, intent.revision
        ));
    }
    let Some(finished) = &sync.finished else { return first_sync::refused(sync, revision) };
    let deletions = guard::deletions(finished, state, partial_types);
    let refused = guard::refused(sync, state, rules, &deletions);
    if !refused.is_empty() {
        let much: Vec<String> =
            refused.iter().map(|(kind, deleted, before)| format!("{deleted} of {before} {kind}")).collect();
        return Some(format!(
            "a sync job of revision {revision} would delete {}, which is more than max_deleted_fraction, \
             max_deleted_count and approved holds allow; {way_out}",
            much.join(" and ")
        ));
    }
    if is_recreated(sync, poll) && !is_approved {
        return Some(format!(
            "the graph is at revision {revision} with {} elements, but JupiterOne holds revision {} with {} \
             objects: the graph topic was re-created; {way_out}",
            poll.element_count,
            finished.revision,
            finished.counts.values().sum::<i64>()
        ));
    }
    None
}

/// Whether the graph was re-created after the finished job: its revisions started again.
pub fn is_recreated(sync: &Sync, poll: &Poll) -> bool {
    sync.finished.as_ref().is_some_and(|finished| {
        let parked: i64 = parking::counts(&sync.parked).values().sum();
        let elements = finished.counts.values().sum::<i64>() + parked;
        finished.revision > poll.revision
            || (finished.revision == poll.revision && elements != poll.element_count)
    })
}

#[cfg(test)]
mod tests;
