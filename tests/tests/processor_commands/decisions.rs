//! Holds are listed, decisions are written, and neither does more than it says.

use std::fs;

use graph::state::GraphKey;
use schemas::{
    codec::decode,
    collection::DECISION,
    coverage::{Hold, HoldState},
    graph_value::GraphValue,
    raw::{Decision, DecisionKind, RawRecord},
    topics::{Topic, partition},
};
use serde_json::Value;
use tests::{
    kafka::{self, Record},
    services::Service,
    world::{PARTITIONS, World},
};

/// The listing whose deletions are held.
pub(super) const LISTING: &str = "1d2b3a4c-5d6e-4f70-8192-a3b4c5d6e7f8";

/// Writes a hold of the organization's first user, as the guard does.
pub(super) fn hold(world: &World) -> Hold {
    let organization_id = world.anthropic[0].organization_id();
    let user_id = world.anthropic[0].truth().users.keys().next().expect("a user").clone();
    let hold = Hold {
        organization_id: organization_id.clone(),
        element_key: format!("anthropic_user:{user_id}"),
        collection: "users".to_owned(),
        listing_id: LISTING.to_owned(),
        raw_offset: 3,
        proposed_ts_ms: 1_795_536_557_993,
        state: HoldState::Proposed,
        agreeing: 1,
    };
    let key = GraphKey::Hold(hold.element_key.clone()).format(&organization_id);
    let value = GraphValue::Hold(Box::new(hold.clone())).encode();
    let place = partition(&organization_id, PARTITIONS);
    kafka::write(&world.bootstrap_servers, &world.topic(Topic::Graph), place, &key, Some(&value), &[]);
    hold
}

fn decisions(world: &World) -> Vec<(Record, Decision)> {
    let decision = |record: Record| {
        let raw = decode::<RawRecord>(record.value.as_deref()?).ok()?;
        let decision = raw.body.decision()?;
        assert_eq!(raw.collection, DECISION);
        Some((record, decision))
    };
    world.read(Topic::Raw).into_iter().filter_map(decision).collect()
}

#[test]
fn holds_are_listed_with_the_commands_that_decide_about_them() {
    let world = World::start();
    let early = world.ask(&["holds", "list"]);
    assert_eq!(early.code, Some(1), "{}", early.stderr);
    assert!(early.stderr.contains("does not exist"), "{}", early.stderr);
    world.round();
    let none = world.ask(&["holds", "list"]);
    assert!(none.expect(0).stdout.contains("no holds"), "{}", none.stdout);
    assert_eq!(world.ask(&["holds", "list", "--json"]).expect(0).stdout, "");
    let hold = hold(&world);
    let listed = world.ask(&["holds", "list", "--organization", "organization-1"]);
    let name = world.anthropic[0].truth().users.values().next().expect("a user").name.clone();
    for text in
        [&hold.element_key, &hold.organization_id, &hold.listing_id, &name, "2026-11-24T", "organization-1"]
    {
        assert!(listed.expect(0).stdout.contains(text), "{text}: {}", listed.stdout);
    }
    assert!(!listed.stderr.contains(&name), "names of people stay out of the log");
    // The command is ready to paste.
    let command =
        listed.stdout.lines().find_map(|line| line.split_once("to delete them: ")).expect("a command").1;
    Service::paste(command).expect(0);
    let (record, decision) = decisions(&world).pop().expect("a decision");
    assert_eq!(record.partition, partition(&hold.organization_id, PARTITIONS));
    assert_eq!(record.key_text(), format!("{}/decision/decision", hold.organization_id));
    assert_eq!((&decision.kind, decision.by.as_str()), (&DecisionKind::Approve, "ada"));
    assert_eq!(decision.collection.as_deref(), Some("users"));
    assert_eq!(decision.listing_id, Some(hold.listing_id));
    assert_eq!((decision.element_key, decision.why), (None, None));
}

#[test]
fn a_decision_says_what_it_wrote_and_where() {
    let world = World::start();
    world.round();
    let id = world.anthropic[0].organization_id();
    let key = hold(&world).element_key;
    let before = world.read(Topic::Raw).len();
    let arguments = [
        "holds",
        "reject",
        "--organization-id",
        &id,
        "--key",
        &key,
        "--listing",
        LISTING,
        "--by",
        "ada",
        "--why",
        "known",
    ];
    let printed = world.ask(&arguments);
    let summary =
        format!("recorded the rejection by ada of the held deletions of organization {id}, element {key}, ");
    assert!(printed.expect(0).stdout.starts_with(&summary), "{}", printed.stdout);
    let json = world.ask(&[&arguments[..], &["--json"]].concat());
    let line: Value = serde_json::from_str(&json.expect(0).stdout).expect("a JSON line");
    let all = decisions(&world);
    assert_eq!((all.len(), world.read(Topic::Raw).len()), (2, before + 2));
    assert_eq!(line["offset"], all[1].0.offset);
    assert_eq!(line["decision"]["why"], "known");
    assert_eq!(all[1].1.element_key.as_ref(), Some(&key));
    assert_eq!(all[0].0.header("ce_type"), Some("anthropic_graph.raw"));
    let nobody = "anthropic_user:nope";
    let refused = world.ask(&[
        "holds",
        "reject",
        "--organization-id",
        &id,
        "--key",
        nobody,
        "--listing",
        LISTING,
        "--by",
        "ada",
    ]);
    let text = "nothing that the decision names is held";
    assert!(refused.expect(2).stderr.contains(text), "{}", refused.stderr);
    assert_eq!(decisions(&world).len(), 2);
}

