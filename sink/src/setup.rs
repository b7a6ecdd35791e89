//! What all tasks of the process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rdkafka::ClientConfig;
use service::admin::{Admin, Health};
use service::metrics::Metrics;
use service::shell::Program;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tracing::error;

use crate::organizations::Configured;
use crate::sync_topic::Records;
use crate::target_registry::TargetRegistry;

/// What all tasks of the process share.
pub(crate) struct Setup {
    pub(crate) kafka: ClientConfig,
    /// `<prefix>.sink`.
    pub(crate) group_id: String,
    pub(crate) graph_topic: String,
    pub(crate) sync_topic: String,
    /// Of each topic (count).
    pub(crate) partitions: i32,
    pub(crate) configured: Vec<Arc<Configured>>,
    pub(crate) targets: TargetRegistry,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Metrics,
    /// Where sync jobs run.
    pub(crate) runtime: Handle,
    /// One permit for each sync job that may run.
    pub(crate) jobs: Arc<Semaphore>,
    /// Shared by first jobs.
    pub(crate) looks: Looks,
    /// `anthropic-graph`, whose commands people are shown.
    pub(crate) program: Program,
    /// Serves the admin endpoint as long as the tasks work.
    pub(crate) _admin: Admin,
}

/// Sync jobs of the process at a time (count): each uploads four batches at once.
pub(crate) const JOBS_AT_ONCE: usize = 8;

/// Looks at the sync records of all partitions: many first jobs at once share a few of them.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// How many have begun (count).
    begun: AtomicU64,
    /// The number of the last one that succeeded.
    succeeded: Mutex<u64>,
}

impl Looks {
    /// Looks, unless a look succeeds that another job began after this call.
    pub(crate) async fn share<E>(&self, look: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut succeeded = self.succeeded.lock().await;
        if *succeeded > before {
            return Ok(());
        }
        let this = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        look.await?;
        *succeeded = this;
        Ok(())
    }
}

impl Setup {
    /// Counts a takeover that was none: the records are what the task before had written, although it found others in
    /// their place.
    pub(crate) fn count_false_takeover(&self, partition: i32, before: Option<&Records>, now: &Records) {
        if before.is_some_and(|before| before == now) {
            self.metrics.count_false_takeover(partition);
            error!(partition, "false takeover: no other sink had written to the partition; please report it");
        }
    }
}
