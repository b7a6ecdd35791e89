//! Which organization has which name, and which holds which target: over all partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemas::sync::Sync;

use crate::configured::Configured;

/// What all tasks of the process know together. A name or a target that two organizations share is refused.
#[derive(Debug, Default)]
pub(crate) struct Directory(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    ids: BTreeMap<String, BTreeSet<String>>,
    holders: BTreeMap<String, Holder>,
}

#[derive(Debug, Clone)]
struct Holder {
    organization_id: String,
    organization_name: String,
    since_ms: i64,
}

impl Directory {
    /// Takes in what a sync record says.
    pub(crate) fn learn(&self, sync: &Sync) {
        let ended = sync.finished.as_ref().map(|finished| finished.ended_ts_ms);
        let started = sync.intent.as_ref().map(|intent| intent.started_ts_ms);
        let taking = sync.approval.as_ref().filter(|approval| approval.takes_target);
        let taken = taking.map(|approval| approval.approved_ts_ms);
        let Some(since_ms) = ended.max(started).max(taken) else { return };
        let mut entries = self.entries();
        entries.meet(&sync.organization_name, &sync.organization_id);
        let is_newer = entries.holders.get(&sync.target).is_none_or(|holder| holder.since_ms < since_ms);
        if is_newer {
            entries.hold(&sync.target, &sync.organization_id, &sync.organization_name, since_ms);
        }
    }

    /// Takes in that the graph has an organization of that name.
    pub(crate) fn meet(&self, name: &str, organization_id: &str) {
        self.entries().meet(name, organization_id);
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
        entries.hold(&target, organization_id, &configured.name, now_ms);
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn check(&self, configured: &Configured, organization_id: &str) -> Result<(), String> {
        if configured.pin.is_none()
            && let Some(ids) = self.ids.get(&configured.name).filter(|ids| ids.len() > 1)
        {
            let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
            return Err(format!(
                "there are {} organizations of this name ({}); write the right one's id as its organization_id",
                ids.len(),
                ids.join(", ")
            ));
        }
        let target = configured.target(organization_id);
        match self.holders.get(&target) {
            Some(holder) if holder.organization_id != organization_id => Err(format!(
                "its target {target} holds the organization {} ({}), whose graph a sync job would delete; give it a \
                 scope or integration instance of its own, or see `sink approve --organization {}`",
                holder.organization_id, holder.organization_name, configured.name
            )),
            _ => Ok(()),
        }
    }

    fn meet(&mut self, name: &str, organization_id: &str) {
        let ids = self.ids.entry(name.to_owned()).or_default();
        if !ids.contains(organization_id) {
            ids.insert(organization_id.to_owned());
        }
    }

    fn hold(&mut self, target: &str, organization_id: &str, organization_name: &str, since_ms: i64) {
        let holder = Holder {
            organization_id: organization_id.to_owned(),
            organization_name: organization_name.to_owned(),
            since_ms,
        };
        self.holders.insert(target.to_owned(), holder);
    }
}
