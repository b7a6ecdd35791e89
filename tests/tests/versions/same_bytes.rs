//! The processor that decoded every element of its state, and ours: from the same raw topic both write the same bytes, except for
//! the wording of reasons in coverage records.

use std::collections::BTreeMap;

use schemas::{
    change::Envelope,
    codec::{decode, encode},
    element::ElementType,
    graph_value::GraphValue,
    raw::{Decision, DecisionKind, RawBody, RawRecord},
    topics::{Topic, partition},
};
use service::kafka::decision;
use simulator::anthropic::{Answer, Fault, Mutation, Settings};
use tests::{
    kafka::{self, Record},
    prefix,
    services::Finished,
    world::{PARTITIONS, World},
};

use crate::Version;

const DECODING: Version = Version { folder: "DECODING_PROGRAMS" };
const RUN: &[&str] = &["run", "--until-end"];
/// What is compared.
const OUTPUTS: [Topic; 3] = [Topic::Changes, Topic::Graph, Topic::DeadLetters];

/// Polls of each organization (count).
const POLLS: usize = 24;
/// Keys of the large organization (count), unless this variable says so.
const API_KEYS: (&str, usize) = ("SAME_BYTES_API_KEYS", 20_000);
/// Records written at a time (count): fewer than the queue of a Kafka producer holds.
const AT_A_TIME: usize = 50_000;
/// A value that cannot be decoded.
const UNREADABLE: &[u8] = b"no Avro at all";

#[test]
fn all_generations_with_holds_decisions_and_spoiled_records() {
    let generation = |generation: u8| Settings {
        seed: u64::from(generation),
        users: 60,
        generation,
        ..Settings::default()
    };
    let mut world = World::of((1..=4).map(generation).collect());
    for number in 0..POLLS {
        happen(&world, number);
        // A listing that failed ends the command with another code.
        world.run("producer", &["poll"]);
    }
    let raw = world.read(Topic::Raw);
    let [decoding, ours] = outputs(&mut world, &raw);
    let kinds = kinds(&ours);
    for expected in ["c", "d absent", "d approved", "d forgotten", "m held", "r", "u"] {
        assert!(kinds.contains_key(expected), "the history has no change {expected}: {kinds:?}");
    }
    assert!(kinds["dead letters"] > 0, "{kinds:?}");
    compare(&decoding, &ours, &format!("{} raw records, {kinds:?}", raw.len()));
}

#[test]
fn a_large_listing() {
    let (variable, default) = API_KEYS;
    let api_keys = std::env::var(variable).map_or(default, |count| count.parse().expect("a count"));
    let mut world = World::of(vec![Settings { api_keys, ..Settings::default() }]);
    world.run("producer", &["poll"]).expect(0);
    world.anthropic[0].live(50);
    world.run("producer", &["poll"]).expect(0);
    let raw = world.read(Topic::Raw);
    let [decoding, ours] = outputs(&mut world, &raw);
    let [changes, ..] = &ours;
    assert!(changes.len() > api_keys);
    compare(&decoding, &ours, &format!("{} raw records", raw.len()));
}

/// What is different at the poll of that number: each kind of trouble comes to each organization.
fn happen(world: &World, number: usize) {
    for (index, end) in world.anthropic.iter().enumerate() {
        end.clear_faults();
        end.live(3 + number % 5);
        match (number + index) % 8 {
            1 => end.fault(Fault::on("users", Answer::Forbidden).first(10)),
            2 => end.fault(Fault::on("members", Answer::TruncatedJson).first(1)),
            3 => remove_most_users(world, index),
            4 => decide(world, index, DecisionKind::Reject, true),
            5 => decide(world, index, DecisionKind::Approve, false),
            6 => repeat_a_listing(world, index, number.is_multiple_of(2)),
            7 if number > POLLS / 2 => decide(world, index, DecisionKind::Forget, false),
            _ => {}
        }
    }
}

/// Removes more users than the guard allows.
fn remove_most_users(world: &World, organization: usize) {
    let end = &world.anthropic[organization];
    let users: Vec<String> = end.truth().users.into_keys().collect();
    for id in users.iter().take(users.len() * 2 / 3) {
        // The last admin has to stay.
        let _ = end.mutate(Mutation::RemoveUser { id: id.clone() });
    }
    for _ in 0..users.len() / 3 {
        let user = Mutation::AddUser { id: None, email: None, name: None, role: None };
        end.mutate(user).expect("a user can be added");
    }
}

/// A decision about the newest listing of the users, or about one of them.
fn decide(world: &World, organization: usize, kind: DecisionKind, is_about_one: bool) {
    let raw = records_of(world, organization);
    let Some(listing_id) = raw.iter().rev().find_map(|record| {
        let is_manifest = record.collection == "users" && matches!(record.body, RawBody::Manifest(_));
        record.listing_id.clone().filter(|_| is_manifest)
    }) else {
        return;
    };
    let user = raw.iter().find_map(|record| match &record.body {
        RawBody::Resource(resource) if record.collection == "users" => Some(resource.id().to_owned()),
        _ => None,
    });
    let element_key = user.filter(|_| is_about_one).map(|id| ElementType::User.entity_key(&id));
    let newest = raw.last().expect("a listing has records");
    let listing_id = Some(listing_id).filter(|_| kind != DecisionKind::Forget);
    let decision = Decision {
        kind,
        collection: None,
        element_key,
        listing_id,
        by: "grace".to_owned(),
        why: Some("it is a test".to_owned()),
        decided_ts_ms: newest.observed_ts_ms + 1,
    };
    let decision = decision::record(&newest.organization_id, newest.organization_name.clone(), decision);
    write(world, &decision, &encode(&decision));
}

