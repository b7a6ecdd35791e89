//! What `/readyz` says while Kafka is away or no longer accepts the credentials, and during an upload.

use std::fs;
use std::time::{Duration, Instant};

use simulator::anthropic::Settings;
use simulator::jupiterone::{Effect, Fault, Route};
use tests::broker::guarded::GuardedBroker;
use tests::broker::jars::JarBroker;
use tests::kafka::until_it_answers;
use tests::services::{Service, get};
use tests::world::World;

const SERVICES: [&str; 3] = ["producer", "processor", "sink"];
/// A probe of a service reports within this time that Kafka is unreachable.
const KNOWN_WITHIN: Duration = Duration::from_secs(15);
/// A broker from jars answers after 2 to 4 s; later if other tests use all cores.
const ANSWER_BOUND: Duration = Duration::from_mins(1);
const LISTED: &str = "anthropic_graph_last_listed_timestamp_seconds{";

/// The service is not ready and says this, no longer after that time than it may.
fn says(service: &mut Service, expected: &str, since: Instant) {
    let body = service.unready_for(expected);
    assert!(since.elapsed() < KNOWN_WITHIN, "after {:?}: {body}", since.elapsed());
}

#[test]
fn a_broker_that_is_away_is_known_within_15_s_and_ready_is_said_again_once_it_is_back() {
    let folder = tempfile::tempdir().expect("a folder for the broker");
    let mut broker = JarBroker::start(&folder.path().join("broker")).expect("a broker starts");
    until_it_answers(broker.address(), ANSWER_BOUND);
    let world = World::on(broker.address().to_owned(), vec![Settings::default()]);
    let mut services = SERVICES.map(|service| world.spawn(service, &["run"]));
    services.iter_mut().for_each(Service::ready);
    services[0].logged("\"polled ");

    broker.kill().expect("the broker ends");
    let killed = Instant::now();
    for service in &mut services {
        says(service, "kafka: no broker has answered since 20", killed);
    }
    // No instance has the partitions now. The times stay, because alerts watch their ages.
    services[0].logged("was this process asleep or cut off?");
    services[0].logged("no longer polled by this instance");
    let (_, metrics) = services[0].get("/metrics").expect("an answer");
    assert!(metrics.contains(LISTED), "{metrics}");
    for service in &mut services {
        let (status, body) = service.get("/readyz").expect("an answer");
        assert_eq!(status, 503, "{body}");
    }

    broker.start_again().expect("the broker starts again");
    services.iter_mut().for_each(Service::ready);
    for service in services {
        service.terminate().expect(0);
    }
}

#[test]
fn rejected_credentials_are_reported_and_new_ones_in_their_file_are_used() {
    let folder = tempfile::tempdir().expect("a folder for the broker");
    let mut broker =
        GuardedBroker::start(&folder.path().join("broker"), &["graph"]).expect("a broker starts");
    until_it_answers(broker.address(), ANSWER_BOUND);
    let world = World::on(broker.address().to_owned(), vec![Settings::default()]);
    for kind in ["topic", "group", "transactional-id"] {
        broker.grant_under("graph", &["All"], kind, &world.prefix).expect("the broker grants it");
    }
    let password = folder.path().join("password");
    fs::write(&password, "graph").expect("a password is written");
    let (servers, password_file) = (broker.guarded_address(), password.display().to_string());
    let config = world.config().display().to_string();
    let spawn = |service| {
        let environment = [
            ("ANTHROPIC_GRAPH__KAFKA__BOOTSTRAP_SERVERS", &*servers),
            ("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
            ("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__SASL_MECHANISM", "PLAIN"),
            ("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__SASL_USERNAME", "graph"),
            ("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__SASL_PASSWORD__FILE", &*password_file),
        ];
        Service::spawn(service, ["--config", &*config, "run"], &environment)
    };
    let mut services = SERVICES.map(spawn);
    services.iter_mut().for_each(Service::ready);

    broker.rotate("graph", "graph", "rotated-password").expect("the broker starts again");
    until_it_answers(broker.address(), ANSWER_BOUND);
    let answered = Instant::now();
    for service in &mut services {
        says(service, "kafka: Kafka rejects the credentials", answered);
    }
    // A service that starts now says so as well, and takes what is written into the file meanwhile.
    let mut late = spawn("processor");
    late.logged("uthentication");
    fs::write(&password, "rotated-password").expect("a password is written");
    late.ready();
    for service in services {
        let ended = service.finish();
        assert!(ended.stderr.contains("to be started again with the new ones"), "{}", ended.stderr);
        ended.expect(1);
    }
    let mut services = SERVICES.map(spawn);
    services.iter_mut().for_each(Service::ready);
}

#[test]
fn a_sink_says_how_many_objects_are_uploaded() {
    let world = World::start();
    world.run("producer", &["poll"]).expect(0);
    world.run("processor", &["run", "--until-end"]).expect(0);
    world.jupiterone.fault(Fault::new(Route::Relationships, Effect::Slow(2_000)).first(1));
    let mut sink = world.spawn("sink", &["run"]);
    let (address, mut said) = (sink.admin(), String::new());
    sink.until("synchronize", |sink| {
        let (_, body) = get(&address, "/readyz").expect("an answer");
        said.push_str(&body);
        sink.has_logged("organization-1 is synced")
    });
    sink.terminate().expect(0);
    let graph = world.graph(0);
    let (entities, all) = (graph.entities.len(), graph.entities.len() + graph.relationships.len());
    let expected = format!("; {entities} of {all} objects are uploaded");
    assert!(said.contains(&expected), "{expected:?} is not in\n{said}");
}
