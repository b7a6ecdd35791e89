//! Kafka clients log as `service::kafka::client` says, never as rdkafka does by default.

use crate::{sources, text};

/// What makes a client with rdkafka's own context, which logs the end of a partition as an error.
const OWN_CONTEXT: [&str; 4] =
    [".create()", "DefaultClientContext", "DefaultConsumerContext", "DefaultProducerContext"];
/// Tests within a service, whose clients nobody reads the log of.
const TESTS: &str = "sink/src/tests";

#[test]
fn no_client_of_the_services_logs_as_rdkafka_does() {
    let crates =
        ["service/src", "verify/src", "producer/src", "processor/src", "sink/src", "console/src", "cli/src"];
    let of_services = sources().into_iter().filter(|path| crates.iter().any(|it| path.starts_with(it)));
    let wrong = of_services
        .filter(|path| !path.starts_with(TESTS))
        .filter(|path| OWN_CONTEXT.iter().any(|own| text(path).contains(own)));
    assert_eq!(wrong.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
}
