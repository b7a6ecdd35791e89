//! What is counted, and the summary of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::checker::Violation;
use super::places::{PLACES, is_inside};
use crate::services::Finished;

/// Least part of the kills that must be inside a transaction or a sync job (of a hundred): kills while idle prove
/// nothing.
const LEAST_INSIDE: u64 = 20;
/// What a sink logs when it believes that another sink has its partition.
const TAKEOVER: &str = "another sink took over";

/// The counts of a run; threads share it.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by_place: BTreeMap<String, u64>,
    polls: u64,
    changes: u64,
    sync_jobs: u64,
    false_takeovers: u64,
    violations: Vec<Violation>,
}

/// The last line of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// How often a process was killed.
    pub kills: u64,
    /// Where: failpoints, `<service>::anywhere` for a random moment, `broker`.
    pub by_place: BTreeMap<String, u64>,
    /// Kills inside a transaction or a sync job.
    pub inside: u64,
    /// Polls that were begun.
    pub polls: u64,
    /// Changes that were committed.
    pub changes: u64,
    /// Sync jobs that were started.
    pub sync_jobs: u64,
    /// How often a sink took its own writes, or those of one that is dead, for another sink's.
    pub false_takeovers: u64,
    /// What did not hold.
    pub violations: usize,
    /// Violations by the law that they break.
    pub by_law: BTreeMap<String, u64>,
    /// How long it took (s).
    pub seconds: u64,
    /// The seed of its choices.
    pub seed: u64,
}

impl Tally {
    pub(super) fn kill(&self, place: &str) -> u64 {
        let mut counts = self.lock();
        *counts.by_place.entry(place.to_owned()).or_default() += 1;
        counts.by_place.values().sum()
    }

    pub(super) fn work(&self, polls: u64, changes: u64, sync_jobs: u64) {
        let mut counts = self.lock();
        counts.polls += polls;
        counts.changes += changes;
        counts.sync_jobs += sync_jobs;
    }

    /// Reads the log of a process that has ended. The harness never runs two sinks at once, so that a sink that reports
    /// another one is wrong.
    pub(super) fn read(&self, finished: &Finished) {
        let count = finished.stderr.lines().filter(|line| line.contains(TAKEOVER)).count();
        if count > 0 {
            self.lock().false_takeovers += count as u64;
            let line = finished.stderr.lines().find(|line| line.contains(TAKEOVER)).unwrap_or_default();
            self.violate([Violation::new(
                "false-takeover",
                format!("{count} in one process, such as {line}"),
            )]);
        }
    }

    pub(super) fn violate(&self, violations: impl IntoIterator<Item = Violation>) {
        let mut counts = self.lock();
        for violation in violations {
            super::run::tell(&format!("VIOLATION of {violation}"));
            counts.violations.push(violation);
        }
    }

    pub(super) fn violations(&self) -> usize {
        self.lock().violations.len()
    }

    /// The summary. What the kills prove is judged too: places never reached, too many kills while idle.
    pub(super) fn summary(&self, seed: u64, seconds: u64) -> Summary {
        let counts = self.lock();
        let kills: u64 = counts.by_place.values().sum();
        let of = |is: &dyn Fn(&str) -> bool| -> u64 {
            counts.by_place.iter().filter(|(place, _)| is(place)).map(|(_, count)| count).sum()
        };
        let inside = of(&is_inside);
        let mut by_law: BTreeMap<String, u64> = BTreeMap::new();
        for violation in &counts.violations {
            *by_law.entry(violation.law.clone()).or_default() += 1;
        }
        let unreached = PLACES.into_iter().filter(|place| !counts.by_place.contains_key(*place));
        let unreached: Vec<_> = unreached.collect();
        if !unreached.is_empty() {
            super::run::tell(&format!("never reached: {}", unreached.join(", ")));
            by_law.insert("every-place".to_owned(), unreached.len() as u64);
        }
        if inside * 100 < kills * LEAST_INSIDE {
            super::run::tell(&format!(
                "only {inside} of {kills} kills are inside a transaction or a sync job"
            ));
            by_law.insert("not-idle".to_owned(), 1);
        }
        Summary {
            kills,
            by_place: counts.by_place.clone(),
            inside,
            polls: counts.polls,
            changes: counts.changes,
            sync_jobs: counts.sync_jobs,
            false_takeovers: counts.false_takeovers,
            violations: usize::try_from(by_law.values().sum::<u64>()).unwrap_or(usize::MAX),
            by_law,
            seconds,
            seed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counts are whole between any two calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
