//! Three hundred organizations in one process.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use graph::state::GraphKey;
use schemas::codec::GraphValue;
use schemas::collection::POLL;
use schemas::coverage::{Coverage, Poll, WholeListing};
use schemas::element::{Account, Element, ElementType};
use schemas::topics::Topic;
use tests::kafka::{self, Record};
use tests::services::Service;
use tests::world::{PARTITIONS, World};

const ORGANIZATIONS: usize = 300;
/// Fewer threads than this (count): a container's usual bound on tasks leaves room for hundreds.
const THREADS: usize = 64;
/// How often the threads are counted.
const LOOK_PERIOD: Duration = Duration::from_millis(20);
/// Long enough for a timer or a poll of every kind.
const IDLE: Duration = Duration::from_secs(5);

#[test]
fn a_sink_of_300_organizations_has_fewer_than_64_threads_at_its_start_in_its_first_jobs_and_idle() {
    let world = World::of(Vec::new());
    configure(&world);
    // Makes the topics.
    world.run("sink", &["run", "--until-end"]).expect(0);
    let ids: Vec<String> = (0..ORGANIZATIONS).map(id).collect();
    let records: Vec<Record> = ids.iter().zip(0..).flat_map(|(id, number)| records(id, number)).collect();
    kafka::write_all(&world.bootstrap_servers, &world.topic(Topic::Graph), &records);

    let mut sink = world.spawn("sink", &["run"]);
    let mut most = 0;
    // Each organization has two jobs: one asks what its target holds.
    for part in 1..=4 {
        sink.until("synchronize a quarter more", |sink| {
            most = most.max(threads(sink));
            let jobs = world.jupiterone.jobs();
            jobs.iter().filter(|job| job["status"] == "FINISHED").count() >= part * ORGANIZATIONS / 2
        });
    }
    let (begun, mut idle) = (Instant::now(), 0);
    while begun.elapsed() < IDLE {
        idle = idle.max(threads(&sink));
        thread::sleep(LOOK_PERIOD);
    }
    println!("{most} threads at most, {idle} idle");
    sink.terminate().expect(0);
    assert!(most < THREADS, "{most} threads while it starts and synchronizes");
    assert!(idle < THREADS, "{idle} threads while it is idle");
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
        writeln!(text, "[[organizations]]\nname = \"organization-{number}\"").expect("a text takes text");
    }
    fs::write(world.config(), text).expect("a file");
}

/// The account alone, listed whole by a poll that has ended.
fn records(id: &str, number: usize) -> Vec<Record> {
    let name = format!("organization-{number}");
    let kind = ElementType::Account;
    let element = Element {
        key: kind.entity_key(id),
        kind: kind.name().to_owned(),
        class: kind.class().to_owned(),
        display_name: name.clone(),
        organization_id: id.to_owned(),
        collection: "organization".to_owned(),
        digest: String::new(),
        from_key: None,
        to_key: None,
        account_name: None,
        account: Some(Account { id: id.to_owned(), name: name.clone(), vendor: "Anthropic".to_owned() }),
        user: None,
        workspace: None,
        api_key: None,
        user_assigned_workspace: None,
    };
    let coverage = |collection: &str| Coverage {
        organization_id: id.to_owned(),
        organization_name: name.clone(),
        collection: collection.to_owned(),
        whole: None,
        latest: None,
        not_whole_since_ts_ms: None,
        poll: None,
    };
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
        (GraphKey::Element(element.key.clone()), GraphValue::Element(Box::new(element))),
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

/// How many threads the process has now.
fn threads(service: &Service) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap_or_default();
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    count.map_or(0, |count| count.trim().parse().expect("a count"))
}
