//! What the guard holds and people decide is found good, and a hold that is lost is not.

use schemas::{
    codec::encode,
    coverage::Hold,
    graph_value::GraphValue,
    raw::{Decision, RawBody, RawRecord},
    topics::{Topic, partition},
};
use simulator::anthropic::{Mutation, Settings};
use tests::{
    kafka,
    world::{PARTITIONS, World},
};

use crate::{findings::Findings, good::is_good};

/// More than the guard allows: it counts to twenty.
const VANISHING: usize = 36;

/// A world in which the deletion of more than half of the users is held.
fn held() -> World {
    let world = World::of(vec![Settings { users: 60, workspaces: 2, ..Settings::default() }]);
    world.round();
    let end = &world.anthropic[0];
    let ids: Vec<String> = end.truth().users.keys().cloned().collect();
    let is_removed = |id: &&String| end.mutate(Mutation::RemoveUser { id: (*id).clone() }).is_ok();
    assert_eq!(ids.iter().filter(is_removed).take(VANISHING).count(), VANISHING);
    poll(&world);
    world
}

fn poll(world: &World) {
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]);
}

fn holds(world: &World) -> Vec<Hold> {
    let values = kafka::fold(world.read(Topic::Graph)).into_values().filter_map(|record| record.value);
    let holds = values.filter_map(|value| match GraphValue::decode(&value).expect("a graph value") {
        GraphValue::Hold(hold) => Some(*hold),
        _ => None,
    });
    holds.collect()
}

fn decide(world: &World, kind: &str, element_key: Option<&str>, listing_id: Option<&str>, at: i64) {
    let organization_id = world.anthropic[0].organization_id();
    let record = RawRecord {
        organization_id: organization_id.clone(),
        organization_name: "organization-1".to_owned(),
        collection: "decision".to_owned(),
        poll_id: None,
        listing_id: None,
        observed_ts_ms: at,
        body: RawBody::Decision(Decision {
            kind: kind.into(),
            collection: None,
            element_key: element_key.map(str::to_owned),
            listing_id: listing_id.map(str::to_owned),
            by: "grace".to_owned(),
            why: None,
            decided_ts_ms: at,
        }),
    };
    let (topic, home) = (world.topic(Topic::Raw), partition(&organization_id, PARTITIONS));
    kafka::write(&world.bootstrap_servers, &topic, home, &record.key(), Some(&encode(&record)), &[]);
    world.run("processor", &["run", "--until-end"]);
}

#[test]
fn holds_decisions_and_an_organization_that_is_forgotten_and_comes_back_are_good() {
    let world = held();
    is_good(&world);
    let all = holds(&world);
    assert!(all.len() >= VANISHING);
    let user = all.iter().find(|hold| !hold.element_key.contains('|')).expect("a held user");
    decide(&world, "reject", Some(&user.element_key), Some(&user.listing_id), 1_790_000_000_000);
    is_good(&world);
    poll(&world);
    is_good(&world);
    decide(&world, "approve", None, Some(&user.listing_id), 1_790_000_000_001);
    assert!(holds(&world).len() < VANISHING, "an approval releases them");
    is_good(&world);
    decide(&world, "forget", None, None, 1_790_000_000_002);
    is_good(&world);
    poll(&world);
    is_good(&world);
}

#[test]
fn a_hold_that_is_forgotten_is_found() {
    let world = held();
    let organization_id = world.anthropic[0].organization_id();
    let key = format!("{organization_id}/hold/{}", holds(&world)[0].element_key);
    let (topic, home) = (world.topic(Topic::Graph), partition(&organization_id, PARTITIONS));
    kafka::write(&world.bootstrap_servers, &topic, home, &key, None, &[]);
    let verified = world.ask(&["verify", "--json"]);
    verified.expect(1);
    let findings = Findings::of(&verified);
    assert_eq!(findings.violated.keys().collect::<Vec<_>>(), ["mapping"], "{:?}", findings.violations);
}
