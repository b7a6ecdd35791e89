//! One organization in the hands of its partition's task: what JupiterOne holds, its phase, and the job that runs.

use std::sync::Arc;

use graph::plan::{Outcome, Phase, WaitsFor};
use schemas::sync::Sync;
use service::kafka::transaction;
use tokio::task::JoinHandle;

use crate::batch::Load;
use crate::organizations::Configured;
use crate::unsynced_changes::UnsyncedChanges;

/// How a job ended, with what JupiterOne holds after it. An error: the sync topic cannot be written, since another sink
/// has the partition, or the brokers are away.
pub(crate) type End = Result<(Sync, Outcome), transaction::Error>;

pub(crate) struct Organization {
    pub(crate) configured: Arc<Configured>,
    pub(crate) id: String,
    pub(crate) sync: Sync,
    /// As it was decided last; none before the first decision.
    pub(crate) phase: Option<Phase>,
    /// Whether the pause was logged, and nothing but retries has followed.
    pub(crate) is_paused: bool,
    /// What the graph has and JupiterOne may not have yet.
    pub(crate) arrivals: UnsyncedChanges,
    /// The job that runs.
    pub(crate) running: Option<JoinHandle<End>>,
    /// What that job uploads.
    pub(crate) load: Option<Load>,
    /// When it is to be decided again (ms).
    pub(crate) due_ms: i64,
}

/// What an organization's next task goes on with when its partition is opened again.
#[derive(Debug)]
pub(crate) struct Carried {
    /// The record as the task had written it.
    written: Option<Sync>,
    phase: Option<Phase>,
    is_paused: bool,
}

impl Organization {
    /// As its record says. A wait that a job's end began continues only if this process was waiting, and if no other
    /// process has written since. A person, another sink and a process that starts are reasons to try at once.
    pub(crate) fn new(
        configured: Arc<Configured>,
        id: &str,
        read: Option<&Sync>,
        carried: Option<Carried>,
    ) -> Self {
        let mut sync = read.cloned().unwrap_or_default();
        if carried.as_ref().is_none_or(|carried| carried.written.as_ref() != read) {
            sync.wait = None;
        }
        sync.target = configured.target(id);
        // The name may be another than when the record was written.
        sync.organization_name.clone_from(&configured.name);
        id.clone_into(&mut sync.organization_id);
        let (phase, is_paused) = carried.map_or((None, false), |carried| (carried.phase, carried.is_paused));
        let arrivals = UnsyncedChanges::after(sync.finished.as_ref().map_or(0, |finished| finished.revision));
        let id = id.to_owned();
        let (running, load) = (None, None);
        Self { configured, id, sync, phase, is_paused, arrivals, running, load, due_ms: i64::MIN }
    }

    /// Ends the work on it.
    pub(crate) fn carry(self, written: Option<Sync>) -> Carried {
        Carried { written, phase: self.phase, is_paused: self.is_paused }
    }

    /// Whether its job is not done yet.
    pub(crate) fn is_running(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.is_finished())
    }

    /// Whether its job waits for one of another organization to end.
    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.phase, Some(Phase::Waiting(WaitsFor::Turn { .. })))
    }
}
