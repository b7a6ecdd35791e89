//! What the embedded broker can hold.

use service::exit::UsageError;
use service::kafka::topics::Broker;

use crate::arguments::Arguments;
use crate::view::View;

/// What librdkafka's mock cluster keeps of a partition before it drops the oldest (bytes; `max_size` in its
/// `rdkafka_mock.c`).
const PARTITION_BYTES: u64 = 5 * 1024 * 1024;
/// Polling stops when all topics together have taken this much (bytes). No partition holds more than all of them, and the
/// poll that passes the mark, and one that has begun after it, still fit: either adds at most [`TWO_POLLS_BYTES`] / 4 to
/// the raw topic.
const RUN_BYTES: u64 = PARTITION_BYTES * 3 / 4;
/// The most that two polls may take (bytes), so that the changes of a few polls are seen before polling stops.
const TWO_POLLS_BYTES: u64 = PARTITION_BYTES / 2;

/// What the records take, compressed and in all topics together, when `--once` has polled twice (bytes). Measured on
/// organizations of one kind of resource: 48,060 for a single user, then 860 a further user, 5,840 a workspace with its
/// members and 1,040 an API key; of mixed ones up to 7 % more. These are a quarter more.
const BASE_BYTES: u64 = 60_000;
const USER_BYTES: u64 = 1_080;
const WORKSPACE_BYTES: u64 = 7_300;
const API_KEY_BYTES: u64 = 1_300;

/// The fewest members for `--mass-deletion`: the guard lets 20 go, and somebody has to stay.
const MASS_DELETION_USERS: u32 = 30;

/// Whether the embedded broker would soon drop the oldest records.
pub(crate) fn is_full(broker: Broker, view: &View) -> bool {
    broker == Broker::Embedded && view.received >= RUN_BYTES
}

/// Why nothing more is polled.
pub(crate) fn full(view: &View) -> String {
    format!("the embedded broker is nearly full ({} KiB)", view.received / 1024)
}

/// What helps against it.
pub(crate) const WITHOUT_LIMIT: &str = "a real Kafka has no such limit: --bootstrap-servers";

/// Refuses what does not fit into the embedded broker, and too few people for a mass deletion.
pub(crate) fn check(arguments: &Arguments) -> Result<(), UsageError> {
    if arguments.mass_deletion && arguments.users < MASS_DELETION_USERS {
        return Err(UsageError(format!(
            "--mass-deletion needs at least {MASS_DELETION_USERS} users: --users"
        )));
    }
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
    fn a_mass_deletion_needs_people() {
        assert_eq!(checked("--mass-deletion"), None);
        assert_eq!(
            checked("--mass-deletion --users 29").as_deref(),
            Some("--mass-deletion needs at least 30 users: --users")
        );
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
