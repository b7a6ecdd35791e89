//! One writer of a partition follows another, and reads what there is.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::message::OwnedHeaders;
use service::config::{GroupProtocol, Kafka};
use service::kafka::partition::{Message, PartitionReader, Start, with_short_fetch_wait};
use service::kafka::restore::restore_to;
use service::kafka::transaction::{TRANSACTION_TIMEOUT, TransactionalProducer};
use service::kafka::{client_config, restore};
use tests::broker::cluster::{BROKERS, Cluster, rack};
use tests::{kafka, prefix};

use crate::own;

/// How many handovers, where it is to be another number.
const HANDOVERS: &str = "HANDOVERS";
const USUAL_HANDOVERS: u32 = 20;
/// Records of a transaction (count).
const RECORDS: u32 = 20;
/// Of so many handovers, one meets a leader that was killed a moment ago.
const KILL_EVERY: u32 = 20;
/// How long a partition may be without a leader that answers.
const ELECTION_BOUND: Duration = Duration::from_mins(1);
const BARRIER: &str = "anthropic-graph.0/barrier";

fn config(bootstrap_servers: &str) -> ClientConfig {
    let kafka = Kafka {
        bootstrap_servers: bootstrap_servers.to_owned(),
        topic_prefix: "anthropic".to_owned(),
        partitions: 1,
        replication_factor: -1,
        create_topics: false,
        group_protocol: GroupProtocol::Classic,
        properties: BTreeMap::new(),
    };
    client_config(&kafka, &BTreeMap::new()).expect("a configuration")
}

fn open(config: &ClientConfig, topic: &str) -> TransactionalProducer {
    TransactionalProducer::open(config, topic, TRANSACTION_TIMEOUT).expect("the brokers answer")
}

/// The leader, and a reader in the rack of a follower, at the end. The configuration refuses a rack; a reader that has one anyway must
/// read anyway.
fn beside_the_leader(cluster: &Cluster, config: &ClientConfig, topic: &str) -> (usize, PartitionReader) {
    let leader = cluster.leader(topic, 0).expect("a leader");
    let mut config = with_short_fetch_wait(config);
    config.set("client.rack", rack(leader % BROKERS + 1));
    let reader = PartitionReader::open(&config, "readers", topic, 0, Start::Beginning);
    let mut reader = reader.expect("the leader answers");
    restore(&mut reader, |_| Ok::<(), Infallible>(())).expect("the brokers answer");
    (leader, reader)
}

/// Counts the records that are not barriers.
fn counting(count: &mut u32) -> impl FnMut(Message<'_>) -> Result<(), Infallible> {
    |record| {
        *count += u32::from(record.value.is_some());
        Ok(())
    }
}

#[test]
fn no_handover_is_short_whichever_broker_answers_and_whichever_leader_is_killed() {
    let handovers = std::env::var(HANDOVERS).map_or(USUAL_HANDOVERS, |it| it.parse().expect("a number"));
    let mut own = own();
    let (config, topic) = (config(own.cluster.address()), prefix());
    kafka::create_topic(own.cluster.address(), &topic, 1, &[]);
    own.cluster.await_in_sync(&topic).expect("three replicas");
    let (mut written, mut short) = (0, Vec::new());
    let mut writer = open(&config, &topic);
    let (mut leader, mut reader) = beside_the_leader(&own.cluster, &config, &topic);
    for handover in 1..=handovers {
        writer.begin().expect("a transaction");
        for number in 0..RECORDS {
            let key = format!("{handover}-{number}");
            writer.send(&topic, 0, &key, Some(b"1"), OwnedHeaders::new()).expect("a record");
        }
        let before = reader.end_offset().expect("the leader answers");
        writer.commit().expect("it is committed");
        written += RECORDS;
        // The tightest moment: the leader's end has moved a moment ago, and its followers' have not.
        while reader.end_offset().expect("the leader answers") == before {}
        let mut followed = 0;
        restore(&mut reader, counting(&mut followed)).expect("the brokers answer");
        let killed = (handover % KILL_EVERY == KILL_EVERY / 2).then_some(leader);
        if let Some(leader) = killed {
            own.cluster.kill(leader).expect("it runs");
        }

        writer = open(&config, &topic);
        // An election may take longer than one question to the leader; a task would be opened again.
        let deadline = Instant::now() + ELECTION_BOUND;
        while let Err(error) = reader.end_offset() {
            assert!(Instant::now() < deadline, "no leader answers: {error}");
        }
        let (mut read, mut restored) = (0, 0);
        // Opening the writer has ended the predecessor's transaction, so the leader's end is after its last record.
        reader.seek(0).expect("it is assigned");
        restore(&mut reader, counting(&mut read)).expect("the brokers answer");
        let barrier = writer.write_barrier(&topic, 0, BARRIER).expect("a barrier");
        reader.seek(0).expect("it is assigned");
        let is_there = restore_to(&mut reader, barrier + 1, || false, counting(&mut restored));
        assert!(is_there.expect("the brokers answer"), "nobody stops it");
        if (followed, read, restored) != (RECORDS, written, written) {
            short.push((handover, written, followed, read, restored));
        }
        if let Some(killed) = killed {
            own.cluster.start_again(killed).expect("it starts");
            own.cluster.await_in_sync(&topic).expect("three replicas");
            (leader, reader) = beside_the_leader(&own.cluster, &config, &topic);
        }
    }
    let said = format!("{} of {handovers} handovers short", short.len());
    assert!(short.is_empty(), "{said} (handover, written, followed, read, restored): {short:?}");
}
