//! What a listing does to a graph, rule by rule.

#![expect(clippy::disallowed_types, reason = "a test measures time")]

mod begun;
mod decisions;
mod holds;
mod laws;
mod marks;
mod scale;
mod versions;
mod world;

use graph::{
    reconcile::{Ending, Position, reconcile_mark},
    resources::Resources,
};
use schemas::{
    change::{Op, Reason, SnapshotRecord},
    collection::Collection,
    element::{Content, Element},
    raw::{ListingOutcome, Mark, MarkKind, Outcome, Resource, Scope, Trigger},
};
use world::{Book, PARTITIONS, World, altered, assigned_key, elements, ops, user_key, workspace_key};

#[test]
fn a_first_poll_only_reads() {
    let book = Book::of(&World::small());
    // One account, two users, two workspaces, one key; two and two HAS, three ASSIGNED, CREATED and HAS of the key.
    assert_eq!(book.changes.len(), 15);
    assert!(
        book.changes
            .iter()
            .all(|change| change.op == Op::Read && change.source.snapshot == SnapshotRecord::True)
    );
    assert_eq!(book.state.graph().len(), 15);
    assert!(book.state.withheld().is_empty());
}

#[test]
fn a_poll_without_a_change_gives_none() {
    let world = World::small();
    let mut book = Book::of(&world);
    let before = elements(&book.state);
    assert_eq!(book.poll(&world), []);
    assert_eq!(elements(&book.state), before);
}

#[test]
fn an_update_has_both_images_and_names_what_differs() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.users.insert("bo".to_owned(), "admin".to_owned());
    let changes = book.poll(&world);
    assert_eq!(ops(&changes), [("u", "anthropic_user:bo")]);
    assert_eq!(changes[0].changed, ["isAdmin", "role"]);
    let role = |element: &Option<Element>| match element.as_ref().map(|element| &element.content) {
        Some(Content::User(user)) => user.role.clone(),
        other => panic!("{other:?} is no user"),
    };
    assert_eq!(role(&changes[0].before).as_deref(), Some("user"));
    assert_eq!(role(&changes[0].after).as_deref(), Some("admin"));
    // The exposure window: from the start of the previous whole listing of users to the end of this one.
    assert_eq!(changes[0].not_before_ts_ms, Some(20_000));
    assert_eq!(changes[0].not_after_ts_ms, Some(80_500));
}

#[test]
fn who_joins_is_created_with_the_relationship_behind_the_entity() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.users.insert("cy".to_owned(), "user".to_owned());
    let account = format!("anthropic_account:{}", world::ORGANIZATION);
    let changes = book.poll(&world);
    assert_eq!(
        ops(&changes),
        [("c", "anthropic_user:cy"), ("c", format!("{account}|has|anthropic_user:cy").as_str())]
    );
}

#[test]
fn who_leaves_takes_the_relationships_along_which_their_collections_still_list() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.users.remove("bo");
    let changes = book.list(&world, &Collection::Users);
    let account = format!("anthropic_account:{}", world::ORGANIZATION);
    assert_eq!(
        ops(&changes),
        [
            ("d", format!("{account}|has|anthropic_user:bo").as_str()),
            ("d", &assigned_key("bo", "lab")),
            ("d", &assigned_key("bo", "prod")),
            ("d", "anthropic_user:bo"),
        ]
    );
    let reasons: Vec<_> = changes.iter().map(|change| change.reason.as_ref()).collect();
    let (absent, end) = (Some(&Reason::Absent), Some(&Reason::EndDeleted));
    assert_eq!(reasons, [absent, end, end, absent]);
    assert_eq!(book.state.withheld().len(), 2);

    world.users.insert("bo".to_owned(), "user".to_owned());
    let changes = book.list(&world, &Collection::Users);
    assert_eq!(changes.len(), 4);
    assert!(changes.iter().all(|change| change.op == Op::Create));
    let returned = changes.iter().filter(|change| change.reason == Some(Reason::EndAppeared));
    assert_eq!(returned.count(), 2);
    assert!(book.state.withheld().is_empty());
}

