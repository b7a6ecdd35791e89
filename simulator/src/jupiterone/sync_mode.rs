//! How a job changes its scope.

use serde::{Deserialize, Serialize};

/// How a job changes its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum SyncMode {
    Diff,
    Patch,
    CrossScope,
    Override,
    CreateOrUpdate,
}
