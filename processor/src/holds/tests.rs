use std::path::Path;

use schemas::coverage::{Hold, hold_state};

use super::{Held, told};

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
        why: "3 deletions are held".to_owned(),
        element_type: "anthropic_user".to_owned(),
        display_name: "Ada\u{1b}[2J".to_owned(),
    }
}

#[test]
fn each_collection_has_one_command_which_names_the_newest_listing_that_is_shown() {
    let all = [
        held("users", "anthropic_user:1", 5, hold_state::PROPOSED),
        held("users", "anthropic_user:2", 9, hold_state::PROPOSED),
        held("workspaces", "anthropic_workspace:1", 7, hold_state::REJECTED),
    ];
    let lines = told(&all, Some(Path::new("my graph.toml")));
    let users = "processor --config 'my graph.toml' approve --organization-id o-1 --collection users --listing l-9 \
                 --by \"$USER\"";
    assert!(lines.contains(&format!("  to delete them: {users}")), "{lines:#?}");
    assert!(lines[0].ends_with("users: 2 held since 1970-01-01T00:00:05Z"), "{}", lines[0]);
    let of_workspaces: Vec<&String> =
        lines.iter().filter(|line| line.contains("--collection workspaces")).collect();
    assert_eq!(of_workspaces.len(), 1, "what is rejected can only be approved, by its key: {lines:#?}");
    assert!(of_workspaces[0].contains("approve") && of_workspaces[0].contains("--key anthropic_workspace:1"));
}

#[test]
fn a_name_from_outside_moves_no_cursor() {
    let lines = told(&[held("users", "anthropic_user:1", 5, hold_state::PROPOSED)], None);
    assert!(lines.iter().all(|line| !line.contains('\u{1b}')), "{lines:?}");
}
