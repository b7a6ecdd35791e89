//! What the services write is found good.

use std::collections::BTreeMap;

use schemas::topics::{Topic, partition};
use simulator::anthropic::{Mutation, ROUND, Settings};
use tests::{
    kafka,
    world::{PARTITIONS, World},
};

use crate::findings::Findings;

/// Verifies a world.
///
/// # Panics
/// Unless every law holds and nothing is uncheckable.
#[track_caller]
pub(crate) fn is_good(world: &World) -> Findings {
    let verified = world.ask(&["verify", "--json"]);
    let findings = Findings::of(&verified);
    assert_eq!(findings.violations, Vec::<String>::new());
    verified.expect(0);
    assert_eq!(findings.uncheckable, BTreeMap::new());
    findings
}

#[test]
fn a_life_of_creations_updates_and_deletions_is_good() {
    let world = World::of(vec![Settings::default(), Settings { seed: 7, ..Settings::default() }]);
    world.round();
    is_good(&world);
    for _ in 0..3 {
        for end in &world.anthropic {
            end.live(ROUND);
        }
        world.round();
    }
    let findings = is_good(&world);
    for law in ["fold", "before-images", "revisions", "change-ids", "ends", "coverage"] {
        assert!(findings.checked[law] > 0, "{law}");
    }
}

#[test]
fn moving_through_the_generations_with_partial_listings_is_good() {
    let world = World::start();
    world.round();
    for generation in [1, 3, 2, 4] {
        world.anthropic[0].switch(|switches| switches.generation = generation);
        world.anthropic[0].live(ROUND);
        world.run("producer", &["poll"]).expect(0);
        world.run("processor", &["run", "--until-end"]);
        is_good(&world);
    }
}

#[test]
fn a_listing_with_a_record_that_cannot_be_used_is_good() {
    let world = World::start();
    world.round();
    let end = &world.anthropic[0];
    let organization_id = end.organization_id();
    let (topic, home) = (world.topic(Topic::Raw), partition(&organization_id, PARTITIONS));
    let key = format!("{organization_id}/users/user_x");
    kafka::write(&world.bootstrap_servers, &topic, home, &key, Some(b"no Avro at all"), &[]);
    let user_id = end.truth().users.keys().next().expect("a user").clone();
    end.mutate(Mutation::RemoveUser { id: user_id }).expect("a user that can leave");
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(3);
    is_good(&world);
    world.round();
    is_good(&world);
}

#[test]
fn what_retention_has_cut_is_uncheckable_and_no_violation() {
    let world = World::start();
    world.round();
    world.anthropic[0].live(ROUND);
    world.round();
    let organization_id = world.anthropic[0].organization_id();
    let home = partition(&organization_id, PARTITIONS);
    let raw = world.read(Topic::Raw);
    let last = raw.iter().filter(|record| record.partition == home).map(|record| record.offset).max();
    // In the middle of a listing of the last poll.
    let middle = last.expect("a record") - 40;
    kafka::delete_records(&world.bootstrap_servers, &world.topic(Topic::Raw), &[(home, middle)]);
    let verified = world.ask(&["verify", "--json"]);
    let findings = Findings::of(&verified);
    assert_eq!(findings.violations, Vec::<String>::new());
    verified.expect(0);
    for law in ["mapping", "justification", "coverage"] {
        assert!(findings.uncheckable[law] > 0, "{law}");
    }
    assert!(!findings.uncheckable.contains_key("fold"));
}

#[test]
fn an_organization_that_the_topics_do_not_contain_is_a_failure() {
    let world = World::start();
    world.round();
    let known = ["verify", "--organization", "organization-1"];
    world.ask(&known).expect(0);
    world.ask(&["verify", "--organization", "nobody"]).expect(2);
    let empty = World::start();
    empty.run("processor", &["run", "--until-end"]);
    let unknown = empty.ask(&known);
    assert!(unknown.expect(3).stderr.contains("do not contain organization-1"), "{}", unknown.stderr);
}

#[test]
fn a_living_system_is_found_good_whenever_it_is_asked() {
    let world = World::start();
    world.round();
    let mut producer = world.spawn("producer", &["run"]);
    let mut processor = world.spawn("processor", &["run"]);
    producer.ready();
    processor.ready();
    for _ in 0..8 {
        world.anthropic[0].live(ROUND);
        is_good(&world);
    }
    producer.terminate().expect(0);
    processor.terminate().expect(0);
}
