//! What is counted, and the summary of it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::options::Options;
use super::places::{PLACES, is_inside};
use super::violation::Violation;
use crate::broker::cluster::BROKERS;
use crate::services::Finished;

/// Least part of the kills that must be inside a transaction or a sync job (of a hundred): kills while idle prove
/// nothing.
const LEAST_INSIDE: u64 = 20;
/// What a sink logs when it believes that another sink has its partition.
const TAKEOVER: &str = "is suspended: another process took over";

/// What librdkafka says where the leader of a partition has sent a reader to a follower in its rack, behind the partition's
/// name. All records that the reader gets until the leader changes are that follower's.
const TO_FOLLOWER: &str = ": preferred replica updated";
/// Who must have read which topic from a follower: the restores, and what is worked on.
const FOLLOWED: [&str; 4] = ["processor graph", "processor raw", "sink graph", "sink sync"];
/// After so many kills the progress is printed (count).
const LOGGED_EVERY: u64 = 20;

/// The counts of a run; threads share it.
#[derive(Debug)]
pub(super) struct Statistics {
    options: Options,
    began: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    by_place: BTreeMap<String, u64>,
    polls: u64,
    changes: u64,
    sync_jobs: u64,
    leader_changes: u64,
    from_followers: BTreeMap<String, u64>,
    false_takeovers: u64,
    violations: Vec<Violation>,
}

/// The last line of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// How often a process was killed.
    pub kills: u64,
    /// On how many brokers.
    pub brokers: usize,
    /// Kills of a broker.
    pub broker_kills: u64,
    /// Partitions that got another leader, because one of three brokers was killed.
    pub leader_changes: u64,
    /// How often the leader of a partition sent a service to a follower, by service and topic.
    pub from_followers: BTreeMap<String, u64>,
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

impl Statistics {
    pub(super) fn of(options: &Options) -> Self {
        Self { options: options.clone(), began: Instant::now(), counts: Mutex::default() }
    }

    /// Says how the run goes, and when.
    #[expect(clippy::print_stderr, reason = "the progress of a long run")]
    pub(super) fn log(&self, line: &str) {
        let seconds = self.began.elapsed().as_secs();
        eprintln!("{:3}:{:02} {line}", seconds / 60, seconds % 60);
    }

    pub(super) fn kill(&self, place: &str) {
        let mut counts = self.lock();
        *counts.by_place.entry(place.to_owned()).or_default() += 1;
        let kills: u64 = counts.by_place.values().sum();
        if kills.is_multiple_of(LOGGED_EVERY) {
            self.log(&format!("{kills} of {} kills", self.options.kills));
        }
    }

    pub(super) fn is_short(&self) -> bool {
        self.options.is_short()
    }

    pub(super) fn lead(&self, changes: u64) {
        self.lock().leader_changes += changes;
    }

    pub(super) fn work(&self, polls: u64, changes: u64, sync_jobs: u64) {
        let mut counts = self.lock();
        counts.polls += polls;
        counts.changes += changes;
        counts.sync_jobs += sync_jobs;
    }

    /// Reads the log of a process that has ended. The harness never runs two sinks at once, so that a sink that reports
    /// another one is wrong.
    pub(super) fn read(&self, service: &str, finished: &Finished) {
        for line in finished.stderr.lines().filter(|line| line.contains(TO_FOLLOWER)) {
            if let Some(topic) = topic(line) {
                *self.lock().from_followers.entry(format!("{service} {topic}")).or_default() += 1;
            }
        }
        let is_takeover = |line: &&str| service == "sink" && line.contains(TAKEOVER);
        let count = finished.stderr.lines().filter(is_takeover).count();
        if count > 0 {
            self.lock().false_takeovers += count as u64;
            let line = finished.stderr.lines().find(is_takeover).unwrap_or_default();
            self.violate([Violation::new(
                "false-takeover",
                format!("{count} in one process, such as {line}"),
            )]);
        }
    }

    pub(super) fn violate(&self, violations: impl IntoIterator<Item = Violation>) {
        let mut counts = self.lock();
        for violation in violations {
            self.log(&format!("VIOLATION of {violation}"));
            counts.violations.push(violation);
        }
    }

    pub(super) fn violations(&self) -> usize {
        self.lock().violations.len()
    }

    /// The summary. What the kills prove is judged too: places never reached, too many kills while idle.
    pub(super) fn summary(&self) -> Summary {
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
        if !self.options.is_short() && !unreached.is_empty() {
            self.log(&format!("never reached: {}", unreached.join(", ")));
            by_law.insert("every-place".to_owned(), unreached.len() as u64);
        }
        if !self.options.is_short() && inside * 100 < kills * LEAST_INSIDE {
            self.log(&format!("only {inside} of {kills} kills are inside a transaction or a sync job"));
            by_law.insert("not-idle".to_owned(), 1);
        }
        let unfollowed = FOLLOWED.into_iter().filter(|it| !counts.from_followers.contains_key(*it));
        let unfollowed: Vec<_> = unfollowed.collect();
        if self.options.is_cluster && !unfollowed.is_empty() {
            self.log(&format!("never fetched from a follower: {}", unfollowed.join(", ")));
            by_law.insert("followers".to_owned(), unfollowed.len() as u64);
        }
        Summary {
            kills,
            brokers: if self.options.is_cluster { BROKERS } else { 1 },
            broker_kills: of(&|place| place == "broker"),
            leader_changes: counts.leader_changes,
            from_followers: counts.from_followers.clone(),
            by_place: counts.by_place.clone(),
            inside,
            polls: counts.polls,
            changes: counts.changes,
            sync_jobs: counts.sync_jobs,
            false_takeovers: counts.false_takeovers,
            violations: usize::try_from(by_law.values().sum::<u64>()).unwrap_or(usize::MAX),
            by_law,
            seconds: self.began.elapsed().as_secs(),
            seed: self.options.seed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Counts are whole between any two calls.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The topic of a partition whose reader was sent to a follower, without its prefix.
fn topic(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("Topic ")?;
    let (name, _) = rest.split_once(" [")?;
    name.rsplit_once('.').map(|(_, topic)| topic)
}
