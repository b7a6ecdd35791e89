//! The real services on three brokers.

use schemas::topics::{Topic, partition};
use simulator::anthropic::{ROUND, Settings};
use tests::services::Service;
use tests::world::{PARTITIONS, World};

use crate::own;

/// Waits until the sink has brought all users to JupiterOne.
fn settled(world: &World, sink: &mut Service) {
    sink.until("bring all users to JupiterOne", |_| {
        let held = world.graph(0).entities;
        let is_held = |id: &String| {
            let key = format!("anthropic_user:{id}");
            held.iter().any(|entity| entity["_key"] == key.as_str())
        };
        world.anthropic[0].truth().users.keys().all(is_held)
    });
}

#[test]
fn a_leader_that_is_killed_and_starts_again_is_survived_without_a_hand() {
    let mut own = own();
    let settings = Settings { users: 8, workspaces: 3, api_keys: 8, ..Settings::default() };
    let world = World::on(own.cluster.address().to_owned(), vec![settings]);
    let producer = world.spawn("producer", &["run"]);
    let processor = world.spawn("processor", &["run"]);
    let mut sink = world.spawn("sink", &["run"]);
    settled(&world, &mut sink);
    let home = partition(&world.anthropic[0].organization_id(), PARTITIONS);
    for topic in [Topic::Graph, Topic::Raw] {
        let leader = own.cluster.leader(&world.topic(topic), home).expect("a leader");
        own.cluster.kill(leader).expect("it runs");
        world.anthropic[0].live(ROUND);
        settled(&world, &mut sink);
        own.cluster.start_again(leader).expect("it starts");
        for topic in Topic::ALL {
            own.cluster.await_in_sync(&world.topic(topic)).expect("three replicas");
        }
    }
    for service in [producer, processor, sink] {
        service.terminate().expect(0);
    }
    world.round();
    tests::judge::agree(&world, 0);
    world.run("processor", &["verify"]).expect(0);
    assert!(world.read(Topic::DeadLetters).is_empty());
}
