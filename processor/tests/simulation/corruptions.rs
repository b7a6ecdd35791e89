//! What the auditor finds in a history that was tampered with, and what it forgives one of which the beginning is cut.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    change::{Envelope, Op},
    codec::{decode, encode},
    coverage::{Coverage, Hold, HoldState},
    element::Element,
    graph_value::GraphValue,
    raw::{DecisionKind, RawBody, RawRecord},
};
use service::kafka::partition::Record;
use verify::{Law, Partition, Verdict};

use crate::{
    auditor::partition,
    script::Script,
    step::{Choice, Fault, Listing, Step},
    task::Topics,
    world::Mutation,
};

/// Their numbers among an organization's collections.
pub(crate) const USERS: u8 = 1;
pub(crate) const WORKSPACES: u8 = 2;
pub(crate) const API_KEYS: u8 = 3;

pub(crate) fn lived(steps: &[Step]) -> Partition {
    let script = Script::of(1, steps);
    let partition = partition(&script, &Topics::of_the_processor(&script));
    assert_eq!(counts(&partition), (BTreeMap::new(), BTreeMap::new()), "before it is tampered with");
    partition
}

pub(crate) fn poll() -> Step {
    Step::Poll(0, Vec::new())
}

pub(crate) fn list(collection: u8, fault: Fault) -> Step {
    Step::List(Listing { organization: 0, collection, age: 0, fault, within: None })
}

pub(crate) fn live(mutation: Mutation) -> Step {
    Step::Live(0, vec![mutation])
}

fn decide(kind: DecisionKind, element: Option<u8>) -> Step {
    Step::Decide(0, Choice { kind, collection: None, element, seen: Some(LISTINGS_SINCE_USERS) })
}

/// A poll lists four collections and the members of two workspaces: workspaces, keys and those came after the users.
const LISTINGS_SINCE_USERS: u8 = 4;

/// Everybody has left, and the guard holds that.
pub(crate) fn held() -> Vec<Step> {
    vec![poll(), live(Mutation::Exodus(0)), poll()]
}

/// Violated and uncheckable, by law.
fn counts(partition: &Partition) -> (BTreeMap<Law, u64>, BTreeMap<Law, u64>) {
    let verdicts: Vec<Verdict> = partition.verify();
    let (mut violated, mut uncheckable) = (BTreeMap::new(), BTreeMap::new());
    for (law, tally) in verdicts.iter().flat_map(|verdict| &verdict.tallies) {
        *violated.entry(*law).or_default() += tally.violated;
        *uncheckable.entry(*law).or_default() += tally.uncheckable;
    }
    violated.retain(|_, count| *count > 0);
    uncheckable.retain(|_, count| *count > 0);
    (violated, uncheckable)
}

#[track_caller]
pub(crate) fn finds(laws: &[Law], partition: &Partition) {
    let found: Vec<Law> = counts(partition).0.into_keys().collect();
    assert_eq!(found, laws, "{:#?}", partition.verify());
}

pub(crate) fn is_of(record: &Record, key: &str) -> bool {
    record.key.as_deref() == Some(key.as_bytes())
}

pub(crate) fn change(record: &Record) -> Envelope {
    decode(record.value.as_deref().expect("a value")).expect("a change")
}

/// Changes each hold that is in the graph topic.
fn change_holds(partition: &mut Partition, change: impl Fn(&mut Hold)) {
    let mut changed = 0;
    for record in &mut partition.graph {
        let value = record.value.as_deref().map(|value| GraphValue::decode(value).expect("a graph value"));
        if let Some(GraphValue::Hold(mut hold)) = value {
            change(&mut hold);
            record.value = Some(encode(&*hold));
            changed += 1;
        }
    }
    assert!(changed > 0, "nothing is held");
}

#[test]
fn a_collection_whose_listings_were_ignored_is_found() {
    let mut partition = lived(&[poll(), poll(), poll()]);
    let mut is_first = true;
    partition.graph.retain(|record| {
        !is_of(record, "org0/coverage/organization") || std::mem::replace(&mut is_first, false)
    });
    finds(&[Law::Coverage], &partition);
}

#[test]
fn a_collection_without_coverage_among_others_is_found() {
    let mut partition = lived(&[poll(), live(Mutation::DeleteAll), poll(), poll()]);
    partition.graph.retain(|record| !is_of(record, "org0/coverage/api_keys"));
    finds(&[Law::Coverage], &partition);
}

#[test]
fn a_line_of_an_end_mark_that_was_ignored_is_found() {
    let failed = Step::Poll(0, vec![(0, Fault::Failed)]);
    let mut partition = lived(&[poll(), failed, poll()]);
    let mut seen = 0;
    partition.graph.retain(|record| {
        seen += i32::from(is_of(record, "org0/coverage/organization"));
        !is_of(record, "org0/coverage/organization") || seen < 2
    });
    finds(&[Law::Coverage], &partition);
}

