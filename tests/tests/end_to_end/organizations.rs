//! Several organizations, and several deployments on one cluster.

use simulator::anthropic::{ROUND, Settings};
use tests::world::World;

use tests::comparison::{agree, changes};

#[test]
fn two_organizations_share_topics_and_an_account_and_do_not_touch_each_other() {
    let world = World::of(vec![
        Settings { seed: 1, ..Settings::default() },
        Settings { seed: 2, users: 9, workspaces: 3, api_keys: 5, ..Settings::default() },
    ]);
    world.round();
    agree(&world, 0);
    agree(&world, 1);
    let (known, other) = (world.graph(1), changes(&world, 1).len());
    world.anthropic[0].live(ROUND);
    world.round();
    agree(&world, 0);
    agree(&world, 1);
    assert_eq!(changes(&world, 1).len(), other);
    assert_eq!(world.graph(1).entities, known.entities);
}

#[test]
fn one_organization_can_be_polled_alone() {
    let world = World::of(vec![Settings::default(), Settings { seed: 2, ..Settings::default() }]);
    world.run("producer", &["poll", "--organization", "organization-2"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    assert_eq!(changes(&world, 0).len(), 0);
    assert!(!changes(&world, 1).is_empty());
}

#[test]
fn two_prefixes_live_side_by_side() {
    let (one, other) = (World::start(), World::of(vec![Settings { seed: 7, ..Settings::default() }]));
    one.round();
    other.round();
    agree(&one, 0);
    agree(&other, 0);
    assert_ne!(one.prefix, other.prefix);
}
