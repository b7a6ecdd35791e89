use std::time::Duration;

use schemas::sync::{Intent, Sync, Wait};

use super::{Case, ID, NOW_MS, Urgency};
use crate::fixture::Organization;
use crate::plan::{DEBOUNCE_MS, Outcome, Phase, Retry, WaitsFor, ended, phase_from_topics};

const SECOND_MS: i64 = 1_000;
const HOUR_MS: i64 = 60 * 60 * SECOND_MS;

/// JupiterOne holds the organization, and one more user came while a poll runs.
fn changed() -> Case {
    let mut case = Case::whole().finished_ago(0);
    case.organization.begin_poll();
    case.organization.user("eve");
    case
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned(), after: None, leaves_jobs: false }
}

fn refused(reason: &str, is_for_data: bool) -> Outcome {
    Outcome::Refused { reason: reason.to_owned(), is_for_data }
}

/// A job of the organization as it is ended so.
fn after(mut case: Case, outcome: &Outcome) -> Case {
    case.sync = ended(case.sync, outcome, case.organization.revision(), NOW_MS);
    case.previous = Some(uploading(&case));
    case
}

fn uploading(case: &Case) -> Phase {
    Phase::Uploading { revision: case.organization.revision(), cause: "changes" }
}

fn retry(after_ms: i64, ends_with_change: bool) -> Retry {
    Retry { at_ms: NOW_MS + after_ms, ends_with_change }
}

fn paused(reason: &str, retry: Option<Retry>) -> Phase {
    Phase::Paused { reason: reason.to_owned(), retry }
}

#[test]
fn each_phase_follows_from_what_is_known_and_says_why_and_what_ends_it() {
    let mut unlisted = Organization::empty(ID, "nimbus");
    unlisted.account();
    let poll = Phase::Waiting(WaitsFor::Poll { until_ms: NOW_MS + DEBOUNCE_MS });
    let turn = Phase::Waiting(WaitsFor::Turn { cause: "changes" });
    let retrying = Phase::Retrying { error: "503".to_owned(), retry: retry(10 * SECOND_MS, false) };
    let due = || Case { urgency: Urgency::Now, ..changed() };
    for (case, expected, then) in [
        (changed(), poll, "when the poll ends, at the latest at 1970-01-12T13:46:45Z"),
        (Case::of(unlisted), Phase::Waiting(WaitsFor::Listing), "the next whole listing"),
        (Case { has_turn: false, ..due() }, turn, "when one of its running jobs ends"),
        (due(), uploading(&due()), "ends with the job"),
        (after(due(), &failed("503")), retrying, "the next try is at 1970-01-12T13:46:50Z"),
        (
            after(due(), &refused("401", false)),
            paused("401", Some(retry(300 * SECOND_MS, false))),
            "the next try is at 1970-01-12T13:51:40Z",
        ),
        (
            after(due(), &refused("400", true)),
            paused("400", Some(retry(HOUR_MS, true))),
            "or as soon as the graph changes",
        ),
        (
            Case { conflict: Some("its target holds another"), ..due() },
            paused("its target holds another", None),
            "take the step that the reason names",
        ),
    ] {
        let phase = case.phase();
        assert_eq!(phase, expected);
        assert!(!phase.reason().is_empty() && phase.describe().starts_with(&phase.reason()), "{phase:?}");
        assert!(phase.then().contains(then), "{}", phase.then());
        assert!(Phase::NAMES.contains(&phase.name()));
    }
    let synced = Case::whole().finished_ago(0).phase();
    assert!(matches!(synced, Phase::Synced { until_ms } if until_ms > NOW_MS), "{synced:?}");
    assert!(synced.then().contains("or as soon as the graph changes"), "{}", synced.then());
}

#[test]
fn a_wait_after_a_job_ends_with_its_time_or_with_a_change_where_the_data_was_the_reason() {
    for (outcome, name, after_a_change) in [
        (failed("503"), "retrying", "retrying"),
        (refused("401", false), "paused", "paused"),
        (refused("400", true), "paused", "uploading"),
    ] {
        let mut case = after(Case { urgency: Urgency::Now, ..changed() }, &outcome);
        assert_eq!(case.phase().name(), name);
        case.organization.user("mallory");
        assert_eq!(case.phase().name(), after_a_change, "{outcome:?}");
        case.sync.wait.as_mut().expect("it waits").until_ts_ms = Some(NOW_MS);
        assert_eq!(case.phase().name(), "uploading", "{outcome:?}");
    }
}

