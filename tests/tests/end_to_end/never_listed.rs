//! What is never listed, and what JupiterOne keeps because of it.

use simulator::anthropic::{Answer, DefaultMembers, Fault, Mutation, Settings};
use tests::comparison::agree;
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

#[test]
fn members_that_were_never_listed_keep_every_membership_which_the_sink_says_until_they_are() {
    let world = World::start();
    let truth = world.anthropic[0].truth();
    let is_listed =
        |id: &&String| truth.workspaces[*id].archived_at.is_none() && **id != truth.default_workspace_id;
    let secret = truth.workspaces.keys().find(is_listed).expect("a workspace");
    world.anthropic[0].fault(Fault::on(&format!("members/{secret}"), Answer::Forbidden));
    world.run("producer", &["poll"]).expect(3);
    world.run("processor", &["run", "--until-end"]);
    let finished = world.run("sink", &["run", "--until-end"]);
    let said = &finished.expect(0).stderr;
    assert!(said.contains("JupiterOne keeps deleted objects") && said.contains(secret), "{said}");
    world.anthropic[0].clear_faults();
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let finished = world.run("sink", &["run", "--until-end"]);
    assert!(!finished.expect(0).stderr.contains("JupiterOne keeps"), "{}", finished.stderr);
    agree(&world, 0);
}
