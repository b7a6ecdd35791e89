//! What is known of the members of a workspace before they are listed: nothing, or that by then there were none. And what
//! becomes of them while the deletion of their workspace is held.

use graph::reconcile::{Ending, Position, reconcile_mark};
use schemas::{
    change::Envelope,
    collection::Collection,
    raw::{Mark, MarkKind, Outcome, Trigger},
};

use graph::resources::Resources;

use crate::world::{Book, ORGANIZATION, PARTITIONS, World, assigned_key, ops, workspace_key};

fn with_new_workspace(world: &World) -> World {
    let mut world = world.clone();
    world.workspaces.insert("vault".to_owned(), "Vault".to_owned());
    world.members.insert(("vault".to_owned(), "bo".to_owned()), "workspace_admin".to_owned());
    world
}

fn vault() -> Collection {
    Collection::Members("vault".to_owned())
}

fn how(changes: &[Envelope]) -> Vec<(&str, &str, Option<i64>)> {
    changes.iter().map(|it| (it.op.as_str(), it.source.snapshot.as_str(), it.not_before_ts_ms)).collect()
}

#[test]
fn members_of_a_workspace_that_is_new_are_created_since_it_was_not_there() {
    let world = World::small();
    let mut book = Book::of(&world);
    let world = with_new_workspace(&world);
    let absent = book.state.coverage()["workspaces"].whole.clone().expect("it was listed");
    book.list(&world, &Collection::Workspaces);
    // Another listing of the workspaces, one of the members that failed and a restore in between change nothing of it.
    book.list(&world, &Collection::Workspaces);
    let restored = book.restored();
    assert_eq!(restored.states().get(ORGANIZATION), Some(&book.state));
    let mut partial = book.listing(&world, &vault());
    partial.resources = Resources::default();
    partial.damage = Some("a record is missing".to_owned());
    book.take(&partial);
    let changes = book.list(&world, &vault());
    assert_eq!(ops(&changes), [("c", assigned_key("bo", "vault").as_str())]);
    assert_eq!(how(&changes), [("c", "false", Some(absent.started_ts_ms))]);
    assert_eq!(changes[0].not_after_ts_ms, Some(changes[0].ts_ms));
    // From then on the members' own listings decide.
    let own = book.state.coverage()["members/vault"].whole.clone().expect("it was listed");
    let mut world = world;
    world.members.remove(&("vault".to_owned(), "bo".to_owned()));
    assert_eq!(how(&book.list(&world, &vault())), [("d", "false", Some(own.started_ts_ms))]);
}

#[test]
fn members_of_a_workspace_of_the_first_listing_are_a_snapshot_whenever_they_are_listed() {
    let world = with_new_workspace(&World::small());
    let mut book = Book::default();
    book.list(&world, &Collection::Organization);
    book.list(&world, &Collection::Users);
    let mut partial = book.listing(&world, &Collection::Workspaces);
    let vault_alone = world.resources(&Collection::Workspaces).into_iter().filter(|it| it.id() == "vault");
    partial.resources = Resources::of(&Collection::Workspaces, vault_alone);
    partial.damage = Some("records are missing".to_owned());
    book.take(&partial);
    book.list(&world, &Collection::Workspaces);
    book.list(&world, &Collection::Workspaces);
    assert_eq!(how(&book.list(&world, &vault())), [("r", "true", None)]);
}

#[test]
fn members_of_a_workspace_that_returns_are_created_again() {
    let world = World::small();
    let mut book = Book::of(&world);
    let mut without = world.clone();
    without.workspaces.remove("lab");
    book.list(&without, &Collection::Workspaces);
    let absent = book.state.coverage()["workspaces"].whole.clone().expect("it was listed");
    book.list(&world, &Collection::Workspaces);
    let changes = book.list(&world, &Collection::Members("lab".to_owned()));
    assert_eq!(how(&changes), [("c", "false", Some(absent.started_ts_ms))]);
}

#[test]
fn members_of_a_workspace_whose_deletion_is_held_are_not_whole() {
    let world = World::small();
    let mut book = Book::of(&world);
    let mut without = world.clone();
    without.workspaces.remove("lab");
    let mut listing = book.listing(&without, &Collection::Workspaces);
    listing.manifest.configuration.max_deleted_count = 0;
    assert_eq!(book.take(&listing).1, Ending::Guarded);
    assert!(book.state.holds().contains_key(&workspace_key("lab")));
    let end = |book: &mut Book, poll_id: &str| {
        book.offset += 10;
        let mark = Mark {
            kind: MarkKind::End,
            trigger: Trigger::Interval,
            outcomes: Vec::new(),
            complete: true,
            reason: None,
        };
        let position = Position { poll_id: Some(poll_id), ..book.position() };
        let reconciled = reconcile_mark(&book.state, &mark, position, PARTITIONS);
        book.fold(&reconciled);
        position.ts_ms
    };
    let since = end(&mut book, "poll-2");
    end(&mut book, "poll-3");
    let members = &book.state.coverage()["members/lab"];
    assert_eq!(members.not_whole_since_ts_ms, Some(since));
    let latest = members.latest.as_ref().expect("the mark has it");
    assert_eq!(latest.outcome, Outcome::Skipped);
    assert!(latest.reason.as_ref().is_some_and(|it| it.contains("held")), "{latest:?}");
    assert_eq!(book.state.coverage()["members/prod"].not_whole_since_ts_ms, None);
    assert!(book.state.poll().complete, "the poll did what there was to do");
    // The workspace returns, and so do its members.
    book.poll(&world);
    end(&mut book, "poll-1");
    assert_eq!(book.state.coverage()["members/lab"].not_whole_since_ts_ms, None);
}
