//! What a sync job would delete, and whether that is so much that a person has to allow it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::state::State;
use schemas::encoded::EncodedElement;
use schemas::sync::{Finished, Sync};
use schemas::topics::murmur2;

use super::Rules;

/// Keys of a type that are remembered of a finished job (count): of up to as many objects it is known exactly how
/// many are gone, of more it is estimated within three of a hundred.
const SAMPLE: usize = 256;

/// Some objects, by type: how many, and the lowest hashes of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sampled {
    pub counts: BTreeMap<String, i64>,
    /// The lowest hashes of their keys.
    pub samples: BTreeMap<String, Vec<i32>>,
}

impl Sampled {
    fn of<'a>(elements: impl Iterator<Item = &'a EncodedElement>) -> Self {
        let (mut counts, mut samples) = (BTreeMap::new(), BTreeMap::<String, Vec<i32>>::new());
        for element in elements {
            *counts.entry(element.kind().to_owned()).or_insert(0) += 1;
            samples.entry(element.kind().to_owned()).or_default().push(hash(element.key()));
        }
        for sample in samples.values_mut() {
            sample.sort_unstable();
            sample.dedup();
            sample.truncate(SAMPLE);
        }
        Self { counts, samples }
    }
}

/// What is remembered of a finished job's objects, to count later how many of them are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub all: Sampled,
    /// Those of them that go if every hold is approved.
    pub held: Sampled,
}

impl Snapshot {
    /// Of the graph as it is.
    pub fn of(state: &State) -> Self {
        Self { all: Sampled::of(state.graph().iter()), held: held(state) }
    }
}

/// What is deleted if every hold is approved: the held elements and the relationships of which they are an end.
pub fn held(state: &State) -> Sampled {
    let mut keys: BTreeSet<&str> = BTreeSet::new();
    for key in state.holds().keys() {
        keys.insert(key);
        keys.extend(state.relationships_of(key));
    }
    Sampled::of(keys.into_iter().filter_map(|key| state.graph().get(key)))
}

/// How many of the finished job's objects a job of the graph as it is would delete, by type. Of partial types nothing
/// is deleted.
pub fn deletions(finished: &Finished, state: &State, partial_types: &[String]) -> BTreeMap<String, i64> {
    let now = hashes(state);
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for element in state.graph().iter() {
        *counts.entry(element.kind()).or_insert(0) += 1;
    }
    let mut deletions = BTreeMap::new();
    for (kind, &before) in &finished.counts {
        if partial_types.contains(kind) {
            continue;
        }
        let counted = before - counts.get(kind.as_str()).copied().unwrap_or(0);
        let deleted = counted.max(gone(&finished.samples, kind, before, &now));
        if deleted > 0 {
            deletions.insert(kind.clone(), deleted);
        }
    }
    deletions
}

/// The deletions that exceed the limits, that no decision about a hold explains, and that no approval allows: by
/// type, how many of how many.
pub fn refused(
    sync: &Sync,
    state: &State,
    rules: &Rules,
    deletions: &BTreeMap<String, i64>,
) -> Vec<(String, i64, i64)> {
    let Some(finished) = &sync.finished else { return Vec::new() };
    let now = hashes(state);
    let of = |counts: &BTreeMap<String, i64>, kind: &str| counts.get(kind).copied().unwrap_or(0);
    let mut refused = Vec::new();
    for (kind, &deleted) in deletions {
        let before = of(&finished.counts, kind);
        // One that was held and is gone was decided about; one that returned is there, and explains nothing.
        let decided = gone(&finished.held_samples, kind, of(&finished.held, kind), &now);
        let unexplained = deleted - decided;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let is_much = unexplained as f64 > rules.max_deleted_fraction * before as f64
            && unexplained > i64::from(rules.max_deleted_count);
        let allowed = approved(sync).map_or(0, |approval| of(&approval.deletions, kind));
        if is_much && deleted > allowed {
            refused.push((kind.clone(), deleted, before));
        }
    }
    refused
}

/// What a person allowed, where it was about the job that is still the last finished one.
pub fn approved(sync: &Sync) -> Option<&schemas::sync::Approval> {
    let finished_job_id = sync.finished.as_ref().map(|finished| &finished.job_id);
    sync.approval.as_ref().filter(|approval| approval.finished_job_id.as_ref() == finished_job_id)
}

/// How many of so many objects of a type are gone, by the sample of them.
fn gone(
    samples: &BTreeMap<String, Vec<i32>>,
    kind: &str,
    before: i64,
    now: &BTreeMap<&str, BTreeSet<i32>>,
) -> i64 {
    let sample = samples.get(kind).map_or(&[][..], Vec::as_slice);
    let known = now.get(kind);
    let gone = sample.iter().filter(|key| known.is_none_or(|known| !known.contains(key))).count();
    extrapolated(gone, sample.len(), before)
}

/// Hashes of the keys that the graph has, by type.
fn hashes(state: &State) -> BTreeMap<&str, BTreeSet<i32>> {
    let mut hashes: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for element in state.graph().iter() {
        hashes.entry(element.kind()).or_default().insert(hash(element.key()));
    }
    hashes
}

/// From a part to the whole, rounded up.
fn extrapolated(gone: usize, sample: usize, whole: i64) -> i64 {
    let (gone, sample) = (i64::try_from(gone).unwrap_or(i64::MAX), i64::try_from(sample).unwrap_or(i64::MAX));
    if sample == 0 { 0 } else { (gone.saturating_mul(whole) + sample - 1) / sample }
}

fn hash(key: &str) -> i32 {
    murmur2(key.as_bytes()).cast_signed()
}
