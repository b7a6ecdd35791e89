//! What the configuration accepts and what it says of the rest: input → exact result.

mod mistakes;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;
use service::config::{Config, Credentials, Destination, GroupProtocol, PollingInterval, SecretOrText};

/// The configuration as the README shows it.
const WHOLE: &str = r#"

[kafka]
bootstrap_servers = "127.0.0.1:9092"
topic_prefix = "claude"
partitions = 3
replication_factor = 1
create_topics = false
group_protocol = "consumer"
properties = { "client.id" = "one", "socket.timeout.ms" = 5000, "broker.address.family" = "", "sasl.password" = { env = "PASSWORD" } }

[[organizations]]
name = "nimbus"
organization_id = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e"
account_name = "Nimbus Labs"
tag_account_name = true
description = "production"
polling_interval = "FOUR_HOURS"
api_key = { env = "NIMBUS_ADMIN_KEY" }
base_url = ""
anthropic_version = ""
requests_per_minute = 50
max_deleted_fraction = 0.5
max_deleted_count = 5
jupiterone = { integration_instance_id = "9c1f" }

[[organizations]]
name = "stratus-labs"
polling_interval = "DISABLED"
api_key = { file = "stratus.key" }
base_url = "http://127.0.0.1:8080/"
jupiterone = { account_id = "other", region = "eu", nhi_class = false }

[schema_registry]
url = "https://registry.example/apis/ccompat/v7/"
username = "graph"
password = { file = "registry.password" }

[jupiterone]
account_id = "acme"
api_key = { env = "JUPITERONE_API_KEY" }
full_sync_interval = "12h"
nhi_class = true

[retention]
raw = "7d"
deadletters = "unlimited"

[admin_listen]
producer = "0.0.0.0:9101"
sink = ""

[console]
listen = "[::1]:9204"
store = "console.sqlite"

[http]
root_certificate = "root.pem"
"#;

/// Enough for every service; `%` stands where a test adds lines to the organization.
const SMALL: &str = "kafka.bootstrap_servers = \"b:9092\"\n[[organizations]]\nname = \"nimbus\"\n%\n";

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    Config::from_toml(text, Path::new("/etc/graph"), &environment(variables))
        .map_err(|errors| errors.to_string())
}

/// The problems of a configuration, one per line.
fn refused(text: &str, variables: &[(&str, &str)]) -> String {
    parse(text, variables).expect_err("a configuration with a problem")
}

#[test]
fn a_schema_registry_is_a_url_and_one_way_to_prove_who_asks() {
    let with = |lines: &str| format!("{}\n[schema_registry]\n{lines}", organization(""));
    let url = "url = \"https://r\"\n";
    assert!(parse(&organization(""), &[]).expect("a configuration").schema_registry.is_none());
    let token = parse(&with(&format!("{url}token = {{ env = \"TOKEN\" }}")), &[]).expect("a configuration");
    assert!(matches!(token.schema_registry.expect("one").credentials, Credentials::Bearer(_)));
    let plain =
        parse(&with("url = \"http://registry:8081\"\nallow_http = true"), &[]).expect("a configuration");
    assert!(matches!(plain.schema_registry.expect("one").credentials, Credentials::None));
    let table = [
        ("url = \"http://registry:8081\"", "schema_registry.url: would send the key over plain http"),
        ("username = \"u\"\npassword = { env = \"P\" }", "schema_registry.url: is missing"),
        (&format!("{url}username = \"u\""), "schema_registry.password: is missing"),
        (&format!("{url}password = {{ env = \"P\" }}"), "schema_registry.username: is missing"),
        (
            &format!("{url}username = \"u\"\ntoken = {{ env = \"T\" }}"),
            "schema_registry.token: cannot be combined with username or password",
        ),
        (
            &format!("{url}password = \"secret\""),
            "schema_registry.password: a secret must not be in this file",
        ),
        (&format!("{url}user = \"u\""), "schema_registry.user: unknown key; did you mean username?"),
    ];
    for (lines, expected) in table {
        let message = refused(&with(lines), &[]);
        assert!(message.contains(expected), "{lines}: {message}");
    }
}

/// An organization of `SMALL` with these lines in it.
fn organization(lines: &str) -> String {
    SMALL.replace('%', lines)
}

