//! What JupiterOne refuses is parked, and the rest goes on.

use serde_json::Value;
use simulator::anthropic::{Mutation, Settings};
use simulator::jupiterone::{Effect, Fault, Route, Tamper};
use tests::comparison::agree;
use tests::services::Finished;
use tests::world::World;

fn world() -> World {
    World::of(vec![Settings { users: 12, workspaces: 3, api_keys: 6, ..Settings::default() }])
}

/// Three users of the organization, none of them named in a refusal by another's key.
fn three_users(world: &World) -> [String; 3] {
    let truth = world.anthropic[0].truth();
    let mut users = truth.users.keys().cloned();
    let mut next = || users.next().expect("a user");
    [next(), next(), next()]
}

fn key(user_id: &str) -> String {
    format!("anthropic_user:{user_id}")
}

fn rename(world: &World, user_id: &str, name: &str) {
    let mutation = Mutation::RenameUser { id: user_id.to_owned(), name: name.to_owned() };
    world.anthropic[0].mutate(mutation).expect("a user of that id");
}

fn entity(world: &World, user_id: &str) -> Option<Value> {
    world.graph(0).entities.into_iter().find(|entity| entity["_key"] == key(user_id)).map(Value::Object)
}

fn refuse(world: &World, user_id: &str, while_property: Option<&str>) {
    let while_property = while_property.map(str::to_owned);
    let effect = Effect::RefuseObject { key: key(user_id), named: false, while_property };
    world.jupiterone.fault(Fault::new(Route::Entities, effect));
}