/// Writes the oldest listing of the users once more, late: as it was, or as another one with an unreadable record.
fn repeat_a_listing(world: &World, organization: usize, is_spoiled: bool) {
    let raw = records_of(world, organization);
    let users = raw.iter().filter(|record| record.collection == "users");
    let oldest = users.clone().find_map(|record| record.listing_id.clone());
    for (number, record) in users.filter(|record| record.listing_id == oldest).enumerate() {
        let mut record = record.clone();
        if is_spoiled {
            record.listing_id = oldest.as_ref().map(|id| format!("spoiled-{id}"));
        }
        let value = encode(&record);
        let is_unreadable = is_spoiled && number == 3;
        write(world, &record, if is_unreadable { UNREADABLE } else { &value });
    }
}

fn records_of(world: &World, organization: usize) -> Vec<RawRecord> {
    let id = world.anthropic[organization].organization_id();
    let raw = world.read(Topic::Raw);
    let records = raw.iter().filter_map(|record| decode::<RawRecord>(record.value.as_deref()?).ok());
    records.filter(|record| record.organization_id == id).collect()
}

fn write(world: &World, record: &RawRecord, value: &[u8]) {
    let (topic, home) = (world.topic(Topic::Raw), partition(&record.organization_id, PARTITIONS));
    kafka::write(&world.bootstrap_servers, &topic, home, &record.key(), Some(value), &[]);
}

/// Partition, key and value of a record.
type Written = (i32, Option<Vec<u8>>, Option<Vec<u8>>);
/// What a processor wrote to each of the topics that are compared.
type Output = [Vec<Written>; OUTPUTS.len()];

/// What each of the two processors writes when it reads these raw records. Each is stopped in the middle, so it also
/// restores its state.
fn outputs(world: &mut World, raw: &[Record]) -> [Output; 2] {
    let decoding: fn(&World) -> Finished = |world| DECODING.run(world, "processor", RUN);
    let ours: fn(&World) -> Finished = |world| world.run("processor", RUN);
    let mut raw = raw.to_vec();
    // So that every organization is cut in the middle.
    raw.sort_by_key(|record| record.timestamp);
    let (first, second) = raw.split_at(raw.len() / 2);
    [decoding, ours].map(|process| {
        world.prefix = prefix();
        world.configure("");
        // The first run creates the topics.
        for records in [&[], first, second] {
            let topic = world.topic(Topic::Raw);
            let parts = records.chunks(AT_A_TIME);
            parts.for_each(|part| kafka::write_all(&world.bootstrap_servers, &topic, part));
            let finished = process(world);
            // 3: a listing is not whole, a deletion is held, or there is a new dead letter.
            assert!(matches!(finished.code, Some(0 | 3)), "{:?}\n{}", finished.code, finished.stderr);
        }
        OUTPUTS.map(|topic| {
            let records = world.read(topic).into_iter();
            records.map(|record| (record.partition, record.key, record.value.map(without_texts))).collect()
        })
    })
}

/// A value without the texts that say why a listing is not whole: their wording has changed.
fn without_texts(value: Vec<u8>) -> Vec<u8> {
    let Ok(GraphValue::Coverage(mut coverage)) = GraphValue::decode(&value) else { return value };
    if let Some(reason) = coverage.latest.as_mut().and_then(|latest| latest.reason.as_mut()) {
        reason.clear();
    }
    for collection in coverage.poll.iter_mut().flat_map(|poll| &mut poll.incomplete) {
        let (name, _) = collection.split_once(": ").expect("a collection and the reason");
        *collection = name.to_owned();
    }
    GraphValue::Coverage(coverage).encode()
}

/// How many changes there are of each operation and reason, and how many dead letters.
fn kinds([changes, _, dead_letters]: &Output) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::from([("dead letters".to_owned(), dead_letters.len())]);
    for (_, _, value) in changes {
        let change: Envelope = decode(value.as_deref().expect("a change")).expect("a change");
        let reason = change.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
        *kinds.entry(format!("{}{reason}", change.op)).or_default() += 1;
    }
    kinds
}

#[expect(clippy::print_stdout, reason = "the result")]
fn compare(decoding: &Output, ours: &Output, of: &str) {
    for ((topic, decoding), ours) in OUTPUTS.into_iter().zip(decoding).zip(ours) {
        let difference = decoding.iter().zip(ours).position(|(decoding, ours)| decoding != ours);
        if let Some(at) = difference {
            panic!("{topic:?}: record {at} differs:\n{:?}\n{:?}", decoding[at], ours[at]);
        }
        assert_eq!(decoding.len(), ours.len(), "{topic:?}");
        let bytes: usize = ours.iter().map(|(_, _, value)| value.as_ref().map_or(0, Vec::len)).sum();
        println!("{topic:?}: {} records, {bytes} bytes, the same ({of})", ours.len());
    }
}