#[test]
fn every_value_of_the_file_arrives() {
    let config = parse(WHOLE, &[]).expect("a configuration");
    assert_eq!(config.kafka.topic_prefix, "claude");
    assert_eq!((config.kafka.partitions, config.kafka.replication_factor), (3, 1));
    assert!(!config.kafka.create_topics);
    assert_eq!(config.kafka.group_protocol, GroupProtocol::Consumer);
    assert!(
        matches!(&config.kafka.properties["socket.timeout.ms"], SecretOrText::Text(text) if text == "5000")
    );
    assert!(
        !config.kafka.properties.contains_key("broker.address.family"),
        "empty means librdkafka's default"
    );
    assert!(matches!(config.kafka.properties["sasl.password"], SecretOrText::Secret(_)));
    assert_eq!(config.retention.raw_ms, Some(7 * 24 * 60 * 60 * 1000));
    assert_eq!(config.retention.deadletters_ms, None);
    assert_eq!(config.admin_listen.producer, Some("0.0.0.0:9101".parse().unwrap()));
    assert_eq!(config.admin_listen.processor, Some("127.0.0.1:9102".parse().unwrap()));
    assert_eq!(config.admin_listen.sink, None);
    assert_eq!(config.console.listen, "[::1]:9204".parse().unwrap());
    assert_eq!(config.console.store.as_deref(), Some(Path::new("/etc/graph/console.sqlite")));
    assert_eq!(config.http.root_certificate.as_deref(), Some(Path::new("/etc/graph/root.pem")));
    let registry = config.schema_registry.as_ref().expect("a registry");
    assert_eq!(registry.url.as_str(), "https://registry.example/apis/ccompat/v7");
    assert!(matches!(&registry.credentials, Credentials::Basic { username, .. } if username == "graph"));
    assert_eq!(config.jupiterone.full_sync_interval, Duration::from_hours(12));

    let [nimbus, stratus] = config.organizations.as_slice() else { panic!("two organizations") };
    assert_eq!(nimbus.account_name, "Nimbus Labs");
    assert!(nimbus.tag_account_name);
    assert_eq!(nimbus.description.as_deref(), Some("production"));
    assert_eq!(nimbus.polling_interval, PollingInterval::Every(Duration::from_hours(4)));
    assert_eq!(nimbus.base_url.as_str(), "https://api.anthropic.com");
    assert_eq!(nimbus.anthropic_version, "2023-06-01");
    assert_eq!((nimbus.requests_per_minute, nimbus.max_deleted_count), (50, 5));
    assert!((nimbus.max_deleted_fraction - 0.5).abs() < f64::EPSILON);
    assert_eq!(nimbus.jupiterone.destination, Destination::Instance("9c1f".to_owned()));
    assert_eq!(nimbus.jupiterone.account_id.as_deref(), Some("acme"));
    assert!(nimbus.jupiterone.nhi_class, "as the account has it");
    assert_eq!(nimbus.jupiterone.base_url.as_str(), "https://api.us.jupiterone.io");

    assert_eq!(stratus.account_name, "stratus-labs");
    assert_eq!(stratus.polling_interval, PollingInterval::Disabled);
    assert_eq!(stratus.base_url.as_str(), "http://127.0.0.1:8080");
    assert_eq!(stratus.jupiterone.account_id.as_deref(), Some("other"));
    assert!(!stratus.jupiterone.nhi_class, "of its own");
    assert_eq!(stratus.jupiterone.base_url.as_str(), "https://api.eu.jupiterone.io");
    assert_eq!(stratus.jupiterone.destination.scope("3f0b").as_deref(), Some("anthropic-graph:3f0b"));
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = parse(&organization(""), &[]).expect("a configuration");
    assert_eq!(config.kafka.topic_prefix, "anthropic");
    assert_eq!((config.kafka.partitions, config.kafka.replication_factor), (12, -1));
    assert!(config.kafka.create_topics);
    assert_eq!(config.kafka.group_protocol, GroupProtocol::Classic);
    assert_eq!(config.retention, schemas::topics::Retention::default());
    let [producer, processor, sink] =
        [9101, 9102, 9103].map(|port| Some(std::net::SocketAddr::from(([127, 0, 0, 1], port))));
    assert_eq!((config.console.listen, config.console.store), ("127.0.0.1:9104".parse().unwrap(), None));
    let listen = config.admin_listen;
    assert_eq!((listen.producer, listen.processor, listen.sink), (producer, processor, sink));
    let nimbus = &config.organizations[0];
    assert_eq!(nimbus.polling_interval, PollingInterval::Every(Duration::from_hours(1)));
    assert_eq!((nimbus.requests_per_minute, nimbus.max_deleted_count), (90, 20));
    assert!((nimbus.max_deleted_fraction - 0.3).abs() < f64::EPSILON);
    assert_eq!(config.jupiterone.full_sync_interval, Duration::from_hours(24));
    assert!(!config.jupiterone.nhi_class);
}

