//! What the auditor finds in the middle of a history that was tampered with: listings that were ignored, what changes say
//! of themselves, notices, polls and dead letters.

use schemas::{
    change::{Envelope, Kind, Op, Reason, SnapshotRecord},
    codec::{decode, encode},
    coverage::{Coverage, Poll},
    element::{Content, Element},
    raw::{Manifest, RawBody, RawRecord},
};
use verify::{Law, Partition};

use crate::{
    corruptions::{API_KEYS, USERS, WORKSPACES, change, finds, held, is_of, list, live, lived, poll},
    step::{Fault, Step},
    world::Mutation,
};

/// What is altered, and how.
type Alteration<T> = (&'static str, fn(&mut T));

/// One user comes, changes and goes, each in a poll of its own.
fn passing() -> Vec<Step> {
    let steps = [Mutation::Join(3, 0), Mutation::Join(3, 1), Mutation::Leave(3)];
    let polls = steps.into_iter().flat_map(|mutation| [live(mutation), poll()]);
    std::iter::once(poll()).chain(polls).collect()
}

/// Changes the coverage of a collection wherever it is in the graph topic.
fn change_coverage(partition: &mut Partition, collection: &str, change: impl Fn(&mut Coverage)) {
    let key = format!("org0/coverage/{collection}");
    for record in partition.graph.iter_mut().filter(|record| is_of(record, &key)) {
        let mut coverage: Coverage = decode(record.value.as_deref().expect("a value")).expect("a coverage");
        change(&mut coverage);
        record.value = Some(encode(&coverage));
    }
}

/// Takes these changes out of the log, and closes the gaps.
fn take_out(partition: &mut Partition, is_out: impl Fn(&Envelope) -> bool) {
    let before = partition.changes.len();
    partition.changes.retain(|record| !is_out(&change(record)));
    assert_ne!(partition.changes.len(), before, "nothing was taken out");
    let mut revision = 0;
    for record in &mut partition.changes {
        let mut left = change(record);
        revision += i64::from(left.op != Op::Notice);
        left.revision = revision;
        record.value = Some(encode(&left));
    }
    change_coverage(partition, "poll", |coverage| {
        coverage.poll.as_mut().expect("of the polls").revision = revision;
    });
}

/// Changes the last change that is meant.
fn change_last(
    partition: &mut Partition,
    is_meant: impl Fn(&Envelope) -> bool,
    alter: impl Fn(&mut Envelope),
) {
    let mut meant = partition.changes.iter_mut().rev().map(|record| (change(record), record));
    let (mut found, record) = meant.find(|(change, _)| is_meant(change)).expect("such a change");
    alter(&mut found);
    record.value = Some(encode(&found));
}

#[test]
fn a_listing_between_the_newest_ones_that_was_ignored_is_found() {
    let mut partition = lived(&passing());
    take_out(&mut partition, |change| change.element_key.contains("anthropic_user:u3"));
    finds(&[Law::History], &partition);
}

#[test]
fn a_creation_and_an_update_by_no_listing_are_found_though_the_element_is_gone() {
    // What a listing leaves is read before the next change that rests on another one.
    for (op, laws) in
        [(Op::Create, &[Law::Justification][..]), (Op::Update, &[Law::Justification, Law::History])]
    {
        let mut partition = lived(&passing());
        let is_meant = |change: &Envelope| change.op == op && change.element_key == "anthropic_user:u3";
        change_last(&mut partition, is_meant, |it| it.source.listing_id = Some("nowhere".to_owned()));
        finds(laws, &partition);
    }
}

#[test]
fn an_image_that_no_listing_had_is_found_though_the_element_is_gone() {
    let mut partition = lived(&passing());
    let rename = |user: &mut Option<Element>| {
        let Some(Element { content: Content::User(user), .. }) = user else { panic!("no user") };
        user.first_name = Some("Eve".to_owned());
    };
    let is_user = |change: &Envelope| change.element_key == "anthropic_user:u3";
    change_last(
        &mut partition,
        |it| is_user(it) && it.op == Op::Update,
        |it| {
            rename(&mut it.after);
            it.changed.push("firstName".to_owned());
            it.changed.sort();
        },
    );
    change_last(&mut partition, |it| is_user(it) && it.op == Op::Delete, |it| rename(&mut it.before));
    finds(&[Law::Justification, Law::History], &partition);
}

#[test]
fn what_a_change_says_of_itself_is_held_to_its_listing() {
    let alterations: [Alteration<Envelope>; 14] = [
        ("not_before", |it| it.not_before_ts_ms = it.not_before_ts_ms.map(|it| it - 1)),
        ("no not_before", |it| it.not_before_ts_ms = None),
        ("not_after", |it| it.not_after_ts_ms = it.not_after_ts_ms.map(|it| it + 1)),
        ("no not_after", |it| it.not_after_ts_ms = None),
        ("ts_ms", |it| (it.ts_ms, it.source.ts_ms) = (it.ts_ms + 1, it.ts_ms + 1)),
        ("source.ts_ms", |it| it.source.ts_ms += 1),
        ("snapshot", |it| it.source.snapshot = SnapshotRecord::True),
        ("source.name", |it| it.source.name.push('2')),
        ("source.collection", |it| it.source.collection = "api_keys".to_owned()),
        ("source.connector", |it| it.source.connector.push('2')),
        ("changed", |it| it.changed = vec!["name".to_owned()]),
        ("kind", |it| it.kind = Kind::Relationship),
        ("element_type", |it| it.element_type = "anthropic_account".to_owned()),
        ("reason", |it| it.reason = Some(Reason::Absent)),
    ];
    for (what, alter) in alterations {
        let mut partition = lived(&passing());
        change_last(&mut partition, |it| it.op == Op::Update, alter);
        let found = partition.verify();
        let envelope = found[0].tally(Law::Envelope).violated;
        assert!(envelope > 0, "{what}: {found:#?}");
    }
    let mut partition = lived(&passing());
    change_last(&mut partition, |it| it.op == Op::Create, |it| it.op = Op::Read);
    finds(&[Law::Envelope], &partition);
}

#[test]
fn members_of_a_new_workspace_that_come_as_a_snapshot_are_found() {
    let open = Step::Live(0, vec![Mutation::Open(2), Mutation::Assign(2, 0, 0)]);
    let mut partition = lived(&[poll(), open, poll()]);
    change_last(
        &mut partition,
        |it| it.element_type == "anthropic_user_assigned_workspace",
        |it| {
            assert_eq!(it.op, Op::Create);
            it.op = Op::Read;
            it.source.snapshot = SnapshotRecord::True;
            it.not_before_ts_ms = None;
        },
    );
    finds(&[Law::Envelope], &partition);
}

#[test]
fn members_that_the_coverage_counts_before_they_were_listed_are_found() {
    let mut partition = lived(&[poll(), live(Mutation::Open(2)), list(WORKSPACES, Fault::None)]);
    change_coverage(&mut partition, "members/w2", |coverage| {
        coverage.whole.as_mut().expect("it is whole by then").count = 3;
    });
    finds(&[Law::Coverage], &partition);
}

#[test]
fn members_of_a_held_workspace_that_are_called_whole_are_found() {
    let hold = Step::Live(0, vec![Mutation::Limits(0, 0), Mutation::Remove(1)]);
    let mut partition = lived(&[poll(), hold, poll()]);
    let newest = partition.graph.iter().rposition(|record| is_of(record, "org0/coverage/members/w1"));
    partition.graph.remove(newest.expect("the end mark has it"));
    finds(&[Law::Coverage], &partition);
}

#[test]
fn a_hold_without_a_notice_is_found_and_so_is_one_with_two() {
    let is_notice = |change: &Envelope| change.op == Op::Notice;
    let mut partition = lived(&held());
    let first = partition.changes.iter().position(|record| is_notice(&change(record))).expect("a notice");
    let notice = partition.changes.remove(first);
    finds(&[Law::History, Law::Notices], &partition);
    let mut again = change(&notice);
    again.id = "f".repeat(32);
    let record = |value| service::kafka::partition::Record { value: Some(encode(&value)), ..notice.clone() };
    partition.changes.insert(first, record(again));
    partition.changes.insert(first, notice.clone());
    finds(&[Law::Notices], &partition);
}

/// A listing that does not say where a key belongs holds no relationship of it, though it holds another key.
#[test]
fn a_relationship_that_a_listing_was_silent_about_may_be_held_later() {
    let silent = vec![Mutation::Delete(1), Mutation::Scope(0, None), Mutation::Generation(5, true)];
    let steps = [
        Step::Live(0, vec![Mutation::Mint(1, Some(0), Some(1)), Mutation::Limits(0, 0)]),
        poll(),
        Step::Live(0, silent),
        poll(),
        live(Mutation::Generation(4, true)),
        poll(),
    ];
    let partition = lived(&steps);
    let is_notice = |record| {
        let change = change(record);
        change.op == Op::Notice && change.element_key == "anthropic_workspace:w1|has|anthropic_api_key:k0"
    };
    assert!(partition.changes.iter().any(is_notice), "the relationship is held in the end");
}

#[test]
fn what_the_coverage_says_of_the_polls_is_held_to_the_marks() {
    let alterations: [Alteration<Poll>; 7] = [
        ("poll_id", |it| it.poll_id = Some("another".to_owned())),
        ("ended", |it| it.ended = false),
        ("complete", |it| it.complete = true),
        ("started", |it| it.started_ts_ms = None),
        ("ended when", |it| it.ended_ts_ms = it.ended_ts_ms.map(|it| it + 1)),
        ("incomplete", |it| it.incomplete.clear()),
        ("incomplete and complete", |it| (it.incomplete, it.complete) = (Vec::new(), true)),
    ];
    for (what, alter) in alterations {
        let mut partition = lived(&[poll(), Step::Poll(0, vec![(USERS, Fault::Failed)])]);
        change_coverage(&mut partition, "poll", |it| alter(it.poll.as_mut().expect("of the polls")));
        let found = partition.verify();
        assert!(found[0].tally(Law::Coverage).violated > 0, "{what}: {found:#?}");
    }
    // The end mark calls whole what was not.
    let mut partition = lived(&[poll(), Step::Poll(0, vec![(USERS, Fault::Missing(0))])]);
    change_coverage(&mut partition, "poll", |it| it.poll.as_mut().expect("of the polls").incomplete.clear());
    finds(&[Law::Coverage], &partition);
}

#[test]
fn an_unreadable_raw_record_that_is_in_no_dead_letter_is_found() {
    let mut partition = lived(&[poll(), Step::Garbage(0, USERS), poll()]);
    assert_eq!(partition.dead_letters.as_ref().map(Vec::len), Some(1));
    partition.dead_letters = Some(Vec::new());
    finds(&[Law::DeadLetters], &partition);
}

#[test]
fn relationships_of_one_type_that_all_go_at_once_are_no_licensed_deletions() {
    let orphan = live(Mutation::Mint(0, None, Some(1)));
    let mut partition = lived(&[poll(), orphan, list(API_KEYS, Fault::None)]);
    for record in partition.raw.iter_mut().filter(|record| is_of(record, "org0/api_keys/manifest")) {
        let mut raw: RawRecord = decode(record.value.as_deref().expect("a value")).expect("a raw record");
        let RawBody::Manifest(Manifest { configuration, .. }) = &mut raw.body else { panic!("no manifest") };
        (configuration.max_deleted_count, configuration.max_deleted_fraction) = (0, 0.5);
        record.value = Some(encode(&raw));
    }
    finds(&[Law::Justification], &partition);
}