#[test]
fn a_withheld_relationship_is_dropped_only_by_its_own_collection() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.users.remove("bo");
    book.list(&world, &Collection::Users);
    world.members.remove(&("lab".to_owned(), "bo".to_owned()));
    assert_eq!(book.list(&world, &Collection::Members("lab".to_owned())), []);
    assert_eq!(book.state.withheld().keys().collect::<Vec<_>>(), [&assigned_key("bo", "prod")]);
}

#[test]
fn a_workspace_that_goes_ends_its_members() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.workspaces.remove("lab");
    let changes = book.list(&world, &Collection::Workspaces);
    assert!(
        changes
            .iter()
            .any(|change| change.element_key == assigned_key("bo", "lab") && change.op == Op::Delete)
    );
    assert!(!book.state.graph().contains(&workspace_key("lab")));
    assert!(book.state.withheld().is_empty());
    assert!(!book.state.coverage().contains_key("members/lab"));
    let late = book.listing(&world, &Collection::Members("lab".to_owned()));
    assert_eq!(book.take(&late).1, Ending::Void);
}

#[test]
fn what_is_absent_from_a_listing_that_is_not_whole_stays() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.users.remove("bo");
    world.users.insert("ada".to_owned(), "user".to_owned());
    world.users.insert("cy".to_owned(), "user".to_owned());
    let mut listing = book.listing(&world, &Collection::Users);
    listing.damage = Some("the raw record at offset 7 cannot be used".to_owned());
    let (changes, outcome) = book.take(&listing);
    assert_eq!(outcome, Ending::Partial);
    assert!(changes.iter().all(|change| change.op != Op::Delete), "{:?}", ops(&changes));
    assert!(ops(&changes).contains(&("u", "anthropic_user:ada")));
    assert!(ops(&changes).contains(&("c", "anthropic_user:cy")));
    assert!(book.state.graph().contains(&user_key("bo")));
    let coverage = &book.state.coverage()["users"];
    assert_eq!(coverage.whole.as_ref().map(|whole| whole.listing_id.as_str()), Some("listing-20"));
    assert_eq!(coverage.not_whole_since_ts_ms, Some(listing.manifest.ended_ts_ms));

    let (changes, outcome) = {
        let next = book.listing(&world, &Collection::Users);
        book.take(&next)
    };
    assert_eq!(outcome, Ending::Whole);
    assert!(ops(&changes).contains(&("d", "anthropic_user:bo")));
    assert_eq!(book.state.coverage()["users"].not_whole_since_ts_ms, None);
}

#[test]
fn a_listing_with_narrower_parameters_deletes_nothing() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.workspaces.remove("lab");
    let mut listing = book.listing(&world, &Collection::Workspaces);
    listing.manifest.parameters.remove("include_default");
    let (changes, outcome) = book.take(&listing);
    assert_eq!((changes, outcome), (vec![], Ending::Partial));
    assert!(book.state.graph().contains(&workspace_key("lab")));
}

#[test]
fn a_listing_without_the_default_workspace_deletes_it_not_even_if_only_a_partial_one_had_it() {
    let mut world = World::small();
    world.workspaces.insert("default".to_owned(), "Default".to_owned());
    let mut book = Book::default();
    book.list(&world, &Collection::Organization);
    let mut partial = book.listing(&world, &Collection::Workspaces);
    partial.damage = Some("a record is missing".to_owned());
    book.take(&partial);
    world.workspaces.retain(|id, _| id == "prod");
    let mut older = book.listing(&world, &Collection::Workspaces);
    older.manifest.parameters.remove("include_default");
    let (changes, outcome) = book.take(&older);
    assert_eq!(outcome, Ending::Whole);
    let account = format!("anthropic_account:{}", world::ORGANIZATION);
    let of_lab = workspace_key("lab");
    assert_eq!(ops(&changes), [("d", format!("{account}|has|{of_lab}").as_str()), ("d", &of_lab)]);
}

