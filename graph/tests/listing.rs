//! Raw records in the order of their offsets become listings.

mod raw;

use graph::{
    bounds::MAX_TEXT_BYTES,
    listing::{Assembler, Dropped, Leftover, Listing, Malformed, Unit},
};
use schemas::raw::{
    Decision, DecisionKind, ListingOutcome, Manifest, Mark, MarkKind, Outcome, RawBody, RawRecord,
};

fn user(listing_id: &str, id: &str) -> RawRecord {
    raw::record("users", Some(listing_id), RawBody::Resource(raw::user(id)))
}

fn manifest(listing_id: &str, count: i64) -> RawRecord {
    raw::record("users", Some(listing_id), RawBody::Manifest(raw::manifest(count)))
}

fn start() -> Mark {
    raw::mark(MarkKind::Start)
}

fn marked(mark: Mark) -> RawRecord {
    raw::record("poll", Some("l"), RawBody::Mark(mark))
}

fn ids(listing: &Listing) -> Vec<&str> {
    listing.resources.iter().map(|listed| listed.id()).collect()
}

/// Feeds records at the offsets 0, 1, 2, … and returns the listings.
fn listings(assembler: &mut Assembler, records: Vec<RawRecord>) -> Vec<Listing> {
    records
        .into_iter()
        .zip(0..)
        .filter_map(|(raw, offset)| match assembler.take(raw, offset).expect("a well-formed record") {
            Some(Unit::Listing(listing)) => Some(*listing),
            _ => None,
        })
        .collect()
}

#[test]
fn a_manifest_closes_its_listing_whatever_the_order_of_the_resources() {
    let mut assembler = Assembler::default();
    let one = listings(&mut assembler, vec![user("l", "ada"), user("l", "bo"), manifest("l", 2)]);
    let other = listings(&mut assembler, vec![user("l", "bo"), user("l", "ada"), manifest("l", 2)]);
    assert_eq!(one, other);
    assert_eq!(ids(&one[0]), ["ada", "bo"]);
    assert_eq!((one[0].offset, &one[0].damage), (2, &None));
    assert!(assembler.is_at_rest());
}

#[test]
fn a_listing_is_open_until_its_manifest() {
    let mut assembler = Assembler::default();
    assert_eq!(listings(&mut assembler, vec![user("l", "ada")]), []);
    assert!(!assembler.is_at_rest());
}

#[test]
fn an_empty_listing_is_whole() {
    let listings = listings(&mut Assembler::default(), vec![manifest("l", 0)]);
    assert_eq!((listings[0].resources.len(), &listings[0].damage), (0, &None));
}

#[test]
fn a_missing_or_repeated_resource_damages_the_listing() {
    let missing = listings(&mut Assembler::default(), vec![user("l", "ada"), manifest("l", 2)]);
    assert_eq!(missing[0].damage.as_deref(), Some("its manifest counts 2 resources, but 1 were read"));
    let twice =
        listings(&mut Assembler::default(), vec![user("l", "ada"), user("l", "ada"), manifest("l", 1)]);
    assert_eq!(twice[0].damage.as_deref(), Some("it contains a resource twice"));
}

#[test]
fn a_listing_that_never_got_its_manifest_is_dropped() {
    let records = vec![user("old", "ada"), user("new", "bo"), manifest("new", 1)];
    let listings = listings(&mut Assembler::default(), records);
    assert_eq!(listings.len(), 1);
    assert_eq!(ids(&listings[0]), ["bo"]);
}

#[test]
fn a_mark_or_another_organization_ends_a_listing_that_never_got_its_manifest() {
    let other = RawRecord { organization_id: "other".to_owned(), ..manifest("new", 0) };
    for record in [marked(start()), other] {
        let mut assembler = Assembler::default();
        assembler.take(user("old", "ada"), 0).expect("a resource");
        assembler.take(record, 1).expect("a unit");
        assert!(assembler.is_at_rest());
        let leftover = Leftover {
            organization_id: raw::ORGANIZATION.to_owned(),
            collection: "users".to_owned(),
            listing_id: "old".to_owned(),
            resources: 1,
            why: Dropped::NoManifest,
        };
        assert_eq!(assembler.take_leftovers(), [leftover]);
        assert_eq!(assembler.take_leftovers(), []);
    }
}

#[test]
fn a_listing_that_is_too_large_is_dropped_and_what_follows_of_it_is_not_whole() {
    let resources = || ["ada", "bo", "cy", "di", "ed"].map(|id| user("l", id));
    for mut assembler in [Assembler::bounded(20, 100), Assembler::bounded(1_000, 2)] {
        let mut rests = Vec::new();
        for (raw, offset) in resources().into_iter().zip(0..) {
            assert_eq!(assembler.take(raw, offset), Ok(None));
            assembler.charge(10);
            rests.extend(assembler.is_at_rest().then_some(offset));
        }
        assert_eq!(rests, [2], "the offset goes on");
        let leftovers = assembler.take_leftovers();
        assert_eq!((leftovers.len(), leftovers[0].resources, leftovers[0].why), (1, 3, Dropped::TooLarge));
        let Ok(Some(Unit::Listing(listing))) = assembler.take(manifest("l", 5), 5) else {
            panic!("no listing");
        };
        assert_eq!(listing.damage.as_deref(), Some("its manifest counts 5 resources, but 2 were read"));
        assert_eq!(ids(&listing), ["di", "ed"]);
    }
}