#[test]
fn a_name_that_the_configuration_does_not_pin_is_refused_and_one_that_it_pins_is_taken() {
    let world = World::start();
    world.round();
    hold(&world);
    let arguments =
        ["holds", "approve", "--organization", "organization-1", "--listing", LISTING, "--by", "ada"];
    let refused = world.ask(&arguments);
    assert!(refused.expect(2).stderr.contains("--organization-id"), "{}", refused.stderr);
    world.configure(&format!("organization_id = \"{}\"", world.anthropic[0].organization_id()));
    world.ask(&arguments).expect(0);
    assert_eq!(decisions(&world).len(), 1);
}

#[test]
fn a_decision_that_is_not_clear_is_usage_and_one_without_a_topic_makes_none() {
    let world = World::start();
    let id = ["--organization-id", "o"];
    let mistakes: [(&[&str], &str); 8] = [
        (&["holds", "approve", "--listing", LISTING, "--by", "ada"], "--organization-id"),
        (
            &[
                "holds",
                "approve",
                "--organization",
                "organization-1",
                id[0],
                id[1],
                "--listing",
                LISTING,
                "--by",
                "a",
            ],
            "cannot be used",
        ),
        (&["holds", "approve", id[0], id[1], "--by", "ada"], "--listing"),
        (&["holds", "reject", id[0], id[1], "--listing", LISTING], "--by"),
        (&["holds", "reject", id[0], id[1], "--listing", LISTING, "--by", " "], "--by"),
        (
            &["holds", "reject", id[0], id[1], "--listing", LISTING, "--by", "a", "--collection", "user"],
            "members/",
        ),
        (&["holds", "reject", id[0], id[1], "--listing", "abc", "--by", "a"], "is not a listing's ID"),
        (&["forget", id[0], id[1], "--confirm"], "--by"),
    ];
    for (arguments, text) in mistakes {
        let refused = world.ask(arguments);
        assert!(refused.expect(2).stderr.contains(text), "{arguments:?}: {}", refused.stderr);
    }
    let missing = world.ask(&["holds", "approve", id[0], id[1], "--listing", LISTING, "--by", "ada"]);
    assert_eq!(missing.code, Some(1), "{}", missing.stderr);
    assert!(missing.stderr.contains("does not exist"), "{}", missing.stderr);
    assert_eq!(kafka::partition_count(&world.bootstrap_servers, &world.topic(Topic::Raw)), 0);
}

#[test]
fn forget_shows_first_what_is_deleted_and_what_stays() {
    let world = World::start();
    world.round();
    hold(&world);
    let shown = world.ask(&["forget", "--organization", "organization-1", "--json"]);
    let counts: Value = serde_json::from_str(&shown.expect(0).stdout).expect("a JSON line");
    let graph = world.graph(0);
    assert_eq!(counts["elements"], graph.entities.len() + graph.relationships.len());
    let users = graph.entities.iter().filter(|entity| entity["_type"] == "anthropic_user").count();
    assert_eq!((&counts["by_type"]["anthropic_user"], &counts["holds"]), (&users.into(), &1.into()));
    let id = world.anthropic[0].organization_id();
    let printed = world.ask(&["forget", "--organization-id", &id, "--dry-run"]);
    for text in
        ["nothing was written", "not emptied", "until their retention", "first remove organization-1", &id]
    {
        assert!(printed.expect(0).stdout.contains(text), "{text}: {}", printed.stdout);
    }
    assert_eq!(decisions(&world).len(), 0);
    world.ask(&["forget", "--organization-id", "of-nobody"]).expect(2);
    let command =
        printed.stdout.lines().find_map(|line| line.split_once("to forget it: ")).expect("a command").1;
    Service::paste(command).expect(0);
    let (_, decision) = decisions(&world).pop().expect("a decision");
    assert_eq!((decision.kind, decision.listing_id), (DecisionKind::Forget, None));
}

#[test]
fn who_decides_needs_no_secret_of_others() {
    let world = World::start();
    world.round();
    hold(&world);
    for key in ["admin-key-1", "jupiterone-key"] {
        fs::remove_file(world.folder().join(key)).expect("a key's file");
    }
    let id = world.anthropic[0].organization_id();
    world.ask(&["holds", "approve", "--organization-id", &id, "--listing", LISTING, "--by", "ada"]).expect(0);
}
