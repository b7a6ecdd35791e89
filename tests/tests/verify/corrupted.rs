//! Each kind of corruption is found, and named by its law.

use schemas::{
    change::{Envelope, Op, Reason},
    codec::{decode, encode},
    coverage::Withheld,
    element::{Content, Element},
    raw::{RawBody, RawRecord},
};
use tests::{kafka::Record, world::PARTITIONS};

use crate::history::{HISTORY, History, covers, element};

/// A relationship that nothing rests on.
const HAS_USER: &str = "anthropic_account_has_user";
const ASSIGNED: &str = "anthropic_user_assigned_workspace";

/// The laws that the corruption violates.
#[track_caller]
fn finds(laws: &[&str], corrupt: impl FnOnce(&mut History)) {
    let mut history = HISTORY.clone();
    corrupt(&mut history);
    let findings = history.verified();
    let violated: Vec<&str> = findings.violated.keys().map(String::as_str).collect();
    assert_eq!(violated, laws, "{}", findings.violations.join("\n"));
}

fn is_user(element: &Element) -> bool {
    matches!(element.content, Content::User(_))
}

#[test]
fn a_copy_without_a_corruption_is_good() {
    finds(&[], |_| {});
}

#[test]
fn a_changed_column() {
    finds(&["fold", "mapping"], |history| {
        let (record, mut user) = history.newest(|value| element(value).filter(is_user));
        let Content::User(columns) = &mut user.content else { panic!("no user") };
        columns.role = Some("emperor".to_owned());
        record.value = Some(encode(&user));
    });
}

#[test]
fn a_missing_element() {
    finds(&["coverage", "fold", "mapping"], |history| {
        let key = history.key(HAS_USER);
        let key = format!("{}/{key}", history.organization_id);
        history.graph.retain(|record| record.key_text() != key);
    });
}

#[test]
fn an_element_without_a_source() {
    finds(&["coverage", "fold", "mapping"], |history| {
        let (record, mut user) = history.newest(|value| element(value).filter(is_user));
        user.key += "-and-another";
        let key = format!("{}/{}", user.organization_id, user.key);
        let record = Record { key: Some(key.into_bytes()), value: Some(encode(&user)), ..record.clone() };
        history.graph.push(record);
    });
}

#[test]
fn a_wrong_image_before() {
    finds(&["before-images", "envelope"], |history| {
        let (record, mut change) =
            history.changes_mut().filter(|(_, change)| change.op == Op::Update).last().expect("an update");
        change.before.as_mut().expect("an image").display_name += ", once";
        record.value = Some(encode(&change));
    });
}

#[test]
fn a_gap_in_the_revisions() {
    finds(&["revisions"], |history| {
        let count = history.changes.len();
        for (record, mut change) in history.changes_mut().skip(count / 2) {
            change.revision += 1;
            record.value = Some(encode(&change));
        }
        history.recount(1, 0);
    });
}

#[test]
fn a_window_that_is_too_short() {
    finds(&["envelope"], |history| {
        let (record, mut change) =
            history.changes_mut().filter(|(_, change)| change.op == Op::Update).last().expect("an update");
        change.not_before_ts_ms = change.not_before_ts_ms.map(|since| since + 1);
        record.value = Some(encode(&change));
    });
}

#[test]
fn a_creation_by_a_listing_that_does_not_exist() {
    // It was the last thing that its listing brought, so after that it is missing too.
    finds(&["history", "justification"], |history| {
        let (record, mut change) =
            history.changes_mut().filter(|(_, change)| change.op == Op::Create).last().expect("a creation");
        change.source.listing_id = Some("no-such-listing".to_owned());
        record.value = Some(encode(&change));
    });
}

#[test]
fn a_repeated_id() {
    finds(&["change-ids"], |history| {
        let first = history.changes_mut().next().expect("a change").1.id;
        let (record, mut change) = history.changes_mut().last().expect("a change");
        change.id = first;
        record.value = Some(encode(&change));
    });
}

