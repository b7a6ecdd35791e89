//! What a person decides, and what comes of it.

use std::collections::BTreeSet;

use graph::reconcile::{Ending, Reconciled, reconcile_decision};
use schemas::{
    change::{Op, Reason, SnapshotRecord},
    collection::{Collection, POLL},
    coverage::HoldState,
    raw::{Decision, DecisionKind},
};

use crate::{
    holds::{account_has, many, without},
    world::{Book, PARTITIONS, World, assigned_key, envelopes, ops, user_key, workspace_key},
};

/// Thirty users are held.
fn held() -> (World, Book) {
    let world = without(&many(), 30);
    let mut book = Book::of(&many());
    book.list(&world, &Collection::Users);
    assert_eq!(book.state.holds().len(), 60);
    (world, book)
}

#[test]
fn an_approval_deletes_what_is_held_and_says_who_approved_what() {
    let (_, mut book) = held();
    let (elements, revision) = (book.state.poll().element_count, book.state.poll().revision);
    let hold = book.state.holds()[&user_key("user07")].clone();
    let approve = book.decision(DecisionKind::Approve);
    let decided = book.decide(&approve);
    assert_eq!((decided.outcome, decided.holds), (Ending::Decided, 60));
    assert_eq!(decided.changes.len(), 60);
    for (position, change) in (1..).zip(envelopes(&decided)) {
        assert_eq!((&change.op, change.reason.as_ref()), (&Op::Delete, Some(&Reason::Approved)));
        assert_eq!(change.source.collection, "users");
        assert_eq!(change.source.listing_id.as_ref(), Some(&hold.listing_id));
        assert_eq!(change.source.decision_by.as_deref(), Some("grace"));
        assert_eq!((change.ts_ms, &change.source.snapshot), (approve.decided_ts_ms, &SnapshotRecord::False));
        assert_eq!(change.not_after_ts_ms, Some(hold.proposed_ts_ms));
        assert_eq!(change.revision, revision + position);
    }
    assert!(book.state.holds().is_empty());
    assert_eq!(book.state.poll().element_count, elements - 60);
    assert_eq!(book.state.poll().revision, revision + 60);
}

#[test]
fn an_approval_read_twice_decides_nothing_the_second_time() {
    let (world, mut book) = held();
    let approve = book.decision(DecisionKind::Approve);
    book.decide(&approve);
    let before = book.state.clone();
    let again = book.decide(&approve);
    assert_eq!((again.outcome, again.changes.len(), again.records().count()), (Ending::Void, 0, 0));
    assert_eq!(book.state, before);
    let listing = book.listing(&world, &Collection::Users);
    assert_eq!(book.take(&listing), (vec![], Ending::Whole));
}

#[test]
fn an_approved_user_takes_along_the_relationships_that_other_collections_list() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.users.clear();
    book.list(&world, &Collection::Users);
    let approve = Decision { element_key: Some(user_key("ada")), ..book.decision(DecisionKind::Approve) };
    let decided = book.decide(&approve);
    let changes = envelopes(&decided);
    let (has, assigned) = (account_has("ada"), assigned_key("ada", "prod"));
    let created = "anthropic_user:ada|created|anthropic_api_key:k1";
    assert_eq!(
        ops(&changes),
        [("d", has.as_str()), ("d", &assigned), ("d", created), ("d", "anthropic_user:ada")]
    );
    let reasons: Vec<_> = changes.iter().map(|change| change.reason.as_ref()).collect();
    let end = Some(&Reason::EndDeleted);
    assert_eq!(reasons, [end, end, end, Some(&Reason::Approved)]);
    assert!(
        changes.iter().all(|change| change.source.collection == "users"),
        "the hold's, which licenses it"
    );
    // What its own collection lists waits for her return; what the users' listing lacks does not.
    assert_eq!(book.state.withheld().keys().collect::<Vec<_>>(), [&assigned, created]);
    assert_eq!(
        book.state.holds().keys().collect::<BTreeSet<_>>(),
        BTreeSet::from([&user_key("bo"), &account_has("bo")])
    );
}

