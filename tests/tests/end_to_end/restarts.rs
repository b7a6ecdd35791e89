//! Services that run on, are stopped, killed and started again.

use simulator::anthropic::ROUND;
use tests::{services::Service, world::World};

use schemas::change::Op;
use tests::comparison::{agree, changes};

fn start(world: &World) -> [Service; 3] {
    let mut services = ["producer", "processor", "sink"].map(|service| world.spawn(service, &["run"]));
    for service in &mut services {
        service.ready();
    }
    services
}

/// Waits until a poll that began after now has gone through everything: a mark of its own is a user that was added.
fn settle(world: &World, sink: &mut Service) {
    let event = world.anthropic[0]
        .mutate(simulator::anthropic::Mutation::AddUser { id: None, email: None, name: None, role: None })
        .expect("a new user");
    let key = format!("anthropic_user:{}", event.effects[0].id);
    sink.until("the new user is in JupiterOne", |_| {
        world.graph(0).entities.iter().any(|entity| entity["_key"] == key.as_str())
    });
}

#[test]
fn running_services_follow_the_organization_and_end_well() {
    let world = World::start();
    let [producer, processor, mut sink] = start(&world);
    settle(&world, &mut sink);
    world.anthropic[0].live(ROUND);
    settle(&world, &mut sink);
    for service in [producer, processor, sink] {
        let ended = service.terminate();
        ended.expect(0);
    }
    world.round();
    agree(&world, 0);
}

#[test]
fn each_service_can_be_killed_and_restarted() {
    let world = World::start();
    let [mut producer, mut processor, mut sink] = start(&world);
    settle(&world, &mut sink);
    world.anthropic[0].live(ROUND);
    processor.kill();
    processor = world.spawn("processor", &["run"]);
    settle(&world, &mut sink);
    world.anthropic[0].live(ROUND);
    producer.kill();
    producer = world.spawn("producer", &["run"]);
    settle(&world, &mut sink);
    world.anthropic[0].live(ROUND);
    sink.kill();
    sink = world.spawn("sink", &["run"]);
    settle(&world, &mut sink);
    for service in [producer, processor, sink] {
        service.terminate().expect(0);
    }
    world.round();
    agree(&world, 0);
}

#[test]
fn a_restarted_processor_continues_from_the_topics_alone() {
    let world = World::start();
    world.round();
    world.anthropic[0].live(ROUND);
    world.run("producer", &["poll"]).expect(0);
    let mut processor = world.spawn("processor", &["run"]);
    let restored = processor.logged("restored");
    assert!(restored.contains("revision"), "{restored}");
    processor.terminate().expect(0);
    world.round();
    agree(&world, 0);
    let ops = changes(&world, 0);
    assert!(ops.iter().any(|change| change.op == Op::Delete));
}