#[test]
fn a_line_for_the_members_of_all_workspaces_freezes_each_of_them() {
    let mut partition = lived(&[poll(), Step::Poll(0, vec![(WORKSPACES, Fault::Failed)])]);
    finds(&[], &partition);
    // Each keeps the state of the first poll.
    let mut seen = BTreeSet::new();
    partition.graph.retain(|record| {
        let key = record.key.clone().unwrap_or_default();
        !key.starts_with(b"org0/coverage/members/") || seen.insert(key)
    });
    finds(&[Law::Coverage], &partition);
}

#[test]
fn a_failure_that_does_not_say_since_when_is_found() {
    let mut partition = lived(&[poll(), Step::Poll(0, vec![(USERS, Fault::Failed)])]);
    for record in partition.graph.iter_mut().filter(|record| is_of(record, "org0/coverage/users")) {
        let mut coverage: Coverage = decode(record.value.as_deref().expect("a value")).expect("a coverage");
        coverage.not_whole_since_ts_ms = None;
        record.value = Some(encode(&coverage));
    }
    finds(&[Law::Coverage], &partition);
}

#[test]
fn a_graph_that_was_emptied_is_found() {
    let mut partition = lived(&[poll()]);
    partition.graph.clear();
    finds(&[Law::Fold], &partition);
}

#[test]
fn an_organization_that_had_the_name_before_is_another_one() {
    let mut partition = lived(&[poll()]);
    for record in &mut partition.changes {
        let mut renamed = change(record);
        renamed.source.name = "an earlier name".to_owned();
        record.value = Some(encode(&renamed));
    }
    for record in &mut partition.raw {
        let mut renamed: RawRecord = decode(record.value.as_deref().expect("a value")).expect("a raw record");
        renamed.organization_name = "an earlier name".to_owned();
        record.value = Some(encode(&renamed));
    }
    partition.only = Some("an earlier name".to_owned());
    assert_eq!(partition.verify(), []);
    partition.only = Some("name0".to_owned());
    assert_eq!(partition.verify().len(), 1);
    finds(&[], &partition);
    // Nobody else has the name where the graph knows nothing.
    partition.graph.clear();
    assert_eq!(partition.verify(), []);
    partition.only = Some("an earlier name".to_owned());
    finds(&[Law::Fold], &partition);
}

#[test]
fn a_change_that_the_graph_never_got_is_found() {
    let mut partition = lived(&[poll()]);
    let last = partition.changes.last().expect("a change").clone();
    let mut next = change(&last);
    next.revision += 1;
    next.id = "f".repeat(32);
    partition.changes.push(Record { offset: last.offset + 1, value: Some(encode(&next)), ..last });
    finds(&[Law::Fold], &partition);
}

#[test]
fn a_revision_beyond_all_numbers_is_found_and_no_panic() {
    let mut partition = lived(&[poll()]);
    for index in 0..2 {
        let place = partition.changes.len() - 2 + index;
        let mut last = change(&partition.changes[place]);
        last.revision = i64::MAX;
        partition.changes[place].value = Some(encode(&last));
    }
    for record in &mut partition.graph {
        if let Some(Ok(GraphValue::Coverage(mut coverage))) = record.value.as_deref().map(GraphValue::decode)
            && let Some(poll) = &mut coverage.poll
        {
            poll.revision = i64::MAX;
            record.value = Some(encode(&*coverage));
        }
    }
    finds(&[Law::Revisions], &partition);
}

#[test]
fn an_organization_whose_changes_are_all_cut_is_uncheckable() {
    let mut partition = lived(&[poll()]);
    partition.changes_begin = i64::try_from(partition.changes.len()).expect("few");
    finds(&[], &partition);
    let uncheckable = counts(&partition).1;
    assert!(uncheckable[&Law::Fold] > 0 && uncheckable[&Law::Coverage] > 0, "{uncheckable:?}");
}

#[test]
fn a_log_of_which_only_notices_are_left_is_uncheckable() {
    let mut partition = lived(&held());
    let is_notice = |record: &&Record| change(record).op == Op::Notice;
    partition.changes_begin = partition.changes.iter().find(is_notice).expect("a notice").offset;
    finds(&[], &partition);
    assert!(counts(&partition).1[&Law::Fold] > 0);
}

#[test]
fn a_narrower_listing_is_partial_though_the_last_whole_one_is_cut_off() {
    let mut partition = lived(&[poll(), list(WORKSPACES, Fault::WithoutArchived)]);
    let end = partition.raw.iter().find(|record| is_of(record, "org0/poll/end")).expect("an end mark");
    partition.raw_begins = end.offset;
    finds(&[], &partition);
}

