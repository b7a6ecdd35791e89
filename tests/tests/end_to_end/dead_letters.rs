//! A raw record that cannot be used is kept, told, and deletes nothing.

use schemas::{
    codec::{decode_raw, encode},
    topics::{Topic, partition},
};
use simulator::anthropic::Mutation;
use tests::{
    kafka,
    world::{PARTITIONS, World},
};

use tests::judge::{agree, changes};

#[test]
fn a_record_that_cannot_be_decoded_becomes_a_dead_letter_and_its_listing_deletes_nothing() {
    let world = World::start();
    world.round();
    let end = &world.anthropic[0];
    let organization_id = end.organization_id();
    let home = partition(&organization_id, PARTITIONS);
    let user_id = end.truth().users.keys().next().expect("a user").clone();
    end.mutate(Mutation::RemoveUser { id: user_id.clone() }).expect("a user that can leave");
    let (key, offset) = write_spoilt_listing(&world, home, &user_id);
    let known = changes(&world, 0).len();
    let processed = world.run("processor", &["run", "--until-end"]);
    let processed = processed.expect(3);
    let last = processed.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("1 new dead letters") && last.contains("users partial"), "{last}");

    let letters = world.read(Topic::DeadLetters);
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.key_text(), letter.value.as_deref()), (key.as_str(), Some(&b"no Avro at all"[..])));
    assert_eq!(letter.header("__anthropic_graph.errors.topic"), Some(world.topic(Topic::Raw).as_str()));
    assert_eq!(letter.header("__anthropic_graph.errors.partition"), Some(home.to_string().as_str()));
    assert_eq!(letter.header("__anthropic_graph.errors.offset"), Some(offset.to_string().as_str()));
    assert_eq!(letter.header("__anthropic_graph.errors.stage"), Some("decode"));
    let gone = format!("anthropic_user:{user_id}");
    assert!(changes(&world, 0)[known..].iter().all(|change| change.element_key != gone));

    // The next listing is whole.
    world.round();
    agree(&world, 0);
    assert!(changes(&world, 0)[known..].iter().any(|change| change.element_key == gone && change.op == "d"));
}

/// Writes the listing of the users once more: without that user, and with bytes in the place of another one. Returns
/// the key and the offset of those.
fn write_spoilt_listing(world: &World, home: i32, without: &str) -> (String, i64) {
    let raw = world.read(Topic::Raw);
    let records = raw.iter().filter_map(|record| Some(decode_raw(record.value.as_deref()?).ok()?.record));
    let mut spoilt = None;
    for mut record in records.filter(|record| record.collection == "users") {
        if record.resource.as_ref().is_some_and(|resource| resource.id() == without) {
            continue;
        }
        record.listing_id = Some("spoilt".to_owned());
        if let Some(manifest) = &mut record.manifest {
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
