//! An earlier release and ours.

use simulator::anthropic::{Mutation, Settings};
use tests::{
    comparison::{agree, changes},
    services::Finished,
    world::World,
};

use crate::Version;

const EARLIER: Version = Version { folder: "EARLIER_PROGRAMS" };

/// Workspaces without a user profile at first: the earlier release had no column for it.
fn world() -> World {
    let world = World::of(vec![Settings::default()]);
    for (id, workspace) in world.anthropic[0].truth().workspaces {
        if workspace.user_profile_id.is_some() {
            world.anthropic[0]
                .mutate(Mutation::SetUserProfile { id, user_profile_id: None })
                .expect("a workspace");
        }
    }
    world
}

fn give_profile(world: &World) -> String {
    let id = world.anthropic[0].truth().default_workspace_id;
    let user_profile_id = Some("uprof_new".to_owned());
    world.anthropic[0]
        .mutate(Mutation::SetUserProfile { id: id.clone(), user_profile_id })
        .expect("a workspace");
    format!("anthropic_workspace:{id}")
}

#[test]
fn what_an_earlier_release_wrote_is_restored_and_reconciled() {
    let world = world();
    EARLIER.round(&world);
    let before = changes(&world, 0);
    // Readers first, as docs/upgrade.md says: the newer ones read what the earlier producer goes on to write.
    world.run("sink", &["run", "--until-end"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    EARLIER.run(&world, "producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.round();
    assert_eq!(changes(&world, 0).len(), before.len(), "nothing changed, so nothing is written");
    agree(&world, 0);

    // The earlier producer already writes the field; the newer processor has a column for it.
    let key = give_profile(&world);
    EARLIER.run(&world, "producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    agree(&world, 0);
    let after = changes(&world, 0).split_off(before.len());
    let written: Vec<_> =
        after.iter().map(|it| (it.op.as_str(), it.element_key.as_str(), it.changed.clone())).collect();
    assert_eq!(written, [("u", key.as_str(), vec!["userProfileId".to_owned()])]);
    world.ask(&["verify"]).expect(0);
}

#[test]
fn a_rollback_stops_at_what_only_the_newer_release_can_read_and_goes_on_after_the_upgrade() {
    let world = world();
    EARLIER.round(&world);
    give_profile(&world);
    world.round();
    let written = changes(&world, 0).len();
    let user_id = world.anthropic[0].truth().users.keys().next().expect("a user").clone();
    let removal = Mutation::RemoveUser { id: user_id };
    world.anthropic[0].mutate(removal).expect("a user that can leave");

    // Back to the earlier release in the reverse order: its producer writes on, its processor and sink stop.
    EARLIER.run(&world, "producer", &["poll"]).expect(0);
    for (service, said) in [("processor", "a newer version"), ("sink", "a newer version")] {
        let Finished { code, stderr, .. } = EARLIER.run(&world, service, &["run", "--until-end"]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    assert_eq!(changes(&world, 0).len(), written, "the earlier release wrote nothing");

    // Forward again: what was polled in the meantime is reconciled.
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    agree(&world, 0);
    assert!(changes(&world, 0).len() > written);
    world.ask(&["verify"]).expect(0);
}
