use schemas::sync::{Approval, Intent};

use super::{Case, ID, NOW_MS, Organization};
use crate::plan::{Urgency, deletions};

#[test]
fn the_guard_refuses_a_job_that_deletes_more_of_a_type_than_part_and_count_allow() {
    let mut few = Case::of(with_users(30)).finished_ago(0);
    leave(&mut few.organization, 0..20);
    assert_eq!(few.job().cause, "changes");
    leave(&mut few.organization, 20..21);
    let refusal = few.refusal();
    assert!(refusal.contains("21 of 32 anthropic_user"), "{refusal}");
    assert!(refusal.contains("max_deleted_count"), "{refusal}");
    let mut many = Case::of(with_users(98)).finished_ago(0);
    leave(&mut many.organization, 0..30);
    assert_eq!(many.job().cause, "changes");
}

fn with_users(count: usize) -> Organization {
    let mut organization = Organization::whole(ID, "nimbus");
    (0..count).for_each(|number| organization.user(&format!("user{number}")));
    organization
}

fn leave(organization: &mut Organization, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let user = format!("anthropic_user:user{number}");
        organization.remove(&format!("anthropic_account:{ID}|has|{user}"));
        organization.remove(&user);
    }
}

#[test]
fn no_job_starts_for_a_lower_revision_than_an_unfinished_job_s_unless_a_person_says_so() {
    for is_first in [true, false] {
        let mut case = if is_first { Case::whole() } else { Case::whole().finished_ago(0) };
        case.organization.user("eve");
        case.sync.organization_name = "nimbus".to_owned();
        let revision = case.organization.revision();
        let intent = |revision| Intent { job_id: "open".to_owned(), revision, started_ts_ms: 1, asks: false };
        case.sync.intent = Some(intent(revision));
        assert_eq!(case.job().revision, revision);
        case.sync.intent = Some(intent(revision + 1));
        let refusal = case.refusal();
        assert!(
            refusal.contains("sync job open") && refusal.contains("anthropic-graph sync approve"),
            "{refusal}"
        );
        case.sync.approval = Some(Approval {
            revision,
            finished_job_id: case.sync.finished.as_ref().map(|finished| finished.job_id.clone()),
            deletions: [].into(),
            takes_target: false,
            by: "ada".to_owned(),
            why: None,
            approved_ts_ms: NOW_MS,
        });
        assert_eq!(case.job().revision, revision);
    }
}

#[test]
fn as_many_that_come_as_go_do_not_hide_those_that_go() {
    let mut case = Case::of(with_users(60)).finished_ago(0);
    leave(&mut case.organization, 0..25);
    (100..125).for_each(|number| case.organization.user(&format!("user{number}")));
    assert!(case.refusal().contains("25 of 62 anthropic_user"), "{}", case.refusal());
    // Of more than are remembered it is an estimate.
    let mut many = Case::of(with_users(2_000)).finished_ago(0);
    leave(&mut many.organization, 0..1_000);
    (2_000..3_000).for_each(|number| many.organization.user(&format!("user{number}")));
    assert!(many.refusal().contains("of 2002 anthropic_user"), "{}", many.refusal());
}

#[test]
fn an_approval_releases_no_more_than_was_seen_and_only_against_the_same_finished_job() {
    let mut case = Case::of(with_users(60)).finished_ago(0);
    leave(&mut case.organization, 0..25);
    case.sync.organization_name = "nimbus".to_owned();
    let revision = case.organization.revision();
    let command = format!("anthropic-graph sync approve --organization nimbus --revision {revision} --by");
    assert!(case.refusal().contains(&command), "{}", case.refusal());
    let approval = Approval {
        revision,
        finished_job_id: Some("job".to_owned()),
        deletions: deletions(&case.organization.state(), &case.sync),
        takes_target: false,
        by: "ada".to_owned(),
        why: None,
        approved_ts_ms: NOW_MS,
    };
    let seen = [("anthropic_account_has_user".to_owned(), 25), ("anthropic_user".to_owned(), 25)];
    assert_eq!(approval.deletions, seen.into());
    case.sync.approval = Some(Approval { finished_job_id: Some("another".to_owned()), ..approval.clone() });
    assert!(case.refusal().contains("25 of 62"));
    case.sync.approval = Some(approval);
    assert_eq!(case.job().cause, "changes");
    leave(&mut case.organization, 25..26);
    assert!(case.refusal().contains("26 of 62"), "one more than was seen");
}

#[test]
fn a_deletion_that_was_held_before_is_explained() {
    let mut case = Case::of(with_users(60));
    (0..40).for_each(|number| case.organization.hold(&format!("anthropic_user:user{number}")));
    let mut case = case.finished_ago(0);
    assert_eq!(case.sync.finished.as_ref().expect("finished").held["anthropic_account_has_user"], 40);
    assert_eq!(case.next().record, case.sync, "nothing is new");
    leave(&mut case.organization, 0..30);
    assert_eq!(case.job().cause, "changes", "thirty were approved");
    leave(&mut case.organization, 40..60);
    assert_eq!(case.job().cause, "changes", "twenty more are within the limits");
    let user = "anthropic_user:ada";
    case.organization.remove(&format!("anthropic_account:{ID}|has|{user}"));
    case.organization.remove(user);
    assert!(case.refusal().contains("51 of 62 anthropic_user"), "{}", case.refusal());
}

#[test]
fn what_was_held_and_returned_does_not_explain_others_that_are_gone() {
    let mut case = Case::of(with_users(90));
    (0..40).for_each(|number| case.organization.hold(&format!("anthropic_user:user{number}")));
    let mut case = case.finished_ago(0);
    (0..40).for_each(|number| case.organization.release(&format!("anthropic_user:user{number}")));
    leave(&mut case.organization, 40..80);
    assert!(case.refusal().contains("40 of 92 anthropic_user"), "{}", case.refusal());
}

#[test]
fn a_hold_that_no_job_saw_is_recorded() {
    let mut case = Case::of(with_users(60)).finished_ago(0);
    case.organization.hold("anthropic_user:user0");
    let decision = case.next();
    assert_eq!(decision.phase.name(), "synced", "a hold is no change");
    let held = decision.record.finished.expect("finished").held;
    assert_eq!((held["anthropic_user"], held["anthropic_account_has_user"]), (1, 1));
}

#[test]
fn a_re_created_graph_is_refused_until_a_person_approves() {
    let mut case = Case::whole().finished_ago(0);
    case.sync.finished.as_mut().expect("finished").revision += 1;
    assert!(case.refusal().contains("re-created"), "{}", case.refusal());
    let mut equal = Case::whole().finished_ago(0);
    equal.sync.finished.as_mut().expect("finished").counts.insert("anthropic_user".to_owned(), 3);
    assert!(equal.refusal().contains("re-created"), "another graph of the same revision");
    equal.urgency = Urgency::Forced;
    assert!(equal.refusal().contains("re-created"), "a resync is no decision about it");
    case.sync.approval = Some(Approval {
        revision: case.organization.revision(),
        finished_job_id: Some("job".to_owned()),
        deletions: [].into(),
        takes_target: false,
        by: "ada".to_owned(),
        why: None,
        approved_ts_ms: NOW_MS,
    });
    assert_eq!(case.job().cause, "changes");
}
