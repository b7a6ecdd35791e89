//! Nothing, one, and more than a message holds.

use schemas::change::Op;
use simulator::anthropic::{Mutation, Settings};
use simulator::jupiterone::Route;
use tests::comparison::{agree, changes};
use tests::world::World;

/// A name that is a book (bytes), and one that no message holds; librdkafka's bound is 1,000,000.
const LONG: usize = 100_000;
const TOO_LONG: usize = 1_500_000;

/// Holds both ends to the truth, and all that was written to the laws of the auditor.
fn content(world: &World) {
    agree(world, 0);
    world.ask(&["verify"]).expect(0);
}

fn rename(world: &World, id: &str, name: String) {
    world.anthropic[0].mutate(Mutation::RenameUser { id: id.to_owned(), name }).expect("a user");
}

#[test]
fn an_organization_with_nothing_but_its_admin_is_whole() {
    let world = World::of(vec![Settings { users: 1, workspaces: 0, api_keys: 0, ..Settings::default() }]);
    world.round();
    agree(&world, 0);
    world.round();
    content(&world);
}

#[test]
fn a_name_of_a_hundred_kilobytes_comes_changes_and_goes() {
    let world = World::start();
    let id = world.anthropic[0].truth().users.keys().next().expect("a user").clone();
    rename(&world, &id, "ñ ".repeat(LONG / 3));
    world.round();
    agree(&world, 0);
    rename(&world, &id, "ü".repeat(LONG / 2));
    world.round();
    agree(&world, 0);
    rename(&world, &id, "Ada".to_owned());
    world.round();
    content(&world);
}

/// Rounds in which one user's name is of that length: the others of the collection must not be the worse for it.
fn a_name_that_cannot_pass(length: usize, reason: &str) {
    let world = World::start();
    world.round();
    let end = &world.anthropic[0];
    let id = end.truth().users.keys().next().expect("a user").clone();
    let name = end.truth().users[&id].name.clone();
    let before = world.graph(0);
    rename(&world, &id, "x".repeat(length));
    end.mutate(Mutation::MakeWorkspace { id: Some("wrkspc_new".to_owned()), name: None })
        .expect("a workspace");
    let known = changes(&world, 0).len();
    let polled = world.run("producer", &["poll"]);
    let processed = world.run("processor", &["run", "--until-end"]);
    processed.expect(3);
    world.run("sink", &["run", "--until-end"]).expect(0);
    let logged = format!("{}{}", polled.stderr, processed.stderr);
    assert!(logged.contains(reason), "{reason} is not reported:\n{logged}");

    let new = changes(&world, 0).split_off(known);
    assert!(new.iter().all(|change| change.op != Op::Delete), "nothing is deleted");
    assert!(
        new.iter().any(|change| change.element_key == "anthropic_workspace:wrkspc_new"),
        "the rest goes on"
    );
    let after = world.graph(0);
    let is_kept = |entity: &serde_json::Map<String, serde_json::Value>| after.entities.contains(entity);
    assert!(before.entities.iter().all(is_kept), "JupiterOne keeps what it had");
    let is_new = after.entities.iter().any(|entity| entity["_key"] == "anthropic_workspace:wrkspc_new");
    assert!(is_new, "JupiterOne has the rest");

    rename(&world, &id, name);
    world.round();
    content(&world);
}

#[test]
fn a_resource_that_no_message_holds_fails_its_listing_and_nothing_else() {
    a_name_that_cannot_pass(TOO_LONG, "is too large for the topic");
}

#[test]
fn a_resource_whose_change_no_message_holds_is_a_dead_letter_and_nothing_else() {
    a_name_that_cannot_pass(400_000, "too many for a message with its change");
}

#[test]
fn a_resource_that_just_fits_into_its_message_is_a_dead_letter_that_fits() {
    a_name_that_cannot_pass(998_500, "too many for a message with its change");
}

#[test]
fn what_is_beyond_one_transaction_and_one_upload_is_equal_at_both_ends() {
    // Twelve pages of keys; more than 10,000 records of one listing; more than 5 MB of entities.
    let large = Settings { users: 500, workspaces: 10, api_keys: 12_000, ..Settings::default() };
    let world = World::of(vec![large]);
    world.configure("requests_per_minute = 60000");
    world.round();
    agree(&world, 0);
    let uploads = |world: &World| {
        let requests = world.jupiterone.requests();
        requests
            .iter()
            .filter(|request| request.route == Some(Route::Entities))
            .map(|it| it.inflated_bytes)
            .collect()
    };
    let bytes: Vec<usize> = uploads(&world);
    assert!(bytes.len() > 1 && bytes.iter().sum::<usize>() > 5_000_000, "{bytes:?}");
    assert!(bytes.iter().all(|bytes| *bytes <= 5_000_000), "{bytes:?}");
    let written = changes(&world, 0).len();
    assert!(written > 25_000, "{written}");
    world.round();
    assert_eq!(changes(&world, 0).len(), written);
    assert_eq!(uploads(&world), bytes, "nothing changed, so nothing is uploaded");
    content(&world);
}
