//! TLS, with and without a certificate of the client's, and passwords behind it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use simulator::anthropic::Settings;
use tests::broker::secured::{PASSWORD, SecuredBroker, USER};
use tests::certificates::Authority;
use tests::comparison::agree;
use tests::kafka;
use tests::tokens::TokenServer;
use tests::world::World;

use crate::{everything_works, reach};

/// How long the broker may take to come up.
const BOUND: Duration = Duration::from_mins(3);
const WRONG_PASSWORD: &str = "scram-Pw-of-nobody";

/// A way to reach the broker.
struct Way {
    name: &'static str,
    address: String,
    properties: String,
    /// Properties that lead nowhere, and what is said of it.
    wrong: Vec<(String, &'static str)>,
}

#[test]
fn each_way_to_log_in_over_tls_does_for_everything_and_a_wrong_one_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("authority").expect("an authority");
    let tokens = TokenServer::start(Duration::from_mins(1));
    let broker =
        SecuredBroker::start(&folder.path().join("broker"), &authority, &tokens).expect("a broker starts");
    kafka::until_it_answers(broker.address(), BOUND);
    for Way { name, address, properties, wrong } in ways(&broker, &authority, folder.path()) {
        eprintln!("{name}");
        let mut world = World::on(broker.address().to_owned(), vec![Settings::default()]);
        for (properties, said) in wrong {
            reach(&mut world, address.clone(), &properties);
            let refused = world.run("processor", &["check"]);
            assert_eq!(refused.code, Some(1), "{name}: {}{}", refused.stdout, refused.stderr);
            assert!(refused.stdout.contains(said), "{name}, {properties}: {}", refused.stdout);
            let shown = [refused.stdout, refused.stderr].join("\n");
            assert!(!shown.contains(WRONG_PASSWORD), "{name}: {shown}");
        }
        reach(&mut world, address, &properties);
        everything_works(&world);
        world.bootstrap_servers = broker.address().to_owned();
        agree(&world, 0);
    }
}

fn ways(broker: &SecuredBroker, authority: &Authority, folder: &Path) -> Vec<Way> {
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::write(&file, text).expect("a file");
        file.display().to_string()
    };
    let stranger = Authority::new("stranger").expect("an authority");
    let identity = |authority: &Authority, name: &str| {
        let identity = authority.identity("graph").expect("a certificate");
        let certificate = write(&format!("{name}.pem"), &identity.certificate);
        (certificate, write(&format!("{name}.key"), &identity.key))
    };
    let trusting = |authority: &str| format!("\"ssl.ca.location\" = \"{authority}\"");
    let trusted = trusting(&broker.authority().display().to_string());
    let tls = format!("\"security.protocol\" = \"SSL\", {trusted}");
    let unknown = trusting(&write("stranger.pem", &stranger.certificate()));
    let mutual = |(certificate, key): (String, String)| {
        format!("{tls}, \"ssl.certificate.location\" = \"{certificate}\", \"ssl.key.location\" = \"{key}\"")
    };
    let login = |mechanism: &str, password: &str| {
        let password = write(password, password);
        format!(
            "\"security.protocol\" = \"SASL_SSL\", {trusted}, \"sasl.mechanism\" = \"{mechanism}\", \
             \"sasl.username\" = \"{USER}\", \"sasl.password\" = {{ file = \"{password}\" }}"
        )
    };
    let by_password = |mechanism| Way {
        name: mechanism,
        address: broker.login_address(),
        properties: login(mechanism, PASSWORD),
        wrong: vec![(login(mechanism, WRONG_PASSWORD), "uthentication")],
    };
    let encrypted = Way {
        name: "TLS",
        address: broker.tls_address(),
        properties: tls.clone(),
        wrong: vec![
            (format!("\"security.protocol\" = \"SSL\", {unknown}"), "certificate verify failed"),
            ("\"security.protocol\" = \"SSL\"".to_owned(), "certificate verify failed"),
            ("\"security.protocol\" = \"PLAINTEXT\"".to_owned(), "no broker answered"),
        ],
    };
    let by_certificate = Way {
        name: "mutual TLS",
        address: broker.mutual_address(),
        properties: mutual(identity(authority, "client")),
        wrong: vec![(tls.clone(), "certificate"), (mutual(identity(&stranger, "foreign")), "certificate")],
    };
    vec![encrypted, by_certificate, by_password("SCRAM-SHA-512"), by_password("PLAIN")]
}
