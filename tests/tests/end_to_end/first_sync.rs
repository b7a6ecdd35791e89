//! The first round, and the one after it.

use std::collections::BTreeSet;

use schemas::change::{Op, SnapshotRecord};
use schemas::topics::{Topic, partition};
use tests::world::{PARTITIONS, World};

use tests::comparison::{agree, changes};

#[test]
fn a_first_round_only_reads_and_everything_agrees_with_the_truth() {
    let world = World::start();
    world.round();
    agree(&world, 0);
    let changes = changes(&world, 0);
    assert!(
        changes.iter().all(|change| change.op == Op::Read && change.source.snapshot == SnapshotRecord::True)
    );
    let types: BTreeSet<&str> = changes.iter().map(|change| change.element_type.as_str()).collect();
    assert_eq!(types.len(), 9, "every element type: {types:?}");
    let ids: BTreeSet<&str> = changes.iter().map(|change| change.id.as_str()).collect();
    assert_eq!(ids.len(), changes.len(), "change ids are unique");
}

#[test]
fn an_organization_lies_in_one_partition_of_every_topic() {
    let world = World::start();
    world.round();
    let home = partition(&world.anthropic[0].organization_id(), PARTITIONS);
    for topic in [Topic::Raw, Topic::Changes, Topic::Graph, Topic::Sync] {
        let records = world.read(topic);
        assert!(!records.is_empty(), "{topic:?}");
        assert!(records.iter().all(|record| record.partition == home), "{topic:?}");
    }
}

#[test]
fn a_change_travels_with_cloud_events_headers() {
    let world = World::start();
    world.round();
    for record in world.read(Topic::Changes) {
        let named = |name| record.header(name).unwrap_or_else(|| panic!("{name} of {}", record.key_text()));
        assert_eq!(named("ce_specversion"), "1.0");
        assert_eq!(named("content-type"), "avro/binary");
        assert_eq!(named("ce_cause"), "live");
        assert!(record.key_text().ends_with(named("ce_subject")));
        assert!(named("ce_time").ends_with('Z'));
    }
}

#[test]
fn a_round_without_life_writes_no_change_and_starts_no_job() {
    let world = World::start();
    world.round();
    let (changes, graph, jobs) = (world.read(Topic::Changes), world.graph(0), world.jupiterone.jobs().len());
    world.round();
    assert_eq!(world.read(Topic::Changes), changes);
    assert_eq!(world.jupiterone.jobs().len(), jobs);
    assert_eq!(world.graph(0).entities, graph.entities);
    agree(&world, 0);
}

#[test]
fn anthropic_is_only_ever_read() {
    let world = World::start();
    world.round();
    let requests = world.anthropic[0].requests();
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|request| request.method == "GET"), "{requests:?}");
}
