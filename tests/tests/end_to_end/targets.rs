//! A target, a prefix or a graph exchanged for another: nothing of the old graph is deleted, nothing of the new is
//! mixed in, and the message says what to do.

use std::collections::BTreeSet;
use std::fs;

use schemas::topics::Topic;
use simulator::anthropic::{ROUND, Settings};
use simulator::jupiterone::GraphView;
use tests::comparison::{agree, changes};
use tests::kafka;
use tests::world::World;

fn two() -> World {
    World::of(vec![
        Settings { seed: 1, ..Settings::default() },
        Settings { seed: 2, users: 9, workspaces: 3, api_keys: 5, ..Settings::default() },
    ])
}

/// Writes the configuration with a line of its own for each organization.
fn configure(world: &World, lines: [&str; 2]) {
    world.configure("");
    let text = fs::read_to_string(world.config()).expect("the configuration");
    let mut parts = text.split("[[organizations]]");
    let mut text = parts.next().expect("what is common").to_owned();
    for (part, line) in parts.zip(lines) {
        text.push_str("[[organizations]]");
        text.push_str(part);
        text.push_str(line);
        text.push('\n');
    }
    fs::write(world.config(), text).expect("a file");
}

fn keys(graph: &GraphView) -> Vec<String> {
    let objects = graph.entities.iter().chain(&graph.relationships);
    objects.map(|object| object["_key"].as_str().expect("a key").to_owned()).collect()
}

/// All but the account, which the sink uploads to learn whether it is there.
fn others(graph: &GraphView) -> GraphView {
    let mut graph = graph.clone();
    graph.entities.retain(|entity| entity["_type"] != "anthropic_account");
    graph
}

/// The sink is paused and has changed nothing of this; a person allows what it shows.
fn paused_then_approved(world: &World, before: &GraphView, says: &str) {
    let paused = world.run("sink", &["run", "--until-end"]);
    let line = paused.expect(3).stderr.lines().last().expect("a last line").to_owned();
    assert!(line.contains(says), "{line}");
    world.ask(&["sync", "resync"]).expect(3);
    let checked = world.run("sink", &["check"]);
    assert!(checked.expect(1).stdout.contains(says), "{}", checked.stdout);
    assert_eq!(others(&world.graph(0)), others(before));
    let (_, rest) = line.split_once("--revision ").expect("a command");
    let revision = rest.split(' ').next().expect("a revision");
    let approve =
        ["sync", "approve", "--organization", "organization-1", "--revision", revision, "--by", "ada"];
    world.ask(&approve).expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    world.run("sink", &["check"]).expect(0);
}

#[test]
fn a_new_prefix_begins_with_the_same_graph_once_a_person_says_so_and_deletes_nothing() {
    let mut world = World::start();
    world.round();
    let before = world.graph(0);
    world.prefix = tests::prefix();
    world.configure("");
    // Nothing was polled yet under it.
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    assert_eq!(world.graph(0), before);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    paused_then_approved(&world, &before, "already contained this organization");
    assert_eq!(keys(&world.graph(0)), keys(&before));
    agree(&world, 0);
}

#[test]
fn an_older_graph_under_another_prefix_changes_nothing_until_a_person_says_so() {
    let mut world = World::start();
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let older = std::mem::replace(&mut world.prefix, tests::prefix());
    world.configure("");
    for _ in 0..3 {
        world.anthropic[0].live(ROUND);
    }
    world.round();
    agree(&world, 0);
    let before = world.graph(0);
    world.prefix = older;
    world.configure("");
    paused_then_approved(&world, &before, "already contained this organization");
    assert_ne!(keys(&world.graph(0)), keys(&before), "the older graph is what was allowed");
}

#[test]
fn re_created_graph_and_changes_are_not_uploaded_until_a_person_approves() {
    let world = World::start();
    world.round();
    world.anthropic[0].live(ROUND);
    world.round();
    let before = world.graph(0);
    // Of one of the two alone the processor makes nothing.
    for topic in [Topic::Graph, Topic::Changes] {
        kafka::delete_topic(&world.bootstrap_servers, &world.topic(topic));
    }
    world.run("sink", &["run", "--until-end"]).expect(0);
    assert_eq!(keys(&world.graph(0)), keys(&before), "an empty graph is no graph");
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let paused = world.run("sink", &["run", "--until-end"]);
    let line = paused.expect(3).stderr.lines().last().expect("a last line").to_owned();
    assert!(line.contains("re-created") && line.contains("sync approve"), "{line}");
    assert_eq!(keys(&world.graph(0)), keys(&before));

    let (_, rest) = line.split_once("--revision ").expect("a command");
    let revision = rest.split(' ').next().expect("a revision");
    let approve =
        ["sync", "approve", "--organization", "organization-1", "--revision", revision, "--by", "ada"];
    world.ask(&approve).expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    assert_eq!(keys(&world.graph(0)), keys(&before), "it was the same graph");
}

