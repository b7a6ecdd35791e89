//! A processor that begins again comes to the same end, and is not reset while it works.

use std::collections::BTreeMap;

use graph::state::GraphKey;
use schemas::topics::{Topic, partition};

use crate::said;
use serde_json::Value;
use simulator::anthropic::ROUND;
use tests::{
    comparison::agree,
    kafka,
    proxy::{Fate, Proxy, Request},
    services::Service,
    world::{PARTITIONS, World},
};

fn lived() -> World {
    let world = World::start();
    for _ in 0..2 {
        world.round();
        world.anthropic[0].live(ROUND);
    }
    world.round();
    world
}

#[test]
fn a_processor_that_was_reset_comes_to_the_same_topics() {
    let world = lived();
    let read = || [Topic::Changes, Topic::Graph].map(|topic| said(world.read(topic)));
    let (before, group) = (read(), format!("{}.processor", world.prefix));
    let committed = || kafka::committed(&world.bootstrap_servers, &group, &world.topic(Topic::Raw));
    for arguments in [&["reset"][..], &["reset", "--dry-run"]] {
        let shown = world.ask(arguments);
        for text in [&group, &world.topic(Topic::Changes), &world.topic(Topic::Graph), "nothing was deleted"]
        {
            assert!(shown.expect(0).stdout.contains(text), "{text}: {}", shown.stdout);
        }
        assert!(read() == before && !committed().is_empty(), "a dry run changes nothing");
    }
    let shown = world.ask(&["reset"]);
    let command =
        shown.stdout.lines().find_map(|line| line.split_once("to delete it: ")).expect("a command").1;
    let done = Service::paste(&format!("{command} --json"));
    let line: Value = serde_json::from_str(&done.expect(0).stdout).expect("a JSON line");
    assert_eq!((&line["deleted"], &line["lost_until_next_poll"]), (&true.into(), &serde_json::json!({})));
    assert_eq!(committed(), BTreeMap::new());
    for topic in [Topic::Changes, Topic::Graph] {
        assert_eq!(kafka::partition_count(&world.bootstrap_servers, &world.topic(topic)), 0, "{topic:?}");
    }
    // Topics may be created: nothing says that they may not.
    let verified = world.ask(&["verify"]);
    assert!(verified.expect(1).stderr.contains("`processor run` creates"), "{}", verified.stderr);
    assert!(!verified.stderr.contains("create_topics"), "{}", verified.stderr);
    world.run("processor", &["run", "--until-end"]).expect(0);
    assert!(read() == before, "the topics differ from before");
    world.run("sink", &["run", "--until-end"]).expect(0);
    world.round();
    agree(&world, 0);
}

