use std::path::Path;

use graph::state::GraphKey;
use schemas::{
    collection::POLL,
    coverage::{Coverage, Hold, HoldState, Latest, Poll, WholeListing},
    graph_value::GraphValue,
    raw::Outcome,
    sync::{Finished, Sync},
};
use service::{config::Config, shell::Program};

use super::{Known, collections, text};
use crate::freshness::Freshness;

/// 2026-11-24T16:00:00Z (ms since 1970).
const NOW: i64 = 1_795_536_000_000;
const MINUTE: i64 = 60_000;

fn coverage(collection: &str, whole_ts_ms: Option<i64>, latest: Option<(Outcome, &str)>) -> Coverage {
    let is_whole = latest.is_none();
    Coverage {
        whole: whole_ts_ms.map(|ended_ts_ms| WholeListing { ended_ts_ms, ..WholeListing::default() }),
        not_whole_since_ts_ms: latest
            .as_ref()
            .filter(|(outcome, _)| *outcome != Outcome::Gone && !is_whole)
            .map(|_| NOW - 90 * MINUTE),
        latest: latest.map(|(outcome, reason)| Latest {
            outcome,
            reason: Some(reason.to_owned()),
            poll_id: None,
            raw_offset: 2,
            ended_ts_ms: NOW,
        }),
        ..Coverage::new("o-1", "nimbus", collection)
    }
}

fn nimbus() -> Freshness {
    let mut freshness = Freshness::default();
    let poll =
        Poll { revision: 12, element_count: 5, ended_ts_ms: Some(NOW - 3 * MINUTE), ..Poll::default() };
    let polls = Coverage { poll: Some(poll), ..coverage(POLL, None, None) };
    let forbidden = Some((Outcome::Failed, "403\u{1b}[2J"));
    let all = [
        polls,
        coverage("users", Some(NOW - 3 * MINUTE), None),
        coverage("workspaces", Some(NOW - 3 * MINUTE), None),
        coverage("members/wrkspc_1", Some(NOW - 3 * MINUTE), None),
        coverage("members/wrkspc_2", Some(NOW - 93 * MINUTE), forbidden),
        coverage("members/wrkspc_3", Some(NOW - 9_000 * MINUTE), Some((Outcome::Gone, "404"))),
    ];
    for coverage in all {
        let key = GraphKey::Coverage(coverage.collection.clone());
        freshness.take(key, Some(GraphValue::Coverage(coverage.into())));
    }
    for (key, state) in [("a", HoldState::Proposed), ("b", HoldState::Rejected)] {
        let hold = Hold {
            organization_id: "o-1".to_owned(),
            element_key: key.to_owned(),
            collection: "users".to_owned(),
            listing_id: "l".to_owned(),
            raw_offset: 1,
            proposed_ts_ms: NOW,
            state,
            agreeing: 1,
        };
        freshness.take(GraphKey::Hold(key.to_owned()), Some(GraphValue::Hold(hold.into())));
    }
    freshness
}

fn known() -> Known {
    let finished = Finished { revision: 10, ..Finished::default() };
    let sync = Sync { finished: Some(finished), ..Sync::default() };
    Known {
        freshness: [("o-1".to_owned(), nimbus())].into(),
        syncs: Some([("o-1".to_owned(), sync)].into()),
        dead_letters: Some([("o-1".to_owned(), 2), ("of nobody".to_owned(), 1)].into()),
    }
}

fn config() -> Config {
    let text = "[kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\n\
                [[organizations]]\nname = \"nimbus\"\napi_key = { env = \"A\" }\n\
                [[organizations]]\nname = \"stratus\"\napi_key = { env = \"B\" }\n";
    Config::from_toml(text, Path::new(""), &[].into()).expect("a configuration")
}

fn program() -> Program {
    Program::new("anthropic-graph", None)
}

