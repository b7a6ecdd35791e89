//! How soon the processor commits: after one listing, and during a backlog.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::message::OwnedHeaders;
use schemas::codec::{decode_raw, encode};
use schemas::raw::RawRecord;
use schemas::topics::{Topic, partition};
use service::kafka::partition::{PartitionReader, Start};
use service::kafka::transaction::{TRANSACTION_TIMEOUT, TransactionalProducer};
use simulator::anthropic::Settings;
use tests::judge::changes;
use tests::kafka::{self, Record};
use tests::world::{PARTITIONS, World};

use super::caught_up;

/// More than a processor of any build works off within its commit interval, and few enough outputs for one transaction.
const LISTINGS: usize = 4_000;
/// Listings with one change each, whose way through the processor is measured.
const ROUNDS: usize = 60;
/// Longer than a change takes on its way, however busy the machine is.
const PATIENCE: Duration = Duration::from_mins(1);
/// A processor that waits until nothing more comes needs more than this for each change; the quickest of many changes
/// needs less even on a busy machine.
const IDLE_WAIT: Duration = Duration::from_millis(150);

fn polled() -> World {
    let world = World::of(vec![Settings { users: 8, workspaces: 3, api_keys: 8, ..Settings::default() }]);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    world
}

fn home(world: &World) -> i32 {
    partition(&world.anthropic[0].organization_id(), PARTITIONS)
}

/// The raw records of the listing of the users, under another listing's id.
fn users(world: &World, listing_id: &str) -> Vec<RawRecord> {
    let values = world.read(Topic::Raw).into_iter().filter_map(|record| record.value);
    let records = values.map(|value| decode_raw(&value).expect("a raw record").record);
    let users = records.filter(|record| record.collection == "users");
    users.map(|record| RawRecord { listing_id: Some(listing_id.to_owned()), ..record }).collect()
}

fn committed(world: &World) -> i64 {
    let (group, raw) = (format!("{}.processor", world.prefix), world.topic(Topic::Raw));
    kafka::committed(&world.bootstrap_servers, &group, &raw).get(&home(world)).copied().unwrap_or_default()
}

fn end(world: &World) -> i64 {
    world.read(Topic::Raw).iter().map(|it| it.offset + 1).max().expect("raw records")
}

#[test]
fn a_backlog_of_unchanged_listings_makes_progress_that_survives_a_kill() {
    let world = polled();
    let (begin, known) = (committed(&world), changes(&world, 0).len());
    let partition = home(&world);
    let record = |record: RawRecord| Record {
        topic: world.topic(Topic::Raw),
        partition,
        offset: 0,
        timestamp: None,
        key: Some(record.key().into_bytes()),
        value: Some(encode(&record)),
        headers: Vec::new(),
    };
    let listing = users(&world, "");
    let again = (0..LISTINGS).flat_map(|number| {
        let records = listing.iter().cloned();
        records.map(move |it| RawRecord { listing_id: Some(format!("again-{number}")), ..it })
    });
    let backlog: Vec<Record> = again.map(record).collect();
    kafka::write_all(&world.bootstrap_servers, &world.topic(Topic::Raw), &backlog);

    let mut processor = world.spawn("processor", &["run"]);
    processor.until("commit a part of the backlog", |_| committed(&world) > begin);
    processor.kill();
    let (reached, end) = (committed(&world), end(&world));
    assert!(reached < end, "all {} records were committed at once", backlog.len());
    world.run("processor", &["run", "--until-end"]).expect(0);
    assert_eq!(committed(&world), end);
    assert_eq!(changes(&world, 0).len(), known);
    world.run("processor", &["verify"]).expect(0);
}

#[test]
fn a_change_is_visible_soon_after_its_manifest() {
    let world = polled();
    let mut processor = world.spawn("processor", &["run"]);
    caught_up(&world, &mut processor);
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &world.bootstrap_servers);
    let (raw, changes) = (world.topic(Topic::Raw), world.topic(Topic::Changes));
    let id = format!("{}.latency", world.prefix);
    let producer = TransactionalProducer::open(&client, &id, TRANSACTION_TIMEOUT).expect("a producer");
    let mut log =
        PartitionReader::open(&client, &id, &changes, home(&world), Start::Beginning).expect("a log");
    log.seek(log.end_offset().expect("an end")).expect("a place");
    // The first wait assigns the partition.
    assert_eq!(log.next(Duration::from_millis(500)).expect("the log answers"), None);

    let listing = users(&world, "");
    let mut waits: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            producer.begin().expect("a transaction");
            for record in changed(&listing, round) {
                let value = encode(&record);
                producer
                    .send(&raw, home(&world), &record.key(), Some(&value), OwnedHeaders::new())
                    .expect("it is sent");
            }
            producer.commit().expect("a commit");
            let written = Instant::now();
            while log.next(Duration::from_secs(1)).expect("the log answers").is_none() {
                assert!(written.elapsed() < PATIENCE, "no change came\n{}", processor.log());
            }
            written.elapsed()
        })
        .collect();
    waits.sort_unstable();
    println!(
        "manifest written to change visible, {ROUNDS} changes: min {:?}, p50 {:?}, p99 {:?}",
        waits[0],
        waits[ROUNDS / 2],
        waits[ROUNDS * 99 / 100]
    );
    assert!(waits[0] < IDLE_WAIT, "the quickest of {ROUNDS} took {:?}", waits[0]);
    processor.terminate().expect(0);
}

/// The listing with another name of one user.
fn changed(listing: &[RawRecord], round: usize) -> Vec<RawRecord> {
    let mut records = listing.to_vec();
    let mut users = records.iter_mut().filter_map(|record| record.resource.as_mut()?.user.as_mut());
    users.next().expect("a user").name = Some(format!("Ada {round}"));
    for record in &mut records {
        record.listing_id = Some(format!("changed-{round}"));
    }
    records
}
