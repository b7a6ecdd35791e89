//! What to do for an organization now. Pure: time is an argument.

use std::collections::BTreeMap;

use schemas::collection::Collection;
use schemas::coverage::Poll;
use schemas::element::ElementType;
use schemas::state::State;
use schemas::sync::{Finished, Sync};

use crate::gap;

/// How long a change waits for its poll to end (ms): within it all changes of a small organization's poll go in one
/// sync job, and none is in JupiterOne later than a person would notice.
pub(crate) const DEBOUNCE_MS: i64 = 5_000;

/// How pressing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A change may wait for its poll's end.
    Patient,
    /// Now, since the process ends after it.
    Now,
    /// Now, although nothing changed: a person asked.
    Forced,
}

/// What the configuration says of an organization's sync jobs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rules {
    /// At least one job in this time (ms).
    pub(crate) full_sync_interval_ms: i64,
    /// The guard: largest part of a type's objects that a job may delete (0 to 1).
    pub(crate) max_deleted_fraction: f64,
    /// The guard: how many objects of a type a job may delete whatever the part.
    pub(crate) max_deleted_count: u32,
}

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Situation<'a> {
    /// The organization's id.
    pub(crate) organization_id: &'a str,
    /// All that is known, at the end of the partition.
    pub(crate) state: &'a State,
    /// What JupiterOne holds.
    pub(crate) sync: &'a Sync,
    /// The configuration's.
    pub(crate) rules: &'a Rules,
    /// The partition that it was read from.
    pub(crate) partition: i32,
    /// How many partitions the graph topic has.
    pub(crate) partitions: i32,
    /// Since when the revision is another than the finished one, as far as this process knows (ms).
    pub(crate) unsynced_since_ms: i64,
    /// Now (ms).
    pub(crate) now_ms: i64,
    /// How pressing it is.
    pub(crate) urgency: Urgency,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
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
pub(crate) struct Job {
    /// Of the snapshot.
    pub(crate) revision: i64,
    /// Why, for the log.
    pub(crate) cause: &'static str,
    /// Objects by type.
    pub(crate) counts: BTreeMap<String, i64>,
    /// Types that must not be deleted by absence.
    pub(crate) partial_types: Vec<String>,
    /// What the snapshot does not know, in words.
    pub(crate) incomplete: Vec<String>,
}

/// Decides.
pub(crate) fn plan(situation: &Situation<'_>) -> Plan {
    let poll = situation.state.poll();
    let Some(cause) = cause(situation, &poll) else { return Plan::Nothing };
    if let Some(reason) = misplaced(situation, &poll) {
        return Plan::Refuse(reason);
    }
    if !gap::was_whole(situation.state, &Collection::Organization) {
        return Plan::Wait;
    }
    let waited_ms = situation.now_ms - situation.unsynced_since_ms;
    if situation.urgency == Urgency::Patient && !poll.ended && waited_ms < DEBOUNCE_MS {
        return Plan::Wait;
    }
    let counts = counts(situation.state);
    if !counts.contains_key(ElementType::Account.name()) {
        return Plan::Refuse(
            "the graph has no anthropic_account, so a sync job would delete the account from JupiterOne; run \
             `producer poll`, and look for why if that does not bring it back"
                .to_owned(),
        );
    }
    let partial_types = gap::partial_types(situation.state);
    if let Some(reason) = guarded(situation, &counts, &partial_types) {
        return Plan::Refuse(reason);
    }
    let incomplete = gap::incomplete(situation.state);
    Plan::Sync(Job { revision: poll.revision, cause, counts, partial_types, incomplete })
}

/// Whether JupiterOne holds another revision than the graph's.
pub(crate) fn is_unsynced(state: &State, sync: &Sync) -> bool {
    sync.finished.as_ref().map(|finished| finished.revision) != Some(state.poll().revision)
}

/// Why a job is wanted; `None`: it is not.
fn cause(situation: &Situation<'_>, poll: &Poll) -> Option<&'static str> {
    let Some(finished) = &situation.sync.finished else { return Some("first") };
    if finished.revision != poll.revision {
        Some("changes")
    } else if situation.urgency == Urgency::Forced {
        Some("asked for")
    } else if situation.now_ms - finished.ended_ts_ms >= situation.rules.full_sync_interval_ms {
        Some("full sync interval")
    } else if fills_a_gap(situation.state, finished) {
        Some("a collection became whole")
    } else {
        None
    }
}

/// Whether the last job left types partial that need not be any more: what JupiterOne holds of them from before may
/// be gone.
fn fills_a_gap(state: &State, finished: &Finished) -> bool {
    !finished.partial_types.is_empty() && {
        let partial_types = gap::partial_types(state);
        finished.partial_types.iter().any(|kind| !partial_types.contains(kind))
    }
}

/// Why the graph that was read cannot be the organization's whole graph.
fn misplaced(situation: &Situation<'_>, poll: &Poll) -> Option<String> {
    let elements = i64::try_from(situation.state.graph().len()).unwrap_or(i64::MAX);
    if poll.partition_count != situation.partitions {
        Some(format!(
            "the organization was written when the topics had {} partitions, and the graph topic has {}; give the \
             topics a new prefix (kafka.topic_prefix) and poll again",
            poll.partition_count, situation.partitions
        ))
    } else if schemas::topics::partition(situation.organization_id, situation.partitions)
        != situation.partition
    {
        Some(format!(
            "the organization is in partition {}, where it does not belong: another program wrote it, or the topics were \
             changed; give them a new prefix (kafka.topic_prefix) and poll again",
            situation.partition
        ))
    } else if poll.element_count != elements {
        Some(format!(
            "the graph topic gives {elements} elements where its coverage says {}; records of it are missing; \
             give the topics a new prefix (kafka.topic_prefix) and poll again",
            poll.element_count
        ))
    } else {
        None
    }
}

fn counts(state: &State) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for element in state.graph().elements() {
        *counts.entry(element.kind.clone()).or_insert(0) += 1;
    }
    counts
}

/// Why the guard does not allow the job: of some type it would delete more than the configuration allows, against
/// what the last job uploaded. Partial types are not deleted from.
fn guarded(
    situation: &Situation<'_>,
    counts: &BTreeMap<String, i64>,
    partial_types: &[String],
) -> Option<String> {
    let Rules { max_deleted_fraction, max_deleted_count, .. } = *situation.rules;
    let finished = situation.sync.finished.as_ref()?;
    let mut held: Vec<String> = Vec::new();
    for (kind, &before) in &finished.counts {
        let deleted = before - counts.get(kind).copied().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let is_much = deleted as f64 > max_deleted_fraction * before as f64;
        if is_much && deleted > i64::from(max_deleted_count) && !partial_types.contains(kind) {
            held.push(format!("{deleted} of {before} {kind}"));
        }
    }
    (!held.is_empty()).then(|| {
        format!(
            "a sync job would delete {}, more than max_deleted_fraction and max_deleted_count allow; raise one of \
             them for this organization if that many are really gone",
            held.join(" and ")
        )
    })
}

#[cfg(test)]
mod tests;