#[test]
fn each_organization_has_a_row_and_each_problem_a_line() {
    let (known, config) = (known(), config());
    let all = known.statuses(&config);
    let mut lines = text(&all, NOW, &program(), &|name| config.organization(name).is_ok(), None);
    lines.extend(known.of_other_organizations(&all, &program()));
    assert_eq!(
        lines[1..],
        [
            "ORGANIZATION  POLLED  USERS  WORKSPACES  API KEYS  MEMBERS  HOLDS  JUPITERONE  DEAD LETTERS",
            "nimbus        3m      3m     3m          -         93m !    1      2 behind    2",
            "stratus       never   -      -           -         -        0      unknown     unknown",
            "nimbus: members/wrkspc_2 has no whole listing since 2026-11-24T14:30:00Z, failed: 403\\u{1b}[2J",
            "nimbus: 1 deletion held; to list and decide: anthropic-graph holds list --organization nimbus",
            "nimbus: 2 dead letters; to list them: anthropic-graph dead-letters list --organization o-1",
            "stratus: not polled yet, or its first poll is not processed yet",
            "other organizations: 1 dead letter; to list them: anthropic-graph dead-letters list",
        ]
    );
}

#[test]
fn unreadable_counts_are_unknown() {
    let known = Known { syncs: None, dead_letters: None, ..known() };
    let all = known.statuses(&config());
    let row = &text(&all, NOW, &program(), &|_| true, None)[2];
    assert!(row.ends_with("1      unknown     unknown"), "{row}");
    let json = serde_json::to_value(&all[0]).expect("JSON");
    assert!(json["jupiterone"].is_null() && json["dead_letters"].is_null(), "{json}");
}

#[test]
fn each_collection_of_one_organization_has_a_row() {
    let all = known().statuses(&config());
    let lines = collections(&all[0], NOW, None);
    assert_eq!(lines.len(), 6, "{lines:#?}");
    assert_eq!(lines[1], "members/wrkspc_1  2026-11-24T15:57:00Z  3m");
    assert_eq!(lines[2], "members/wrkspc_2  2026-11-24T14:27:00Z  93m  failed");
}

#[test]
fn a_cause_is_shown_once_and_before_what_was_skipped_because_of_it() {
    let mut freshness = Freshness::default();
    let skipped = |reason| Some((Outcome::Skipped, reason));
    let all = [
        coverage("api_keys", Some(NOW), skipped("no ID")),
        coverage("organization", Some(NOW), Some((Outcome::Failed, "403"))),
        coverage("users", Some(NOW), skipped("no ID")),
        coverage("workspaces", Some(NOW), skipped("no ID")),
    ];
    for coverage in all {
        let key = GraphKey::Coverage(coverage.collection.clone());
        freshness.take(key, Some(GraphValue::Coverage(coverage.into())));
    }
    freshness.name = "nimbus".to_owned();
    let known = Known { freshness: [("o-1".to_owned(), freshness)].into(), syncs: None, dead_letters: None };
    let all = known.statuses(&config());
    let lines = text(&all[..1], NOW, &program(), &|_| true, None);
    assert_eq!(
        lines[3..],
        [
            "nimbus: organization has no whole listing since 2026-11-24T14:30:00Z, failed: 403",
            "nimbus: api_keys and 2 more collections have no whole listing since 2026-11-24T14:30:00Z, skipped: no ID",
        ]
    );
}

#[test]
fn a_pause_shows_a_command_that_is_right_at_any_revision() {
    let mut known = known();
    let reason = "run `anthropic-graph sync approve --organization nimbus --revision 9 --by $(id -un)`";
    known.syncs.as_mut().expect("syncs").get_mut("o-1").expect("a sync").paused = Some(reason.to_owned());
    let program = Program::new("anthropic-graph", Some(Path::new("graph.toml")));
    let lines = text(&known.statuses(&config()), NOW, &program, &|_| true, None);
    let expected = "nimbus: JupiterOne is paused: run `anthropic-graph --config graph.toml sync approve --organization nimbus`";
    assert!(lines.iter().any(|line| line == expected), "{lines:#?}");
}

#[test]
fn on_a_narrow_terminal_each_line_fits() {
    let all = known().statuses(&config());
    let lines = text(&all, NOW, &program(), &|_| true, Some(80));
    assert!(lines.iter().all(|line| crate::cell::width(line) <= 80), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("ORGANIZATION  DEAD LETTERS")), "{lines:#?}");
}
