//! All generations of the Admin API, and moving between them.

use schemas::raw::{RawRecord, Resource};
use schemas::{
    change::{Envelope, Op},
    codec::decode,
    topics::Topic,
};
use simulator::anthropic::{IncludeDefault, Settings, UnknownVersion};
use tests::world::World;

use tests::comparison::{agree, changes};

#[test]
fn every_generation_leads_to_the_graph_of_its_fields() {
    for generation in 1..=4 {
        let world = World::of(vec![Settings { generation, ..Settings::default() }]);
        world.round();
        agree(&world, 0);
    }
}

/// The values of the changes, without what names the listing and the time.
fn changes_of(world: &World) -> Vec<Envelope> {
    let mut changes = changes(world, 0);
    for change in &mut changes {
        change.id.clear();
        (change.ts_ms, change.source.ts_ms) = (0, 0);
        (change.source.listing_id, change.not_before_ts_ms, change.not_after_ts_ms) = (None, None, None);
        for element in [&mut change.before, &mut change.after].into_iter().flatten() {
            // The resource's digest: one has `workspace_id` twice.
            element.digest.clear();
        }
    }
    changes
}

#[test]
fn both_versions_of_the_api_lead_to_the_same_graph() {
    let of = |version: &str| {
        let world = World::start();
        world.configure(&format!("anthropic_version = \"{version}\""));
        world.round();
        agree(&world, 0);
        world
    };
    let (older, newer) = (of("2023-06-01"), of("2026-10-21"));
    assert_eq!(changes_of(&older), changes_of(&newer));
    // The requests did name the versions.
    let scoped_twice = |world: &World| {
        let raw = world.read(Topic::Raw).into_iter();
        let records =
            raw.filter_map(|record| decode::<RawRecord>(record.value.as_deref()?).ok()?.body.resource());
        records.filter(|it| matches!(it, Resource::ApiKey(key) if key.workspace_id.is_some())).count()
    };
    assert!(scoped_twice(&older) > 0);
    assert_eq!(scoped_twice(&newer), 0);

    // Moving to the newer version, and to one that nobody knows, changes nothing.
    let known = changes(&older, 0).len();
    older.configure("anthropic_version = \"2026-10-21\"");
    older.round();
    older.anthropic[0].switch(|switches| switches.unknown_version = UnknownVersion::Ignored);
    older.configure("anthropic_version = \"2027-01-01\"");
    let polled = older.run("producer", &["poll"]);
    assert!(polled.expect(0).stderr.contains("2027-01-01"), "{}", polled.stderr);
    older.run("processor", &["run", "--until-end"]).expect(0);
    assert_eq!(changes(&older, 0).len(), known);
}

#[test]
fn a_server_that_rejects_include_default_is_asked_without_it() {
    let settings = Settings { include_default: Some(IncludeDefault::Rejected), ..Settings::default() };
    let world = World::of(vec![settings]);
    world.round();
    agree(&world, 0);
}

#[test]
fn moving_to_another_generation_and_back_deletes_and_makes_nothing() {
    let world = World::start();
    world.round();
    let known = changes(&world, 0).len();
    for generation in [1, 3, 2, 4] {
        world.anthropic[0].switch(|switches| switches.generation = generation);
        // Where the default workspace is no longer listed, the listing of workspaces is partial.
        let partial = generation < 3;
        world.run("producer", &["poll"]).expect(0);
        world.run("processor", &["run", "--until-end"]).expect(if partial { 3 } else { 0 });
        world.run("sink", &["run", "--until-end"]).expect(0);
    }
    let changes = changes(&world, 0).split_off(known);
    let other: Vec<_> = changes.iter().filter(|change| change.op != Op::Update).collect();
    assert!(other.is_empty(), "{:?} {}", other[0].op, other[0].element_key);
    agree(&world, 0);
}
