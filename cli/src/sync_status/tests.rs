use graph::plan::{Phase, Retry, WaitsFor};
use schemas::{
    coverage::Poll,
    sync::{Approval, Finished, Intent, Parked, Sync},
};
use service::shell::Program;

use super::Recorded;

/// Where people read what the command shows.
const OPERATIONS: &str = include_str!("../../../docs/operations.md");
/// 2026-11-24T16:00:00Z (ms since 1970).
const NOON: i64 = 1_795_536_000_000;
const MINUTE: i64 = 60_000;

/// JupiterOne holds revision 38 of 40.
fn recorded(phase: Phase) -> Recorded {
    let counts = [("anthropic_account", 1), ("anthropic_user", 62), ("anthropic_workspace", 4)];
    let finished = Finished {
        job_id: "8d1c".to_owned(),
        revision: 38,
        ended_ts_ms: NOON,
        counts: counts.map(|(kind, count)| (kind.to_owned(), count)).into(),
        ..Finished::default()
    };
    let target = "acme:scope:anthropic-graph:3f0b6c1e".to_owned();
    Recorded {
        id: "3f0b6c1e".to_owned(),
        name: "nimbus".to_owned(),
        poll: Poll { revision: 40, element_count: 67, ..Poll::default() },
        sync: Some(Sync { target, finished: Some(finished), ..Sync::default() }),
        phase,
        since_ms: Some(NOON + MINUTE),
        deletions: None,
        is_approved: false,
        is_configured: true,
        sinks: Some(1),
    }
}

fn sync(recorded: &mut Recorded) -> &mut Sync {
    recorded.sync.as_mut().expect("a record")
}

fn each() -> [Recorded; 5] {
    let retry = |minutes| Retry { at_ms: NOON + minutes * MINUTE, ends_with_change: false };
    let mut synced = recorded(Phase::Synced { until_ms: NOON + 1_400 * MINUTE });
    sync(&mut synced).finished.as_mut().expect("finished").revision = 40;
    synced.since_ms = Some(NOON);
    sync(&mut synced).parked = vec![Parked::default()];
    let mut waiting = recorded(Phase::Waiting(WaitsFor::Poll { until_ms: NOON + MINUTE + 5_000 }));
    waiting.since_ms = None;
    let mut uploading = recorded(Phase::Uploading { revision: 40, cause: "its start is recorded" });
    let intent =
        Intent { job_id: "9e2d".to_owned(), revision: 40, started_ts_ms: NOON + MINUTE, asks: false };
    sync(&mut uploading).intent = Some(intent);
    let error = "JupiterOne answered 503".to_owned();
    let retrying = recorded(Phase::Retrying { error, retry: retry(2) });
    let reason = "a sync job of revision 40 would delete 30 of 62 anthropic_user, which is more than \
                  max_deleted_fraction, max_deleted_count and approved holds allow; if that is right, run \
                  `anthropic-graph sync approve --organization nimbus --revision 40 --by $(id -un)`"
        .to_owned();
    let mut paused = recorded(Phase::Paused { reason, retry: None });
    paused.deletions = Some([("anthropic_user".to_owned(), 30)].into());
    [synced, waiting, uploading, retrying, paused]
}

#[test]
fn each_phase_is_shown_as_the_documentation_has_it() {
    let program = Program::new("anthropic-graph", None);
    let names = each().map(|it| it.phase.name());
    assert_eq!(names, Phase::NAMES, "each phase once");
    for recorded in each() {
        let printed = recorded.lines(&program).join("\n");
        assert!(OPERATIONS.contains(&printed), "docs/operations.md does not show:\n{printed}");
    }
}

#[test]
fn an_approval_that_no_job_has_used_yet_is_shown_in_the_place_of_the_command() {
    let [.., mut paused] = each();
    (paused.is_approved, paused.deletions) = (true, None);
    let approval = Approval {
        revision: 40,
        finished_job_id: None,
        deletions: [].into(),
        takes_target: false,
        by: "ada".to_owned(),
        why: None,
        approved_ts_ms: NOON,
    };
    sync(&mut paused).approval = Some(approval);
    let printed = paused.lines(&Program::new("anthropic-graph", None)).join("\n");
    let expected = "\n  reason       its next sync job is approved\n  next         a running sink starts the sync job \
                    within half a minute\n";
    assert!(printed.contains(expected) && !printed.contains("sync approve"), "{printed}");
    assert!(
        printed.ends_with("  approved     revision 40, by ada at 2026-11-24T16:00:00Z; not used yet"),
        "{printed}"
    );
}

#[test]
fn a_phase_in_json_has_its_reason_its_times_and_what_comes_next() {
    for recorded in each() {
        let json = recorded.as_json();
        assert_eq!(json["phase"], recorded.phase.name());
        assert!(
            ["reason", "next"].iter().all(|name| json[name].as_str().is_some_and(|text| !text.is_empty()))
        );
        assert_eq!(json["until_ts_ms"].as_i64(), recorded.phase.until_ms());
        assert_eq!(json["since_ts_ms"].as_i64(), recorded.since_ms);
    }
    assert_eq!(each()[4].as_json()["approval_would_delete"]["anthropic_user"], 30);
}

#[test]
fn what_keeps_every_job_from_being_started_is_said_and_names_are_safe_to_show() {
    let printed = |recorded: &Recorded| recorded.lines(&Program::new("anthropic-graph", None)).join("\n");
    let mut recorded = recorded(Phase::Waiting(WaitsFor::Turn { cause: "changes" }));
    assert!(!printed(&recorded).contains("\n  sink "), "one runs");
    recorded.sinks = Some(0);
    assert!(printed(&recorded).contains("  sink         none runs"), "{}", printed(&recorded));
    recorded.sinks = None;
    assert!(!printed(&recorded).contains("none runs"), "not known");
    recorded.is_configured = false;
    assert!(printed(&recorded).contains("does not list the organization"), "{}", printed(&recorded));
    recorded.name = "nimbus\u{1b}[2J".to_owned();
    assert!(printed(&recorded).starts_with("nimbus\\u{1b}[2J (3f0b6c1e): waiting"), "{}", printed(&recorded));
    recorded.sync = None;
    assert!(!printed(&recorded).contains("target"), "nothing is recorded");
}
