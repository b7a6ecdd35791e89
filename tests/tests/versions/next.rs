//! Ours and the next version, whose schemas have one more field (`tests/upgrade/next.patch`).

use schemas::topics::Topic;
use simulator::anthropic::{Mutation, ROUND};
use tests::{comparison::agree, services::Finished, world::World};

use crate::Version;

const NEXT: Version = Version { folder: "NEXT_PROGRAMS" };

#[test]
fn the_next_version_reads_what_ours_wrote_and_writes_no_change() {
    let world = World::start();
    world.round();
    agree(&world, 0);
    // By count: this version cannot decode what the next one would write.
    let written = world.read(Topic::Changes).len();
    NEXT.run(&world, "sink", &["run", "--until-end"]).expect(0);
    NEXT.run(&world, "processor", &["run", "--until-end"]).expect(0);
    // Our producer goes on until it is replaced, last.
    world.run("producer", &["poll"]).expect(0);
    NEXT.run(&world, "processor", &["run", "--until-end"]).expect(0);
    NEXT.round(&world);
    assert_eq!(world.read(Topic::Changes).len(), written, "nothing changed, so nothing is written");
    world.anthropic[0].live(ROUND);
    NEXT.round(&world);
    assert!(world.read(Topic::Changes).len() > written, "what changed since is written");
    NEXT.run(&world, "anthropic-graph", &["verify"]).expect(0);
    holds_every_user(&world);
}

#[test]
fn ours_stops_at_what_the_next_version_wrote_and_loses_nothing_until_it_is_back() {
    let world = World::start();
    world.round();
    remove_a_user(&world);
    NEXT.round(&world);
    let held = world.graph(0);

    // Rolled back in the wrong order or the right one, each of ours asks for the upgrade.
    for (service, arguments) in [
        ("producer", &["poll"][..]),
        ("processor", &["run", "--until-end"]),
        ("anthropic-graph", &["verify"]),
        ("sink", &["run", "--until-end"]),
    ] {
        let Finished { code, stderr, .. } = world.run(service, arguments);
        assert_eq!(code, Some(1), "{service}: {stderr}");
        assert!(stderr.contains("upgrade this service"), "{service}: {stderr}");
    }
    assert_eq!(world.graph(0), held, "JupiterOne keeps what it has");

    remove_a_user(&world);
    NEXT.round(&world);
    NEXT.run(&world, "anthropic-graph", &["verify"]).expect(0);
    holds_every_user(&world);
}

#[track_caller]
fn holds_every_user(world: &World) {
    let held = world.graph(0).entities;
    let users = held.iter().filter(|it| it["_type"] == "anthropic_user").count();
    assert_eq!(users, world.anthropic[0].truth().users.len());
}

fn remove_a_user(world: &World) {
    let id = world.anthropic[0].truth().users.keys().next().expect("a user").clone();
    world.anthropic[0].mutate(Mutation::RemoveUser { id }).expect("a user that can leave");
}
