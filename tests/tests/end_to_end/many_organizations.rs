//! Three hundred organizations in one process.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use graph::state::GraphKey;
use schemas::collection::POLL;
use schemas::coverage::{Coverage, Poll, WholeListing};
use schemas::element::{Account, Content, Element};
use schemas::graph_value::GraphValue;
use schemas::topics::Topic;
use tests::kafka::{self, Record};
use tests::services::Service;
use tests::world::{PARTITIONS, World};

const ORGANIZATIONS: usize = 300;
/// Fewer threads than this (count), where a thread for each organization would be 300. A client of librdkafka has four, and on a
/// busy machine several that restored a partition still close while the tasks run.
const THREADS: usize = 100;
/// How often the threads are counted.
const LOOK_PERIOD: Duration = Duration::from_millis(20);
/// Long enough for a timer or a poll of every kind.
const IDLE: Duration = Duration::from_secs(5);

#[test]
fn a_sink_of_300_organizations_has_fewer_than_100_threads_at_its_start_in_its_first_jobs_and_idle() {
    let world = World::of(Vec::new());
    configure(&world);
    // Makes the topics.
    world.run("sink", &["run", "--until-end"]).expect(0);
    let ids: Vec<String> = (0..ORGANIZATIONS).map(id).collect();
    let records: Vec<Record> = ids.iter().zip(0..).flat_map(|(id, number)| records(id, number)).collect();
    kafka::write_all(&world.bootstrap_servers, &world.topic(Topic::Graph), &records);

    let mut sink = world.spawn("sink", &["run"]);
    let most_of = |most: Vec<String>, now: Vec<String>| if now.len() > most.len() { now } else { most };
    let mut most = Vec::new();
    // Each organization has two jobs: one asks what its target holds.
    for part in 1..=4 {
        sink.until("synchronize a quarter more", |sink| {
            most = most_of(std::mem::take(&mut most), threads(sink));
            let jobs = world.jupiterone.jobs();
            jobs.iter().filter(|job| job["status"] == "FINISHED").count() >= part * ORGANIZATIONS / 2
        });
    }
    let (begun, mut idle) = (Instant::now(), Vec::new());
    while begun.elapsed() < IDLE {
        idle = most_of(idle, threads(&sink));
        thread::sleep(LOOK_PERIOD);
    }
    println!("at most {}\nidle: {}", named(&most), named(&idle));
    sink.terminate().expect(0);
    assert!(most.len() < THREADS, "while it starts and synchronizes: {}", named(&most));
    assert!(idle.len() < THREADS, "while it is idle: {}", named(&idle));
    for id in ids {
        assert_eq!(world.jupiterone.graph(&format!("anthropic-graph:{id}")).entities.len(), 1);
    }
}

fn id(number: usize) -> String {
    format!("3f0b6c1e-9a52-4d0f-8c7e-{number:012}")
}

fn configure(world: &World) {
    let mut text = fs::read_to_string(world.config()).expect("the configuration");
    for number in 0..ORGANIZATIONS {
        writeln!(text, "[[organizations]]\nname = \"organization-{number}\"")
            .expect("writing to a String cannot fail");
    }
    fs::write(world.config(), text).expect("a file");
}

/// The account alone, listed whole by a poll that has ended.
fn records(id: &str, number: usize) -> Vec<Record> {
    let name = format!("organization-{number}");
    let account = Account { id: id.to_owned(), name: name.clone(), vendor: "Anthropic".to_owned() };
    let element = Element::new(id, "organization", Content::Account(account));
    let coverage = |collection: &str| Coverage::new(id, &name, collection);
    let listing = WholeListing {
        listing_id: "listing".to_owned(),
        raw_offset: 1,
        started_ts_ms: 1,
        ended_ts_ms: 2,
        count: 1,
        parameters: BTreeMap::new(),
    };
    let whole = Coverage { whole: Some(listing), ..coverage("organization") };
    let poll =
        Poll { revision: 1, element_count: 1, partition_count: PARTITIONS, ended: true, ..Poll::default() };
    let poll = Coverage { poll: Some(poll), ..coverage(POLL) };
    let partition = schemas::topics::partition(id, PARTITIONS);
    [
        (GraphKey::Element(element.key.clone()), GraphValue::Element(element.into())),
        (GraphKey::Coverage("organization".to_owned()), GraphValue::Coverage(Box::new(whole))),
        (GraphKey::Coverage(POLL.to_owned()), GraphValue::Coverage(Box::new(poll))),
    ]
    .map(|(key, value)| Record {
        topic: String::new(),
        partition,
        offset: 0,
        timestamp: None,
        key: Some(key.format(id).into_bytes()),
        value: Some(value.encode()),
        headers: Vec::new(),
    })
    .into()
}

/// The names of the threads that the process has now.
fn threads(service: &Service) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", service.pid())).into_iter().flatten().flatten();
    // One that has ended meanwhile has no name.
    tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).collect()
}

/// How many there are of each name.
fn named(threads: &[String]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in threads {
        *counts.entry(name.trim()).or_default() += 1;
    }
    format!("{} threads: {counts:?}", threads.len())
}