#[test]
fn an_interval_is_a_time_or_one_of_jupiterone_s_names() {
    let every = |seconds| PollingInterval::Every(Duration::from_secs(seconds));
    let table = [
        ("90s", every(90)),
        ("1h", every(3600)),
        ("1h 30m", every(5400)),
        ("2 days", every(172_800)),
        ("1w", every(604_800)),
        ("PT15M", every(900)),
        ("FIFTEEN_MINUTES", every(900)),
        ("THIRTY_MINUTES", every(1800)),
        ("ONE_HOUR", every(3600)),
        ("FOUR_HOURS", every(14_400)),
        ("EIGHT_HOURS", every(28_800)),
        ("TWELVE_HOURS", every(43_200)),
        ("ONE_DAY", every(86_400)),
        ("ONE_WEEK", every(604_800)),
        ("DISABLED", PollingInterval::Disabled),
        ("", every(3600)),
    ];
    for (text, expected) in table {
        let config = parse(&organization(&format!("polling_interval = \"{text}\"")), &[]).expect(text);
        assert_eq!(config.organizations[0].polling_interval, expected, "{text}");
    }
    for text in ["0s", "5 bananas", "-1h", "1 month", "100000d", "10", "one_hour", "500ms"] {
        assert_eq!(
            refused(&organization(&format!("polling_interval = \"{text}\"")), &[]),
            format!(
                "organizations.nimbus.polling_interval: \"{text}\" is not an interval; use a time of at least one second \
                 such as \"90s\", \"30m\", \"1h\" or \"1d\", or one of FIFTEEN_MINUTES, THIRTY_MINUTES, ONE_HOUR, \
                 FOUR_HOURS, EIGHT_HOURS, TWELVE_HOURS, ONE_DAY, ONE_WEEK, or \"DISABLED\""
            )
        );
    }
}

#[test]
fn the_environment_overrides_the_file_and_can_stand_alone() {
    let config = parse(
        WHOLE,
        &[
            ("ANTHROPIC_GRAPH__KAFKA__TOPIC_PREFIX", "other"),
            ("ANTHROPIC_GRAPH__KAFKA__PARTITIONS", "6"),
            ("ANTHROPIC_GRAPH__KAFKA__CREATE_TOPICS", "true"),
            ("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__CLIENT_ID", "two"),
            ("ANTHROPIC_GRAPH__KAFKA__PROPERTIES__SASL_USERNAME", "me"),
            ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__BASE_URL", "https://gateway.example"),
            ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__JUPITERONE__SCOPE", "mine"),
            ("ANTHROPIC_GRAPH__ORGANIZATIONS__STRATUS_LABS__POLLING_INTERVAL", "ONE_DAY"),
            ("ANTHROPIC_GRAPH__ORGANIZATIONS__STRATUS_LABS__BASE_URL", ""),
            ("ANTHROPIC_GRAPH__ORGANIZATIONS__UNUSED__API_KEY", ""),
            ("ANTHROPIC_GRAPH__ADMIN_LISTEN", "0.0.0.0:9000"),
            ("ANTHROPIC_GRAPH__JUPITERONE__BASE_URL", "https://j1.example"),
            ("UNRELATED", "x"),
        ],
    )
    .expect("a configuration");
    assert_eq!(config.kafka.topic_prefix, "other");
    assert_eq!(config.kafka.partitions, 6);
    assert!(config.kafka.create_topics);
    for (name, value) in [("client.id", "two"), ("sasl.username", "me")] {
        let property = config.kafka.properties[name].resolve(&BTreeMap::new()).unwrap();
        assert_eq!(property.expose_secret(), value);
    }
    let [nimbus, stratus] = config.organizations.as_slice() else { panic!("two organizations") };
    assert_eq!(nimbus.base_url.as_str(), "https://gateway.example");
    assert_eq!(nimbus.jupiterone.destination, Destination::Scope(Some("mine".to_owned())));
    assert_eq!(nimbus.jupiterone.base_url.as_str(), "https://j1.example");
    assert_eq!(stratus.polling_interval, PollingInterval::Every(Duration::from_hours(24)));
    assert_eq!(stratus.base_url.as_str(), "http://127.0.0.1:8080", "an empty variable changes nothing");
    assert_eq!(config.admin_listen.processor, Some("0.0.0.0:9000".parse().unwrap()));

    let alone = environment(&[
        ("ANTHROPIC_GRAPH__KAFKA__BOOTSTRAP_SERVERS", "kafka:9092"),
        ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS_LABS__API_KEY", "sk-ant-admin01-x\n"),
        ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS_LABS__TAG_ACCOUNT_NAME", "true"),
        ("ANTHROPIC_GRAPH__JUPITERONE__ACCOUNT_ID", "acme"),
        ("ANTHROPIC_GRAPH__JUPITERONE__API_KEY__ENV", "J1"),
        ("J1", "j1-key"),
    ]);
    let config = Config::load(None, &alone).expect("a configuration without a file");
    assert_eq!(config.organizations[0].name, "nimbus-labs");
    assert!(config.organizations[0].tag_account_name);
    assert_eq!(config.admin_keys(&alone).unwrap()["nimbus-labs"].expose_secret(), "sk-ant-admin01-x");
    assert_eq!(config.organizations[0].jupiterone.account_id.as_deref(), Some("acme"));
    let key = config.organizations[0].jupiterone.api_key.as_ref().expect("a key");
    assert_eq!(key.resolve(&alone).expect("the key").expose_secret(), "j1-key");
}

