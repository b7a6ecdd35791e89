//! Why no broker was reached.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::debug;

use super::client::{is_rejection, log, log_error};

/// How many of librdkafka's events are read for the reason of a failure (count): a few brokers' worth.
const EVENTS_READ: usize = 100;

/// librdkafka's name for lines about connections that failed.
const CONNECTION_FAILED: &str = "FAIL";

/// Why no broker was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// What librdkafka last said.
    pub(super) reason: String,
    /// Whether a broker answered, and rejected the credentials.
    pub(super) is_rejection: bool,
}

impl Cause {
    /// That of an error.
    pub(super) fn of(error: &KafkaError) -> Self {
        Self { reason: error.to_string(), is_rejection: is_rejection(error) }
    }

    /// That of an error which came while something was done.
    pub(super) fn during(action: &str, error: &KafkaError) -> Self {
        Self { reason: format!("{action}: {error}"), ..Self::of(error) }
    }

    /// What happened, and what to check.
    pub(super) fn describe(&self, bootstrap_servers: &str, within: Duration) -> String {
        let (reason, seconds) = (&self.reason, within.as_secs());
        if self.is_rejection {
            format!(
                "Kafka at {bootstrap_servers} rejects the user or the password ({reason}); check sasl.username and \
                 sasl.password in kafka.properties"
            )
        } else {
            format!(
                "no broker answered at {bootstrap_servers} within {seconds} s ({reason}); check \
                 kafka.bootstrap_servers and security.protocol, and that the brokers are up"
            )
        }
    }
}

/// Remembers why the last connection failed.
#[derive(Default)]
pub(super) struct LastError(Mutex<Option<Cause>>);

impl LastError {
    /// Why the consumer reached no broker, of which `error` says only that it did not.
    pub(super) fn cause(consumer: &BaseConsumer<Self>, error: &KafkaError) -> Cause {
        // One poll serves one event; why a connection failed is among the first.
        for _ in 0..EVENTS_READ {
            drop(consumer.poll(Duration::ZERO));
        }
        let last = consumer.context().0.lock().expect("nothing panics while it holds the lock").take();
        last.unwrap_or_else(|| Cause::of(error))
    }
}

impl ClientContext for LastError {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        // The error says it as well.
        if facility == CONNECTION_FAILED {
            debug!(facility, "{line}");
        } else {
            log(level, facility, line);
        }
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        if matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::PartitionEOF | RDKafkaErrorCode::Fatal)
        ) {
            log_error(&error, reason);
        } else {
            debug!("{reason}");
            let cause = Cause { reason: reason.to_owned(), ..Cause::of(&error) };
            *self.0.lock().expect("nothing panics while it holds the lock") = Some(cause);
        }
    }
}

impl ConsumerContext for LastError {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

    use super::Cause;

    #[test]
    fn a_wrong_password_and_a_broker_that_is_down_get_different_advice() {
        let described =
            |code| Cause::of(&KafkaError::MetadataFetch(code)).describe("b:9092", Duration::from_secs(8));
        let rejected = described(Code::Authentication);
        assert!(rejected.starts_with("Kafka at b:9092 rejects the user or the password ("), "{rejected}");
        assert!(
            rejected.ends_with("check sasl.username and sasl.password in kafka.properties"),
            "{rejected}"
        );
        let down = described(Code::BrokerTransportFailure);
        assert!(down.starts_with("no broker answered at b:9092 within 8 s ("), "{down}");
        assert!(down.contains("security.protocol"), "{down}");
        assert_eq!(down.matches("BrokerTransportFailure").count(), 1, "{down}");
    }
}
