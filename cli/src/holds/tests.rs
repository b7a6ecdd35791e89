use std::path::Path;

use schemas::{
    coverage::{Coverage, Hold, HoldState, Latest},
    raw::Outcome,
};
use service::shell::Program;

use super::{Held, text, why};

fn held(collection: &str, key: &str, raw_offset: i64, state: HoldState) -> Held {
    let hold = Hold {
        organization_id: "o-1".to_owned(),
        element_key: key.to_owned(),
        collection: collection.to_owned(),
        listing_id: format!("l-{raw_offset}"),
        raw_offset,
        proposed_ts_ms: raw_offset * 1000,
        state,
        agreeing: 1,
    };
    Held {
        hold,
        organization_name: "nimbus".to_owned(),
        why: "the listing would delete 3 of 4".to_owned(),
        element_type: "anthropic_user".to_owned(),
        display_name: "Ada\u{1b}[2J".to_owned(),
        ends: Vec::new(),
    }
}

/// That the account has this user.
fn has(user: &str, raw_offset: i64, state: HoldState) -> Held {
    let ends = ["anthropic_account:o-1".to_owned(), user.to_owned()];
    let one = held("users", &ends.join("|has|"), raw_offset, state);
    Held { element_type: "anthropic_account_has_user".to_owned(), ends: ends.to_vec(), ..one }
}

fn program() -> Program {
    Program::new("anthropic-graph", Some(Path::new("my graph.toml")))
}

#[test]
fn the_command_for_a_collection_has_its_newest_listing() {
    let all = [
        held("users", "anthropic_user:1", 5, HoldState::Proposed),
        held("users", "anthropic_user:2", 9, HoldState::Proposed),
        held("workspaces", "anthropic_workspace:1", 7, HoldState::Rejected),
    ];
    let lines = text(&all, &program());
    let users = "anthropic-graph --config 'my graph.toml' holds approve --organization-id o-1 --collection users --listing \
                 l-9 --by $(id -un)";
    assert!(lines.contains(&format!("  to delete them: {users}")), "{lines:#?}");
    let held = "users: 2 anthropic_user held since 1970-01-01T00:00:05Z, listing l-5";
    assert!(lines[0].ends_with(held), "{}", lines[0]);
    assert!(lines[2].ends_with("anthropic_user:1"), "it is as old as the first line says: {}", lines[2]);
    assert!(lines[3].ends_with("anthropic_user:2  since 1970-01-01T00:00:09Z, listing l-9"), "{}", lines[3]);
    let of_workspaces: Vec<&String> =
        lines.iter().filter(|line| line.contains("--collection workspaces")).collect();
    assert_eq!(of_workspaces.len(), 1, "what is rejected can only be approved, by its key: {lines:#?}");
    assert!(of_workspaces[0].contains("approve") && of_workspaces[0].contains("--key anthropic_workspace:1"));
}

#[test]
fn entities_are_listed_and_their_relationships_are_counted() {
    let all = [
        has("anthropic_user:1", 5, HoldState::Proposed),
        has("anthropic_user:2", 5, HoldState::Proposed),
        has("anthropic_user:3", 5, HoldState::Proposed),
        held("users", "anthropic_user:1", 5, HoldState::Proposed),
        held("users", "anthropic_user:2", 5, HoldState::Proposed),
    ];
    let lines = text(&all, &program());
    assert!(lines[0].contains("users: 2 anthropic_user, 3 anthropic_account_has_user held"), "{}", lines[0]);
    assert_eq!(lines[1], "  why: the listing would delete 3 of 4");
    let shown: Vec<bool> = lines[2..5].iter().map(|line| line.contains("|has|")).collect();
    assert_eq!(shown, [false, false, true], "{lines:#?}");
    assert!(lines[4].contains("anthropic_user:3"), "its end is not held: {}", lines[4]);
    assert_eq!(lines[5], "  and 2 relationships of these");
}

#[test]
fn the_reason_omits_the_outdated_count() {
    let reason = "50 deletions are held, because the listing would delete 25 of 40 (the guard allows 20, or a fraction of \
                  0.3); `anthropic-graph holds list` lists them";
    let latest = |reason: &str| Coverage {
        latest: Some(Latest {
            outcome: Outcome::Guarded,
            reason: Some(reason.to_owned()),
            poll_id: None,
            raw_offset: 7,
            ended_ts_ms: 1,
        }),
        ..Coverage::new("o-1", "nimbus", "users")
    };
    let limits = "the listing would delete 25 of 40 (the guard allows 20, or a fraction of 0.3)";
    assert_eq!(why(&latest(reason)).as_deref(), Some(limits));
    assert_eq!(why(&latest("1 deletion is held; `anthropic-graph holds list` lists them")), None);
}

#[test]
fn control_characters_in_names_are_escaped() {
    let lines = text(&[held("users", "anthropic_user:1", 5, HoldState::Proposed)], &program());
    assert!(lines.iter().all(|line| !line.contains('\u{1b}')), "{lines:?}");
}