/// What `anthropic-graph sync parked` lists.
fn parked(world: &World) -> Vec<Value> {
    let listed = world.ask(&["sync", "parked", "--json", "--organization", "organization-1"]);
    let lines = listed.expect(0).stdout.lines();
    lines.map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// The last line of a command that went well says that one object is refused.
fn tells_of_one(synced: &Finished) {
    let last = synced.expect(0).stdout.lines().last();
    let expected = "JupiterOne has the newest graph of 1 organization, but refuses 1 object or some of their properties of \
                    organization-1; see `anthropic-graph sync parked`";
    assert_eq!(last, Some(expected));
}

#[test]
fn a_refused_user_is_parked_the_others_go_on_and_nothing_is_deleted_because_of_it() {
    let world = world();
    world.round();
    assert_eq!(parked(&world), Vec::<Value>::new());
    let [refused, renamed, removed] = three_users(&world);
    let before = entity(&world, &refused);
    refuse(&world, &refused, None);
    rename(&world, &refused, "Refused Name");
    rename(&world, &renamed, "Another Name");
    world.anthropic[0].mutate(Mutation::RemoveUser { id: removed.clone() }).expect("a user");
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let synced = world.run("sink", &["run", "--until-end"]);
    tells_of_one(&synced);
    assert!(synced.stderr.contains(&key(&refused)), "the log names the object: {}", synced.stderr);
    assert!(!synced.stderr.contains("An object is invalid"), "without JupiterOne's words: {}", synced.stderr);

    assert_eq!(entity(&world, &refused), before, "as it was");
    assert_eq!(entity(&world, &renamed).expect("it stays")["displayName"], "Another Name");
    assert!(entity(&world, &removed).is_some(), "JupiterOne deletes by type or not at all");
    let [line] = &parked(&world)[..] else { panic!("one is parked") };
    assert_eq!((line["key"].as_str(), line["state"].as_str()), (Some(&*key(&refused)), Some("parked")));
    assert!(line["reason"].as_str().is_some_and(|reason| reason.contains("INVALID_GRAPH_OBJECT")), "{line}");
    let printed = world.ask(&["sync", "parked"]);
    assert!(printed.expect(0).stdout.contains("not uploaded"), "{}", printed.stdout);
    tells_of_one(&world.run("sink", &["run", "--until-end"]));
    tells_of_one(&world.ask(&["sync", "resync"]));

    // Taken by now, and tried again only once it has changed.
    world.jupiterone.clear_faults();
    rename(&world, &renamed, "A Third Name");
    world.round();
    assert_eq!(entity(&world, &refused), before);
    rename(&world, &refused, "Accepted Name");
    world.round();
    assert_eq!(parked(&world), Vec::<Value>::new());
    agree(&world, 0);
}

#[test]
fn a_user_refused_for_one_property_goes_without_it_and_a_resync_tries_it_whole() {
    let world = world();
    world.round();
    let [refused, removed, _] = three_users(&world);
    refuse(&world, &refused, Some("isActive"));
    rename(&world, &refused, "New Name");
    world.anthropic[0].mutate(Mutation::RemoveUser { id: removed.clone() }).expect("a user");
    world.round();
    let held = entity(&world, &refused).expect("it is uploaded");
    assert_eq!((held["displayName"].as_str(), held.get("isActive")), (Some("New Name"), None));
    assert_eq!(entity(&world, &removed), None, "nothing is partial for it");
    let [line] = &parked(&world)[..] else { panic!("one is stripped") };
    assert_eq!(line["state"], "stripped");

    world.jupiterone.clear_faults();
    world.ask(&["sync", "resync"]).expect(0);
    assert_eq!(parked(&world), Vec::<Value>::new());
    let held = entity(&world, &refused).expect("it is uploaded");
    assert!(held.get("isActive").is_some(), "{held}");
}

#[test]
fn a_refused_new_user_costs_nothing_but_itself() {
    let world = world();
    world.round();
    let before = world.graph(0);
    refuse(&world, "user_new", None);
    let new = Mutation::AddUser { id: Some("user_new".to_owned()), email: None, name: None, role: None };
    world.anthropic[0].mutate(new).expect("a new user");
    world.round();
    assert_eq!(world.graph(0).entities, before.entities);
    assert_eq!(world.graph(0).relationships, before.relationships, "its relationship lacks its end");
    world.jupiterone.clear_faults();
    world.ask(&["sync", "resync", "--organization", "organization-1"]).expect(0);
    agree(&world, 0);
}

#[test]
fn when_more_is_refused_than_single_objects_explain_the_organization_is_paused() {
    let world = world();
    world.round();
    let before = world.graph(0);
    let [renamed, ..] = three_users(&world);
    rename(&world, &renamed, "New Name");
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    for route in [Route::Entities, Route::Relationships] {
        world.jupiterone.fault(Fault::new(route, Effect::Status(400)));
        let paused = world.run("sink", &["run", "--until-end"]);
        paused.expect(3);
        let line = paused.stderr.lines().last().expect("a last line");
        assert!(line.contains("organization-1") && line.contains("refuses"), "{line}");
        assert_eq!(world.graph(0).entities, before.entities);
        assert_eq!(world.graph(0).relationships, before.relationships);
        world.jupiterone.clear_faults();
    }
    world.run("sink", &["run", "--until-end"]).expect(0);
    agree(&world, 0);
}

#[test]
fn a_resync_converges_what_others_did_to_the_scope() {
    let world = world();
    world.round();
    let [deleted, changed, _] = three_users(&world);
    let scope = format!("anthropic-graph:{}", world.anthropic[0].organization_id());
    let account = format!("anthropic_account:{}", world.anthropic[0].organization_id());
    let added = serde_json::json!({"_key": "anthropic_user:nobody", "_type": "anthropic_user", "_class": ["User"],
        "displayName": "Nobody"});
    let Value::Object(added) = added else { unreachable!("an object") };
    for tamper in [
        Tamper::Delete { scope: scope.clone(), key: key(&deleted) },
        Tamper::SetProperty {
            scope: scope.clone(),
            key: key(&changed),
            property: "displayName".to_owned(),
            value: "Mallory".into(),
        },
        Tamper::SetProperty {
            scope: scope.clone(),
            key: account,
            property: "vendor".to_owned(),
            value: Value::Null,
        },
        Tamper::Add { scope, object: added },
    ] {
        world.jupiterone.tamper(tamper).expect("it is there");
    }
    world.run("sink", &["run", "--until-end"]).expect(0);
    assert!(entity(&world, &deleted).is_none(), "nothing changed, so nothing is uploaded");
    world.ask(&["sync", "resync", "--organization", "organization-1"]).expect(0);
    agree(&world, 0);
}
