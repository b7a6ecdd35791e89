//! What is never listed, and what JupiterOne keeps because of it.

use simulator::anthropic::{DefaultMembers, Mutation, Settings};
use tests::judge::agree;
use tests::world::World;

#[test]
fn a_default_workspace_without_a_member_list_keeps_no_membership_in_jupiterone() {
    let world =
        World::of(vec![Settings { default_members: DefaultMembers::NotFound, ..Settings::default() }]);
    world.round();
    agree(&world, 0);
    let truth = world.anthropic[0].truth();
    let is_listed =
        |id: &String| truth.workspaces[id].archived_at.is_none() && *id != truth.default_workspace_id;
    let member = truth.members.iter().filter(|(id, _)| is_listed(id)).find_map(|(workspace_id, members)| {
        let (user_id, _) = members.iter().next()?;
        Some((workspace_id.clone(), user_id.clone()))
    });
    let (workspace_id, user_id) = member.expect("a member");
    world.anthropic[0].mutate(Mutation::TakeMembership { user_id, workspace_id }).expect("it is one");
    world.round();
    agree(&world, 0);
}
