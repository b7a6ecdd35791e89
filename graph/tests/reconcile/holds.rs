//! What the guard holds back, and how a hold ends without a decision.

use graph::reconcile::Ending;
use schemas::{
    change::{Envelope, Op, Reason},
    collection::Collection,
    coverage::HoldState,
    raw::{DecisionKind, Outcome, Resource},
};

use crate::world::{Book, ORGANIZATION, World, altered, assigned_key, element, ops, user_key, workspace_key};

/// Seventy users in addition to Ada and Bo.
pub(crate) fn many() -> World {
    let mut world = World::small();
    world.users.extend((0..70).map(|id| (format!("user{id:02}"), "user".to_owned())));
    world
}

/// That world without so many of its seventy users.
pub(crate) fn without(world: &World, count: usize) -> World {
    let mut world = world.clone();
    world.users.retain(|id, _| {
        !id.strip_prefix("user").is_some_and(|id| id.parse::<usize>().is_ok_and(|id| id < count))
    });
    world
}

pub(crate) fn account_has(user: &str) -> String {
    format!("anthropic_account:{ORGANIZATION}|has|{}", user_key(user))
}

fn take(book: &mut Book, world: &World) -> (Vec<Envelope>, Ending) {
    let listing = book.listing(world, &Collection::Users);
    book.take(&listing)
}

fn latest_outcome(book: &Book, collection: &str) -> Outcome {
    book.state.coverage()[collection].latest.as_ref().expect("it was listed").outcome.clone()
}

#[test]
fn more_deletions_than_the_count_are_held_only_where_they_are_more_than_the_fraction_too() {
    let world = many();
    let mut book = Book::of(&world);
    // 21 of 72 are more than twenty, but less than three tenths; 22 are more.
    let few = without(&world, 21);
    let listing = book.listing(&few, &Collection::Users);
    let (changes, outcome) = book.clone().take(&listing);
    assert_eq!(outcome, Ending::Whole);
    assert_eq!(changes.iter().filter(|change| change.op == Op::Delete).count(), 42);

    let (changes, outcome) = take(&mut book, &without(&world, 22));
    assert_eq!(outcome, Ending::Guarded);
    assert!(changes.iter().all(|change| change.op == Op::Notice));
    // The users and what leads to them.
    assert_eq!(book.state.holds().len(), 44);
    assert_eq!(book.state.graph().len(), Book::of(&world).state.graph().len());
    let latest = book.state.coverage()["users"].latest.clone().expect("it was listed");
    assert_eq!(
        latest.reason.as_deref(),
        Some(
            "44 deletions are held, because the listing would delete 22 of 72 (the guard allows 20, or a fraction of \
             0.3); `anthropic-graph holds list` lists them"
        )
    );
}

/// Thirty keys of Ada's in Production.
fn many_keys() -> World {
    let mut world = World::small();
    let key = |id: usize| (format!("key{id:02}"), ("ada".to_owned(), "prod".to_owned()));
    world.api_keys.extend((0..30).map(key));
    world
}

#[test]
fn relationships_of_one_type_are_held_though_every_entity_is_listed() {
    let world = many_keys();
    let mut book = Book::of(&world);
    let rename = |listing, kind: &str| {
        altered(listing, |resource| {
            let Resource::ApiKey(api_key) = resource else { panic!("no API key") };
            api_key.created_by.as_mut().expect("a creator").kind = Some(kind.to_owned());
        })
    };
    let listing = rename(book.listing(&world, &Collection::ApiKeys), "person");
    let (changes, outcome) = book.take(&listing);
    assert_eq!(outcome, Ending::Guarded);
    let notices: Vec<_> = changes.iter().filter(|change| change.op == Op::Notice).collect();
    assert_eq!(notices.len(), 31, "each has a notice, because no entity is held that would imply it");
    assert!(notices.iter().all(|notice| notice.element_type == "anthropic_user_created_api_key"));
    assert!(changes.iter().all(|change| change.op != Op::Delete));
    let reason = book.state.coverage()["api_keys"].latest.as_ref().and_then(|latest| latest.reason.clone());
    assert_eq!(
        reason.as_deref(),
        Some(
            "31 deletions are held, because the listing would delete 31 of 31 anthropic_user_created_api_key (the guard \
             allows 20, or a fraction of 0.3); `anthropic-graph holds list` lists them"
        )
    );
    // The drift ends, and so do the holds.
    book.list(&world, &Collection::ApiKeys);
    assert!(book.state.holds().is_empty());
}