#[test]
fn a_hold_of_another_listing_is_found() {
    let mut partition = lived(&held());
    change_holds(&mut partition, |hold| hold.listing_id.push_str("-and-another"));
    finds(&[Law::Justification], &partition);
}

#[test]
fn a_hold_at_another_offset_is_found() {
    let mut partition = lived(&held());
    change_holds(&mut partition, |hold| hold.raw_offset -= 1);
    finds(&[Law::Justification], &partition);
}

#[test]
fn a_hold_by_a_listing_that_has_its_element_is_found() {
    let mut partition = lived(&[poll(), poll(), live(Mutation::Exodus(0)), poll()]);
    let earlier =
        partition.raw.iter().find(|record| is_of(record, "org0/users/manifest")).expect("a listing");
    let earlier: (i64, RawRecord) =
        (earlier.offset, decode(earlier.value.as_deref().expect("a value")).expect("a raw record"));
    change_holds(&mut partition, |hold| {
        if hold.collection == "users" {
            hold.raw_offset = earlier.0;
            hold.listing_id = earlier.1.listing_id.clone().expect("a listing");
        }
    });
    finds(&[Law::Justification], &partition);
}

#[test]
fn a_hold_that_was_or_was_not_rejected_is_found() {
    let mut partition = lived(&held());
    change_holds(&mut partition, |hold| hold.state = HoldState::Rejected);
    finds(&[Law::Justification], &partition);
    let steps = [held(), vec![decide(DecisionKind::Reject, None), poll()]].concat();
    let mut partition = lived(&steps);
    change_holds(&mut partition, |hold| hold.state = HoldState::Proposed);
    finds(&[Law::Justification], &partition);
}

#[test]
fn relationships_that_a_rejection_by_key_keeps_with_the_entity_are_no_violation() {
    let steps = [held(), vec![decide(DecisionKind::Reject, Some(1)), poll()]].concat();
    lived(&steps);
}

#[test]
fn an_approval_of_an_element_that_no_listing_lacked_allows_no_deletion() {
    let steps = [held(), vec![decide(DecisionKind::Approve, None), poll()]].concat();
    let partition = lived(&steps);
    // Neither the listing that the changes name nor the one that the person named is there.
    for (of_change, laws) in [(true, [Law::Justification]), (false, [Law::Justification])] {
        let mut tampered = partition.clone();
        for record in &mut tampered.changes {
            let mut approved = change(record);
            if of_change && approved.source.decision_by.is_some() {
                approved.source.listing_id = Some("no-such-listing".to_owned());
                record.value = Some(encode(&approved));
            }
        }
        for record in &mut tampered.raw {
            let Ok(mut raw) = decode::<RawRecord>(record.value.as_deref().unwrap_or_default()) else {
                continue;
            };
            if let RawBody::Decision(decision) = &mut raw.body
                && !of_change
            {
                decision.listing_id = Some("no-such-listing".to_owned());
                record.value = Some(encode(&raw));
            }
        }
        finds(&laws, &tampered);
    }
}

#[test]
fn a_decision_to_forget_a_part_of_an_organization_forgets_nothing() {
    for (collection, element) in [(Some(USERS), None), (None, Some(1))] {
        let part = Choice { kind: DecisionKind::Forget, collection, element, seen: None };
        // What a listing that is not whole lacks stays known.
        lived(&[poll(), Step::Decide(0, part), list(USERS, Fault::Missing(0))]);
    }
}

/// Another mapping's name for a user, in the graph and in the log.
fn renamed(digest: impl Fn(&str) -> String) -> Partition {
    let mut partition = lived(&[poll()]);
    let rename = |user: &mut Element| {
        user.display_name.push_str(", who was named otherwise");
        user.digest = digest(&user.digest);
    };
    for record in &mut partition.graph {
        if is_of(record, "org0/anthropic_user:u1") {
            let mut user: Element = decode(record.value.as_deref().expect("a value")).expect("a user");
            rename(&mut user);
            record.value = Some(encode(&user));
        }
    }
    for record in partition.changes.iter_mut().filter(|record| is_of(record, "org0/anthropic_user:u1")) {
        let mut of_user = change(record);
        of_user.after.as_mut().into_iter().for_each(&rename);
        record.value = Some(encode(&of_user));
    }
    partition
}

#[test]
fn an_element_that_another_version_mapped_is_uncheckable() {
    finds(&[Law::Mapping, Law::Justification, Law::History], &renamed(str::to_owned));
    let other =
        renamed(|digest| format!("{}.{}", &digest[..digest.find('.').expect("two halves")], "0".repeat(32)));
    finds(&[], &other);
    let uncheckable = [(Law::Mapping, 1), (Law::Justification, 1), (Law::History, 1)];
    assert_eq!(counts(&other).1, BTreeMap::from(uncheckable));
}
