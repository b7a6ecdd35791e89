//! Where a broker said that a partition ends.

use std::sync::atomic::{AtomicI64, Ordering};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::client::{log, log_error};

/// No end was met.
const NONE: i64 = -1;
/// Precedes the offset in librdkafka's text (`rd_kafka_fetch_reply_handle_partition_error`).
const BEFORE_OFFSET: &str = "end of partition at offset ";

/// The context of a reader's consumer: it remembers the offset of the end that was met last.
///
/// rdkafka's own `PartitionEOF` has no offset. The event's text has it, and the context gets the text within the poll
/// that returns the event. A text without an offset moves no reader, so it can make a read stall but never stop short.
#[derive(Debug)]
pub(super) struct Met(AtomicI64);

impl Default for Met {
    fn default() -> Self {
        Self(AtomicI64::new(NONE))
    }
}

impl Met {
    /// The offset of the end that the last poll met.
    pub(super) fn take(&self) -> Option<i64> {
        let offset = self.0.swap(NONE, Ordering::Relaxed);
        (offset != NONE).then_some(offset)
    }
}

impl ClientContext for Met {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            self.0.store(offset(reason).unwrap_or(NONE), Ordering::Relaxed);
        }
        log_error(&error, reason);
    }
}

impl ConsumerContext for Met {}

fn offset(reason: &str) -> Option<i64> {
    let (_, rest) = reason.split_once(BEFORE_OFFSET)?;
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::offset;

    #[test]
    fn the_offset_of_an_end_is_in_librdkafka_s_text() {
        let text = "Fetch from broker 2 reached end of partition at offset 525 (HighwaterMark 546)";
        assert_eq!(offset(text), Some(525));
        for other in ["Fetch from broker 2 failed", "reached end of partition at offset x", ""] {
            assert_eq!(offset(other), None, "{other}");
        }
    }
}
