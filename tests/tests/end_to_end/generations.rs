//! All generations of the Admin API, and moving between them.

use simulator::anthropic::{IncludeDefault, Settings};
use tests::world::World;

use tests::judge::{agree, changes};

#[test]
fn every_generation_leads_to_the_graph_that_it_tells_of() {
    for generation in 1..=4 {
        let world = World::of(vec![Settings { generation, ..Settings::default() }]);
        world.round();
        agree(&world, 0);
    }
}

#[test]
fn a_server_that_rejects_include_default_is_asked_without_it() {
    let settings = Settings { include_default: Some(IncludeDefault::Rejected), ..Settings::default() };
    let world = World::of(vec![settings]);
    world.round();
    agree(&world, 0);
}

#[test]
fn moving_to_another_generation_and_back_deletes_and_makes_nothing() {
    let world = World::start();
    world.round();
    let known = changes(&world, 0).len();
    for generation in [1, 3, 2, 4] {
        world.anthropic[0].switch(|switches| switches.generation = generation);
        // Where the default workspace is not listed any more, the listing of workspaces is partial.
        let partial = generation < 3;
        world.run("producer", &["poll"]).expect(0);
        world.run("processor", &["run", "--until-end"]).expect(if partial { 3 } else { 0 });
        world.run("sink", &["run", "--until-end"]).expect(0);
    }
    let changes = changes(&world, 0).split_off(known);
    let other: Vec<_> = changes.iter().filter(|change| change.op != "u").collect();
    assert!(other.is_empty(), "{:?} {}", other[0].op, other[0].element_key);
    agree(&world, 0);
}