#[test]
fn a_listing_that_does_not_say_where_a_key_belongs_deletes_no_has_of_it() {
    let world = World::small();
    let scope = |kind: Option<&str>| Some(Scope { kind: kind.map(str::to_owned), workspace_id: None });
    let listed = |scope: Option<Scope>, workspace_id: Option<&str>| {
        let mut book = Book::of(&world);
        let listing = altered(book.listing(&world, &Collection::ApiKeys), |resource| {
            let Resource::ApiKey(api_key) = resource else { panic!("no API key") };
            (api_key.scope, api_key.workspace_id) = (scope.clone(), workspace_id.map(str::to_owned));
        });
        let (changes, outcome) = book.take(&listing);
        assert_eq!(outcome, Ending::Whole);
        let deleted = changes.into_iter().filter(|change| change.op == Op::Delete).map(|it| it.element_key);
        deleted.collect::<Vec<_>>()
    };
    for silent in [None, scope(None), scope(Some("workspace")), scope(Some("workspaces"))] {
        assert_eq!(listed(silent.clone(), None), Vec::<String>::new(), "{silent:?}");
        // Such a key belongs to the workspace that it names in addition to the scope.
        assert_eq!(listed(silent.clone(), Some("prod")), Vec::<String>::new(), "{silent:?}");
        assert_eq!(listed(silent, Some("lab")), ["anthropic_workspace:prod|has|anthropic_api_key:k1"]);
    }
    let whole = listed(scope(Some("organization")), None);
    assert_eq!(whole, ["anthropic_workspace:prod|has|anthropic_api_key:k1"]);
}

#[test]
fn the_last_key_takes_its_relationships_along() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.api_keys.clear();
    let changes = book.list(&world, &Collection::ApiKeys);
    assert_eq!(changes.len(), 3, "{:?}", ops(&changes));
    assert!(changes.iter().all(|change| change.reason == Some(Reason::Absent)));
    assert!(book.state.withheld().is_empty());
}

#[test]
fn the_account_is_never_deleted_by_a_listing() {
    let world = World::small();
    let mut book = Book::of(&world);
    let mut empty = book.listing(&world, &Collection::Organization);
    empty.resources = Resources::default();
    empty.manifest.count = 0;
    let (changes, _) = book.take(&empty);
    assert_eq!(changes, []);
}

#[test]
fn members_of_an_unknown_workspace_are_void() {
    let world = World::small();
    let mut book = Book::default();
    let listing = book.listing(&world, &Collection::Members("prod".to_owned()));
    assert_eq!(book.take(&listing), (vec![], Ending::Void));
    assert!(book.state.coverage().is_empty());
}

#[test]
fn a_listing_that_was_applied_is_not_applied_again() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.users.remove("bo");
    let listing = book.listing(&world, &Collection::Users);
    book.take(&listing);
    assert_eq!(book.take(&listing), (vec![], Ending::Applied));
}

#[test]
fn a_switched_on_tag_updates_every_entity_because_of_the_configuration() {
    let world = World::small();
    let mut book = Book::of(&world);
    let mut listing = book.listing(&world, &Collection::Users);
    listing.manifest.configuration.tag_account_name = true;
    let reconciled = graph::reconcile::reconcile(&book.state, &listing, world::PARTITIONS);
    assert_eq!(reconciled.changes.len(), 2);
    for change in &reconciled.changes {
        assert_eq!(change.cause, graph::change::Cause::Config);
        assert_eq!(change.changed, ["tag.AccountName"]);
    }
}

#[test]
fn a_tag_is_the_configuration_s_even_where_fields_without_a_property_came_before_it() {
    let world = World::small();
    let mut book = Book::of(&world);
    let more = |listing| {
        altered(listing, |resource| {
            let Resource::User(user) = resource else { panic!("no user") };
            user.extra.insert("new".to_owned(), "1".to_owned());
        })
    };
    let listing = more(book.listing(&world, &Collection::Users));
    assert_eq!(book.take(&listing).0, [], "no property has changed");
    let mut listing = more(book.listing(&world, &Collection::Users));
    listing.manifest.configuration.tag_account_name = true;
    let reconciled = graph::reconcile::reconcile(&book.state, &listing, PARTITIONS);
    let causes: Vec<_> = reconciled.changes.iter().map(|change| change.cause).collect();
    assert_eq!(causes, [graph::change::Cause::Config; 2]);
}

fn failed(collection: &str) -> ListingOutcome {
    ListingOutcome {
        collection: collection.to_owned(),
        outcome: Outcome::Failed,
        reason: Some("403 permission_error".to_owned()),
        http_status: Some(403),
        request_id: None,
        listing_id: None,
    }
}

