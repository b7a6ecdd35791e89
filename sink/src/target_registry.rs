//! Which organization has which name, and which holds which target: over all partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use graph::plan::CLOCK_TOLERANCE_MS;
use schemas::sync::Sync;

use crate::organizations::{self, Configured};

/// Before every time that a record may have.
const OLDEST_MS: i64 = i64::MIN;

/// What all tasks of the process know together. A name or a target that two organizations share is refused.
#[derive(Debug, Default)]
pub(crate) struct TargetRegistry {
    entries: Mutex<Entries>,
    /// How often something changed (count).
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Entries {
    ids: BTreeMap<String, BTreeSet<String>>,
    holders: BTreeMap<String, Holder>,
}

/// The organization whose job began last, by the clocks of the machines that wrote the records: partitions have no
/// common order. A clock that is an hour ahead or more counts as the oldest one. It keeps the target if no other organization
/// holds it, and a person can give the target to another organization. Until then the other one is refused, so nothing is
/// deleted.
#[derive(Debug, Clone)]
struct Holder {
    organization_id: String,
    organization_name: String,
    since_ms: i64,
}

impl TargetRegistry {
    /// Takes in what a sync record says.
    pub(crate) fn learn(&self, sync: &Sync, now_ms: i64) {
        let ended = sync.finished.as_ref().map(|finished| finished.ended_ts_ms);
        let started = sync.intent.as_ref().map(|intent| intent.started_ts_ms);
        let taking = sync.approval.as_ref().filter(|approval| approval.takes_target);
        let taken = taking.map(|approval| approval.approved_ts_ms);
        let Some(since_ms) = ended.max(started).max(taken) else { return };
        let since_ms = if since_ms - now_ms > CLOCK_TOLERANCE_MS { OLDEST_MS } else { since_ms };
        let target = organizations::one_case(&sync.target);
        let mut entries = self.entries();
        let mut is_new = entries.meet(&sync.organization_name, &sync.organization_id);
        let is_newer = entries.holders.get(&target).is_none_or(|holder| holder.since_ms < since_ms);
        if is_newer {
            is_new |= entries.hold(&target, &sync.organization_id, &sync.organization_name, since_ms);
        }
        self.count(is_new);
    }

    /// How often something changed that may allow or forbid a job: a count that grows.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    fn count(&self, is_new: bool) {
        self.changes.fetch_add(u64::from(is_new), Ordering::Relaxed);
    }

    /// Takes in that the graph has an organization of that name.
    pub(crate) fn meet(&self, name: &str, organization_id: &str) {
        let is_new = self.entries().meet(name, organization_id);
        self.count(is_new);
    }

    /// Makes the organization the holder of its target, or says why it must not be.
    pub(crate) fn claim(
        &self,
        configured: &Configured,
        organization_id: &str,
        now_ms: i64,
    ) -> Result<(), String> {
        let mut entries = self.entries();
        entries.check(configured, organization_id)?;
        let target = configured.target(organization_id);
        let is_new = entries.hold(&target, organization_id, &configured.name, now_ms);
        self.count(is_new);
        Ok(())
    }

    /// Why the organization's graph must not go to its target, if so.
    pub(crate) fn check(&self, configured: &Configured, organization_id: &str) -> Result<(), String> {
        self.entries().check(configured, organization_id)
    }

    /// The other organization that the organization's target holds, by id and name.
    pub(crate) fn other_holder(&self, configured: &Configured, organization_id: &str) -> Option<String> {
        let entries = self.entries();
        let holder = entries.holders.get(&configured.target(organization_id))?;
        let is_other = holder.organization_id != organization_id;
        is_other.then(|| format!("{} ({})", holder.organization_id, holder.organization_name))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        // The maps are whole between any two calls.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn check(&self, configured: &Configured, organization_id: &str) -> Result<(), String> {
        if configured.pin.is_none()
            && let Some(ids) = self.ids.get(&configured.name).filter(|ids| ids.len() > 1)
        {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            return Err(format!(
                "{} organizations have this name ({}); set organization_id to the ID of the right one",
                ids.len(),
                ids.join(", ")
            ));
        }
        let target = configured.target(organization_id);
        match self.holders.get(&target) {
            Some(holder) if holder.organization_id != organization_id => Err(format!(
                "its target {target} holds the organization {} ({}), whose graph a sync job would delete; \
                 configure another scope or integration instance, or run `anthropic-graph sync approve \
                 --organization {}`",
                holder.organization_id, holder.organization_name, configured.name
            )),
            _ => Ok(()),
        }
    }

    /// Whether that was new.
    fn meet(&mut self, name: &str, organization_id: &str) -> bool {
        let ids = self.ids.entry(name.to_owned()).or_default();
        !ids.contains(organization_id) && ids.insert(organization_id.to_owned())
    }

    /// Whether another organization held it.
    fn hold(&mut self, target: &str, organization_id: &str, organization_name: &str, since_ms: i64) -> bool {
        let holder = Holder {
            organization_id: organization_id.to_owned(),
            organization_name: organization_name.to_owned(),
            since_ms,
        };
        let before = self.holders.insert(target.to_owned(), holder);
        before.is_none_or(|before| before.organization_id != organization_id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemas::sync::{Approval, Intent, Sync};

    use super::{CLOCK_TOLERANCE_MS, TargetRegistry};

    const NOW_MS: i64 = 1_790_000_000_000;

    fn holder(records: &[Sync]) -> String {
        let registry = TargetRegistry::default();
        for sync in records {
            registry.learn(sync, NOW_MS);
        }
        registry.entries().holders["target"].organization_id.clone()
    }

    fn job(organization_id: &str, started_ts_ms: i64) -> Sync {
        let intent = Intent { job_id: "job".to_owned(), revision: 1, started_ts_ms, asks: false };
        Sync {
            organization_id: organization_id.to_owned(),
            target: "target".to_owned(),
            intent: Some(intent),
            ..Sync::default()
        }
    }

    #[test]
    fn a_clock_far_ahead_keeps_a_target_only_until_a_person_gives_it_away() {
        let ahead = job("ahead", NOW_MS + CLOCK_TOLERANCE_MS + 1);
        assert_eq!(holder(std::slice::from_ref(&ahead)), "ahead", "no other organization holds the target");
        let approval = Approval {
            revision: 1,
            finished_job_id: None,
            deletions: BTreeMap::new(),
            takes_target: true,
            by: "ada".to_owned(),
            why: None,
            approved_ts_ms: NOW_MS,
        };
        let taker = Sync { intent: None, approval: Some(approval), ..job("taker", 0) };
        for records in [[ahead.clone(), taker.clone()], [taker, ahead]] {
            assert_eq!(holder(&records), "taker");
        }
        assert_eq!(holder(&[job("first", NOW_MS - 1), job("second", NOW_MS)]), "second");
    }
}
