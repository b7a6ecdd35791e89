//! The sink asks before it deletes much from JupiterOne.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use simulator::anthropic::{Mutation, Settings};
use simulator::jupiterone::GraphView;
use tests::comparison::agree;
use tests::services::{Finished, PATIENCE, Service};
use tests::world::World;

/// How often a metric is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// Sixty users; a poll that finds twenty of them gone is within the processor's limits.
pub(crate) fn world() -> World {
    let world = World::of(vec![Settings { users: 60, workspaces: 2, api_keys: 2, ..Settings::default() }]);
    world.round();
    world
}

/// So many users leave.
fn remove(world: &World, count: usize) {
    let users = world.anthropic[0].truth().users.into_keys();
    let gone: Vec<String> = users.take(count).collect();
    for id in gone {
        world.anthropic[0].mutate(Mutation::RemoveUser { id }).expect("a user");
    }
}

/// So many users leave, which a poll sees and the sink does not.
pub(crate) fn leave(world: &World, count: usize) {
    remove(world, count);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
}

/// The revision in the command that a pause or a preview prints.
fn revision(text: &str) -> String {
    let (_, rest) = text.split_once("--revision ").expect("a command");
    rest.split(' ').next().expect("a revision").to_owned()
}

/// What `sync status` says of the organization.
pub(crate) fn status(world: &World) -> Value {
    let shown = world.ask(&["sync", "status", "--organization", "organization-1", "--json"]);
    serde_json::from_str(shown.expect(0).stdout.trim()).expect("one JSON line")
}

fn approve(world: &World, revision: &str) -> Finished {
    let arguments = ["sync", "approve", "--organization", "organization-1", "--revision", revision];
    world.ask(&[&arguments[..], &["--by", "ada", "--why", "they left"]].concat())
}

/// The line of a sink's metrics that says that the organization is in this phase.
fn in_phase(phase: &str) -> String {
    format!("sync_phase{{organization=\"organization-1\",phase=\"{phase}\"}} 1")
}

#[test]
fn many_deletions_of_several_polls_wait_for_a_person_who_sees_them_first() {
    let world = world();
    let before = world.graph(0);
    let held = before.entities.iter().filter(|entity| entity["_type"] == "anthropic_user").count();
    leave(&world, 20);
    leave(&world, 10);
    let paused = world.run("sink", &["run", "--until-end"]);
    let line = paused.expect(3).stderr.lines().last().expect("a last line").to_owned();
    assert!(line.contains(&format!("30 of {held} anthropic_user")), "{line}");
    assert_eq!(world.graph(0).entities, before.entities);

    let shown = world.ask(&["sync", "approve", "--organization", "organization-1"]);
    assert!(shown.expect(0).stdout.contains(&format!("30 of {held} anthropic_user")), "{}", shown.stdout);
    let seen = revision(&line);
    assert_eq!(revision(&shown.stdout), seen);
    assert!(shown.stdout.contains("--by $(id -un)") && shown.stdout.contains("--config"), "{}", shown.stdout);
    let nobody = ["sync", "approve", "--organization", "organization-1", "--revision", &seen, "--by", " "];
    assert!(world.ask(&nobody).expect(2).stderr.contains("--by: is empty"));
    approve(&world, "1").expect(1);
    world.ask(&["sync", "approve", "--organization", "organization-1", "--revision", &seen]).expect(2);
    world.run("sink", &["run", "--until-end"]).expect(3);

    // What leaves after the approval was not seen.
    approve(&world, &seen).expect(0);
    leave(&world, 1);
    world.run("sink", &["run", "--until-end"]).expect(3);
    assert_eq!(world.graph(0).entities, before.entities);
    let shown = world.ask(&["sync", "approve", "--organization", "organization-1"]);
    let command =
        shown.stdout.lines().find_map(|line| line.split_once("to allow it: ")).expect("a command").1;
    assert!(Service::paste(command).expect(0).stdout.contains("approved: "));
    world.run("sink", &["run", "--until-end"]).expect(0);
    agree(&world, 0);
}

#[test]
fn a_running_sink_notices_an_approval_and_goes_on() {
    let world = world();
    leave(&world, 20);
    leave(&world, 10);
    let mut sink = world.spawn("sink", &["run"]);
    sink.logged("paused: ");
    leave(&world, 1);
    let line = sink.logged("still paused: ");
    let log = sink.log();
    let calls = log.lines().filter(|line| line.contains("\"ERROR\"") && line.contains("paused: "));
    assert_eq!(calls.count(), 1, "{log}");
    let (status, reason) = sink.get("/readyz").expect("an answer");
    assert_eq!(status, 503, "{reason}");
    let (_, rest) = reason.split_once('`').expect("a command");
    let (command, _) = rest.split_once('`').expect("a command");
    assert!(
        command
            .contains(&format!("sync approve --organization organization-1 --revision {}", revision(&line)))
    );
    assert!(sink.get("/metrics").expect("metrics").1.contains(&in_phase("paused")));
    let status = self::status(&world);
    assert_eq!((&status["phase"], &status["sinks"]), (&"paused".into(), &1.into()), "{status}");
    assert!(
        reason.contains(status["reason"].as_str().and_then(|it| it.split('`').next()).expect("a reason"))
    );
    let would_delete = status["approval_would_delete"]["anthropic_user"].as_i64().expect("a count");
    assert!(reason.contains(&format!("would delete {would_delete} of")), "{reason}");
    Service::paste(command).expect(0);
    sink.logged("sync job finished");
    let deadline = Instant::now() + PATIENCE;
    while !sink.get("/metrics").expect("metrics").1.contains(&in_phase("synced")) {
        assert!(Instant::now() < deadline, "it stays paused");
        thread::sleep(LOOK_PERIOD);
    }
    sink.ready();
    let expected = "organization organization-1: synced: JupiterOne holds the graph";
    let (_, readiness) = sink.get("/readyz").expect("an answer");
    assert!(readiness.contains(expected), "{readiness}");
    sink.terminate().expect(0);
    let status = self::status(&world);
    assert_eq!((&status["phase"], &status["sinks"]), (&"synced".into(), &0.into()), "{status}");
    agree(&world, 0);
}

#[test]
fn what_was_approved_for_the_processor_needs_no_second_approval() {
    let world = world();
    let before = world.graph(0);
    remove(&world, 40);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]);
    world.run("sink", &["run", "--until-end"]).expect(0);
    let users = |graph: &GraphView| {
        graph.entities.iter().filter(|entity| entity["_type"] == "anthropic_user").count()
    };
    assert_eq!(users(&world.graph(0)), users(&before), "held");

    let holds = world.ask(&["holds", "list", "--json"]);
    let first = holds.expect(0).stdout.lines().next().expect("a hold").to_owned();
    let first: Value = serde_json::from_str(&first).expect("a JSON line");
    let listing = first["listing_id"].as_str().expect("a listing");
    let id = world.anthropic[0].organization_id();
    let approve = ["holds", "approve", "--organization-id", &id, "--listing", listing, "--by", "ada"];
    world.ask(&approve).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    assert_eq!(users(&world.graph(0)), users(&before) - 40);
    agree(&world, 0);
}
