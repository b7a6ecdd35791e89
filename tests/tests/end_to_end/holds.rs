//! Most users vanish at once: the guard holds their deletion until a person decides.

use std::collections::BTreeSet;

use graph::state::GraphKey;
use schemas::{
    change::{Op, Reason},
    codec::encode,
    coverage::{Coverage, Hold, HoldState},
    element::ElementType,
    graph_value::GraphValue,
    raw::{Decision, DecisionKind, RawBody, RawRecord},
    topics::{Topic, partition},
};
use simulator::anthropic::{Mutation, Settings};
use tests::{
    comparison::{agree, changes},
    kafka,
    services::Service,
    world::{PARTITIONS, World},
};

/// More than the guard allows: it counts to twenty.
const USERS: usize = 60;
const VANISHING: usize = 36;

pub(super) fn user_key(id: &str) -> String {
    ElementType::User.entity_key(id)
}

/// The organization's newest records of the graph topic that are still there.
fn known(world: &World) -> Vec<(GraphKey, GraphValue)> {
    let folded = kafka::fold(world.read(Topic::Graph)).into_iter();
    let known = folded.filter_map(|(key, record)| {
        let (_, key) = GraphKey::parse(&key).expect("a key of the graph topic");
        Some((key, GraphValue::decode(&record.value?).expect("a value of the graph topic")))
    });
    known.collect()
}

pub(super) fn holds(world: &World) -> Vec<Hold> {
    let holds = known(world).into_iter().filter_map(|(_, value)| match value {
        GraphValue::Hold(hold) => Some(*hold),
        _ => None,
    });
    holds.collect()
}

/// Keys of the users whose deletion is held.
fn held_users(world: &World) -> BTreeSet<String> {
    holds(world).into_iter().map(|hold| hold.element_key).filter(|key| !key.contains('|')).collect()
}

fn users_coverage(world: &World) -> Coverage {
    let coverage = known(world).into_iter().find_map(|(_, value)| match value {
        GraphValue::Coverage(coverage) if coverage.collection == "users" => Some(*coverage),
        _ => None,
    });
    coverage.expect("users were listed")
}

/// Decides as a person who saw the holds of that listing.
fn decide(world: &World, kind: DecisionKind, element_key: Option<String>, listing_id: &str) {
    let organization_id = world.anthropic[0].organization_id();
    let record = RawRecord {
        organization_id: organization_id.clone(),
        organization_name: "organization-1".to_owned(),
        collection: schemas::collection::DECISION.to_owned(),
        poll_id: None,
        listing_id: None,
        observed_ts_ms: 1_790_000_000_000,
        body: RawBody::Decision(Decision {
            kind,
            collection: Some("users".to_owned()),
            element_key,
            listing_id: Some(listing_id.to_owned()),
            by: "grace@nimbus.example".to_owned(),
            why: None,
            decided_ts_ms: 1_790_000_000_000,
        }),
    };
    let home = partition(&organization_id, PARTITIONS);
    let topic = world.topic(Topic::Raw);
    kafka::write(&world.bootstrap_servers, &topic, home, &record.key(), Some(&encode(&record)), &[]);
}

/// Runs the processor to its end, which reports that deletions wait.
fn process_with_holds(world: &World) -> String {
    let processed = world.run("processor", &["run", "--until-end"]);
    let processed = processed.expect(3);
    let last = processed.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("users guarded") && last.contains("`anthropic-graph holds list`"), "{last}");
    processed.stderr.clone()
}

/// The keys of an organization's users in JupiterOne.
fn uploaded_users(world: &World) -> BTreeSet<String> {
    let users = world.graph(0).entities.into_iter().filter(|entity| entity["_type"] == "anthropic_user");
    users.map(|user| user["_key"].as_str().expect("a key").to_owned()).collect()
}

