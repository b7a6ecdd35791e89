//! OAUTHBEARER: tokens of an authorization server, which the broker holds to its keys.

use std::time::{Duration, Instant};

use simulator::anthropic::{ROUND, Settings};
use tests::broker::secured::SecuredBroker;
use tests::certificates::Authority;
use tests::comparison::agree;
use tests::kafka;
use tests::services::Service;
use tests::services::binaries::SERVICES;
use tests::tokens::{CLIENT_ID, CLIENT_SECRET, TokenServer};
use tests::world::World;

use crate::{everything_works, reach};

/// How long the broker may take to come up.
const BOUND: Duration = Duration::from_mins(3);
/// How long a token is good for: short, so that a test sees several, and longer than a client on a busy machine takes
/// from its first token to its last request.
const LIFE: Duration = Duration::from_secs(15);

#[test]
fn tokens_are_renewed_for_every_client_and_their_refusal_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("authority").expect("an authority");
    let tokens = TokenServer::start(LIFE);
    let broker =
        SecuredBroker::start(&folder.path().join("broker"), &authority, &tokens).expect("a broker starts");
    kafka::until_it_answers(broker.address(), BOUND);
    let properties = |secret: &str| {
        let secret_file = folder.path().join(secret);
        std::fs::write(&secret_file, secret).expect("a file");
        format!(
            "\"security.protocol\" = \"SASL_SSL\", \"ssl.ca.location\" = \"{}\", \
             \"sasl.mechanism\" = \"OAUTHBEARER\", \"sasl.oauthbearer.method\" = \"oidc\", \
             \"sasl.oauthbearer.token.endpoint.url\" = \"{}\", \"sasl.oauthbearer.client.id\" = \"{CLIENT_ID}\", \
             \"sasl.oauthbearer.client.secret\" = {{ file = \"{}\" }}, \"sasl.oauthbearer.scope\" = \"kafka\"",
            broker.authority().display(),
            tokens.token_url(),
            secret_file.display(),
        )
    };
    let mut world = World::on(broker.address().to_owned(), vec![Settings::default()]);
    reach(&mut world, broker.login_address(), &properties("not-the-secret"));
    let refused = world.run("processor", &["check"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stdout.contains("OAUTHBEARER token"), "{}", refused.stdout);
    assert!(!refused.stdout.contains("not-the-secret") && !refused.stderr.contains("not-the-secret"));

    reach(&mut world, broker.login_address(), &properties(CLIENT_SECRET));
    everything_works(&world);

    // Three lives of a token, through which the producer polls every second; then a change still comes through.
    let mut services = SERVICES.map(|service| world.spawn(service, &["run"]));
    services.iter_mut().for_each(Service::ready);
    let (since, asked) = (Instant::now(), tokens.asked());
    services[0].until("outlive its tokens", |_| since.elapsed() > 3 * LIFE);
    assert!(tokens.asked() > asked + SERVICES.len(), "{} tokens, {asked} of them at first", tokens.asked());
    services.iter_mut().for_each(Service::ready);
    let jobs = world.graph(0);
    world.anthropic[0].live(ROUND);
    services[2].until("upload the change", |_| world.graph(0) != jobs);
    for service in services {
        service.terminate().expect(0);
    }
    world.round();
    world.bootstrap_servers = broker.address().to_owned();
    agree(&world, 0);

    world.bootstrap_servers = broker.login_address();
    let mut producer = world.spawn("producer", &["run"]);
    producer.ready();
    tokens.refuse();
    let said = producer.unready_for("Kafka rejects the credentials");
    assert!(said.contains("OAUTHBEARER"), "{said}");
}
