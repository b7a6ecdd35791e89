//! A processor that begins anew comes to the same end, and is not reset while it works.

use std::collections::BTreeMap;

use crate::said;
use schemas::topics::Topic;
use serde_json::Value;
use simulator::anthropic::ROUND;
use tests::{judge::agree, kafka, world::World};

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
        let shown = world.run("processor", arguments);
        for text in [&group, &world.topic(Topic::Changes), &world.topic(Topic::Graph), "nothing was deleted"]
        {
            assert!(shown.expect(0).stdout.contains(text), "{text}: {}", shown.stdout);
        }
        assert!(read() == before && !committed().is_empty(), "a dry run changes nothing");
    }
    let done = world.run("processor", &["reset", "--confirm", "--json"]);
    let line: Value = serde_json::from_str(&done.expect(0).stdout).expect("a JSON line");
    assert_eq!((&line["deleted"], &line["lost_until_next_poll"]), (&true.into(), &serde_json::json!({})));
    assert_eq!(committed(), BTreeMap::new());
    for topic in [Topic::Changes, Topic::Graph] {
        assert_eq!(kafka::partition_count(&world.bootstrap_servers, &world.topic(topic)), 0, "{topic:?}");
    }
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
        let refused = world.run("processor", &["reset", "--confirm"]);
        assert_eq!(refused.code, Some(1), "{}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains(&format!("{}.{service} has 1", world.prefix)), "{}", refused.stderr);
        let shown = world.run("processor", &["reset"]);
        assert!(shown.expect(0).stdout.contains("refused for now"), "{}", shown.stdout);
        running.terminate().expect(0);
    }
    assert!(!world.read(Topic::Graph).is_empty());
}

#[test]
fn a_reset_says_what_raw_no_longer_has() {
    let world = World::start();
    let early = world.run("processor", &["reset"]);
    assert_eq!(early.code, Some(1), "{}", early.stderr);
    world.round();
    let last = world.read(Topic::Raw).pop().expect("an end mark");
    kafka::delete_records(&world.bootstrap_servers, &last.topic, &[(last.partition, last.offset)]);
    let shown = world.run("processor", &["reset"]);
    assert!(shown.expect(0).stdout.contains("lost until the next poll"), "{}", shown.stdout);
    assert!(shown.stdout.contains("where raw begins"), "{}", shown.stdout);
}
