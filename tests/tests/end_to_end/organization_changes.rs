//! What happens in an organization is in the changes, and nothing else is.

use schemas::element::ElementType;
use simulator::anthropic::{Mutation, ROUND, Settings};
use tests::world::World;

use tests::comparison::{agree, changes, expected, predicted, seen};

/// Runs one round after `happen`, and holds its changes to what the two truths predict.
fn check(world: &World, what: &str, happen: impl FnOnce()) {
    let before = expected(&world.anthropic[0].truth(), 0);
    let known = changes(world, 0).len();
    happen();
    world.round();
    let after = expected(&world.anthropic[0].truth(), 0);
    let seen = seen(&changes(world, 0)[known..]);
    assert_eq!(seen, predicted(&before, &after), "{what}");
    agree(world, 0);
}

#[test]
fn each_named_mutation_gives_exactly_its_changes() {
    let world = World::of(vec![Settings { users: 12, workspaces: 4, api_keys: 14, ..Settings::default() }]);
    world.round();
    let end = &world.anthropic[0];
    let truth = end.truth();
    let is_active =
        |id: &&String| **id != truth.default_workspace_id && truth.workspaces[*id].archived_at.is_none();
    let workspace_id = truth.workspaces.keys().find(is_active).expect("an active workspace").clone();
    let (user_id, other_id) = {
        let mut users = truth.users.keys().cloned();
        (users.next().expect("a user"), users.next().expect("another user"))
    };
    let api_key_id = truth.api_keys.keys().next().expect("a key").clone();
    let mutations = [
        Mutation::RenameUser { id: user_id.clone(), name: "Zoë Ångström".to_owned() },
        Mutation::ChangeRole { id: other_id, role: "a_role_of_tomorrow".to_owned() },
        Mutation::RenameWorkspace { id: workspace_id.clone(), name: "Renamed".to_owned() },
        Mutation::RenameKey { id: api_key_id.clone(), name: "renamed".to_owned() },
        Mutation::SetKeyStatus { id: api_key_id.clone(), status: "inactive".to_owned() },
        Mutation::DeleteKey { id: api_key_id },
        Mutation::RenameOrganization { name: "Nimbus Labs, renamed".to_owned() },
        Mutation::ArchiveWorkspace { id: workspace_id.clone() },
        Mutation::DeleteWorkspace { id: workspace_id },
        Mutation::AddUser { id: None, email: None, name: None, role: None },
    ];
    for mutation in mutations {
        let what = format!("{mutation:?}");
        check(&world, &what, || {
            end.mutate(mutation).unwrap_or_else(|error| panic!("{what}: {error}"));
        });
    }
}

#[test]
fn a_whole_round_of_life_gives_every_kind_of_change_and_only_what_happened() {
    let world = World::start();
    world.round();
    for _ in 0..2 {
        check(&world, "a round of life", || {
            world.anthropic[0].live(ROUND);
        });
    }
    let changes = changes(&world, 0);
    for kind in ElementType::ALL {
        for op in possible_ops(kind) {
            let found =
                changes.iter().any(|change| change.element_type == kind.name() && change.op.as_str() == *op);
            assert!(found, "no {op} of {}", kind.name());
        }
    }
}

/// The account comes with the first sync and stays; only one kind of relationship has anything to update.
fn possible_ops(kind: ElementType) -> &'static [&'static str] {
    match kind {
        ElementType::Account => &["u"],
        ElementType::User
        | ElementType::Workspace
        | ElementType::ApiKey
        | ElementType::UserAssignedWorkspace => &["c", "u", "d"],
        ElementType::AccountHasUser
        | ElementType::AccountHasWorkspace
        | ElementType::UserCreatedApiKey
        | ElementType::WorkspaceHasApiKey => &["c", "d"],
    }
}
