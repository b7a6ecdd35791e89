//! A raw record that cannot be used is kept, reported, and deletes nothing.

use schemas::{
    change::Op,
    codec::{decode, encode},
    raw::{RawBody, RawRecord},
    topics::{Topic, partition},
};
use serde_json::Value;
use simulator::anthropic::Mutation;
use tests::{
    kafka,
    services::Service,
    world::{PARTITIONS, World},
};

use tests::comparison::{agree, changes};

#[test]
fn a_record_that_cannot_be_decoded_becomes_a_dead_letter_and_its_listing_deletes_nothing() {
    let world = World::start();
    world.round();
    let end = &world.anthropic[0];
    let organization_id = end.organization_id();
    let home = partition(&organization_id, PARTITIONS);
    let user_id = end.truth().users.keys().next().expect("a user").clone();
    end.mutate(Mutation::RemoveUser { id: user_id.clone() }).expect("a user that can leave");
    let (key, offset) = write_spoilt_listing(&world, &user_id);
    let known = changes(&world, 0).len();
    let processed = world.run("processor", &["run", "--until-end"]);
    let processed = processed.expect(3);
    let last = processed.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("1 new dead letter in partition") && last.contains("users partial"), "{last}");

    let letters = world.read(Topic::DeadLetters);
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.key_text(), letter.value.as_deref()), (key.as_str(), Some(&b"no Avro at all"[..])));
    assert_eq!(letter.header("__anthropic_graph.errors.topic"), Some(world.topic(Topic::Raw).as_str()));
    assert_eq!(letter.header("__anthropic_graph.errors.partition"), Some(home.to_string().as_str()));
    assert_eq!(letter.header("__anthropic_graph.errors.offset"), Some(offset.to_string().as_str()));
    assert_eq!(letter.header("__anthropic_graph.errors.stage"), Some("decode"));
    let (letter_offset, raw) = (letter.offset, world.topic(Topic::Raw));
    let listed = world.ask(&["dead-letters", "list", "--organization", &organization_id]);
    let listed = listed.expect(0).stdout.clone();
    assert!(listed.starts_with(&format!("{home}:{letter_offset}  ")), "{listed}");
    assert!(listed.contains(&format!("  {key}  {raw} offset {offset}, decode: ")), "{listed}");
    let none = world.ask(&["dead-letters", "list", "--organization", "of-nobody"]);
    assert!(none.expect(0).stdout.starts_with("no dead letters"), "{}", none.stdout);
    let shown = world.ask(&["dead-letters", "show", &format!("{home}:{letter_offset}")]);
    let shown: Value = serde_json::from_str(&shown.expect(0).stdout).expect("JSON");
    assert_eq!((&shown["source"]["offset"], &shown["value_bytes"]), (&offset.into(), &14.into()));
    assert_eq!(
        (&shown["record"], shown["value_hex"].as_str()),
        (&Value::Null, Some("6e6f204176726f20617420616c6c"))
    );
    world.ask(&["dead-letters", "show", &format!("{home}:4711")]).expect(2);
    let status = world.ask(&["status"]);
    let command =
        status.expect(0).stdout.lines().find_map(|line| line.split_once("1 dead letter; to list them: "));
    assert_eq!(Service::paste(command.expect("a command").1).expect(0).stdout, listed);

    let gone = format!("anthropic_user:{user_id}");
    assert!(changes(&world, 0)[known..].iter().all(|change| change.element_key != gone));

    let redrive = ["dead-letters", "redrive", "--organization", &organization_id];
    let before = world.read(Topic::Raw).len();
    let redriven = world.ask(&redrive);
    let printed = &redriven.expect(3).stdout;
    let place = format!("{home}:{letter_offset}  {key}  redriven, it would change nothing; ");
    assert!(printed.starts_with(&format!("{place}no whole listing has come after it")), "{printed}");
    assert_eq!(world.read(Topic::Raw).len(), before, "nothing is written");

    // The next listing is whole.
    world.round();
    agree(&world, 0);
    let redriven = world.ask(&redrive);
    let printed = &redriven.expect(0).stdout;
    assert!(printed.starts_with(&format!("{place}nothing to do: users was listed whole again")), "{printed}");
    assert!(
        changes(&world, 0)[known..]
            .iter()
            .any(|change| change.element_key == gone && change.op == Op::Delete)
    );
}

/// Writes the listing of the users once more: without that user, and with bytes in the place of another one. Returns
/// the key and the offset of those.
pub(super) fn write_spoilt_listing(world: &World, without: &str) -> (String, i64) {
    let home = partition(&world.anthropic[0].organization_id(), PARTITIONS);
    let raw = world.read(Topic::Raw);
    let records = raw.iter().filter_map(|record| decode::<RawRecord>(record.value.as_deref()?).ok());
    let mut spoilt = None;
    for mut record in records.filter(|record| record.collection == "users") {
        if matches!(&record.body, RawBody::Resource(resource) if resource.id() == without) {
            continue;
        }
        record.listing_id = Some("spoilt".to_owned());
        if let RawBody::Manifest(manifest) = &mut record.body {
            manifest.count -= 1;
        }
        let is_first = spoilt.is_none();
        let value = if is_first { b"no Avro at all".to_vec() } else { encode(&record) };
        let (key, topic) = (record.key(), world.topic(Topic::Raw));
        let offset = kafka::write(&world.bootstrap_servers, &topic, home, &key, Some(&value), &[]);
        if is_first {
            spoilt = Some((key, offset));
        }
    }
    spoilt.expect("the users were listed")
}
