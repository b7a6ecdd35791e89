//! A replay of the same raw records has the same values, byte for byte, and touches nothing that lives.

use std::collections::BTreeMap;

use graph::state::GraphKey;
use schemas::{
    codec::decode,
    graph_value::GraphValue,
    raw::Outcome,
    raw::RawRecord,
    topics::{Topic, partition},
};

use crate::said;
use simulator::anthropic::{ROUND, Settings};
use tests::{
    kafka::{self, Record},
    prefix,
    world::{PARTITIONS, World},
};

/// The topics that a replay writes.
const TARGETS: [Topic; 3] = [Topic::Changes, Topic::Graph, Topic::DeadLetters];

/// Two organizations after several polls with life, processed in several runs; a record among them that is none.
fn lived() -> World {
    let world = World::of(vec![Settings::default(), Settings { seed: 7, ..Settings::default() }]);
    for round in 0..3 {
        world.run("producer", &["poll"]).expect(0);
        if round != 1 {
            world.run("processor", &["run", "--until-end"]).expect(0);
        }
        for end in &world.anthropic {
            end.live(ROUND);
        }
    }
    let id = world.anthropic[0].organization_id();
    let (raw, key) = (world.topic(Topic::Raw), format!("{id}/users/x"));
    kafka::write(&world.bootstrap_servers, &raw, partition(&id, PARTITIONS), &key, Some(b"none"), &[]);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(3);
    world
}

fn read(world: &World, topic: Topic, prefix: &str) -> Vec<Record> {
    kafka::read(&world.bootstrap_servers, &topic.name(prefix))
}

/// What the graph topic leaves under element keys.
fn elements(records: Vec<Record>) -> BTreeMap<String, Vec<u8>> {
    let is_element = |key: &str| matches!(GraphKey::parse(key), Some((_, GraphKey::Element(_))));
    kafka::fold(records)
        .into_iter()
        .filter(|(key, _)| is_element(key))
        .filter_map(|(key, record)| Some((key, record.value?)))
        .collect()
}

#[test]
fn a_replay_has_the_values_that_live_has_byte_for_byte_in_transactions_of_any_size() {
    let world = lived();
    let group = format!("{}.processor", world.prefix);
    let committed = || kafka::committed(&world.bootstrap_servers, &group, &world.topic(Topic::Raw));
    let live: BTreeMap<Topic, _> = Topic::ALL.map(|topic| (topic, world.read(topic))).into();
    let offsets = committed();
    assert!(live[&Topic::Changes].len() > 100 && live[&Topic::DeadLetters].len() == 1);
    for transaction_records in ["1", "37", "10000"] {
        let into = prefix();
        let arguments = ["replay", "--from", "earliest", "--into", &into];
        let run = world.ask(&[&arguments[..], &["--transaction-records", transaction_records]].concat());
        let last = run.expect(3).stdout.lines().last().expect("a line");
        assert!(
            last.starts_with(&format!(
                "replayed {} (3 partitions) into {into}: 2 org",
                world.topic(Topic::Raw)
            ))
        );
        assert!(!run.stdout.contains("offsets 0 to 0"), "an empty partition is no news: {}", run.stdout);
        for topic in TARGETS {
            let replayed = read(&world, topic, &into);
            assert!(said(live[&topic].clone()) == said(replayed), "{topic:?} differs, {transaction_records}");
        }
        for (one, other) in live[&Topic::Changes].iter().zip(read(&world, Topic::Changes, &into)) {
            assert_eq!(other.header("ce_cause"), Some("replay"));
            assert_eq!(one.header("ce_id"), other.header("ce_id"));
        }
        for topic in [Topic::Raw, Topic::Sync] {
            assert_eq!(kafka::partition_count(&world.bootstrap_servers, &topic.name(&into)), 0, "{topic:?}");
        }
        world.ask(&["verify", "--replayed", &into]).expect(0);
        let own = format!("{into}.replay");
        assert_eq!(
            kafka::committed(&world.bootstrap_servers, &own, &world.topic(Topic::Raw)),
            BTreeMap::new()
        );
    }
    for (topic, records) in live {
        assert_eq!(world.read(topic), records, "{topic:?} is as it was");
    }
    assert_eq!(committed(), offsets);
    world.ask(&["verify"]).expect(0);
}

