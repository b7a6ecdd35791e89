//! The real services on three brokers.

use std::thread;
use std::time::{Duration, Instant};

use schemas::topics::{Topic, partition};
use simulator::anthropic::{Answer, Fault, ROUND, Settings};
use tests::broker::cluster::BROKERS;
use tests::services::Service;
use tests::world::{PARTITIONS, World};

use crate::own;

/// How long the services may take until JupiterOne holds all users. On two busy cores it was half a minute at most: the
/// brokers need six seconds to miss one of them and as long again to elect, and the services go on a few seconds later.
const RECOVERY_BOUND: Duration = Duration::from_mins(2);
/// No poll waits for the budget of requests, which every second's poll would spend in ten seconds, to wait for the rest
/// of the minute.
const POLLS: &str = "requests_per_minute = 60000";
/// How often JupiterOne is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Waits until the services have brought all users to JupiterOne.
///
/// # Panics
/// With the logs of all of them, when it takes too long: any of them may be the one that waits.
fn settled(world: &World, services: &[&Service]) {
    let deadline = Instant::now() + RECOVERY_BOUND;
    loop {
        let held = world.graph(0).entities;
        let is_held = |id: &String| {
            let key = format!("anthropic_user:{id}");
            held.iter().any(|entity| entity["_key"] == key.as_str())
        };
        if world.anthropic[0].truth().users.keys().all(is_held) {
            return;
        }
        let logs = || services.iter().map(|service| service.log()).collect::<Vec<_>>().join("\n\n");
        assert!(Instant::now() < deadline, "JupiterOne does not hold all users\n{}", logs());
        thread::sleep(LOOK_PERIOD);
    }
}

#[test]
fn a_leader_that_is_killed_and_starts_again_is_survived_without_a_hand() {
    let mut own = own();
    let settings = Settings { users: 8, workspaces: 3, api_keys: 8, ..Settings::default() };
    let world = World::on(own.cluster.address().to_owned(), vec![settings]);
    world.configure(POLLS);
    // A poll takes longer than its interval, so the next poll starts at once, and no broker reports the end of graph.
    world.anthropic[0].fault(Fault::on("", Answer::SlowBody { milliseconds: 200 }));
    let producer = world.spawn("producer", &["run"]);
    let processor = world.spawn("processor", &["run"]);
    let sink = world.spawn("sink", &["run"]);
    settled(&world, &[&producer, &processor, &sink]);
    let home = partition(&world.anthropic[0].organization_id(), PARTITIONS);
    for topic in [Topic::Graph, Topic::Raw] {
        let leader = own.cluster.leader(&world.topic(topic), home).expect("a leader");
        own.cluster.kill(leader).expect("it runs");
        world.anthropic[0].live(ROUND);
        settled(&world, &[&producer, &processor, &sink]);
        own.cluster.start_again(leader).expect("it starts");
        for topic in Topic::ALL {
            own.cluster.await_in_sync(&world.topic(topic)).expect("three replicas");
        }
    }
    for service in [producer, processor, sink] {
        service.terminate().expect(0);
    }
    world.round();
    tests::comparison::agree(&world, 0);
    world.ask(&["verify"]).expect(0);
    assert!(world.read(Topic::DeadLetters).is_empty());
}

#[test]
fn each_service_says_what_it_waits_for_while_two_brokers_of_three_are_away_and_goes_on_after_them() {
    let mut own = own();
    let settings = Settings { users: 8, workspaces: 3, api_keys: 8, ..Settings::default() };
    let world = World::on(own.cluster.address().to_owned(), vec![settings]);
    world.configure(POLLS);
    let mut services = ["producer", "processor", "sink"].map(|name| world.spawn(name, &["run"]));
    settled(&world, &services.each_ref());
    for service in &mut services {
        service.ready();
    }
    let home = partition(&world.anthropic[0].organization_id(), PARTITIONS);
    let first = own.cluster.leader(&world.topic(Topic::Graph), home).expect("a leader");
    let led = own.cluster.leader(&world.topic(Topic::Raw), home).expect("a leader");
    let second = if led == first { first % BROKERS + 1 } else { led };
    for broker in [first, second] {
        own.cluster.kill(broker).expect("it runs");
    }
    world.anthropic[0].live(ROUND);
    for service in &mut services {
        let said = service.unready_for("waiting since");
        let line = service.logged("waiting since");
        assert!(line.contains("\"WARN\"") && line.contains("it ends once"), "{line}\n{said}");
    }
    for broker in [first, second] {
        own.cluster.start_again(broker).expect("it starts");
    }
    for topic in Topic::ALL {
        own.cluster.await_in_sync(&world.topic(topic)).expect("three replicas");
    }
    settled(&world, &services.each_ref());
    for service in &mut services {
        service.ready();
    }
    for service in services {
        service.terminate().expect(0);
    }
    world.ask(&["verify"]).expect(0);
}