#[test]
fn all_users_are_never_deleted_at_once_however_few_they_are() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.users.clear();
    let (changes, outcome) = take(&mut book, &world);
    assert_eq!(outcome, Ending::Guarded);
    assert_eq!(ops(&changes), [("m", "anthropic_user:ada"), ("m", "anthropic_user:bo")]);
}

#[test]
fn a_held_listing_is_whole_and_its_creations_and_updates_go_through() {
    let world = many();
    let mut book = Book::of(&world);
    let mut next = without(&world, 30);
    next.users.insert("ada".to_owned(), "user".to_owned());
    next.users.insert("cy".to_owned(), "user".to_owned());
    let listing = book.listing(&next, &Collection::Users);
    let (changes, _) = book.take(&listing);
    let not_notices: Vec<_> = ops(&changes).into_iter().filter(|(op, _)| *op != "m").collect();
    let has = account_has("cy");
    assert_eq!(not_notices, [("u", "anthropic_user:ada"), ("c", "anthropic_user:cy"), ("c", has.as_str())]);
    let coverage = &book.state.coverage()["users"];
    assert_eq!(coverage.whole.as_ref().map(|it| it.raw_offset), Some(listing.offset));
    assert_eq!(coverage.not_whole_since_ts_ms, None);
}

#[test]
fn a_new_hold_names_its_listing_and_has_one_notice_without_a_revision() {
    let world = many();
    let mut book = Book::of(&world);
    let revision = book.state.poll().revision;
    let fewer = without(&world, 30);
    let listing = book.listing(&fewer, &Collection::Users);
    let (changes, _) = book.take(&listing);
    assert_eq!(changes.len(), 30, "one for each user, none for a relationship");
    for change in &changes {
        assert_eq!((&change.op, change.reason.as_ref()), (&Op::Notice, Some(&Reason::Held)));
        assert_eq!(change.before, change.after);
        assert_eq!(change.after, element(&book.state, &change.element_key));
        assert_eq!(change.revision, revision);
    }
    assert_eq!(book.state.poll().revision, revision);
    let hold = &book.state.holds()[&user_key("user07")];
    assert_eq!(hold.state, HoldState::Proposed);
    assert_eq!((hold.listing_id.as_str(), hold.raw_offset), (listing.listing_id.as_str(), listing.offset));
    assert_eq!(hold.proposed_ts_ms, listing.manifest.ended_ts_ms);

    // The next listing says the same: nothing is held twice or reported again.
    let before = book.state.holds().clone();
    let (changes, outcome) = take(&mut book, &fewer);
    assert_eq!((changes, outcome), (vec![], Ending::Guarded));
    assert_eq!(book.state.holds(), &before);
}

#[test]
fn a_notice_follows_the_changes_of_its_listing_with_the_revision_of_the_last_one() {
    let world = many();
    let mut book = Book::of(&world);
    let mut next = without(&world, 30);
    next.users.insert("cy".to_owned(), "user".to_owned());
    let changes = book.list(&next, &Collection::Users);
    let revision = book.state.poll().revision;
    assert_eq!(changes[1].revision, revision);
    assert!(changes[2..].iter().all(|change| change.op == Op::Notice && change.revision == revision));
}

