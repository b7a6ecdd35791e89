//! Services that share the work, and jobs that lose their sink.

use std::collections::BTreeSet;

use schemas::topics::partition;
use serde_json::Value;
use simulator::{
    anthropic::{ROUND, Settings},
    jupiterone::{Effect, Fault, Route},
};
use tests::{
    judge::agree,
    services::Service,
    world::{PARTITIONS, World},
};

/// Waits until JupiterOne holds what the organizations are: the services that run between poll every second.
fn settled(world: &World, sink: &mut Service) {
    for organization in 0..world.anthropic.len() {
        sink.until("the organization's new user is in JupiterOne", |_| {
            let truth = world.anthropic[organization].truth();
            let held = world.graph(organization).entities;
            truth.users.keys().all(|id| {
                let key = format!("anthropic_user:{id}");
                held.iter().any(|entity| entity["_key"] == key.as_str())
            })
        });
    }
}

#[test]
fn two_processors_share_the_partitions_and_one_goes_on_when_the_other_is_killed() {
    let settings = |seed| Settings { seed, users: 8, workspaces: 3, api_keys: 8, ..Settings::default() };
    let world = World::of(vec![settings(1), settings(2), settings(3)]);
    let homes: BTreeSet<i32> =
        world.anthropic.iter().map(|end| partition(&end.organization_id(), PARTITIONS)).collect();
    assert!(homes.len() > 1, "the organizations are spread over partitions");
    let mut one = world.spawn("processor", &["run"]);
    one.ready();
    let mut other = world.spawn("processor", &["run"]);
    other.logged("task opened");
    let (producer, mut sink) = (world.spawn("producer", &["run"]), world.spawn("sink", &["run"]));
    settled(&world, &mut sink);

    one.kill();
    for end in &world.anthropic {
        end.live(ROUND);
    }
    settled(&world, &mut sink);
    for service in [producer, other, sink] {
        service.terminate().expect(0);
    }
    world.round();
    for organization in 0..world.anthropic.len() {
        agree(&world, organization);
    }
}

#[test]
fn a_sink_killed_in_the_midst_of_a_job_leaves_one_that_its_successor_ends_before_its_own() {
    let world = World::start();
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    // The upload is taken, and its answer comes too late for the sink that is killed meanwhile.
    world.jupiterone.fault(Fault::new(Route::Entities, Effect::Slow(60_000)).first(1));
    let mut sink = world.spawn("sink", &["run", "--until-end"]);
    sink.until("an upload is under way", |_| {
        world.jupiterone.jobs().iter().any(|job| job["numEntitiesUploaded"].as_u64() > Some(0))
    });
    sink.kill();
    let open = world.jupiterone.jobs();
    assert_eq!((open.len(), &open[0]["status"]), (1, &Value::from("AWAITING_UPLOADS")));
    world.jupiterone.clear_faults();

    world.run("sink", &["run", "--until-end"]).expect(0);
    let statuses: Vec<Value> = world.jupiterone.jobs().iter().map(|job| job["status"].clone()).collect();
    assert_eq!(statuses, ["ABORTED", "FINISHED"], "no job is left open, and never two at a time");
    agree(&world, 0);
}