#[test]
fn a_listing_of_a_million_api_keys_fits_and_one_of_over_two_million_records_does_not() {
    let mut assembler = Assembler::default();
    assert_eq!(assembler.take(user("l", "ada"), 0), Ok(None));
    for _ in 0..1_000_000 {
        assembler.charge(1_000);
    }
    assert!(!assembler.is_at_rest(), "a million records of 1,000 bytes");
    for _ in 1_000_000..2_000_000 {
        assembler.charge(0);
    }
    assert!(!assembler.is_at_rest(), "two million records");
    assembler.charge(0);
    assert!(assembler.is_at_rest(), "one more");
    assert_eq!(assembler.take_leftovers()[0].why, Dropped::TooLarge);

    let mut assembler = Assembler::default();
    assert_eq!(assembler.take(user("l", "ada"), 0), Ok(None));
    assembler.charge(2 * 1024 * 1024 * 1024);
    assert!(!assembler.is_at_rest(), "2 GiB");
    assembler.charge(1);
    assert!(assembler.is_at_rest(), "one byte more");
}

#[test]
fn what_is_refused_within_an_open_listing_counts_as_its_bytes() {
    let mut assembler = Assembler::bounded(20, 100);
    assembler.charge(1_000);
    assert_eq!(listings(&mut assembler, vec![user("l", "ada")]), []);
    assembler.charge(20);
    assert!(!assembler.is_at_rest());
    assembler.spoil("o", "users", "unreadable".to_owned());
    assembler.charge(1);
    assert!(assembler.is_at_rest());
}

#[test]
fn a_spoilt_record_damages_the_listing_that_it_stands_in() {
    let mut assembler = Assembler::default();
    assert_eq!(listings(&mut assembler, vec![user("a", "ada")]), []);
    assembler.spoil("o", "api_keys", "of another collection".to_owned());
    assembler.spoil("o", "users", "unreadable".to_owned());
    let listings = listings(&mut assembler, vec![manifest("a", 2), user("b", "ada"), manifest("b", 1)]);
    assert_eq!(listings[0].damage.as_deref(), Some("unreadable"));
    assert_eq!(listings[1].damage, None);
}

#[test]
fn a_listing_is_the_same_for_a_reader_that_begins_after_a_spoilt_record() {
    let records = || vec![user("a", "ada"), manifest("a", 2)];
    let mut before = Assembler::default();
    before.spoil("o", "users", "unreadable".to_owned());
    assert!(before.is_at_rest());
    let seen = listings(&mut before, records());
    assert!(seen[0].damage.is_some(), "its manifest counts the spoilt record");
    assert_eq!(seen, listings(&mut Assembler::default(), records()));
}

#[test]
fn a_listing_that_lost_its_manifest_damages_no_later_one() {
    let mut assembler = Assembler::default();
    assert_eq!(listings(&mut assembler, vec![user("a", "ada")]), []);
    assembler.spoil("o", "users", "its manifest is unreadable".to_owned());
    assert_eq!(listings(&mut assembler, vec![user("b", "ada"), manifest("b", 1)])[0].damage, None);
}

#[test]
fn a_record_that_belongs_nowhere_is_refused() {
    let refused = |record: RawRecord| Assembler::default().take(record, 0).expect_err("refused");
    let slash = RawRecord { organization_id: "a/coverage".to_owned(), ..manifest("l", 0) };
    assert_eq!(refused(slash), Malformed::Organization("a/coverage".to_owned()));
    let elsewhere = RawRecord { collection: "invites".to_owned(), ..user("l", "ada") };
    assert_eq!(refused(elsewhere), Malformed::Collection("invites".to_owned()));
    let another = RawRecord { collection: "api_keys".to_owned(), ..user("l", "ada") };
    assert_eq!(refused(another), Malformed::Kind("api_keys".to_owned()));
    let unknown = Mark { kind: "pause".into(), ..start() };
    assert_eq!(refused(marked(unknown)), Malformed::Mark("pause".into()));
    let nameless = RawRecord { listing_id: None, ..user("l", "ada") };
    assert_eq!(refused(nameless), Malformed::NoListing("resource"));
}

#[test]
fn a_text_that_changes_or_state_would_repeat_is_refused_beyond_its_bound() {
    let taken = |record: RawRecord| Assembler::default().take(record, 0).map(|_| ());
    let long = |bytes: usize| "x".repeat(bytes);
    let decision = |by: &str, why: &str| {
        let decision = Decision {
            kind: DecisionKind::Approve,
            collection: None,
            element_key: None,
            listing_id: Some("l".to_owned()),
            by: by.to_owned(),
            why: Some(why.to_owned()),
            decided_ts_ms: 1,
        };
        raw::record("decision", Some("l"), RawBody::Decision(decision))
    };
    assert_eq!(taken(decision(&long(MAX_TEXT_BYTES), &long(900_000))), Ok(()), "nothing repeats why");
    let by_many = taken(decision(&long(999_000), ""));
    assert_eq!(by_many, Err(Malformed::TooLong { field: "decision.by", bytes: 999_000 }));

    let line = |reason: &str| ListingOutcome {
        collection: "users".to_owned(),
        outcome: Outcome::Failed,
        reason: Some(reason.to_owned()),
        http_status: None,
        request_id: None,
        listing_id: None,
    };
    let ended = |reason: &str| {
        marked(Mark { kind: MarkKind::End, outcomes: vec![line(""), line(reason)], ..start() })
    };
    let of_parameters = |value: &str| {
        let parameters = [("limit".to_owned(), value.to_owned())].into();
        raw::record("users", Some("l"), RawBody::Manifest(Manifest { parameters, ..raw::manifest(0) }))
    };
    let named = |name: &str| RawRecord { organization_name: name.to_owned(), ..manifest("l", 0) };
    for make in [&ended as &dyn Fn(&str) -> RawRecord, &of_parameters, &named] {
        assert_eq!(taken(make("short")), Ok(()));
        assert!(matches!(taken(make(&long(5_000))), Err(Malformed::TooLong { .. })));
    }
}
