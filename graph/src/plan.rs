//! What to do for an organization now. Pure: time is an argument.

pub mod completeness;
pub mod first_sync;
pub mod guard;
pub mod parking;

use std::collections::{BTreeMap, BTreeSet};

use crate::state::State;
use schemas::collection::Collection;
use schemas::coverage::Poll;
use schemas::element::ElementType;
use schemas::sync::{Finished, Parked, Sync};
use schemas::topics::murmur2;

use self::guard::{Sampled, Snapshot};

/// How long a change waits for its poll to end (ms): within it all changes of a small organization's poll go in one
/// sync job, and none is in JupiterOne later than a person would notice.
pub const DEBOUNCE_MS: i64 = 5_000;

/// Full syncs of organizations are this many steps apart at the most (count).
const SPREAD_STEPS: u32 = 1_000;
/// They are spread over one part of the interval in so many (count).
const SPREAD_PART: i64 = 10;
/// How far another machine's clock may be ahead (ms): no machine that keeps time is.
const CLOCK_TOLERANCE_MS: i64 = 60 * 60 * 1000;

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
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The organization's id.
    pub organization_id: &'a str,
    /// All that is known, at the end of the partition.
    pub state: &'a State,
    /// What JupiterOne holds.
    pub sync: &'a Sync,
    /// The configuration's.
    pub rules: &'a Rules,
    /// The partition that it was read from.
    pub partition: i32,
    /// How many partitions the graph topic has.
    pub partitions: i32,
    /// Since when the revision is another than the finished one, as far as this process knows (ms).
    pub unsynced_since_ms: i64,
    /// Now (ms).
    pub now_ms: i64,
    /// How pressing it is.
    pub urgency: Urgency,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// JupiterOne holds what the graph says.
    Nothing,
    /// There is something to do, and not yet.
    Wait,
    /// There is something to do, and it must not be done.
    Refuse(String),
    /// A sync job of the graph as it is.
    Sync(Job),
}

/// What a sync job is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Of the snapshot.
    pub revision: i64,
    /// Why, for the log.
    pub cause: &'static str,
    /// Of its objects.
    pub snapshot: Snapshot,
    /// Types that must not be deleted by absence.
    pub partial_types: Vec<String>,
    /// Objects that JupiterOne refused and that are not tried again in full.
    pub parked: Vec<Parked>,
    /// What the snapshot does not know, in words.
    pub incomplete: Vec<String>,
    /// Whether the target has to be asked first what it holds.
    pub asks: bool,
}

impl Job {
    /// The partial types, those of these refused objects included; sorted.
    pub fn partial_types_with(&self, parked: &[Parked]) -> Vec<String> {
        let mut types = parking::partial_types(parked);
        types.extend(self.partial_types.iter().filter_map(|name| ElementType::parse(name)));
        types.into_iter().map(|kind| kind.name().to_owned()).collect()
    }
}

/// Decides.
pub fn plan(situation: &Situation<'_>) -> Plan {
    let poll = situation.state.poll();
    let Some(cause) = cause(situation, &poll) else { return Plan::Nothing };
    if let Some(reason) = misplaced(situation, &poll) {
        return Plan::Refuse(reason);
    }
    if !completeness::was_whole(situation.state, &Collection::Organization) {
        return Plan::Wait;
    }
    let waited_ms = situation.now_ms - situation.unsynced_since_ms;
    if situation.urgency == Urgency::Patient && !poll.ended && waited_ms < DEBOUNCE_MS {
        return Plan::Wait;
    }
    let account = ElementType::Account.entity_key(situation.organization_id);
    if situation.state.graph().get(&account).is_none() {
        return Plan::Refuse(
            "the graph has no anthropic_account, so a sync job would delete the account from JupiterOne; run \
             `producer poll`, and look for why if that does not bring it back"
                .to_owned(),
        );
    }
    // Only trying finds out whether JupiterOne takes by now what it refused.
    let parked = if tries_all(situation) { Vec::new() } else { unchanged(situation) };
    let partial_types = partial_types(situation.state, &parked);
    if let Some(reason) = guarded(situation, &poll, &partial_types) {
        return Plan::Refuse(reason);
    }
    let incomplete = completeness::incomplete(situation.state);
    let snapshot = Snapshot::of(situation.state);
    let asks = first_sync::is_unasked(situation.sync, poll.revision);
    Plan::Sync(Job { revision: poll.revision, cause, snapshot, partial_types, parked, incomplete, asks })
}

