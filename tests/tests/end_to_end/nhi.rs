//! API keys with the class NHI in JupiterOne, where the configuration asks for it.

use simulator::anthropic::Mutation;
use tests::{
    comparison::{agree, agree_with_nhi},
    world::World,
};

const NHI: &str = "jupiterone = { nhi_class = true }";

/// Runs the sink alone: nothing is new in the graph.
fn sync(world: &World, lines: &str) {
    world.configure(lines);
    world.run("sink", &["run", "--until-end"]).expect(0);
}

#[test]
fn the_class_nhi_comes_and_goes_with_the_configuration_and_its_owners_with_their_membership() {
    let world = World::start();
    let end = &world.anthropic[0];
    world.round();
    agree(&world, 0);
    sync(&world, NHI);
    agree_with_nhi(&world, 0);
    let keys = || world.graph(0).entities.into_iter().filter(|it| it["_type"] == "anthropic_api_key");
    let owned = keys().find(|key| key["nhiOwnerStatus"] == "assigned").expect("a key of a member");

    // The owner leaves the organization.
    let email = &owned["owner"];
    let truth = end.truth();
    let member = truth.users.values().find(|user| *email == user.email.to_lowercase()).expect("a member");
    end.mutate(Mutation::RemoveUser { id: member.id.clone() }).expect("they leave");
    world.round();
    agree_with_nhi(&world, 0);
    let orphaned = keys().find(|key| key["_key"] == owned["_key"]).expect("it is still there");
    assert_eq!(orphaned["nhiOwnerStatus"], "orphaned");

    sync(&world, "");
    agree(&world, 0);
}