#[test]
fn an_approved_workspace_ends_its_members() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.workspaces.remove("lab");
    let mut listing = book.listing(&world, &Collection::Workspaces);
    listing.manifest.configuration.max_deleted_count = 0;
    book.take(&listing);
    assert!(book.state.coverage().contains_key("members/lab"));
    let approve = book.decision(DecisionKind::Approve);
    let decided = book.decide(&approve);
    let assigned = envelopes(&decided).into_iter().find(|it| it.element_key == assigned_key("bo", "lab"));
    let assigned = assigned.expect("it goes with its workspace");
    assert_eq!(assigned.reason, Some(Reason::EndDeleted));
    assert_eq!(assigned.source.collection, "workspaces");
    assert!(!book.state.graph().contains(&workspace_key("lab")));
    assert!(!book.state.coverage().contains_key("members/lab"));
    assert!(book.state.withheld().is_empty());
}

#[test]
fn an_approval_releases_only_what_the_person_saw() {
    let (world, mut book) = held();
    let approve = book.decision(DecisionKind::Approve);
    // While the person decides, a listing proposes more, and one that was seen returns and goes again.
    let mut back = without(&world, 35);
    back.users.insert("user00".to_owned(), "user".to_owned());
    book.list(&back, &Collection::Users);
    book.list(&without(&world, 35), &Collection::Users);
    let decided = book.decide(&approve);
    assert_eq!(decided.holds, 58);
    let left: BTreeSet<_> = book.state.holds().keys().cloned().collect();
    let expected = ["user00", "user30", "user31", "user32", "user33", "user34"];
    assert_eq!(left, expected.iter().flat_map(|id| [user_key(id), account_has(id)]).collect());
    assert!(expected.iter().all(|id| book.state.graph().contains(&user_key(id))));
}

#[test]
fn what_was_held_only_after_the_listing_that_the_person_saw_stays_held() {
    let world = many();
    let mut book = Book::of(&world);
    let approve = book.decision(DecisionKind::Approve);
    book.list(&without(&world, 30), &Collection::Users);
    let decided = book.decide(&approve);
    assert_eq!((decided.outcome, decided.holds), (Ending::Void, 0));
    assert!(decided.reason.is_some_and(|reason| reason.contains("newer than the listing")));
    assert_eq!(book.state.holds().len(), 60);
}

#[test]
fn a_decision_that_names_an_unknown_listing_or_none_decides_nothing() {
    for listing_id in [None, Some("listing-of-another-life".to_owned())] {
        for kind in [DecisionKind::Approve, DecisionKind::Reject] {
            let (_, mut book) = held();
            let before = book.state.clone();
            let decided = Decision { listing_id: listing_id.clone(), ..book.decision(kind) };
            let decided = book.decide(&decided);
            assert_eq!(decided.outcome, Ending::Void);
            assert!(decided.reason.is_some_and(|reason| reason.contains("anthropic-graph holds list")));
            assert_eq!(book.state, before);
        }
    }
}

#[test]
fn a_listing_that_left_no_hold_behind_is_known_by_the_coverage_of_its_collection() {
    let (world, mut book) = held();
    // The next listing proposes nothing new; it is the newest that a person sees.
    book.list(&world, &Collection::Users);
    let approve = book.decision(DecisionKind::Approve);
    assert_eq!(
        approve.listing_id,
        book.state.coverage()["users"].whole.as_ref().map(|it| it.listing_id.clone())
    );
    assert_eq!(book.decide(&approve).holds, 60);
}

#[test]
fn a_decision_about_a_collection_leaves_the_holds_of_others() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.users.clear();
    book.list(&world, &Collection::Users);
    world.members.remove(&("lab".to_owned(), "bo".to_owned()));
    let mut listing = book.listing(&world, &Collection::Members("lab".to_owned()));
    listing.manifest.configuration.max_deleted_count = 0;
    book.take(&listing);
    let approve =
        Decision { collection: Some("members/lab".to_owned()), ..book.decision(DecisionKind::Approve) };
    assert_eq!(book.decide(&approve).holds, 1);
    assert!(book.state.holds().values().all(|hold| hold.collection == "users"));
    assert_eq!(book.state.holds().len(), 4);
    let other = Decision { collection: Some("api_keys".to_owned()), ..book.decision(DecisionKind::Approve) };
    assert_eq!(book.decide(&other).outcome, Ending::Void);
}

