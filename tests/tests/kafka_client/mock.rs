//! librdkafka's mock cluster, the quickstart's broker: everything works on it but the promises.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::OwnedHeaders;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use schemas::topics::{Retention, Topic};
use service::kafka::partition::{PartitionReader, Start};
use service::kafka::restore;
use service::kafka::topics::{Broker, Error, Wanted, ensure};
use service::kafka::transaction::{Error as TransactionError, TRANSACTION_TIMEOUT, TransactionalProducer};

use crate::world::{PATIENCE, config_at};

fn wanted(topics: &[Topic]) -> Wanted<'_> {
    Wanted {
        topics,
        prefix: "anthropic",
        partitions: 3,
        replication_factor: 1,
        retention: Retention::default(),
        create: true,
        must_see_settings: true,
        broker: Broker::Embedded,
    }
}

#[test]
fn topics_of_the_mock_cluster_are_verified_by_their_partitions_and_never_made() {
    let cluster = MockCluster::new(1).unwrap();
    let config = config_at(&cluster.bootstrap_servers());
    assert!(matches!(ensure(&config, &wanted(&Topic::ALL)), Err(Error::Missing { .. })));
    for topic in Topic::ALL {
        cluster.create_topic(&topic.name("anthropic"), 3, 1).unwrap();
    }
    assert_eq!(ensure(&config, &wanted(&Topic::ALL)).unwrap(), 3);
}

#[test]
fn records_go_to_the_mock_cluster_and_come_back() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("mocked", 1, 1).unwrap();
    let config = config_at(&cluster.bootstrap_servers());
    let producer = TransactionalProducer::open(&config, "mocked", TRANSACTION_TIMEOUT).unwrap();
    producer.begin().unwrap();
    producer.send("mocked", 0, "a", Some(b"1"), OwnedHeaders::new()).unwrap();
    producer.commit().unwrap();
    let mut reader = PartitionReader::open(&config, "readers", "mocked", 0, Start::Beginning).unwrap();
    let mut count = 0;
    let end = restore(&mut reader, |_| {
        count += 1;
        Ok::<(), std::convert::Infallible>(())
    });
    assert_eq!((end.unwrap(), count), (1, 1));
    producer.begin().unwrap();
    producer.send("mocked", 0, "b", None, OwnedHeaders::new()).unwrap();
    producer.commit().unwrap();
    let mut next = None;
    while next.is_none() {
        next = reader.next(PATIENCE).unwrap();
    }
    assert_eq!(next.unwrap().value, None);
    assert!(reader.next(Duration::from_millis(100)).unwrap().is_none());
}

/// A topic is created on one broker, and the next request goes to another one, which does not know it yet.
#[test]
fn a_reader_waits_for_a_broker_that_does_not_know_a_new_topic_yet() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("new", 1, 1).unwrap();
    let config = config_at(&cluster.bootstrap_servers());
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.request_errors(RDKafkaApiKey::ListOffsets, &[unknown; 6]);
    let reader = PartitionReader::open(&config, "readers", "new", 0, Start::Beginning).unwrap();
    assert_eq!(reader.end_offset().unwrap(), 0);
}

/// librdkafka 2.12.1 asks for the group's coordinator again only if the state of a connection changes, and ignores the
/// timeout of `send_offsets_to_transaction` meanwhile (`rd_kafka_coord_req_handle_FindCoordinator`).
#[test]
fn a_transaction_whose_group_coordinator_is_not_found_is_given_up_within_a_bound() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("topic", 1, 1).unwrap();
    let mut config = config_at(&cluster.bootstrap_servers());
    let producer = TransactionalProducer::open(&config, "lost", TRANSACTION_TIMEOUT).unwrap();
    // After this no connection changes its state, and nothing else asks for a coordinator.
    producer.begin().unwrap();
    producer.send("topic", 0, "a", Some(b"1"), OwnedHeaders::new()).unwrap();
    producer.commit().unwrap();
    let consumer: BaseConsumer = config.set("group.id", "group").create().unwrap();
    let group = consumer.group_metadata().unwrap();
    drop(consumer);
    producer.begin().unwrap();
    let away = RDKafkaRespErr::RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE;
    cluster.request_errors(RDKafkaApiKey::FindCoordinator, &[away]);
    let (sender, result) = mpsc::channel();
    thread::spawn(move || sender.send(producer.send_offsets(&[("topic", 0, 1)], group)));
    let result = result.recv_timeout(PATIENCE).expect("it returns");
    assert!(matches!(result, Err(TransactionError::Unreachable { .. })), "{result:?}");
}

/// What a commit ends in when the broker answers one request with an error.
fn commit_when(request: RDKafkaApiKey, error: RDKafkaRespErr) -> Result<(), TransactionError> {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("injected", 1, 1).unwrap();
    let config = config_at(&cluster.bootstrap_servers());
    let producer = TransactionalProducer::open(&config, "injected", TRANSACTION_TIMEOUT).unwrap();
    producer.begin().unwrap();
    cluster.request_errors(request, &[error]);
    producer.send("injected", 0, "a", Some(b"1"), OwnedHeaders::new()).unwrap();
    producer.commit()
}

#[test]
fn an_error_of_a_transaction_is_named_for_what_the_caller_does_next() {
    use RDKafkaApiKey::{AddPartitionsToTxn, EndTxn, Produce};
    let passing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
    commit_when(EndTxn, passing).unwrap();
    let fenced = commit_when(EndTxn, RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED).unwrap_err();
    assert!(matches!(fenced, TransactionError::Fenced { .. }), "{fenced:?}");
    let topic = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    let id = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
    for (request, denied) in [(AddPartitionsToTxn, topic), (Produce, topic), (EndTxn, id)] {
        let denied = commit_when(request, denied).unwrap_err();
        assert!(matches!(denied, TransactionError::Denied { .. }), "{denied:?}");
    }
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS;
    let abortable = commit_when(Produce, refused).unwrap_err();
    assert!(matches!(abortable, TransactionError::Abortable { .. }), "{abortable:?}");
    let state = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE;
    let fatal = commit_when(EndTxn, state).unwrap_err();
    assert!(matches!(fatal, TransactionError::Fatal { .. }), "{fatal:?}");
}
