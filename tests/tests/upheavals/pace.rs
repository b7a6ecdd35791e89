//! How soon the processor commits: after one listing, and during a backlog.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use graph::state::barrier_key;
use rdkafka::ClientConfig;
use rdkafka::message::OwnedHeaders;
use schemas::codec::{decode, encode};
use schemas::raw::{RawBody, RawRecord, Resource};
use schemas::topics::{Topic, partition};
use service::kafka::partition::{PartitionReader, Start};
use service::kafka::transaction::{TRANSACTION_TIMEOUT, TransactionalProducer};
use simulator::anthropic::{ROUND, Settings};
use tests::comparison::changes;
use tests::kafka::{self, Record};
use tests::services::Service;
use tests::world::{PARTITIONS, World};

/// More than a processor of any build works off within its commit interval, and few enough outputs for one transaction.
const LISTINGS: usize = 4_000;
/// Listings with one change each, whose way through the processor is measured.
const ROUNDS: usize = 60;
/// Longer than a change takes on its way, however busy the machine is.
const PATIENCE: Duration = Duration::from_mins(1);
/// A processor that waits until nothing more comes needs more than this for each change; the quickest of many changes
/// needs less even on a busy machine.
const IDLE_WAIT: Duration = Duration::from_millis(150);

/// How long a processor is given to read two small listings (ms), in turn: a busy machine may need longer. Each is too short
/// for the commit that comes once a second.
const READ_MS: [u64; 5] = [400, 500, 600, 700, 800];

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
    let records = values.map(|value| decode::<RawRecord>(&value).expect("a raw record"));
    let users = records.filter(|record| record.collection == "users");
    users.map(|record| RawRecord { listing_id: Some(listing_id.to_owned()), ..record }).collect()
}

fn write(world: &World, records: &[RawRecord]) {
    let raw = world.topic(Topic::Raw);
    let records: Vec<Record> = records
        .iter()
        .map(|record| Record {
            topic: raw.clone(),
            partition: home(world),
            offset: 0,
            timestamp: None,
            key: Some(record.key().into_bytes()),
            value: Some(encode(record)),
            headers: Vec::new(),
        })
        .collect();
    kafka::write_all(&world.bootstrap_servers, &raw, &records);
}

/// Waits until the processor reads the raw records.
fn open(world: &World, processor: &mut Service) {
    processor.logged(&format!("opened the task of partition {}\"", home(world)));
}

/// Writes a listing with a change, which is another one in each round, and after it one that stays open. Returns the
/// offset between the two.
fn write_whole_and_open(world: &World, round: usize) -> i64 {
    let listing = users(world, "");
    write(world, &changed(&listing, round));
    let between = end(world);
    let open = listing.into_iter().filter(|record| !matches!(record.body, RawBody::Manifest(_)));
    let open = open.map(|record| RawRecord { listing_id: Some(format!("open-{round}")), ..record });
    write(world, &open.collect::<Vec<_>>());
    between
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
    let listing = users(&world, "");
    let again = (0..LISTINGS).flat_map(|number| {
        let records = listing.iter().cloned();
        records.map(move |it| RawRecord { listing_id: Some(format!("again-{number}")), ..it })
    });
    let backlog: Vec<RawRecord> = again.collect();
    write(&world, &backlog);

    let mut processor = world.spawn("processor", &["run"]);
    processor.until("commit a part of the backlog", |_| committed(&world) > begin);
    processor.kill();
    let (reached, end) = (committed(&world), end(&world));
    assert!(reached < end, "all {} records were committed at once", backlog.len());
    world.run("processor", &["run", "--until-end"]).expect(0);
    assert_eq!(committed(&world), end);
    assert_eq!(changes(&world, 0).len(), known);
    world.ask(&["verify"]).expect(0);
}

/// Commits a record of the graph topic that changes nothing, again and again, more often than a sink waits for one.
fn keep_committing(world: &World, is_over: &AtomicBool) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &world.bootstrap_servers);
    let producer = TransactionalProducer::open(&config, "noise", TRANSACTION_TIMEOUT).expect("a producer");
    let (graph, home) = (world.topic(Topic::Graph), home(world));
    let key = barrier_key(home, PARTITIONS);
    let bound = Instant::now() + 2 * PATIENCE;
    while !is_over.load(Ordering::Relaxed) && Instant::now() < bound {
        producer.begin().expect("a transaction");
        producer.send(&graph, home, &key, None, OwnedHeaders::new()).expect("room");
        producer.commit().expect("a commit");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_sink_looks_after_its_jobs_while_transactions_keep_coming() {
    let world = polled();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| keep_committing(&world, &is_over));
        let mut sink = world.spawn("sink", &["run"]);
        let synced = "is synced: JupiterOne holds the graph";
        sink.logged_times(synced, 1);
        world.anthropic[0].live(ROUND);
        world.run("producer", &["poll"]).expect(0);
        world.run("processor", &["run", "--until-end"]).expect(0);
        sink.logged_times(synced, 2);
        is_over.store(true, Ordering::Relaxed);
        sink.terminate().expect(0);
    });
    tests::comparison::agree(&world, 0);
}

#[test]
fn a_listing_is_committed_although_the_next_one_stays_open() {
    let world = polled();
    let known = changes(&world, 0).len();
    let mut processor = world.spawn("processor", &["run"]);
    open(&world, &mut processor);
    let between = write_whole_and_open(&world, 0);
    processor.until("commit the listing", |_| committed(&world) == between);
    assert_eq!(changes(&world, 0).len(), known + 1);
    processor.terminate().expect(0);
    assert_eq!(committed(&world), between);
}

#[test]
fn a_processor_that_stops_in_an_open_listing_commits_what_came_before_it() {
    let world = polled();
    let known = changes(&world, 0).len();
    let committing = READ_MS.into_iter().enumerate().find(|(round, read)| {
        let mut processor = world.spawn("processor", &["run"]);
        open(&world, &mut processor);
        let between = write_whole_and_open(&world, *round);
        thread::sleep(Duration::from_millis(*read));
        processor.terminate().expect(0);
        committed(&world) == between
    });
    let (round, _) = committing.expect("the listing before the open one is committed at the stop");
    assert_eq!(changes(&world, 0).len(), known + round + 1);
}

#[test]
fn a_change_is_visible_soon_after_its_manifest() {
    let world = polled();
    let mut processor = world.spawn("processor", &["run"]);
    open(&world, &mut processor);
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
    let mut users = records.iter_mut().filter_map(|record| match &mut record.body {
        RawBody::Resource(Resource::User(user)) => Some(user),
        _ => None,
    });
    users.next().expect("a user").name = Some(format!("Ada {round}"));
    for record in &mut records {
        record.listing_id = Some(format!("changed-{round}"));
    }
    records
}
