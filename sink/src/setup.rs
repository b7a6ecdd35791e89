//! What all tasks of the process share.

use std::sync::Arc;

use rdkafka::ClientConfig;
use service::admin::Health;
use service::metrics::Metrics;
use tokio::runtime::Handle;

use crate::configured::Configured;
use crate::directory::Directory;

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