#[test]
fn a_rejection_pins_what_it_names_until_an_approval_names_it() {
    let (world, mut book) = held();
    let reject = Decision { element_key: Some(user_key("user07")), ..book.decision(DecisionKind::Reject) };
    let decided = book.decide(&reject);
    // The user with the relationship from the account, which has no meaning without it.
    assert_eq!((decided.outcome, decided.holds, decided.changes.len()), (Ending::Decided, 2, 0));
    assert_eq!(book.state.holds()[&user_key("user07")].state, HoldState::Rejected);
    book.list(&world, &Collection::Users);
    let approve = Decision { collection: Some("users".to_owned()), ..book.decision(DecisionKind::Approve) };
    book.decide(&approve);
    let kept = [account_has("user07"), user_key("user07")];
    assert!(kept.iter().all(|key| book.state.graph().contains(key)));
    assert!(book.state.holds().keys().eq(&kept));

    let approve = Decision { element_key: Some(user_key("user07")), ..book.decision(DecisionKind::Approve) };
    assert_eq!(book.decide(&approve).holds, 1);
    assert!(!kept.iter().any(|key| book.state.graph().contains(key)));
    assert!(book.state.holds().is_empty());
}

#[test]
fn a_collection_of_which_everything_is_rejected_is_whole_again() {
    let (world, mut book) = held();
    let reject = book.decision(DecisionKind::Reject);
    assert_eq!(book.decide(&reject).holds, 60);
    let listing = book.listing(&world, &Collection::Users);
    assert_eq!(book.take(&listing), (vec![], Ending::Whole));
    assert_eq!(book.state.holds().len(), 60);
}

#[test]
fn a_forgotten_organization_leaves_only_its_revision() {
    let (world, mut book) = held();
    let revision = book.state.poll().revision;
    let elements = i64::try_from(book.state.graph().len()).expect("few");
    let forget = Decision { listing_id: None, ..book.decision(DecisionKind::Forget) };
    let decided = book.decide(&forget);
    assert_eq!(decided.outcome, Ending::Decided);
    let is_forgotten = |change: &schemas::change::Envelope| {
        change.op == Op::Delete && change.reason == Some(Reason::Forgotten)
    };
    assert!(envelopes(&decided).iter().all(is_forgotten));
    assert!(book.state.graph().is_empty());
    assert!(book.state.holds().is_empty() && book.state.withheld().is_empty());
    assert_eq!(book.state.coverage().keys().collect::<Vec<_>>(), [POLL]);
    let poll = book.state.poll();
    assert_eq!((poll.revision, poll.element_count, poll.complete), (revision + elements, 0, false));

    let changes = book.poll(&world);
    assert!(changes.iter().all(|change| change.op == Op::Read), "the next poll begins as a first one");
    assert_eq!(changes[0].revision, revision + elements + 1);
}

#[test]
fn a_decision_that_is_read_again_undoes_nothing_that_came_after_it() {
    let (world, mut book) = held();
    let forget = Decision { listing_id: None, ..book.decision(DecisionKind::Forget) };
    book.decide(&forget);
    let position = book.position();
    book.poll(&world);
    let before = book.state.clone();
    let again = reconcile_decision(&book.state, &forget, position, PARTITIONS);
    assert_eq!(again, Reconciled { outcome: Ending::Applied, ..Reconciled::default() });
    assert_eq!(book.state, before);
}

#[test]
fn an_organization_is_forgotten_as_a_whole_or_not_at_all() {
    let (_, mut book) = held();
    let before = book.state.clone();
    let forget = Decision { collection: Some("users".to_owned()), ..book.decision(DecisionKind::Forget) };
    assert_eq!(book.decide(&forget).outcome, Ending::Void);
    let unknown = book.decision("postpone".into());
    assert_eq!(book.decide(&unknown).outcome, Ending::Void);
    assert_eq!(book.state, before);
    let mut nobody = Book::default();
    let forget = nobody.decision(DecisionKind::Forget);
    assert_eq!(nobody.decide(&forget).outcome, Ending::Void);
    assert!(nobody.state.coverage().is_empty());
}
