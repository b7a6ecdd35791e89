//! Two processors for one partition, commits of unknown outcome, transactions that take too long.

use simulator::anthropic::ROUND;
use tests::judge::{agree, changes};
use tests::proxy::{Fate, Proxy, Request};
use tests::services::Service;
use tests::world::World;

/// A member that sleeps is replaced after this (`session.timeout.ms`), and a transaction that stays open is aborted.
const IMPATIENT: &str =
    "properties.\"session.timeout.ms\" = \"3000\"\nproperties.\"heartbeat.interval.ms\" = \"500\"";

/// Waits until the processor has worked off what was polled: its graph's last poll has ended.
fn caught_up(world: &World, processor: &mut Service) {
    processor.until("catch up", |_| {
        let raw = world.topic(schemas::topics::Topic::Raw);
        let group = format!("{}.processor", world.prefix);
        let committed = tests::kafka::committed(&world.bootstrap_servers, &group, &raw);
        let read = world.read(schemas::topics::Topic::Raw);
        read.iter().all(|record| committed.get(&record.partition).is_some_and(|it| *it > record.offset))
    });
}

#[test]
fn a_processor_that_slept_in_mid_transaction_is_fenced_and_goes_on_as_a_member() {
    let mut world = World::start();
    world.kafka = IMPATIENT.to_owned();
    world.configure("");
    world.run("producer", &["poll"]).expect(0);
    let proxy = Proxy::start(&world.bootstrap_servers);
    let mut zombie = world.spawn_through(&proxy, "processor", &["run"]);
    caught_up(&world, &mut zombie);

    world.anthropic[0].live(ROUND);
    proxy.strike(Request::EndTransaction, Fate::Held, 1);
    world.run("producer", &["poll"]).expect(0);
    proxy.await_struck();
    zombie.suspend();
    let mut other = world.spawn("processor", &["run"]);
    caught_up(&world, &mut other);
    let known = changes(&world, 0).len();
    zombie.resume();
    proxy.release();
    zombie.logged("another process took over");
    zombie.logged("was this process asleep");
    assert_eq!(changes(&world, 0).len(), known, "the fenced transaction is nowhere");

    other.terminate().expect(0);
    world.anthropic[0].live(ROUND);
    world.run("producer", &["poll"]).expect(0);
    caught_up(&world, &mut zombie);
    zombie.terminate().expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    agree(&world, 0);
}
