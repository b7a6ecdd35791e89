//! Two processors for one partition, commits of unknown outcome, transactions that take too long.

use std::time::{Duration, Instant};

use schemas::topics::Topic;
use simulator::anthropic::ROUND;
use tests::comparison::changes;
use tests::kafka;
use tests::proxy::{Fate, Proxy, Request};
use tests::world::{PARTITIONS, World};

use super::{IMPATIENT, SHORT_TRANSACTIONS, caught_up, content};

#[test]
fn a_processor_that_slept_in_mid_transaction_is_fenced_and_goes_on_as_a_member() {
    let mut world = World::start();
    world.kafka = IMPATIENT.to_owned();
    world.configure("");
    world.run("producer", &["poll"]).expect(0);
    let proxy = Proxy::start(&world.bootstrap_servers);
    let mut zombie = world.spawn_through(&proxy, "processor", &["run"]);
    caught_up(&world, &mut zombie);
    // A partition that opens ends a transaction of its own, with its barrier.
    zombie.logged_times("opened the task of partition", usize::try_from(PARTITIONS).expect("few"));

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
    content(&world);
}

#[test]
fn a_lost_partition_is_taken_back_without_waiting_for_its_unanswered_commit() {
    let mut world = World::start();
    world.kafka = IMPATIENT.to_owned();
    world.configure("");
    world.run("producer", &["poll"]).expect(0);
    let proxy = Proxy::start(&world.bootstrap_servers);
    let mut processor = world.spawn_through(&proxy, "processor", &["run"]);
    caught_up(&world, &mut processor);
    let partitions = usize::try_from(PARTITIONS).expect("few");
    processor.logged_times("opened the task of partition", partitions);

    world.anthropic[0].live(ROUND);
    // More tries than fit into the minute for which a commit is repeated.
    proxy.strike(Request::EndTransaction, Fate::Held, 10_000);
    world.run("producer", &["poll"]).expect(0);
    proxy.await_first_struck();
    processor.suspend();
    let mut other = world.spawn("processor", &["run"]);
    caught_up(&world, &mut other);
    other.terminate().expect(0);
    processor.resume();
    processor.logged("was this process asleep");
    let lost = Instant::now();
    processor.logged_times("partitions assigned", 2);
    assert!(lost.elapsed() < Duration::from_secs(30), "after {:?}\n{}", lost.elapsed(), processor.log());
    proxy.heal();
    processor.logged_times("opened the task of partition", 2 * partitions);
    processor.terminate().expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    content(&world);
}

#[test]
fn a_processor_whose_commit_is_not_answered_repeats_it_and_doubles_nothing() {
    let world = World::start();
    world.run("producer", &["poll"]).expect(0);
    let proxy = Proxy::start(&world.bootstrap_servers);
    proxy.strike(Request::EndTransaction, Fate::LostAnswer, 2);
    let mut processor = world.spawn_through(&proxy, "processor", &["run"]);
    caught_up(&world, &mut processor);
    for fate in [Fate::LostRequest, Fate::LostAnswer] {
        world.anthropic[0].live(ROUND);
        proxy.strike(Request::Produce, fate, 1);
        proxy.strike(Request::EndTransaction, fate, 1);
        world.run("producer", &["poll"]).expect(0);
        caught_up(&world, &mut processor);
    }
    processor.terminate().expect(0);
    assert!(proxy.ends().iter().all(|is_commit| *is_commit), "an abort after a commit: {:?}", proxy.ends());
    world.run("sink", &["run", "--until-end"]).expect(0);
    content(&world);
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted_by_the_broker_and_done_again() {
    let mut world = World::start();
    world.kafka = SHORT_TRANSACTIONS.to_owned();
    world.configure("");
    world.run("producer", &["poll"]).expect(0);
    let proxy = Proxy::start(&world.bootstrap_servers);
    let mut processor = world.spawn_through(&proxy, "processor", &["run"]);
    caught_up(&world, &mut processor);
    // A partition that opens ends a transaction of its own, with its barrier.
    processor.logged_times("opened the task of partition", usize::try_from(PARTITIONS).expect("few"));
    world.anthropic[0].live(ROUND);
    let known = changes(&world, 0).len();
    proxy.strike(Request::EndTransaction, Fate::Held, 1);
    world.run("producer", &["poll"]).expect(0);
    proxy.await_struck();
    processor.suspend();
    // It may be that of the start mark, which makes no change.
    kafka::await_ends(&world.bootstrap_servers, &world.topic(Topic::Graph));
    assert_eq!(changes(&world, 0).len(), known, "readers see nothing of it");
    processor.resume();
    proxy.release();
    let said = processor.logged("transaction.timeout.ms allows 2 s");
    assert!(said.contains("set kafka.properties"), "{said}");
    processor.logged("still assigned to this process");
    caught_up(&world, &mut processor);
    processor.terminate().expect(0);
    world.run("sink", &["run", "--until-end"]).expect(0);
    content(&world);
}

#[test]
fn a_commit_with_an_unknown_outcome_is_never_aborted_and_settled_by_reopening() {
    let world = World::start();
    world.run("producer", &["poll"]).expect(0);
    let proxy = Proxy::start(&world.bootstrap_servers);
    let mut processor = world.spawn_through(&proxy, "processor", &["run"]);
    caught_up(&world, &mut processor);
    world.anthropic[0].live(ROUND);
    // More tries than fit into the minute for which a commit is repeated.
    proxy.strike(Request::EndTransaction, Fate::LostRequest, 10_000);
    world.run("producer", &["poll"]).expect(0);
    let said = processor.logged("is suspended: ");
    assert!(said.contains("its outcome is determined when the producer is reopened"), "{said}");
    proxy.heal();
    caught_up(&world, &mut processor);
    processor.terminate().expect(0);
    assert!(proxy.ends().iter().all(|is_commit| *is_commit), "an abort after a commit");
    world.run("sink", &["run", "--until-end"]).expect(0);
    content(&world);
}
