//! How the sink runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use service::kafka::topics::Broker;

/// How the sink runs.
#[derive(Clone)]
pub struct Options {
    /// Up to the graph topic's end as it is at the start, and no further.
    pub until_end: bool,
    /// Where secrets named by a variable are.
    pub environment: Arc<BTreeMap<String, String>>,
    /// What broker it is.
    pub broker: Broker,
}

impl fmt::Debug for Options {
    /// Without the environment, which holds the keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { until_end, environment: _, broker } = self;
        let mut shown = formatter.debug_struct("Options");
        shown.field("until_end", until_end).field("broker", broker).finish_non_exhaustive()
    }
}
