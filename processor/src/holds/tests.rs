use std::path::Path;

use schemas::{
    coverage::{Coverage, Hold, Latest, hold_state},
    raw::outcome,
};
use service::shell::Program;

use super::{Held, told, why};

fn held(collection: &str, key: &str, raw_offset: i64, state: &str) -> Held {
    let hold = Hold {
        organization_id: "o-1".to_owned(),
        element_key: key.to_owned(),
        collection: collection.to_owned(),
        listing_id: format!("l-{raw_offset}"),
        raw_offset,
        proposed_ts_ms: raw_offset * 1000,
        state: state.to_owned(),
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
fn has(user: &str, raw_offset: i64, state: &str) -> Held {
    let ends = ["anthropic_account:o-1".to_owned(), user.to_owned()];
    let one = held("users", &ends.join("|has|"), raw_offset, state);
    Held { element_type: "anthropic_account_has_user".to_owned(), ends: ends.to_vec(), ..one }
}

fn program() -> Program {
    Program::new("processor", Some(Path::new("my graph.toml")))
}

#[test]
fn each_collection_has_one_command_which_names_the_newest_listing_that_is_shown() {
    let all = [
        held("users", "anthropic_user:1", 5, hold_state::PROPOSED),
        held("users", "anthropic_user:2", 9, hold_state::PROPOSED),
        held("workspaces", "anthropic_workspace:1", 7, hold_state::REJECTED),
    ];
    let lines = told(&all, &program());
    let users = "processor --config 'my graph.toml' approve --organization-id o-1 --collection users --listing l-9 \
                 --by $(id -un)";
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
fn people_come_first_and_their_relationships_are_counted() {
    let all = [
        has("anthropic_user:1", 5, hold_state::PROPOSED),
        has("anthropic_user:2", 5, hold_state::PROPOSED),
        has("anthropic_user:3", 5, hold_state::PROPOSED),
        held("users", "anthropic_user:1", 5, hold_state::PROPOSED),
        held("users", "anthropic_user:2", 5, hold_state::PROPOSED),
    ];
    let lines = told(&all, &program());
    assert!(lines[0].contains("users: 2 anthropic_user, 3 anthropic_account_has_user held"), "{}", lines[0]);
    assert_eq!(lines[1], "  why: the listing would delete 3 of 4");
    let shown: Vec<bool> = lines[2..5].iter().map(|line| line.contains("|has|")).collect();
    assert_eq!(shown, [false, false, true], "{lines:#?}");
    assert!(lines[4].contains("anthropic_user:3"), "its end is not held: {}", lines[4]);
    assert_eq!(lines[5], "  and 2 relationships of these");
}

#[test]
fn the_reason_is_without_a_count_that_decisions_make_wrong() {
    let reason = "50 deletions are held, for the listing would delete 25 of 40 (the guard allows 20, or a fraction of \
                  0.3); `processor holds` lists them";
    let latest = |reason: &str| Coverage {
        organization_id: "o-1".to_owned(),
        organization_name: "nimbus".to_owned(),
        collection: "users".to_owned(),
        whole: None,
        latest: Some(Latest {
            outcome: outcome::GUARDED.to_owned(),
            reason: Some(reason.to_owned()),
            poll_id: None,
            raw_offset: 7,
            ended_ts_ms: 1,
        }),
        not_whole_since_ts_ms: None,
        poll: None,
    };
    let limits = "the listing would delete 25 of 40 (the guard allows 20, or a fraction of 0.3)";
    assert_eq!(why(&latest(reason)).as_deref(), Some(limits));
    assert_eq!(why(&latest("1 deletion is held; `processor holds` lists them")), None);
}

#[test]
fn a_name_from_outside_moves_no_cursor() {
    let lines = told(&[held("users", "anthropic_user:1", 5, hold_state::PROPOSED)], &program());
    assert!(lines.iter().all(|line| !line.contains('\u{1b}')), "{lines:?}");
}