#[test]
fn a_deletion_without_a_manifest() {
    finds(&["justification", "mapping"], |history| {
        let key = history.key(ASSIGNED);
        history.delete(&key, Reason::Absent, None, Some("no-such-listing"));
    });
}

#[test]
fn a_deletion_by_a_listing_that_has_the_element() {
    finds(&["justification", "mapping"], |history| {
        let key = history.key(HAS_USER);
        let (listing_id, _) = history.whole("users");
        history.delete(&key, Reason::Absent, None, Some(&listing_id));
    });
}

#[test]
fn a_deletion_under_a_partial_listing() {
    finds(&["coverage", "justification", "mapping"], |history| {
        let deletion = history
            .changes_mut()
            .map(|(_, change)| change)
            .filter(|change| change.op == Op::Delete && change.reason == Some(Reason::Absent));
        let listing_id = deletion.last().expect("a deletion").source.listing_id.expect("a listing");
        // Its manifest counts one more than there are.
        for record in &mut history.raw {
            let mut raw: RawRecord = decode(record.value.as_deref().expect("a value")).expect("a raw record");
            if raw.listing_id.as_ref() == Some(&listing_id)
                && let RawBody::Manifest(manifest) = &mut raw.body
            {
                manifest.count += 1;
                record.value = Some(encode(&raw));
            }
        }
    });
}

#[test]
fn a_relationship_without_an_end() {
    finds(&["ends", "justification", "mapping"], |history| {
        let key = history.key("anthropic_user");
        let (listing_id, _) = history.whole("users");
        history.delete(&key, Reason::Absent, None, Some(&listing_id));
    });
}

#[test]
fn a_withheld_relationship_that_has_both_ends() {
    finds(&["ends", "mapping"], |history| {
        let key = history.key(ASSIGNED);
        let mut element = history.element(&key);
        element.key = element.ends().collect::<Vec<_>>().join("|knows|");
        let (organization_id, missing) = (element.organization_id.clone(), Vec::new());
        let key = format!("{organization_id}/withheld/{}", element.key);
        let value = Some(encode(&Withheld { organization_id, element, missing }));
        let record = history.graph.last().expect("a record").clone();
        history.graph.push(Record { key: Some(key.into_bytes()), value, ..record });
    });
}

#[test]
fn a_graph_without_any_record() {
    finds(&["fold"], |history| history.graph.clear());
}

#[test]
fn a_change_that_the_graph_never_got() {
    finds(&["fold"], |history| {
        let last = history.changes.last().expect("a change").clone();
        let mut change: Envelope = decode(last.value.as_deref().expect("a value")).expect("a change");
        change.revision += 1;
        change.id = format!("{:032x}", 7);
        history.changes.push(Record { value: Some(encode(&change)), ..last });
    });
}

#[test]
fn an_element_count_that_is_off() {
    finds(&["coverage"], |history| history.recount(0, 1));
}

#[test]
fn a_coverage_whose_offset_is_off() {
    finds(&["coverage"], |history| {
        let of = |value| covers(value).filter(|coverage| coverage.collection == "users");
        let (record, mut coverage) = history.newest(of);
        coverage.whole.as_mut().expect("a whole listing").raw_offset += 1;
        record.value = Some(encode(&coverage));
    });
}

#[test]
fn a_wrong_partition() {
    finds(&["coverage"], |history| {
        let all = [&mut history.raw, &mut history.changes, &mut history.graph];
        for record in all.into_iter().flatten() {
            record.partition = (record.partition + 1) % PARTITIONS;
        }
    });
}

#[test]
fn a_deletion_approved_without_a_decision() {
    finds(&["envelope", "justification", "mapping"], |history| {
        let key = history.key(ASSIGNED);
        history.delete(&key, Reason::Approved, Some("nobody"), None);
    });
}

#[test]
fn an_end_s_deletion_that_never_was() {
    finds(&["justification", "mapping"], |history| {
        let key = history.key(ASSIGNED);
        let (listing_id, _) = history.whole("users");
        history.delete(&key, Reason::EndDeleted, None, Some(&listing_id));
    });
}
