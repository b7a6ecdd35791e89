//! A partition whose state or data needs a person closes alone.

use schemas::topics::{Topic, partition};
use simulator::anthropic::{ROUND, Settings};
use tests::comparison::{agree, changes};
use tests::kafka;
use tests::world::{PARTITIONS, World};

use super::caught_up;

fn small(seed: u64) -> Settings {
    Settings { seed, users: 6, workspaces: 2, api_keys: 6, ..Settings::default() }
}

fn home(world: &World, organization: usize) -> i32 {
    partition(&world.anthropic[organization].organization_id(), PARTITIONS)
}

/// Deletes an element of an organization from the graph topic, as another program may.
fn spoil(world: &World, organization: usize) {
    let id = world.anthropic[organization].organization_id();
    let user = world.anthropic[organization].truth().users.into_keys().next().expect("a user");
    let (key, graph) = (format!("{id}/anthropic_user:{user}"), world.topic(Topic::Graph));
    kafka::write(&world.bootstrap_servers, &graph, home(world, organization), &key, None, &[]);
}

#[test]
fn a_partition_whose_graph_was_changed_by_another_program_closes_alone() {
    let world = World::of((1..=4).map(small).collect());
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    let well = (1..4).find(|it| home(&world, *it) != home(&world, 0)).expect("an organization elsewhere");
    spoil(&world, 0);
    let closed = home(&world, 0);
    let known = [changes(&world, 0).len(), changes(&world, well).len()];

    let mut processor = world.spawn("processor", &["run"]);
    let said = processor.logged("the partition is closed");
    assert!(said.contains("another program changed the graph topic"), "{said}");
    for organization in [0, well] {
        world.anthropic[organization].live(ROUND);
    }
    world.run("producer", &["poll"]).expect(0);
    processor.until("go on with the other organization", |_| changes(&world, well).len() > known[1]);
    let (status, body) = processor.get("/readyz").expect("it answers");
    assert!(status == 503 && body.contains(&format!("partition {closed}: closed: the graph of")), "{body}");
    let (_, metrics) = processor.get("/metrics").expect("it answers");
    for (partition, is_closed) in [(closed, 1), (home(&world, well), 0)] {
        let line =
            format!("anthropic_graph_task_state{{partition=\"{partition}\",state=\"closed\"}} {is_closed}");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
    assert_eq!(changes(&world, 0).len(), known[0]);
    processor.terminate().expect(0);

    let ended = world.run("processor", &["run", "--until-end"]);
    let said = &ended.expect(1).stderr;
    assert!(said.contains(&format!("partition {closed} is closed: the graph of")), "{said}");
    world.run("sink", &["run", "--until-end"]);
    agree(&world, well);
}

#[test]
fn a_record_that_its_topic_does_not_take_closes_the_partition_and_is_not_tried_again() {
    let world = World::of(vec![small(1)]);
    world.run("producer", &["poll"]).expect(0);
    let mut processor = world.spawn("processor", &["run"]);
    caught_up(&world, &mut processor);
    let settings = [("max.message.bytes", "100")];
    kafka::alter_topic(&world.bootstrap_servers, &world.topic(Topic::Changes), &settings);
    world.anthropic[0].live(ROUND);
    world.run("producer", &["poll"]).expect(0);
    let said = processor.logged("the partition is closed");
    assert!(said.contains("too large for the topic") && said.contains("message.max.bytes"), "{said}");
    processor.unready();
    processor.terminate().expect(0);
}