#[test]
fn an_empty_variable_leaves_what_the_file_says() {
    let expected = format!("{:?}", parse(WHOLE, &[]).expect("a configuration"));
    for key in [
        "ADMIN_LISTEN",
        "ADMIN_LISTEN__PRODUCER",
        "HTTP__ROOT_CERTIFICATE",
        "JUPITERONE__ACCOUNT_ID",
        "JUPITERONE__API_KEY",
        "JUPITERONE__API_KEY__FILE",
        "KAFKA__PARTITIONS",
        "KAFKA__PROPERTIES__CLIENT_ID",
        "KAFKA__PROPERTIES__SASL_PASSWORD",
        "KAFKA__PROPERTIES__SASL_PASSWORD__FILE",
        "ORGANIZATIONS__NIMBUS__API_KEY__FILE",
        "ORGANIZATIONS__NIMBUS__JUPITERONE__INTEGRATION_INSTANCE_ID",
        "ORGANIZATIONS__NIMBUS__JUPITERONE__SCOPE",
        "ORGANIZATIONS__NIMBUS__MAX_DELETED_COUNT",
        "ORGANIZATIONS__NIMBUS__ORGANIZATION_ID",
        "ORGANIZATIONS__STRATUS_LABS__POLLING_INTERVAL",
        "ORGANIZATIONS__ANOTHER__API_KEY",
        "RETENTION__RAW",
    ] {
        for empty in ["", " "] {
            let config = parse(WHOLE, &[(&format!("ANTHROPIC_GRAPH__{key}"), empty)]).expect(key);
            assert_eq!(format!("{config:?}"), expected, "{key}");
        }
    }
}

#[test]
fn an_empty_variable_does_not_take_the_place_of_a_key() {
    let environment = environment(&[
        ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__API_KEY", "a-key"),
        ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__API_KEY__ENV", ""),
        ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__API_KEY__FILE", ""),
    ]);
    let config = Config::from_toml(&organization(""), Path::new(""), &environment).expect("a configuration");
    assert_eq!(config.admin_keys(&environment).expect("a key")["nimbus"].expose_secret(), "a-key");
}

#[test]
fn no_admin_endpoint_is_written_none() {
    let none = [("ANTHROPIC_GRAPH__ADMIN_LISTEN", "none")];
    let of_environment = parse(WHOLE, &none).expect("a configuration").admin_listen;
    assert_eq!((of_environment.producer, of_environment.processor, of_environment.sink), (None, None, None));
    let of_file = parse(&WHOLE.replace("0.0.0.0:9101", "none"), &[]).expect("a configuration").admin_listen;
    assert_eq!((of_file.producer, of_file.sink), (None, None));
}