#[test]
fn what_is_held_stays_held_by_a_listing_within_the_limits_and_what_is_not_goes() {
    let world = many();
    let mut book = Book::of(&world);
    take(&mut book, &without(&world, 22));
    // Two of them return and another goes: 21 of 72.
    let mut next = without(&world, 22);
    for id in ["user00", "user01"] {
        next.users.insert(id.to_owned(), "user".to_owned());
    }
    next.users.remove("user50");
    let (changes, outcome) = take(&mut book, &next);
    let has = account_has("user50");
    assert_eq!(ops(&changes), [("d", has.as_str()), ("d", "anthropic_user:user50")]);
    assert_eq!(outcome, Ending::Guarded, "deletions wait still");
    assert_eq!(book.state.holds().len(), 40);
    assert!(book.state.graph().contains(&user_key("user02")));
}

#[test]
fn elements_held_before_count_against_the_limits() {
    let world = many();
    let mut book = Book::of(&world);
    take(&mut book, &without(&world, 22));
    let (changes, _) = take(&mut book, &without(&world, 23));
    assert_eq!(ops(&changes), [("m", "anthropic_user:user22")]);
    assert!(book.state.holds().contains_key(&user_key("user22")));
}

#[test]
fn elements_that_a_person_keeps_do_not_count_against_the_limits() {
    let world = many();
    let mut book = Book::of(&world);
    take(&mut book, &without(&world, 22));
    let reject = book.decision(DecisionKind::Reject);
    book.decide(&reject);
    let (changes, outcome) = take(&mut book, &without(&world, 23));
    assert_eq!(outcome, Ending::Whole, "nothing waits for a person");
    let has = account_has("user22");
    assert_eq!(ops(&changes), [("d", has.as_str()), ("d", "anthropic_user:user22")]);
    assert_eq!(book.state.holds().len(), 44);
}

#[test]
fn users_that_a_person_keeps_are_no_reason_to_let_all_others_go() {
    let mut world = many();
    let mut book = Book::of(&world);
    take(&mut book, &without(&world, 60));
    let reject = book.decision(DecisionKind::Reject);
    book.decide(&reject);
    // All that are left vanish: they are few compared to the kept ones.
    world.users.clear();
    let (changes, outcome) = take(&mut book, &world);
    assert_eq!(outcome, Ending::Guarded);
    assert!(changes.iter().all(|change| change.op == Op::Notice), "{:?}", ops(&changes));
}

#[test]
fn users_that_were_kept_and_return_count_again_in_the_listing_that_has_them() {
    let world = many();
    let mut book = Book::of(&world);
    take(&mut book, &without(&world, 60));
    let reject = book.decision(DecisionKind::Reject);
    book.decide(&reject);
    // Twelve of seventy-two go, and not all twelve of those are undecided.
    let kept = World {
        users: world
            .users
            .into_iter()
            .filter(|(id, _)| ("user00".."user60").contains(&id.as_str()))
            .collect(),
        ..world
    };
    let (_, outcome) = take(&mut book, &kept);
    assert_eq!(outcome, Ending::Whole);
    assert!(!book.state.graph().contains(&user_key("user60")));
    assert!(book.state.holds().is_empty());
}

#[test]
fn an_element_that_returns_loses_its_hold_without_a_change() {
    let world = many();
    let mut book = Book::of(&world);
    take(&mut book, &without(&world, 30));
    let (changes, outcome) = take(&mut book, &world);
    assert_eq!((changes, outcome), (vec![], Ending::Whole));
    assert!(book.state.holds().is_empty());
    assert_eq!(latest_outcome(&book, "users"), Outcome::Whole);
}

