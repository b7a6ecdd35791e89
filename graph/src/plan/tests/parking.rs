use schemas::sync::{Parked, ParkedState};

use super::{Case, DAY_MS, NOW_MS};
use crate::plan::{deletions, parking};

#[test]
fn a_parked_object_is_left_out_and_its_types_are_partial_until_it_changes_or_all_is_tried() {
    let mut case = Case::whole().finished_ago(0);
    let refused = |key: &str, state: ParkedState| Parked {
        element_key: key.to_owned(),
        element_type: "anthropic_user".to_owned(),
        state,
        ..Parked::default()
    };
    case.sync.parked = vec![
        refused("anthropic_user:ada", ParkedState::Parked),
        refused("anthropic_user:bob", ParkedState::Stripped),
    ];
    let types = [
        "anthropic_user",
        "anthropic_account_has_user",
        "anthropic_user_assigned_workspace",
        "anthropic_user_created_api_key",
    ];
    let finished = case.sync.finished.as_mut().expect("finished");
    *finished.counts.get_mut("anthropic_user").expect("users") -= 1;
    finished.partial_types = types.map(str::to_owned).into();
    assert_eq!(case.phase().name(), "synced", "nothing changed");
    case.organization.user("eve");
    let job = case.job();
    assert_eq!((job.parked.len(), job.partial_types), (2, types.map(str::to_owned).into()));
    case.organization.change("anthropic_user:ada");
    let job = case.job();
    assert_eq!((job.parked.len(), job.partial_types), (1, Vec::new()), "bob alone, who is uploaded");
    case.sync.finished.as_mut().expect("finished").tried_all_ts_ms = NOW_MS - DAY_MS;
    let job = case.job();
    assert_eq!((job.cause, job.parked.len()), ("changes", 0), "whatever jobs came since");
    case.sync.finished.as_mut().expect("finished").ended_ts_ms = NOW_MS - DAY_MS;
    case.sync.finished.as_mut().expect("finished").revision = case.organization.revision();
    *case.sync.finished.as_mut().expect("finished").counts.get_mut("anthropic_account").expect("one") += 2;
    let job = case.job();
    assert_eq!((job.cause, job.parked.len()), ("full sync interval", 0));
}

#[test]
fn what_a_person_is_shown_covers_a_job_that_tries_all_again() {
    let mut case = Case::whole().finished_ago(0);
    case.sync.parked = vec![Parked {
        element_key: "anthropic_user:ada".to_owned(),
        element_type: "anthropic_user".to_owned(),
        state: ParkedState::Parked,
        ..Parked::default()
    }];
    let finished = case.sync.finished.as_mut().expect("finished");
    *finished.counts.get_mut("anthropic_user").expect("users") += 50;
    finished.revision -= 1;
    finished.tried_all_ts_ms = NOW_MS - DAY_MS;
    assert!(case.refusal().contains("delete 50 of 52 anthropic_user"), "{}", case.refusal());
    let shown = deletions(&case.organization.state(), &case.sync);
    assert_eq!(shown.get("anthropic_user"), Some(&50));
}

#[test]
fn how_many_refused_objects_are_too_many_depends_on_how_many_there_are() {
    assert_eq!([0, 40, 400, 10_000].map(parking::most_refused), [5, 5, 40, 100]);
}

#[test]
fn who_was_refused_before_is_refused_since_then() {
    let refused = |key: &str, since_ts_ms: i64| Parked {
        element_key: key.to_owned(),
        since_ts_ms,
        ..Parked::default()
    };
    let before = [refused("a", 1), refused("b", 1), refused("gone", 1)];
    let joined = parking::joined(&before, &before[1..2], vec![refused("a", 9), refused("c", 9)]);
    let since: Vec<_> = joined.iter().map(|it| (it.element_key.as_str(), it.since_ts_ms)).collect();
    assert_eq!(since, [("a", 1), ("b", 1), ("c", 9)]);
}
