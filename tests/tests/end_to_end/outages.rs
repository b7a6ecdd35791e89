//! What cannot be listed is frozen, and nothing else is.

use simulator::anthropic::{Answer, Fault, Mutation, Truth};
use tests::world::World;

use schemas::change::Op;
use tests::comparison::{agree, changes};

/// Two workspaces with members, neither archived nor the default one, each with one of its members.
fn two_workspaces(truth: &Truth) -> [(String, String); 2] {
    let mut found = truth
        .members
        .iter()
        .filter(|(id, _)| truth.workspaces[*id].archived_at.is_none() && **id != truth.default_workspace_id)
        .filter_map(|(id, members)| Some((id.clone(), members.keys().next()?.clone())));
    let mut next = || found.next().expect("a workspace with a member");
    [next(), next()]
}

#[test]
fn one_workspace_that_answers_403_freezes_its_memberships_and_no_others() {
    let world = World::start();
    world.round();
    let end = &world.anthropic[0];
    let [(frozen, stays), (open, leaves)] = two_workspaces(&end.truth());
    let known = changes(&world, 0).len();
    let before = world.graph(0);

    end.fault(Fault::on(&format!("members/{frozen}"), Answer::Forbidden));
    for (workspace_id, user_id) in [(&frozen, &stays), (&open, &leaves)] {
        end.mutate(Mutation::TakeMembership { user_id: user_id.clone(), workspace_id: workspace_id.clone() })
            .expect("a membership");
    }
    let polled = world.run("producer", &["poll"]);
    let polled = polled.expect(3);
    assert!(polled.stderr.lines().last().is_some_and(|line| line.contains(&frozen)), "{}", polled.stderr);
    world.run("processor", &["run", "--until-end"]).expect(3);
    world.run("sink", &["run", "--until-end"]).expect(0);

    let gone = format!("anthropic_user:{leaves}|assigned|anthropic_workspace:{open}");
    let seen: Vec<_> =
        changes(&world, 0)[known..].iter().map(|it| (it.op.clone(), it.element_key.clone())).collect();
    assert_eq!(seen, [(Op::Delete, gone.clone())]);
    let after = world.graph(0);
    let missing: Vec<_> = before
        .relationships
        .iter()
        .map(|it| it["_key"].as_str().expect("a key"))
        .filter(|key| !after.relationships.iter().any(|it| it["_key"] == *key))
        .collect();
    assert_eq!(missing, [gone], "exactly that relationship goes from JupiterOne");

    end.clear_faults();
    world.round();
    agree(&world, 0);
}

#[test]
fn a_collection_that_fails_is_frozen_while_the_others_move_on() {
    let world = World::start();
    world.round();
    let end = &world.anthropic[0];
    end.fault(Fault::on("workspaces", Answer::Forbidden));
    end.mutate(Mutation::AddUser { id: Some("user_new".to_owned()), email: None, name: None, role: None })
        .expect("a new user");
    let known = changes(&world, 0).len();
    world.run("producer", &["poll"]).expect(3);
    world.run("processor", &["run", "--until-end"]).expect(3);
    world.run("sink", &["run", "--until-end"]).expect(0);
    let changes = changes(&world, 0).split_off(known);
    assert_eq!(changes.len(), 2, "the user and account HAS user");
    assert!(changes.iter().all(|change| change.op == Op::Create));
    end.clear_faults();
    world.round();
    agree(&world, 0);
}

#[test]
fn a_key_that_is_refused_stops_the_organization_and_deletes_nothing() {
    let mut world = World::start();
    world.round();
    let before = world.graph(0);
    world.anthropic[0].replace_admin_key("sk-ant-admin01-another");
    let known = changes(&world, 0).len();
    let polled = world.run("producer", &["poll"]);
    assert_ne!(polled.code, Some(0), "{}", polled.stderr);
    world.run("processor", &["run", "--until-end"]);
    world.run("sink", &["run", "--until-end"]);
    assert_eq!(changes(&world, 0).len(), known);
    assert_eq!(world.graph(0).entities, before.entities);
}
