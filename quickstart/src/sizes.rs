//! What the embedded broker can hold.

use service::exit::UsageError;

use crate::arguments::Arguments;

/// What librdkafka's mock cluster keeps of a partition before it drops the oldest (bytes; `max_size` in its
/// `rdkafka_mock.c`).
const PARTITION_BYTES: u64 = 5 * 1024 * 1024;
/// A run ends when all topics together have taken this much (bytes): no partition holds more than all of them, and
/// two polls of the largest organization that is let in still fit above it.
pub(crate) const RUN_BYTES: u64 = PARTITION_BYTES * 4 / 5;

/// What a user, a workspace and an API key take (bytes): raw records of two polls, the changes and the graph, with
/// their relationships, as compressed in the topics.
const USER_BYTES: u64 = 1;
const WORKSPACE_BYTES: u64 = 1;
const API_KEY_BYTES: u64 = 1;

/// Refuses what does not fit into the embedded broker.
pub(crate) fn check(arguments: &Arguments) -> Result<(), UsageError> {
    if arguments.bootstrap_servers.is_some() || arguments.anthropic_key_env.is_some() {
        return Ok(());
    }
    let bytes = u64::from(arguments.users) * USER_BYTES
        + u64::from(arguments.workspaces) * WORKSPACE_BYTES
        + u64::from(arguments.api_keys) * API_KEY_BYTES;
    if bytes <= RUN_BYTES {
        return Ok(());
    }
    Err(UsageError(format!(
        "two polls of {} users, {} workspaces and {} API keys take about {} KiB, and the embedded broker keeps {} KiB; \
         take smaller sizes, or a real Kafka with --bootstrap-servers",
        arguments.users,
        arguments.workspaces,
        arguments.api_keys,
        bytes.div_ceil(1024),
        RUN_BYTES / 1024,
    )))
}
