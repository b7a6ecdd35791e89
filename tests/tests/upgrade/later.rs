//! Records of a version that has one more field than this one: nothing is skipped, and no offset moves past them.

use schemas::{
    codec::{Record, Registered, decode, encode},
    coverage::{Hold, HoldState},
    framing::split,
    raw::{Decision, DecisionKind, RawBody, RawRecord},
    topics::{Topic, partition},
};
use simulator::anthropic::{ROUND, Settings};
use simulator::jupiterone::{Effect, Fault, Route};
use tests::{
    comparison::{agree, changes},
    kafka,
    services::Finished,
    world::{PARTITIONS, World},
};

/// What the later version says of itself in a header.
const LATER: &str = "9.9.9";

/// The value as a version writes it whose schema has one more field, the first one.
fn of_later_version<T: Record>(record: &T) -> Vec<u8> {
    let field =
        r#""fields": [{"name": "later", "type": ["null", "string"], "default": null, "doc": "Later."},"#;
    let text = T::schema().text.replacen("\"fields\": [", field, 1);
    let schema = Registered::new(T::schema().name, text.leak(), &[]);
    let value = encode(record);
    let (_, body) = split(&value).expect("it is framed");
    // What is there, of seven bytes (Avro specification 1.12, "Binary encoding").
    [&[0xc3, 0x01][..], &schema.fingerprint.to_le_bytes(), &[2, 14], b"a value", body].concat()
}

/// Writes a record of the later version into the first organization's partition, and returns its offset.
fn write_later(world: &World, topic: Topic, key: &str, value: &[u8]) -> i64 {
    let headers: [(&str, &[u8]); 1] = [("anthropic_graph.version", LATER.as_bytes())];
    kafka::write(&world.bootstrap_servers, &world.topic(topic), home(world), key, Some(value), &headers)
}

fn home(world: &World) -> i32 {
    partition(&world.anthropic[0].organization_id(), PARTITIONS)
}

/// A decision as a command of the later version writes it.
fn decision_of_later_version(world: &World) -> (String, Vec<u8>) {
    let record = RawRecord {
        organization_id: world.anthropic[0].organization_id(),
        organization_name: "organization-1".to_owned(),
        collection: "decisions".to_owned(),
        poll_id: None,
        listing_id: None,
        observed_ts_ms: 1,
        body: RawBody::Decision(Decision {
            kind: DecisionKind::Approve,
            collection: None,
            element_key: None,
            listing_id: None,
            by: "ada".to_owned(),
            why: None,
            decided_ts_ms: 1,
        }),
    };
    (record.key(), of_later_version(&record))
}

/// That it ended with an error which names the record and the version that wrote it, and says what to do.
#[track_caller]
fn asks_for_upgrade(finished: &Finished, topic: &str, offset: i64) {
    let Finished { code, stdout, stderr } = finished;
    assert_eq!(*code, Some(1), "stdout:\n{stdout}\nstderr:\n{stderr}");
    for said in [topic, LATER, "upgrade this service", &format!("offset {offset}")] {
        assert!(stderr.contains(said), "{said:?} is not in:\n{stderr}");
    }
}

#[test]
fn a_raw_record_of_a_later_version_is_not_a_dead_letter_and_no_offset_moves_past_it() {
    let world = World::start();
    world.round();
    let (key, value) = decision_of_later_version(&world);
    let raw = world.topic(Topic::Raw);
    let offset = write_later(&world, Topic::Raw, &key, &value);
    // What follows it waits with it.
    world.run("producer", &["poll"]).expect(0);
    let group = format!("{}.processor", world.prefix);
    for _ in 0..2 {
        asks_for_upgrade(&world.run("processor", &["run", "--until-end"]), &raw, offset);
        let committed = kafka::committed(&world.bootstrap_servers, &group, &raw)[&home(&world)];
        assert!(committed <= offset, "{committed} is past {offset}");
    }
    assert_eq!(world.read(Topic::DeadLetters).len(), 0);
    let replay = ["replay", "--from", "earliest", "--into", &format!("{}-replay", world.prefix)];
    asks_for_upgrade(&world.ask(&replay), &raw, offset);
    asks_for_upgrade(&world.ask(&["verify"]), &raw, offset);

    // The way out where it is of no version at all: a person goes past it.
    kafka::commit(&world.bootstrap_servers, &group, &raw, home(&world), offset + 1);
    world.round();
    agree(&world, 0);
}