#[test]
fn users_that_vanish_at_once_are_held_until_a_person_decides_about_what_was_seen() {
    let world = World::of(vec![Settings { users: USERS, workspaces: 2, ..Settings::default() }]);
    world.round();
    agree(&world, 0);
    let before = uploaded_users(&world);
    let end = &world.anthropic[0];
    let remove = |id: &String| end.mutate(Mutation::RemoveUser { id: id.clone() }).is_ok();
    let ids: Vec<String> = end.truth().users.keys().cloned().collect();
    let gone: Vec<String> = ids.iter().filter(|id| remove(id)).take(VANISHING).cloned().collect();
    let gone_keys: BTreeSet<String> = gone.iter().map(|id| user_key(id)).collect();

    // Held: the graph and JupiterOne keep them, and each is reported once.
    world.run("producer", &["poll"]).expect(0);
    process_with_holds(&world);
    assert_eq!(held_users(&world), gone_keys);
    let notices = |changes: &[schemas::change::Envelope]| {
        changes.iter().filter(|change| change.op == Op::Notice).count()
    };
    assert_eq!(notices(&changes(&world, 0)), VANISHING);
    // Their memberships and keys follow other collections' listings, more of them than the sink's own guard allows.
    world.configure("max_deleted_count = 1000");
    world.run("sink", &["run", "--until-end"]).expect(0);
    world.configure("");
    assert_eq!(uploaded_users(&world), before);

    let checked = world.run("processor", &["check"]);
    let held = format!("{} deletions of users held", holds(&world).len());
    assert!(checked.expect(0).stdout.contains(&held), "{}", checked.stdout);

    // A restart keeps the hold, and another poll says nothing new.
    let held = holds(&world);
    world.run("producer", &["poll"]).expect(0);
    process_with_holds(&world);
    assert_eq!(holds(&world), held);
    assert_eq!(notices(&changes(&world, 0)), VANISHING);
    let coverage = users_coverage(&world);
    assert_eq!(coverage.not_whole_since_ts_ms, None, "a guarded listing is whole");
    assert_ne!(coverage.whole.map(|whole| whole.listing_id).as_ref(), Some(&held[0].listing_id));
    let seen = &held[0].listing_id;

    // While a person looks, one more vanishes: it is not released by what the person saw. One that was seen is kept.
    let late = ids.iter().rfind(|id| remove(id)).expect("another that can leave");
    world.run("producer", &["poll"]).expect(0);
    decide(&world, DecisionKind::Reject, Some(user_key(&gone[0])), seen);
    decide(&world, DecisionKind::Approve, None, seen);
    let known = changes(&world, 0).len();
    let log = process_with_holds(&world);
    assert!(!log.contains("grace@"), "who decided may be an address, and stands in no log");
    let changed = changes(&world, 0).split_off(known);
    let approved = changed.iter().filter(|change| change.reason == Some(Reason::Approved));
    let approved: BTreeSet<String> = approved.map(|change| change.element_key.clone()).collect();
    let users = approved.iter().filter(|key| !key.contains('|')).cloned().collect::<BTreeSet<_>>();
    let mut expected = gone_keys.clone();
    expected.remove(&user_key(&gone[0]));
    assert_eq!(users, expected);
    let by =
        changed.iter().filter_map(|change| change.source.decision_by.as_deref()).collect::<BTreeSet<_>>();
    assert_eq!(by, BTreeSet::from(["grace@nimbus.example"]));
    assert_eq!(held_users(&world), BTreeSet::from([user_key(&gone[0]), user_key(late)]));

    // The one that is kept stays whatever is listed, until it is there again.
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]);
    let pinned = |world: &World| holds(world).into_iter().find(|hold| hold.element_key == user_key(&gone[0]));
    assert_eq!(pinned(&world).map(|hold| hold.state), Some(HoldState::Rejected));
    for id in [&gone[0], late] {
        let returns = Mutation::AddUser { id: Some(id.clone()), email: None, name: None, role: None };
        end.mutate(returns).expect("someone who left returns");
    }
    world.configure("max_deleted_count = 1000");
    world.round();
    assert_eq!(holds(&world), []);
    agree(&world, 0);
}

/// Runs the command that `anthropic-graph holds list` prints, as a person pastes it.
fn paste(listed: &str, what: &str) {
    let command = listed.lines().find_map(|line| line.split_once(what)).expect("a command").1;
    Service::paste(command).expect(0);
}

#[test]
fn what_a_person_saw_held_goes_by_the_command_that_was_shown_and_nothing_else_does() {
    let world = World::of(vec![Settings { users: USERS, workspaces: 0, api_keys: 0, ..Settings::default() }]);
    let verify = || world.ask(&["verify"]).expect(0).code;
    world.round();
    agree(&world, 0);
    let (end, before) = (&world.anthropic[0], uploaded_users(&world));
    let remove = |id: &String| end.mutate(Mutation::RemoveUser { id: id.clone() }).is_ok();
    let ids: Vec<String> = end.truth().users.keys().cloned().collect();
    let gone: BTreeSet<String> =
        ids.iter().filter(|id| remove(id)).take(VANISHING).map(|id| user_key(id)).collect();
    assert_eq!(gone.len() * 10, before.len() * 6, "six of ten");

    // Held, also by the processor and the sink that start next.
    for _ in 0..2 {
        world.run("producer", &["poll"]).expect(0);
        process_with_holds(&world);
        world.run("sink", &["run", "--until-end"]).expect(0);
        assert_eq!(held_users(&world), gone);
        assert_eq!(uploaded_users(&world), before, "JupiterOne keeps them");
        verify();
    }
    let listed = world.ask(&["holds", "list"]);

    // One more vanishes while the person reads.
    let late = ids.iter().rfind(|id| remove(id)).map(|id| user_key(id)).expect("another that can leave");
    world.run("producer", &["poll"]).expect(0);
    process_with_holds(&world);
    paste(&listed.expect(0).stdout, "to delete them: ");
    let processed = world.run("processor", &["run", "--until-end"]);
    assert!(matches!(processed.code, Some(0 | 3)), "{}", processed.stderr);
    world.run("sink", &["run", "--until-end"]).expect(0);
    assert_eq!(held_users(&world), BTreeSet::from([late.clone()]), "what was not seen waits");
    assert_eq!(uploaded_users(&world), &before - &gone);
    verify();

    // It is decided about as the others were.
    let listed = world.ask(&["holds", "list"]);
    paste(&listed.expect(0).stdout, "to delete them: ");
    world.round();
    assert_eq!(holds(&world), []);
    agree(&world, 0);
    verify();
}
