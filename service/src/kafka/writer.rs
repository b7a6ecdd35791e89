//! Writing single records outside any transaction: what a person decided.

use std::time::Duration;

use futures::executor::block_on;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use thiserror::Error;

use super::acls::missing;
use super::client::{Log, with};
use super::framing::Framing;

/// How long a broker may take to answer which partitions there are: a person waits for it.
const METADATA_TIMEOUT: Duration = Duration::from_secs(8);

const PROMISES: [(&str, &str); 4] = [
    ("enable.idempotence", "true"),
    // A wrong prefix is an error, not a new topic.
    ("allow.auto.create.topics", "false"),
    // How long a record may take to be acknowledged (ms): longer than a leader election, and a person waits.
    ("message.timeout.ms", "30000"),
    ("linger.ms", "0"),
];

/// Why nothing, or nothing that is known, was written.
#[derive(Debug, Error)]
pub enum Error {
    /// The topic is not there.
    #[error(
        "the topic {topic} does not exist, or its principal may not write to it; check kafka.topic_prefix"
    )]
    Missing { topic: String },
    /// No broker answered, before anything was written.
    #[error("no broker answered at {bootstrap_servers} within {} s; check kafka.bootstrap_servers and that the brokers are up", METADATA_TIMEOUT.as_secs())]
    Unreachable {
        bootstrap_servers: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The record was not acknowledged. Writing it again does no harm where it means the same twice.
    #[error(
        "the topic {topic} did not acknowledge a record, so it may or may not be written; write it again"
    )]
    Unacknowledged {
        topic: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// A broker or librdkafka refused it: no permission, too large, a wrong configuration.
    #[error("the topic {topic} did not accept the record{}; check the permissions (Write on the topic)", missing(.source, "Write", .topic))]
    Refused {
        topic: String,
        #[source]
        source: Box<KafkaError>,
    },
}

/// An idempotent producer for one topic. It needs Write on the topic, which implies Describe, and nothing else: it is
/// no consumer, is in no group, has no transactional id and makes no topic.
pub struct Writer {
    producer: FutureProducer<Log>,
    framing: Framing,
    topic: String,
    partition_count: i32,
}

impl Writer {
    /// Makes the producer and asks how many partitions the topic has.
    pub fn open(base: &ClientConfig, topic: &str) -> Result<Self, Error> {
        let bootstrap_servers = base.get("bootstrap.servers").unwrap_or_default().to_owned();
        let producer: FutureProducer<Log> =
            with(base, &[], &PROMISES).create_with_context(Log).map_err(|source: KafkaError| {
                Error::Refused { topic: topic.to_owned(), source: source.into() }
            })?;
        let metadata = producer
            .client()
            .fetch_metadata(Some(topic), METADATA_TIMEOUT)
            .map_err(|source| Error::Unreachable { bootstrap_servers, source: source.into() })?;
        let error = metadata.topics().first().and_then(MetadataTopic::error).map(RDKafkaErrorCode::from);
        if let Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) = error {
            let source = KafkaError::MetadataFetch(code).into();
            return Err(Error::Refused { topic: topic.to_owned(), source });
        }
        let described = metadata.topics().first().filter(|described| described.error().is_none());
        let partition_count = described.map_or(0, |described| described.partitions().len());
        if partition_count == 0 {
            return Err(Error::Missing { topic: topic.to_owned() });
        }
        let partition_count = i32::try_from(partition_count).expect("Kafka counts partitions in 32 bits");
        Ok(Self { producer, framing: Framing::of(base), topic: topic.to_owned(), partition_count })
    }

    /// How many partitions the topic has.
    pub fn partition_count(&self) -> i32 {
        self.partition_count
    }

    /// Writes one record, waits until it is acknowledged, and returns its offset.
    pub fn write(
        &self,
        partition: i32,
        key: &str,
        value: &[u8],
        headers: OwnedHeaders,
    ) -> Result<i64, Error> {
        let (value, headers) = self.framing.frame(value, headers);
        let record =
            FutureRecord::to(&self.topic).partition(partition).key(key).payload(&*value).headers(headers);
        let delivery = self.producer.send_result(record).map_err(|(source, _)| self.failed(source))?;
        match block_on(delivery) {
            Ok(Ok(delivery)) => Ok(delivery.offset),
            Ok(Err((source, _))) => Err(self.failed(source)),
            Err(_) => Err(self.failed(KafkaError::Canceled)),
        }
    }

    fn failed(&self, source: KafkaError) -> Error {
        let topic = self.topic.clone();
        match source.rdkafka_error_code() {
            None
            | Some(
                RDKafkaErrorCode::MessageTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::BrokerTransportFailure,
            ) => Error::Unacknowledged { topic, source: source.into() },
            Some(_) => Error::Refused { topic, source: source.into() },
        }
    }
}
