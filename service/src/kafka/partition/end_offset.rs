//! Where a broker said that a partition ends.

use std::sync::atomic::{AtomicI64, Ordering};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::debug;

use crate::kafka::client::{log, log_error};
use crate::metrics::{ClientStatistics, client_statistics};

/// The broker named no end.
const NONE: i64 = -1;
/// Precedes the offset in librdkafka's text (`rd_kafka_fetch_reply_handle_partition_error`).
const BEFORE_OFFSET: &str = "end of partition at offset ";

/// The context of a reader's consumer: it remembers the offset of the last end of a partition.
///
/// rdkafka's own `PartitionEOF` has no offset. The event's text has it, and the context gets the text within the poll
/// that returns the event. A string without an offset moves no reader, so it can make a read stall but never stop short.
#[derive(Debug)]
pub struct EndOffset {
    end: AtomicI64,
    statistics: ClientStatistics,
}

impl Default for EndOffset {
    fn default() -> Self {
        Self { end: AtomicI64::new(NONE), statistics: ClientStatistics::default() }
    }
}

impl EndOffset {
    /// The offset of the end that the last poll reported.
    pub fn take(&self) -> Option<i64> {
        let offset = self.end.swap(NONE, Ordering::Relaxed);
        (offset != NONE).then_some(offset)
    }
}

impl ClientContext for EndOffset {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        client_statistics(&self.statistics, statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::PartitionEOF) => {
                self.end.store(offset(reason).unwrap_or(NONE), Ordering::Relaxed);
            }
            // The partition is assigned. Who has the right to read it needs none for the group, unless the group is
            // asked for its offset, which then fails by itself.
            Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {
                debug!("{reason}");
                return;
            }
            _ => {}
        }
        log_error(&error, reason);
    }
}

impl ConsumerContext for EndOffset {}

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