/// How many objects a sync job of the graph as it is would delete, by type, against the last finished one; at the most,
/// which is where it tries again what JupiterOne refused.
pub fn deletions(state: &State, sync: &Sync) -> BTreeMap<String, i64> {
    let partial_types = partial_types(state, &[]);
    let finished = sync.finished.as_ref();
    finished.map(|finished| guard::deletions(finished, state, &partial_types)).unwrap_or_default()
}

/// What is held now, where the last finished job's record says otherwise although the graph is the same.
pub fn newly_held(state: &State, sync: &Sync) -> Option<Sampled> {
    let finished = sync.finished.as_ref()?;
    if finished.revision != state.poll().revision || (state.holds().is_empty() && finished.held.is_empty()) {
        return None;
    }
    Some(guard::held(state))
        .filter(|held| held.counts != finished.held || held.samples != finished.held_samples)
}

/// Whether JupiterOne holds another revision than the graph's, or not all of it.
pub fn is_unsynced(state: &State, sync: &Sync) -> bool {
    let poll = state.poll();
    let finished = sync.finished.as_ref();
    finished.map(|finished| finished.revision) != Some(poll.revision)
        || is_remade(sync, &poll)
        || unwritten(sync).is_some()
}

/// What JupiterOne did not write of the last finished job, in words.
pub fn unwritten(sync: &Sync) -> Option<String> {
    let finished = sync.finished.as_ref().filter(|finished| finished.unwritten > 0)?;
    Some(format!(
        "JupiterOne finished sync job {} without writing {} objects; the job is repeated, less and less often",
        finished.job_id, finished.unwritten
    ))
}

/// Why a job is wanted; `None`: it is not.
fn cause(situation: &Situation<'_>, poll: &Poll) -> Option<&'static str> {
    let Some(finished) = &situation.sync.finished else { return Some("first") };
    if finished.revision != poll.revision || is_remade(situation.sync, poll) {
        Some("changes")
    } else if situation.urgency == Urgency::Forced {
        Some("asked for")
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

/// Whether a job tries again what JupiterOne refused: a person asked, or the last that did is as long ago as the
/// interval, whatever jobs came since.
fn tries_all(situation: &Situation<'_>) -> bool {
    let is_due = |finished: &Finished| is_over(situation, finished.tried_all_ts_ms);
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

/// Whether the last job left types partial that need not be any more: what JupiterOne holds of them from before may
/// be gone.
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
            "the organization was written when the topics had {} partitions, and the graph topic has {}; give the \
             topics a new prefix (kafka.topic_prefix) and poll again; one `sink approve` follows",
            poll.partition_count, situation.partitions
        ))
    } else if schemas::topics::partition(situation.organization_id, situation.partitions)
        != situation.partition
    {
        Some(format!(
            "the organization is in partition {}, where it does not belong: another program wrote it, or the topics were \
             changed; give them a new prefix (kafka.topic_prefix) and poll again; one `sink approve` follows",
            situation.partition
        ))
    } else if poll.element_count != elements {
        Some(format!(
            "the graph topic gives {elements} elements where its coverage says {}; records of it are missing; \
             give the topics a new prefix (kafka.topic_prefix) and poll again, or begin anew \
             from what raw has with `processor reset`; one `sink approve` follows",
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
        "if that is right, run `sink approve --organization {} --revision {revision} --by $(id -un)`",
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
            "a sync job of revision {revision} would delete {}, more than max_deleted_fraction and \
             max_deleted_count allow and than approvals of held deletions explain; {way_out}",
            much.join(" and ")
        ));
    }
    if is_remade(sync, poll) && !is_approved {
        return Some(format!(
            "the graph is at revision {revision} with {} elements, and JupiterOne holds revision {} with {} \
             objects: the graph topic was made anew; {way_out}",
            poll.element_count,
            finished.revision,
            finished.counts.values().sum::<i64>()
        ));
    }
    None
}

/// Whether the graph is another one than the finished job's: its revisions began anew.
fn is_remade(sync: &Sync, poll: &Poll) -> bool {
    sync.finished.as_ref().is_some_and(|finished| {
        let parked: i64 = parking::counts(&sync.parked).values().sum();
        let elements = finished.counts.values().sum::<i64>() + parked;
        finished.revision > poll.revision
            || (finished.revision == poll.revision && elements != poll.element_count)
    })
}

#[cfg(test)]
mod tests;