#[test]
fn two_organizations_that_exchange_their_targets_are_paused_until_each_is_allowed() {
    let world = two();
    let (one, other) = ("jupiterone = { scope = \"one\" }", "jupiterone = { scope = \"other\" }");
    configure(&world, [one, other]);
    world.round();
    let before = (world.jupiterone.graph("one"), world.jupiterone.graph("other"));
    assert!(!keys(&before.0).is_empty() && !keys(&before.1).is_empty());
    configure(&world, [other, one]);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let paused = world.run("sink", &["run", "--until-end"]);
    let line = paused.expect(3).stderr.lines().last().expect("a last line").to_owned();
    assert!(line.contains("organization-1: ") && line.contains("organization-2: "), "{line}");
    assert_eq!((world.jupiterone.graph("one"), world.jupiterone.graph("other")), before);

    for name in ["organization-1", "organization-2"] {
        let shown = world.ask(&["sync", "approve", "--organization", name]);
        assert!(shown.expect(0).stdout.contains("deletes all of it"), "{}", shown.stdout);
        let (_, rest) = shown.stdout.split_once("--revision ").expect("a command");
        let revision = rest.split(' ').next().expect("a revision");
        let approve = ["sync", "approve", "--organization", name, "--revision", revision, "--by", "ada"];
        world.ask(&approve).expect(1);
        world.ask(&[&approve[..], &["--take-target"]].concat()).expect(0);
    }
    world.run("sink", &["run", "--until-end"]).expect(0);
    assert_eq!(keys(&world.jupiterone.graph("one")), keys(&before.1));
    assert_eq!(keys(&world.jupiterone.graph("other")), keys(&before.0));
}

#[test]
fn another_organization_s_admin_key_stops_the_producer_and_leaves_jupiterone_alone() {
    let world = two();
    world.round();
    let before = (world.graph(0), world.graph(1), world.jupiterone.jobs().len());
    let text = fs::read_to_string(world.config()).expect("the configuration");
    let (first, _) = text.rsplit_once("[[organizations]]").expect("two organizations");
    let exchanged = first
        .replace(&world.anthropic[0].url(), &world.anthropic[1].url())
        .replace("admin-key-1", "admin-key-2");
    fs::write(world.config(), exchanged).expect("a file");
    let polled = world.run("producer", &["poll"]);
    assert_ne!(polled.code, Some(0), "{}", polled.stderr);
    assert!(polled.stderr.contains(&world.anthropic[1].organization_id()), "{}", polled.stderr);
    world.run("processor", &["run", "--until-end"]);
    world.run("sink", &["run", "--until-end"]).expect(0);
    assert_eq!((world.graph(0), world.graph(1), world.jupiterone.jobs().len()), before);
}

/// Each of the two organizations answers at the other's address.
fn exchange(world: &mut World) {
    let (one, other) = world.anthropic.split_at_mut(1);
    one[0].exchange(&mut other[0]);
}

#[test]
fn an_admin_key_exchanged_under_a_running_producer_stops_its_organization_until_it_is_back() {
    let mut world = two();
    world.round();
    let (before, known) = ((world.graph(0), world.graph(1)), changes(&world, 0).len());
    let own_key = world.anthropic[0].admin_key().to_owned();
    let mut producer = world.spawn("producer", &["run"]);
    let polls = |log: &str| {
        let whole = log.lines().filter(|line| line.contains("\"complete\":true"));
        whole.filter(|line| line.contains("organization-1")).count()
    };
    producer.until("poll", |it| polls(&it.log()) > 0);

    exchange(&mut world);
    let file = world.folder().join("admin-key-1");
    fs::write(&file, world.anthropic[0].admin_key()).expect("a key is written");
    world.anthropic[0].live(ROUND);
    producer.logged("the Admin API key belongs to the organization");
    // The other organization's key is refused now: its poll says so to the processor.
    producer.until("refused poll", |it| {
        it.log().lines().any(|line| line.contains("\"complete\":false") && line.contains("organization-2"))
    });
    world.run("processor", &["run", "--until-end"]).expect(3);
    world.run("sink", &["run", "--until-end"]).expect(0);
    exchange(&mut world);
    assert_eq!((changes(&world, 0).len(), (world.graph(0), world.graph(1))), (known, before));

    fs::write(&file, own_key).expect("a key is written");
    let polled = polls(&producer.log());
    producer.until("poll again", |it| polls(&it.log()) > polled);
    producer.terminate();
    world.round();
    agree(&world, 0);
    agree(&world, 1);
}

/// An integration instance's ID.
const INSTANCE: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";

#[test]
fn an_integration_instance_written_in_capitals_is_the_same_target() {
    let world = World::start();
    let capitals = INSTANCE.to_uppercase();
    let configure = |id: &str| {
        world.configure(&format!("jupiterone = {{ integration_instance_id = \"{id}\" }}"));
    };
    let records = || {
        let records = world.read(Topic::Sync).into_iter();
        records.map(|record| record.key_text().to_owned()).collect::<BTreeSet<_>>()
    };
    configure(INSTANCE);
    world.round();
    let (known, jobs) = (records(), world.jupiterone.jobs().len());
    assert_eq!(known.len(), 1, "{known:?}");
    configure(&capitals);
    world.run("sink", &["run", "--until-end"]).expect(0);
    assert_eq!(world.jupiterone.jobs().len(), jobs, "it has that graph");
    world.anthropic[0].live(ROUND);
    world.round();
    assert_eq!(records(), known, "no record of another target, so no first job and no question");
    world.run("sink", &["check"]).expect(0);
}
