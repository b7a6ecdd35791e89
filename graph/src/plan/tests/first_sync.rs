use schemas::sync::{Approval, Found};

use super::{Case, NOW_MS};
use crate::plan::Urgency;

fn found(what: Found) -> Case {
    let mut case = Case::whole();
    case.sync.organization_name = "nimbus".to_owned();
    case.sync.target = "account:scope:nimbus".to_owned();
    case.sync.found = Some(what);
    case
}

#[test]
fn a_target_of_which_nothing_is_known_is_asked_and_one_that_held_nothing_is_filled() {
    assert!(Case::whole().job().needs_probe);
    let job = found(Found::Nothing).job();
    assert_eq!((job.cause, job.needs_probe, job.partial_types), ("first", false, Vec::new()));
    assert!(!Case { urgency: Urgency::Forced, ..Case::whole().finished_ago(0) }.job().needs_probe);
}

#[test]
fn a_target_that_held_the_organization_or_may_have_is_left_alone_until_a_person_says_so() {
    for (what, said) in
        [(Found::Objects, "already contained this organization"), (Found::Untold, "does not say")]
    {
        let mut case = found(what);
        let revision = case.organization.revision();
        let command =
            format!("anthropic-graph sync approve --organization nimbus --revision {revision} --by");
        let refusal = case.refusal();
        assert!(refusal.contains(said) && refusal.contains(&command), "{refusal}");
        case.urgency = Urgency::Forced;
        assert_eq!(case.refusal(), refusal, "a resync is no decision about it");
        let approval = Approval {
            revision,
            finished_job_id: None,
            deletions: [].into(),
            takes_target: false,
            by: "ada".to_owned(),
            why: None,
            approved_ts_ms: NOW_MS,
        };
        case.sync.approval = Some(Approval { revision: revision + 1, ..approval.clone() });
        assert_eq!(case.refusal(), refusal, "of a graph that is not this one");
        case.sync.approval = Some(approval);
        assert!(!case.job().needs_probe);
    }
}

#[test]
fn a_person_who_allows_the_first_job_beforehand_needs_no_question() {
    let mut case = Case::whole();
    case.sync.approval = Some(Approval {
        revision: case.organization.revision(),
        finished_job_id: None,
        deletions: [].into(),
        takes_target: true,
        by: "ada".to_owned(),
        why: None,
        approved_ts_ms: NOW_MS,
    });
    assert!(!case.job().needs_probe);
}
