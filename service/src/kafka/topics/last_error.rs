//! Why no broker was reached.

use std::sync::Mutex;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::client::{log, log_error};

/// Remembers why the last connection failed.
#[derive(Default)]
pub(super) struct LastError(Mutex<Option<String>>);

impl LastError {
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().expect("nothing panics while it holds the lock").take()
    }
}

impl ClientContext for LastError {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.0.lock().expect("nothing panics while it holds the lock") = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for LastError {}
