//! Services that share the work, and jobs that lose their sink.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use schemas::{
    change::Op,
    topics::{Topic, partition},
};
use serde_json::Value;
use simulator::{
    anthropic::{Mutation, ROUND, Settings},
    jupiterone::{Effect, Fault, Route},
};
use tests::{
    comparison::{agree, changes},
    kafka,
    proxy::{Fate, Proxy, Request},
    services::Service,
    world::{PARTITIONS, World},
};

use super::holds::{holds, user_key};

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
    other.logged("opened the task of partition");
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

/// Waits until the processor's group has worked off all raw records that there are now.
fn caught_up(world: &World, processor: &mut Service) {
    let (raw, group) = (world.topic(Topic::Raw), format!("{}.processor", world.prefix));
    let records = world.read(Topic::Raw);
    processor.until("catch up", |_| {
        let committed = kafka::committed(&world.bootstrap_servers, &group, &raw);
        records.iter().all(|it| committed.get(&it.partition).is_some_and(|next| *next > it.offset))
    });
}

#[test]
fn what_is_held_stays_held_when_one_of_two_processors_is_killed() {
    let settings = |seed| Settings { seed, users: 40, workspaces: 0, api_keys: 0, ..Settings::default() };
    let world = World::of(vec![settings(1), settings(2), settings(3)]);
    let homes: BTreeSet<i32> =
        world.anthropic.iter().map(|end| partition(&end.organization_id(), PARTITIONS)).collect();
    assert!(homes.len() > 1, "the organizations are spread over partitions");
    world.round();
    let mut gone = BTreeSet::new();
    for end in &world.anthropic {
        let ids: Vec<String> = end.truth().users.keys().cloned().collect();
        let remove = |id: &&String| end.mutate(Mutation::RemoveUser { id: (*id).clone() }).is_ok();
        gone.extend(ids.iter().filter(remove).take(24).map(|id| user_key(id)));
    }
    let mut one = world.spawn("processor", &["run"]);
    one.ready();
    let mut other = world.spawn("processor", &["run"]);
    other.logged("opened the task of partition");
    world.run("producer", &["poll"]).expect(0);
    caught_up(&world, &mut other);
    let held = holds(&world);
    let keys: BTreeSet<String> = held.iter().map(|hold| hold.element_key.clone()).collect();
    assert!(gone.is_subset(&keys), "{keys:?}");

    let restored = |service: &Service| service.log().matches("\"restored organization ").count();
    let before = restored(&other);
    one.kill();
    world.run("producer", &["poll"]).expect(0);
    caught_up(&world, &mut other);
    assert!(restored(&other) > before, "it took an organization over");
    assert_eq!(holds(&world), held, "the member that takes over keeps them");
    for organization in 0..world.anthropic.len() {
        assert!(changes(&world, organization).iter().all(|change| change.op != Op::Delete));
    }
    world.ask(&["verify"]).expect(0);
    // What a sink has seen held explains what goes when it is approved.
    world.run("sink", &["run", "--until-end"]).expect(0);

    // And lets go what a person lets go, in every partition.
    for end in &world.anthropic {
        let id = end.organization_id();
        let of_it = held.iter().filter(|hold| hold.organization_id == id);
        let listing = &of_it.max_by_key(|hold| hold.raw_offset).expect("a hold").listing_id;
        let arguments = ["holds", "approve", "--organization-id", &id, "--listing", listing, "--by", "ada"];
        world.ask(&arguments).expect(0);
    }
    caught_up(&world, &mut other);
    other.terminate().expect(0);
    world.round();
    assert_eq!(holds(&world), []);
    for organization in 0..world.anthropic.len() {
        agree(&world, organization);
    }
}

/// Less than a restore waits for records that do not come, and more than a process takes to end.
const PROMPT: Duration = Duration::from_secs(30);

#[test]
fn a_processor_that_is_asked_to_end_while_it_restores_does_not_wait_for_the_restore() {
    let world = World::start();
    world.round();
    let proxy = Proxy::start(&world.bootstrap_servers);
    // More than it sends: no record comes.
    proxy.strike(Request::Fetch, Fate::Held, 1_000);
    let mut processor = world.spawn_through(&proxy, "processor", &["run"]);
    processor.logged("\"restoring ");
    let asked = Instant::now();
    processor.terminate().expect(0);
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
}

#[test]
fn a_sink_killed_during_a_job_leaves_one_that_its_successor_ends_before_its_own() {
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
    assert_eq!(statuses, ["ABORTED", "FINISHED", "FINISHED"], "no job is left open, and never two at a time");
    agree(&world, 0);
}
