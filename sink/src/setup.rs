//! What all tasks of the process share.

use std::sync::Arc;

use rdkafka::ClientConfig;
use service::admin::Health;
use service::metrics::Metrics;
use tokio::runtime::Handle;
use tracing::error;

use crate::configured::Configured;
use crate::directory::Directory;
use crate::sync_topic::Records;

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
    pub(crate) directory: Directory,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Metrics,
    /// Where sync jobs run.
    pub(crate) runtime: Handle,
}

impl Setup {
    /// Counts a takeover that was none: the records are what the task before had written, although it found others in
    /// their place.
    pub(crate) fn tell_whether_overwritten(&self, partition: i32, before: Option<&Records>, now: &Records) {
        if before.is_some_and(|before| before == now) {
            self.metrics.count_false_takeover(partition);
            error!(partition, "false takeover: no other sink had written to the partition; please report it");
        }
    }
}
