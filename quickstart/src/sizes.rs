//! What the embedded broker can hold.

use service::exit::UsageError;
use service::kafka::topics::Broker;

use crate::arguments::Arguments;
use crate::view::View;

/// What librdkafka's mock cluster keeps of a partition before it drops the oldest (bytes; `max_size` in its
/// `rdkafka_mock.c`).
const PARTITION_BYTES: u64 = 5 * 1024 * 1024;
/// A run ends when all topics together have taken this much (bytes). No partition holds more than all of them, and the
/// poll that passes the mark, and one that has begun after it, still fit: either adds at most [`TWO_POLLS_BYTES`] / 4 to
/// the raw topic.
const RUN_BYTES: u64 = PARTITION_BYTES * 3 / 4;
/// The most that two polls may take (bytes), so that a life of a few polls is seen before the run's end.
const TWO_POLLS_BYTES: u64 = PARTITION_BYTES / 2;

/// What the records take, compressed and in all topics together, when `--once` has polled twice (bytes). Measured on
/// organizations of one kind of resource: 48,060 for a single user, then 860 a further user, 5,840 a workspace with its
/// members and 1,040 an API key; of mixed ones up to 7 % more. These are a quarter more.
const BASE_BYTES: u64 = 60_000;
const USER_BYTES: u64 = 1_080;
const WORKSPACE_BYTES: u64 = 7_300;
const API_KEY_BYTES: u64 = 1_300;

/// Whether the embedded broker would soon drop the oldest records.
pub(crate) fn is_full(broker: Broker, view: &View) -> bool {
    broker == Broker::Embedded && view.received >= RUN_BYTES
}

/// What a run says that ends for it.
pub(crate) fn full(view: &View) -> String {
    format!(
        "The embedded broker has taken {} KiB and would soon drop the oldest records; a real Kafka keeps them \
         (--bootstrap-servers).",
        view.received / 1024
    )
}

/// Refuses what does not fit into the embedded broker.
pub(crate) fn check(arguments: &Arguments) -> Result<(), UsageError> {
    if arguments.bootstrap_servers.is_some() || arguments.anthropic_key_env.is_some() {
        return Ok(());
    }
    let bytes = BASE_BYTES
        + u64::from(arguments.users) * USER_BYTES
        + u64::from(arguments.workspaces) * WORKSPACE_BYTES
        + u64::from(arguments.api_keys) * API_KEY_BYTES;
    if bytes <= TWO_POLLS_BYTES {
        return Ok(());
    }
    Err(UsageError(format!(
        "two polls of {} users, {} workspaces and {} API keys take about {} KiB, and the embedded broker has room for {} KiB; \
         take smaller sizes, or a real Kafka with --bootstrap-servers",
        arguments.users,
        arguments.workspaces,
        arguments.api_keys,
        bytes.div_ceil(1024),
        TWO_POLLS_BYTES / 1024,
    )))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::check;
    use crate::arguments::Arguments;

    fn checked(line: &str) -> Option<String> {
        let arguments = ["quickstart"].into_iter().chain(line.split_whitespace());
        check(&Arguments::try_parse_from(arguments).expect(line)).err().map(|error| error.to_string())
    }

    #[test]
    fn sizes_that_two_polls_would_not_fit_are_refused_unless_the_broker_is_real() {
        for fits in ["", "--users 2000", "--users 300 --workspaces 50 --api-keys 1000"] {
            assert_eq!(checked(fits), None, "{fits}");
        }
        for too_large in ["--users 3000", "--workspaces 400", "--users 2000 --api-keys 5000"] {
            let line = checked(too_large).expect(too_large);
            assert!(line.contains("--bootstrap-servers"), "{line}");
            assert_eq!(checked(&format!("{too_large} --bootstrap-servers kafka:9092")), None);
        }
    }
}
