//! What can be wrong with reading a partition.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

use super::QUERY_TIMEOUT;
use crate::kafka::acls::missing;

/// What went wrong, by what the caller does next.
#[derive(Debug, Error)]
pub enum Error {
    /// The next offset is no longer, or not yet, in the topic: records are lost to this reader. A person decides.
    #[error(
        "{topic} partition {partition} has the offsets {beginning} to {end}, and the next to read is \
         {committed}: records were deleted before they were read, or the topic was re-created; to continue \
         with the records that exist, stop the service and reset its group's offset with \
         kafka-consumer-groups.sh --reset-offsets --to-earliest"
    )]
    OffsetOutOfRange {
        topic: String,
        partition: i32,
        /// The next offset to read.
        committed: i64,
        /// The first offset there is.
        beginning: i64,
        end: i64,
    },
    /// The brokers did not answer in time. Try again later.
    #[error("no broker answered for {topic} partition {partition} within {} s; check that they are up and reachable", QUERY_TIMEOUT.as_secs())]
    Unreachable {
        topic: String,
        partition: i32,
        /// The last try's error.
        #[source]
        source: Box<KafkaError>,
    },
    /// Nothing helps but a person: no such partition, no permission, a wrong configuration. Stop.
    #[error("cannot read {topic} partition {partition}{}", missing(.source, "Read", .topic))]
    Fatal {
        topic: String,
        partition: i32,
        #[source]
        source: Box<KafkaError>,
    },
}

/// Whether what a consumer reports is for a person to fix. librdkafka recovers from the rest, such as a broker that
/// went away.
pub fn is_permanent(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::ClusterAuthorizationFailed
                    | RDKafkaErrorCode::Authentication
                    | RDKafkaErrorCode::SaslAuthenticationFailed
                    | RDKafkaErrorCode::InvalidArgument
                    | RDKafkaErrorCode::State
            )
        )
}