#[test]
fn a_replay_that_begins_within_a_listing_takes_it_for_partial() {
    let world = World::start();
    world.run("producer", &["poll"]).expect(0);
    let raw = world.read(Topic::Raw);
    let record =
        |record: &Record| decode::<RawRecord>(record.value.as_deref().expect("a value")).expect("a record");
    let users = |it: &&Record| record(it).collection == "users" && record(it).body.resource().is_some();
    let second = raw.iter().filter(users).nth(1).expect("two users").clone();
    let from = format!("{}:{}", second.partition, second.offset);
    let cut = prefix();
    let run = world.ask(&["replay", "--from", &from, "--into", &cut, "--json"]);
    assert!(run.expect(3).stderr.contains("users partial"), "{}", run.stderr);
    let latest = |prefix: &str| {
        let id = world.anthropic[0].organization_id();
        let key = GraphKey::Coverage("users".to_owned()).format(&id);
        let record = kafka::fold(read(&world, Topic::Graph, prefix)).remove(&key).expect("a coverage");
        match GraphValue::decode(&record.value.expect("a value")).expect("a coverage") {
            GraphValue::Coverage(coverage) => coverage.latest.expect("a listing").outcome,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(latest(&cut), Outcome::Partial);
    // A later poll makes it whole, and what live knows is known again.
    world.anthropic[0].live(ROUND);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let later = prefix();
    world.ask(&["replay", "--from", &from, "--into", &later]).expect(0);
    assert_eq!(latest(&later), Outcome::Whole);
    assert!(
        elements(read(&world, Topic::Graph, &later)) == elements(world.read(Topic::Graph)),
        "graph differs"
    );
    // So it is where retention has cut a listing in two.
    kafka::delete_records(
        &world.bootstrap_servers,
        &world.topic(Topic::Raw),
        &[(second.partition, second.offset)],
    );
    let kept = prefix();
    world.ask(&["replay", "--from", "earliest", "--into", &kept]).expect(0);
    assert!(said(read(&world, Topic::Graph, &later)) == said(read(&world, Topic::Graph, &kept)));
}

#[test]
fn a_replay_from_a_time_begins_with_what_was_written_then() {
    let world = World::start();
    world.round();
    let first = world.read(Topic::Raw).iter().filter_map(|record| record.timestamp).max().expect("a time");
    world.anthropic[0].live(ROUND);
    world.round();
    let time = jiff::Timestamp::from_millisecond(first + 1).expect("a time").to_string();
    let into = prefix();
    world.ask(&["replay", "--from", &time, "--into", &into]).expect(0);
    let (live, replayed) = (elements(world.read(Topic::Graph)), elements(read(&world, Topic::Graph, &into)));
    assert!(replayed.keys().all(|key| live.contains_key(key)));
    // The members of a workspace that was archived since are frozen, and were listed before.
    let missing: Vec<&String> = live.keys().filter(|key| !replayed.contains_key(*key)).collect();
    assert!(missing.iter().all(|key| key.contains("|assigned|")), "{missing:?}");
    assert!(read(&world, Topic::Changes, &into).len() < world.read(Topic::Changes).len());
    let none = prefix();
    let after_all = jiff::Timestamp::now().to_string();
    world.ask(&["replay", "--from", &after_all, "--into", &none]).expect(0);
    assert_eq!(read(&world, Topic::Graph, &none), []);
}

#[test]
fn a_replay_into_what_lives_or_is_not_empty_or_from_nowhere_is_refused() {
    let world = World::start();
    let early = world.ask(&["replay", "--from", "earliest", "--into", &prefix()]);
    assert_eq!(early.code, Some(1), "{}", early.stderr);
    world.round();
    let into = prefix();
    let mistakes: [(&str, &str, &str); 7] = [
        ("earliest", &world.prefix, "live"),
        ("earliest", "", "--into"),
        ("earliest", "no prefix", "characters"),
        ("yesterday", &into, "0:120,3:4000"),
        ("2100-01-01T00:00:00Z", &into, "is in the future"),
        ("0:99999999", &into, "has the offsets"),
        ("17:0", &into, "has no partition 17"),
    ];
    for (from, into, text) in mistakes {
        let refused = world.ask(&["replay", "--from", from, "--into", into]);
        assert!(refused.expect(2).stderr.contains(text), "{from} {into}: {}", refused.stderr);
    }
    assert_eq!(kafka::partition_count(&world.bootstrap_servers, &Topic::Graph.name(&into)), 0);
    world.ask(&["replay", "--from", "earliest", "--into", &into]).expect(0);
    let again = world.ask(&["replay", "--from", "earliest", "--into", &into]);
    assert_eq!(again.code, Some(1), "{}", again.stderr);
    assert!(again.stderr.contains("not empty") && again.stderr.contains("--delete"), "{}", again.stderr);
    let nowhere = world.ask(&["verify", "--replayed", &prefix()]);
    assert!(nowhere.expect(2).stderr.contains("does not exist"), "{}", nowhere.stderr);
    let other = prefix();
    kafka::create_topic(
        &world.bootstrap_servers,
        &Topic::Graph.name(&other),
        5,
        &[("cleanup.policy", "compact")],
    );
    let refused = world.ask(&["replay", "--from", "earliest", "--into", &other]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("5 partitions and raw has 3"), "{}", refused.stderr);
}