#[test]
fn an_end_mark_records_what_failed_in_coverage_and_changes_no_element() {
    let world = World::small();
    let mut book = Book::of(&world);
    let before = elements(&book.state);
    let gone = ListingOutcome { outcome: Outcome::Gone, ..failed("members/lab") };
    book.mark(&Mark {
        kind: MarkKind::End,
        trigger: Trigger::Interval,
        outcomes: vec![failed("members/prod"), gone, failed("members/elsewhere")],
        complete: false,
        reason: None,
    });
    assert_eq!(elements(&book.state), before);
    let coverage = book.state.coverage();
    assert!(coverage["members/prod"].not_whole_since_ts_ms.is_some());
    assert_eq!(coverage["members/lab"].not_whole_since_ts_ms, None);
    assert_eq!(coverage["members/lab"].latest.as_ref().map(|latest| latest.outcome.as_str()), Some("gone"));
    assert!(!coverage.contains_key("members/elsewhere"));
    let poll = book.state.poll();
    assert!(poll.ended && !poll.complete);
    assert_eq!(poll.incomplete.len(), 2, "{:?}", poll.incomplete);
}

#[test]
fn members_that_a_poll_did_not_come_to_are_not_whole_unless_they_are_gone() {
    let world = World::small();
    let mut book = Book::of(&world);
    let gone = ListingOutcome { outcome: Outcome::Gone, ..failed("members/lab") };
    book.mark(&end_of(vec![gone]));
    let skipped = ListingOutcome {
        outcome: Outcome::Skipped,
        reason: Some("the workspaces could not be listed".to_owned()),
        ..failed("members")
    };
    let next = |book: &mut Book, poll_id: &str| {
        book.offset += 10;
        let position = Position { poll_id: Some(poll_id), ..book.position() };
        let reconciled = reconcile_mark(&book.state, &end_of(vec![skipped.clone()]), position, PARTITIONS);
        book.fold(&reconciled);
    };
    next(&mut book, "poll-2");
    let since = book.state.coverage()["members/prod"].not_whole_since_ts_ms;
    assert!(since.is_some());
    assert_eq!(
        latest(&book, "members/prod"),
        (&Outcome::Skipped, Some("the workspaces could not be listed"))
    );
    assert_eq!(*latest(&book, "members/lab").0, Outcome::Gone);
    assert_eq!(*latest(&book, "users").0, Outcome::Whole, "the line is about members");
    assert_eq!(book.state.poll().incomplete, ["members: the workspaces could not be listed"]);
    next(&mut book, "poll-3");
    assert_eq!(book.state.coverage()["members/prod"].not_whole_since_ts_ms, since, "since the first time");
}

fn latest<'a>(book: &'a Book, collection: &str) -> (&'a Outcome, Option<&'a str>) {
    let latest = book.state.coverage()[collection].latest.as_ref().expect("it was tried");
    (&latest.outcome, latest.reason.as_deref())
}

fn end_of(lines: Vec<ListingOutcome>) -> Mark {
    Mark { kind: MarkKind::End, trigger: Trigger::Interval, outcomes: lines, complete: true, reason: None }
}

#[test]
fn a_poll_is_complete_only_where_the_listings_that_it_wrote_were_taken_for_whole() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    let whole = |listing_id: &str| ListingOutcome {
        outcome: Outcome::Whole,
        reason: None,
        listing_id: Some(listing_id.to_owned()),
        ..failed("users")
    };
    let listing = book.listing(&world, &Collection::Users);
    book.take(&listing);
    book.mark(&end_of(vec![whole(&listing.listing_id)]));
    assert!(book.state.poll().complete);

    // The manifest of the next one became a dead letter.
    book.mark(&end_of(vec![whole("listing-lost")]));
    let poll = book.state.poll();
    assert!(!poll.complete);
    assert!(poll.incomplete[0].starts_with("users: the listing that the poll wrote was not accepted"));

    // A guarded listing was seen whole.
    world.users.clear();
    let listing = book.listing(&world, &Collection::Users);
    assert_eq!(book.take(&listing).1, Ending::Guarded);
    book.mark(&end_of(vec![whole(&listing.listing_id)]));
    assert!(book.state.poll().complete);
}
