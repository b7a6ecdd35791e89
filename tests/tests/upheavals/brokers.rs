//! A broker that goes away in mid-transaction, in good order and not.

use std::time::{Duration, Instant};

use schemas::topics::Topic;
use simulator::anthropic::{ROUND, Settings};
use tests::broker::jars::JarBroker;
use tests::proxy::{Fate, Proxy, Request};
use tests::services::Service;
use tests::world::World;

use super::content;

/// A broker from jars answers after 2 to 4 s; later if other tests use all cores.
const ANSWER_BOUND: Duration = Duration::from_mins(1);

/// A run until the end gives up a minute after its last try, or two minutes after it lost its partitions.
const GIVE_UP_BOUND: Duration = Duration::from_mins(5);

/// Waits until the broker takes connections.
fn answers(broker: &mut JarBroker) {
    let deadline = Instant::now() + ANSWER_BOUND;
    while std::net::TcpStream::connect(broker.address()).is_err() {
        assert!(broker.is_running(), "the broker ended");
        assert!(Instant::now() < deadline, "the broker does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the sink has brought all users to JupiterOne.
fn settled(world: &World, sink: &mut Service) {
    sink.until("bring all users to JupiterOne", |_| {
        let held = world.graph(0).entities;
        let is_held = |id: &String| {
            let key = format!("anthropic_user:{id}");
            held.iter().any(|entity| entity["_key"] == key.as_str())
        };
        world.anthropic[0].truth().users.keys().all(is_held)
    });
}

#[test]
fn a_broker_that_stops_or_is_killed_in_mid_transaction_and_starts_again_is_survived_without_a_hand() {
    let folder = tempfile::tempdir().expect("a folder for the broker");
    let mut broker = JarBroker::start(&folder.path().join("broker")).expect("a broker starts");
    answers(&mut broker);
    let settings = Settings { users: 8, workspaces: 3, api_keys: 8, ..Settings::default() };
    let world = World::on(broker.address().to_owned(), vec![settings]);
    // Else a poll waits for the rest of a minute whose requests are spent.
    world.configure("requests_per_minute = 60000");
    let proxy = Proxy::start(&world.bootstrap_servers);
    let producer = world.spawn("producer", &["run"]);
    let processor = world.spawn_through(&proxy, "processor", &["run"]);
    let mut sink = world.spawn("sink", &["run"]);
    settled(&world, &mut sink);

    for end in [JarBroker::stop, JarBroker::kill] {
        proxy.strike(Request::EndTransaction, Fate::Held, 1);
        world.anthropic[0].live(ROUND);
        proxy.await_struck();
        end(&mut broker).expect("the broker ends");
        proxy.release();
        world.anthropic[0].live(ROUND);
        broker.start_again().expect("the broker starts again");
        answers(&mut broker);
        settled(&world, &mut sink);
    }
    for service in [producer, processor, sink] {
        service.terminate().expect(0);
    }
    world.round();
    content(&world);
    assert!(world.read(Topic::DeadLetters).is_empty());
}

#[test]
fn a_run_until_the_end_says_why_it_gives_up_when_the_brokers_stay_away() {
    let folder = tempfile::tempdir().expect("a folder for the broker");
    let mut broker = JarBroker::start(&folder.path().join("broker")).expect("a broker starts");
    answers(&mut broker);
    let settings = Settings { users: 8, workspaces: 3, api_keys: 8, ..Settings::default() };
    let world = World::on(broker.address().to_owned(), vec![settings]);
    world.run("producer", &["poll"]).expect(0);
    let proxy = Proxy::start(&world.bootstrap_servers);
    proxy.strike(Request::EndTransaction, Fate::Held, 1);
    let mut processor = world.spawn_through(&proxy, "processor", &["run", "--until-end"]);
    proxy.await_struck();
    broker.kill().expect("it runs");
    proxy.release();
    assert!(processor.ends_within(GIVE_UP_BOUND), "it does not give up\n{}", processor.log());
    let ended = processor.finish();
    ended.expect(1);
    assert!(ended.stderr.contains("no broker answered at"), "{}", ended.stderr);
}