#[test]
fn a_graph_record_of_a_later_version_is_never_folded() {
    let world = World::start();
    world.round();
    let graph = world.topic(Topic::Graph);
    let records = kafka::fold(world.read(Topic::Graph)).into_values();
    let mut coverages = records.filter(|record| record.key_text().ends_with("/coverage/poll"));
    let poll = coverages.next_back().expect("a poll was made");
    let coverage: schemas::coverage::Coverage =
        decode(poll.value.as_deref().expect("a fold has no tombstones")).expect("a coverage");
    let offset = write_later(&world, Topic::Graph, poll.key_text(), &of_later_version(&coverage));
    asks_for_upgrade(&world.run("processor", &["run", "--until-end"]), &graph, offset);
    asks_for_upgrade(&world.ask(&["verify"]), &graph, offset);
    asks_for_upgrade(&world.ask(&["holds", "list"]), &graph, offset);
    asks_for_upgrade(&world.run("sink", &["run", "--until-end"]), &graph, offset);
    asks_for_upgrade(&world.run("producer", &["poll"]), &graph, offset);
}

/// An organization that is in another partition than the first one.
fn elsewhere(world: &World) -> usize {
    let homes: Vec<_> =
        world.anthropic.iter().map(|end| partition(&end.organization_id(), PARTITIONS)).collect();
    homes.iter().position(|home| *home != homes[0]).expect("an organization in another partition")
}

fn small_organizations() -> World {
    let small = |seed| Settings { seed, users: 6, workspaces: 2, api_keys: 6, ..Settings::default() };
    World::of((1..=4).map(small).collect())
}

#[test]
fn a_raw_record_of_a_later_version_stops_its_partition_alone() {
    let world = small_organizations();
    let other = elsewhere(&world);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let known = [0, other].map(|organization| changes(&world, organization).len());
    let (key, value) = decision_of_later_version(&world);
    write_later(&world, Topic::Raw, &key, &value);

    let mut processor = world.spawn("processor", &["run"]);
    let said = processor.logged("the partition is closed");
    assert!(said.contains("upgrade this service") && said.contains(LATER), "{said}");
    for end in &world.anthropic {
        end.live(ROUND);
    }
    world.run("producer", &["poll"]).expect(0);
    processor.until("go on with the other organization", |_| changes(&world, other).len() > known[1]);
    processor.unready_for("upgrade this service");
    assert_eq!(changes(&world, 0).len(), known[0]);
    processor.terminate().expect(0);
}

#[test]
fn a_graph_record_of_a_later_version_stops_its_partition_of_the_sink_alone() {
    let world = small_organizations();
    let other = elsewhere(&world);
    world.round();
    let mut sink = world.spawn("sink", &["run"]);
    sink.ready();
    let key = format!("{}/hold/a", world.anthropic[0].organization_id());
    let hold = Hold {
        organization_id: world.anthropic[0].organization_id(),
        element_key: "a".to_owned(),
        collection: "users".to_owned(),
        listing_id: "l".to_owned(),
        raw_offset: 0,
        proposed_ts_ms: 0,
        state: HoldState::Proposed,
        agreeing: 1,
    };
    write_later(&world, Topic::Graph, &key, &of_later_version(&hold));
    let said = sink.logged("the partition is closed");
    assert!(said.contains("upgrade this service") && said.contains(LATER), "{said}");

    let before = world.graph(other);
    world.anthropic[other].live(ROUND);
    world.run("producer", &["poll"]).expect(0);
    let processor = world.spawn("processor", &["run"]);
    sink.until("go on with the other organization", |_| world.graph(other) != before);
    sink.unready_for("upgrade this service");
    let (_, metrics) = sink.get("/metrics").expect("it answers");
    let line = format!("anthropic_graph_task_state{{partition=\"{}\",state=\"closed\"}} 1", home(&world));
    assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    sink.terminate().expect(0);
    processor.terminate().expect(0);

    // Once: the other partitions are worked on, and the result names them as well as the closed one.
    let scope = format!("anthropic-graph:{}", world.anthropic[other].organization_id());
    world.jupiterone.fault(Fault::new(Route::Any, Effect::Forbidden).of_scope(scope));
    world.anthropic[other].live(ROUND);
    world.run("producer", &["poll"]);
    world.run("processor", &["run", "--until-end"]);
    let said = world.run("sink", &["run", "--until-end"]).expect(1).stderr.clone();
    let closed = format!("partition {} is closed: ", home(&world));
    assert!(said.contains(&closed) && said.contains("paused: "), "{said}");
}