#[test]
fn failures_double_the_pause_up_to_its_bound_until_a_job_leaves_nothing_to_do() {
    let pauses = |outcome: &Outcome, mut sync: Sync, count: usize| -> Vec<i64> {
        let mut pauses = Vec::new();
        for _ in 0..count {
            sync = ended(sync, outcome, 7, NOW_MS);
            let wait = sync.wait.as_ref().expect("it waits");
            pauses.push((wait.until_ts_ms.expect("a time") - NOW_MS) / SECOND_MS);
        }
        pauses
    };
    assert_eq!(pauses(&failed("503"), Sync::default(), 7), [10, 20, 40, 80, 160, 300, 300]);
    let asked = |after_s| Outcome::Failed {
        reason: "429".to_owned(),
        after: Some(Duration::from_secs(after_s)),
        leaves_jobs: false,
    };
    assert_eq!(pauses(&asked(60), Sync::default(), 1), [60]);
    assert_eq!(pauses(&asked(99_999_999), Sync::default(), 1), [3_600], "a header may be wrong");
    let open = Outcome::Failed { reason: "lost".to_owned(), after: None, leaves_jobs: true };
    assert_eq!(pauses(&open, Sync::default(), 10)[8..], [2_560, 3_600]);
    let mut unwritten = Case::whole().finished_ago(0);
    unwritten.sync.finished.as_mut().expect("finished").unwritten = 1;
    let doubled = [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600];
    assert_eq!(pauses(&Outcome::Finished, unwritten.sync.clone(), doubled.len()), doubled);
    let Phase::Retrying { error, retry } = after(unwritten, &Outcome::Finished).phase() else {
        panic!("no retry")
    };
    assert!(error.contains("without writing 1 objects") && retry.ends_with_change, "{error}");
    let finished = after(after(Case::whole().finished_ago(0), &failed("503")), &Outcome::Finished);
    assert_eq!(finished.sync.wait, None);
    let stopped = ended(Sync::default(), &Outcome::Stopped, 7, NOW_MS);
    assert_eq!(stopped, Sync::default(), "the next sink tries at once");
}

#[test]
fn a_pause_is_recorded_with_its_reason_and_since_when_until_jupiterone_holds_the_graph() {
    let mut case = Case { conflict: Some("first"), ..Case::whole().finished_ago(0) };
    case.sync = case.next().record;
    let wait = case.sync.wait.clone().expect("it waits");
    assert_eq!(
        (case.sync.paused.as_deref(), wait.since_ts_ms, wait.until_ts_ms),
        (Some("first"), NOW_MS, None)
    );
    case.sync.wait = Some(Wait { since_ts_ms: 1, ..wait });
    case.conflict = Some("second");
    case.sync = case.next().record;
    let wait = case.sync.wait.as_ref().expect("it waits");
    assert_eq!((wait.reason.as_str(), wait.since_ts_ms), ("second", 1), "since it was paused first");
    case.conflict = None;
    let record = case.next().record;
    assert_eq!((record.paused, record.wait), (None, None));
}

#[test]
fn a_change_that_came_while_there_was_something_else_to_wait_for_does_not_wait_for_its_poll() {
    let waited = [
        Phase::Waiting(WaitsFor::Listing),
        Phase::Waiting(WaitsFor::Turn { cause: "changes" }),
        Phase::Retrying { error: "503".to_owned(), retry: retry(0, false) },
        paused("401", None),
    ];
    for previous in waited {
        assert_eq!(Case { previous: Some(previous), ..changed() }.phase(), uploading(&changed()));
    }
    for previous in [None, Some(Phase::Synced { until_ms: 0 }), Some(uploading(&changed()))] {
        assert_eq!(Case { previous, ..changed() }.phase().name(), "waiting");
    }
}

#[test]
fn each_phase_is_decided_again_in_time() {
    let at = NOW_MS + 1;
    for (phase, due_ms) in [
        (Phase::Synced { until_ms: at }, at),
        (Phase::Waiting(WaitsFor::Poll { until_ms: at }), at),
        (Phase::Waiting(WaitsFor::Listing), i64::MAX),
        (Phase::Waiting(WaitsFor::Turn { cause: "first" }), i64::MIN),
        (uploading(&Case::whole()), i64::MAX),
        (Phase::Retrying { error: String::new(), retry: retry(1, true) }, at),
        (paused("401", Some(retry(1, false))), at),
        (paused("401", None), NOW_MS + 60 * SECOND_MS),
    ] {
        assert_eq!(phase.due_ms(NOW_MS), due_ms, "{phase:?}");
    }
}

#[test]
fn the_phase_can_be_read_from_the_topics() {
    let shown = |case: &Case| case.with(phase_from_topics);
    let with = |sync: Sync| {
        let mut case = Case { has_turn: false, ..changed() };
        case.organization.end_poll();
        case.sync = Sync { finished: case.sync.finished.clone(), ..sync };
        case
    };
    let due = with(Sync::default());
    assert_eq!(
        shown(&due),
        (Phase::Waiting(WaitsFor::Turn { cause: "changes" }), None),
        "no sink started it"
    );
    let (phase, since_ms) = shown(&Case::whole().finished_ago(7));
    assert_eq!((phase.name(), since_ms), ("synced", Some(NOW_MS - 7)));
    let intent = Intent { job_id: "job".to_owned(), revision: 3, started_ts_ms: NOW_MS - 5, asks: false };
    let (phase, since_ms) = shown(&with(Sync { intent: Some(intent.clone()), ..Sync::default() }));
    assert_eq!((phase.name(), since_ms), ("uploading", Some(NOW_MS - 5)));
    let mut failed = after(with(Sync { intent: Some(intent.clone()), ..Sync::default() }), &failed("503"));
    let (phase, since_ms) = shown(&failed);
    assert_eq!((phase.name(), since_ms), ("retrying", Some(NOW_MS)));
    failed.sync.wait.as_mut().expect("it waits").until_ts_ms = Some(NOW_MS);
    assert_eq!(shown(&failed).0.name(), "waiting", "the open job is an earlier one");
    failed.sync.intent = Some(Intent { started_ts_ms: NOW_MS + 1, ..intent });
    assert_eq!(shown(&failed).0.name(), "uploading");
    let mut paused = Case { conflict: Some("its target holds another"), ..due };
    paused.sync = paused.next().record;
    paused.conflict = None;
    let (phase, since_ms) = shown(&paused);
    assert_eq!((phase.reason().as_str(), since_ms), ("its target holds another", Some(NOW_MS)));
}
