//! Decisions as a person makes them, with what the commands print, and what becomes of them.

use std::{collections::BTreeSet, fs};

use crate::said;
use graph::state::GraphKey;
use schemas::{
    change::{Op, Reason},
    topics::Topic,
};
use simulator::anthropic::{Mutation, Settings};
use tests::{comparison::changes, kafka, services::Service, world::World};

/// Keys of the elements that the graph topic leaves.
fn known(world: &World) -> BTreeSet<String> {
    let element = |key: String| match GraphKey::parse(&key) {
        Some((_, GraphKey::Element(key))) => Some(key),
        _ => None,
    };
    kafka::fold(world.read(Topic::Graph)).into_keys().filter_map(element).collect()
}

/// Runs a printed command as a shell would.
fn paste(listed: &str, before: &str) {
    let command = listed.lines().find_map(|line| line.split_once(before)).expect("a command").1;
    Service::paste(command).expect(0);
}

#[test]
fn what_is_approved_by_the_printed_command_goes_and_who_is_forgotten_is_gone() {
    let world = World::of(vec![Settings { users: 60, ..Settings::default() }]);
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let (end, before) = (&world.anthropic[0], known(&world));
    let ids: Vec<String> = end.truth().users.keys().cloned().collect();
    let gone: Vec<&String> = ids
        .iter()
        .filter(|id| end.mutate(Mutation::RemoveUser { id: (*id).clone() }).is_ok())
        .take(30)
        .collect();
    let gone: BTreeSet<String> = gone.into_iter().map(|id| format!("anthropic_user:{id}")).collect();
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(3);
    assert!(gone.iter().all(|key| before.contains(key) && known(&world).contains(key)), "held");
    let listed = world.ask(&["holds", "list"]);
    assert!(listed.expect(0).stdout.contains("the guard allows"), "the limits: {}", listed.stdout);
    assert!(!listed.stdout.contains("anthropic-graph holds list"), "this is it: {}", listed.stdout);
    assert_eq!(listed.stdout.matches("\"HAS\"").count(), 0, "counted, not listed: {}", listed.stdout);
    // One of them stays; the rest goes.
    let kept = gone.first().expect("thirty");
    let lines = world.ask(&["holds", "list", "--json"]);
    let held = lines
        .expect(0)
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let one = held.into_iter().find(|held| held["element_key"] == kept.as_str()).expect("its hold");
    paste(one["reject"].as_str().expect("a command"), "");
    paste(&listed.stdout, "to delete them: ");
    world.run("processor", &["run", "--until-end"]);
    // Once more: nothing is left of it.
    paste(&listed.stdout, "to delete them: ");
    let again = world.run("processor", &["run", "--until-end"]);
    assert!(again.stderr.contains("it was decided before"), "{}", again.stderr);
    let after = known(&world);
    assert!(gone.iter().filter(|key| *key != kept).all(|key| !after.contains(key)), "approved");
    assert!(after.contains(kept), "rejected");
    let by = changes(&world, 0).into_iter().filter(|change| change.reason == Some(Reason::Approved));
    assert!(by.map(|change| change.source.decision_by).all(|by| by.as_deref() == Some("ada")));
    // Another replay of it all has the same bytes, decisions included.
    let into = tests::prefix();
    world.ask(&["replay", "--from", "earliest", "--into", &into]);
    for topic in [Topic::Changes, Topic::Graph] {
        let replayed = kafka::read(&world.bootstrap_servers, &topic.name(&into));
        assert!(said(world.read(topic)) == said(replayed), "{topic:?} differs");
    }
    world.ask(&["verify"]).expect(0);
    world.ask(&["verify", "--replayed", &into]).expect(0);
    let id = end.organization_id();
    world.ask(&["forget", "--organization-id", &id, "--by", "ada", "--confirm"]).expect(0);
    world.run("processor", &["run", "--until-end"]);
    assert_eq!(known(&world), BTreeSet::new());
    let nothing = world.ask(&["forget", "--organization-id", &id]);
    assert!(nothing.expect(2).stderr.contains("forgotten already"), "{}", nothing.stderr);
    let forgotten = changes(&world, 0).into_iter().filter(|it| it.reason == Some(Reason::Forgotten));
    assert_eq!(forgotten.count(), after.len());
    assert!(world.ask(&["holds", "list"]).expect(0).stdout.contains("no holds"));
}

#[test]
fn a_change_of_the_configuration_alone_says_so() {
    let world = World::start();
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let (known, entities) = (world.read(Topic::Changes).len(), known(&world));
    let entities = entities.iter().filter(|key| !key.contains('|')).count();
    let text = fs::read_to_string(world.config()).expect("the configuration");
    fs::write(world.config(), text.replace("Organization 1", "Renamed")).expect("the configuration");
    let user_id = world.anthropic[0].truth().users.keys().next().expect("a user").clone();
    let rename = Mutation::RenameUser { id: user_id.clone(), name: "Zoë".to_owned() };
    world.anthropic[0].mutate(rename).expect("renamed");
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let records = world.read(Topic::Changes).split_off(known);
    let changes = changes(&world, 0).split_off(known);
    assert_eq!(changes.len(), entities, "each entity has the name");
    for (record, change) in records.iter().zip(&changes) {
        let is_live = change.element_key == format!("anthropic_user:{user_id}");
        assert_eq!(record.header("ce_cause"), Some(if is_live { "live" } else { "config" }));
        assert_eq!(change.changed == ["tag.AccountName"], !is_live, "{:?}", change.changed);
        assert_eq!(change.op, Op::Update);
    }
}