#[test]
fn an_element_that_returns_in_a_partial_listing_loses_even_a_rejected_hold_and_the_others_stay() {
    let world = many();
    let mut book = Book::of(&world);
    take(&mut book, &without(&world, 30));
    let reject = book.decision(DecisionKind::Reject);
    book.decide(&reject);
    let mut listing = book.listing(&without(&world, 29), &Collection::Users);
    listing.damage = Some("a record is missing".to_owned());
    assert_eq!(book.take(&listing), (vec![], Ending::Partial));
    assert_eq!(book.state.holds().len(), 58);
    assert!(!book.state.holds().contains_key(&user_key("user29")));
    assert!(!book.state.holds().contains_key(&account_has("user29")));
}

#[test]
fn a_withheld_relationship_that_its_collection_drops_is_never_held() {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.users.remove("bo");
    book.list(&world, &Collection::Users);
    assert!(book.state.withheld().contains_key(&assigned_key("bo", "prod")));
    world.members.clear();
    let mut listing = book.listing(&world, &Collection::Members("prod".to_owned()));
    listing.manifest.configuration.max_deleted_count = 0;
    listing.manifest.configuration.max_deleted_fraction = 0.0;
    let (changes, outcome) = book.take(&listing);
    assert_eq!(outcome, Ending::Guarded);
    assert_eq!(ops(&changes), [("m", assigned_key("ada", "prod").as_str())], "members are relationships");
    assert_eq!(book.state.holds().keys().collect::<Vec<_>>(), [&assigned_key("ada", "prod")]);
    assert!(!book.state.withheld().contains_key(&assigned_key("bo", "prod")));
}

/// Ada, Bo and their memberships, whose deletion in Production is held.
fn with_held_members() -> (World, Book) {
    let mut world = World::small();
    let mut book = Book::of(&world);
    world.members.retain(|(workspace, _), _| workspace != "prod");
    let mut listing = book.listing(&world, &Collection::Members("prod".to_owned()));
    listing.manifest.configuration.max_deleted_count = 0;
    book.take(&listing);
    assert_eq!(book.state.holds().len(), 2);
    (world, book)
}

#[test]
fn a_held_relationship_goes_with_its_end_and_is_not_withheld() {
    let (mut world, mut book) = with_held_members();
    world.users.remove("bo");
    let changes = book.list(&world, &Collection::Users);
    let (has, lab, prod) = (account_has("bo"), assigned_key("bo", "lab"), assigned_key("bo", "prod"));
    assert_eq!(ops(&changes), [("d", has.as_str()), ("d", &lab), ("d", &prod), ("d", "anthropic_user:bo")]);
    assert_eq!(changes[2].reason, Some(Reason::EndDeleted));
    assert_eq!(book.state.withheld().keys().collect::<Vec<_>>(), [&lab]);
    assert_eq!(book.state.holds().keys().collect::<Vec<_>>(), [&assigned_key("ada", "prod")]);
}

#[test]
fn a_workspace_that_goes_ends_the_holds_of_its_members() {
    let (mut world, mut book) = with_held_members();
    world.workspaces.remove("prod");
    let changes = book.list(&world, &Collection::Workspaces);
    assert!(ops(&changes).contains(&("d", &workspace_key("prod"))));
    assert!(ops(&changes).contains(&("d", &assigned_key("ada", "prod"))));
    assert!(book.state.holds().is_empty());
    // The key lies in it still, as far as its collection knows.
    assert!(
        book.state.withheld().keys().all(|key| key.contains("|has|")),
        "{:?}",
        book.state.withheld().keys()
    );
}

#[test]
fn a_state_restored_from_its_records_holds_what_it_held() {
    let world = many();
    let mut book = Book::of(&world);
    take(&mut book, &without(&world, 30));
    assert_eq!(book.state.holds().len(), 60);
    let restored = book.restored();
    let state = restored.states().get(ORGANIZATION).expect("it was written");
    assert_eq!(state.holds(), book.state.holds());
    assert_eq!(state.coverage(), book.state.coverage());
    // What was held is listed again, and its holds end in the topic too.
    take(&mut book, &world);
    assert_eq!(book.restored().states().get(ORGANIZATION).map(|state| state.holds().len()), Some(0));
}