#[test]
fn a_processor_or_a_sink_that_works_is_not_reset() {
    let world = World::start();
    world.round();
    for service in ["processor", "sink"] {
        let mut running = world.spawn(service, &["run"]);
        running.logged("assigned");
        let refused = world.ask(&["reset", "--confirm"]);
        assert_eq!(refused.code, Some(1), "{}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains(&format!("{}.{service} has 1", world.prefix)), "{}", refused.stderr);
        let shown = world.ask(&["reset"]);
        assert!(shown.expect(0).stdout.contains("reset would be refused now"), "{}", shown.stdout);
        running.terminate().expect(0);
    }
    assert!(!world.read(Topic::Graph).is_empty());
}

#[test]
fn groups_of_the_protocol_consumer_are_not_reset_while_they_have_members() {
    let mut world = World::start();
    world.kafka = "group_protocol = \"consumer\"".to_owned();
    world.configure("");
    world.round();
    for service in ["processor", "sink"] {
        let mut running = world.spawn(service, &["run"]);
        running.logged("partitions assigned");
        let refused = world.ask(&["reset", "--confirm"]);
        assert_eq!(refused.code, Some(1), "{}{}", refused.stdout, refused.stderr);
        let active =
            format!("nothing was deleted: the consumer group {}.{service} has active members", world.prefix);
        assert!(refused.stderr.contains(&active), "{}", refused.stderr);
        let shown = world.ask(&["reset"]);
        assert!(shown.expect(0).stdout.contains("which is not known of groups"), "{}", shown.stdout);
        running.terminate().expect(0);
    }
    world.ask(&["reset", "--confirm"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.round();
    agree(&world, 0);
}

#[test]
fn a_reset_says_what_raw_no_longer_has() {
    let world = World::start();
    let early = world.ask(&["reset"]);
    assert_eq!(early.code, Some(1), "{}", early.stderr);
    world.round();
    let last = world.read(Topic::Raw).pop().expect("an end mark");
    kafka::delete_records(&world.bootstrap_servers, &last.topic, &[(last.partition, last.offset)]);
    let shown = world.ask(&["reset"]);
    assert!(shown.expect(0).stdout.contains("lost until the next poll"), "{}", shown.stdout);
    assert!(shown.stdout.contains("the first that raw still has"), "{}", shown.stdout);
}

#[test]
fn a_service_that_starts_during_a_reset_ends_it_with_what_to_do() {
    let world = World::start();
    world.round();
    let proxy = Proxy::start(&world.bootstrap_servers);
    // Both topics are deleted by requests of their own: it is checked before the second one, and after it.
    for held in 1..=2 {
        proxy.strike(Request::DeleteTopics, Fate::Held, 1);
        let reset = world.spawn_through(&proxy, "anthropic-graph", &["reset", "--confirm"]);
        proxy.await_struck();
        let mut sink = world.spawn("sink", &["run"]);
        sink.logged("partitions assigned");
        // It ends by itself where its topic is gone, which may be before the reset looks.
        sink.suspend();
        proxy.release();
        let ended = reset.finish();
        sink.resume();
        assert_eq!(ended.code, Some(1), "{held}: {}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains("stop it and run reset again"), "{held}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
        sink.terminate();
    }
    for topic in [Topic::Changes, Topic::Graph] {
        assert_eq!(kafka::partition_count(&world.bootstrap_servers, &world.topic(topic)), 0, "{topic:?}");
    }
    world.ask(&["reset", "--confirm"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.round();
    agree(&world, 0);
}

#[test]
fn a_reset_repairs_a_graph_that_cannot_be_read() {
    let world = World::start();
    world.round();
    let id = world.anthropic[0].organization_id();
    let key = GraphKey::Element("anthropic_user:x".to_owned()).format(&id);
    let (graph, home) = (world.topic(Topic::Graph), partition(&id, PARTITIONS));
    kafka::write(&world.bootstrap_servers, &graph, home, &key, Some(b"none"), &[]);
    let broken = world.run("processor", &["run", "--until-end"]);
    assert_eq!(broken.code, Some(1), "{}", broken.stderr);
    let shown = world.ask(&["reset"]);
    assert!(shown.expect(0).stdout.contains("the graph cannot be read"), "{}", shown.stdout);
    let done = world.ask(&["reset", "--confirm", "--json"]);
    let line: Value = serde_json::from_str(&done.expect(0).stdout).expect("a JSON line");
    assert_eq!((&line["deleted"], &line["lost_until_next_poll"]), (&true.into(), &Value::Null));
    assert!(line["lost_unknown"].as_str().is_some_and(|reason| reason.contains(&graph)), "{line}");
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.round();
    agree(&world, 0);
}

#[test]
fn a_replay_keeps_out_of_a_deployment_that_was_reset() {
    let (world, other) = (World::start(), World::start());
    for world in [&world, &other] {
        world.run("producer", &["poll"]).expect(0);
        world.run("processor", &["run", "--until-end"]).expect(0);
    }
    other.ask(&["reset", "--confirm"]).expect(0);
    let refused = world.ask(&["replay", "--from", "earliest", "--into", &other.prefix]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("is the prefix of live topics"), "{}", refused.stderr);
    for topic in [Topic::Changes, Topic::Graph] {
        assert_eq!(kafka::partition_count(&other.bootstrap_servers, &other.topic(topic)), 0, "{topic:?}");
    }
}
