//! What the configuration accepts and what it says of the rest: input → exact result.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;
use service::config::{Config, Destination, PollingInterval, SecretOrText};

/// The configuration as the README shows it.
const WHOLE: &str = r#"

[kafka]
bootstrap_servers = "127.0.0.1:9092"
topic_prefix = "claude"
partitions = 3
replication_factor = 1
create_topics = false
properties = { "client.id" = "one", "socket.timeout.ms" = 5000, "client.rack" = "", "sasl.password" = { env = "PASSWORD" } }

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
jupiterone = { account_id = "other", region = "eu" }

[jupiterone]
account_id = "acme"
api_key = { env = "JUPITERONE_API_KEY" }
full_sync_interval = "12h"

[retention]
raw = "7d"
deadletters = "unlimited"

[admin_listen]
producer = "0.0.0.0:9101"
sink = ""

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
    assert!(
        matches!(&config.kafka.properties["socket.timeout.ms"], SecretOrText::Text(text) if text == "5000")
    );
    assert!(!config.kafka.properties.contains_key("client.rack"), "empty means librdkafka's default");
    assert!(matches!(config.kafka.properties["sasl.password"], SecretOrText::Secret(_)));
    assert_eq!(config.retention.raw_ms, Some(7 * 24 * 60 * 60 * 1000));
    assert_eq!(config.retention.deadletters_ms, None);
    assert_eq!(config.admin_listen.producer, Some("0.0.0.0:9101".parse().unwrap()));
    assert_eq!(config.admin_listen.processor, Some("127.0.0.1:9102".parse().unwrap()));
    assert_eq!(config.admin_listen.sink, None);
    assert_eq!(config.http.root_certificate.as_deref(), Some(Path::new("/etc/graph/root.pem")));
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
    assert_eq!(nimbus.jupiterone.base_url.as_str(), "https://api.us.jupiterone.io");

    assert_eq!(stratus.account_name, "stratus-labs");
    assert_eq!(stratus.polling_interval, PollingInterval::Disabled);
    assert_eq!(stratus.base_url.as_str(), "http://127.0.0.1:8080");
    assert_eq!(stratus.jupiterone.account_id.as_deref(), Some("other"));
    assert_eq!(stratus.jupiterone.base_url.as_str(), "https://api.eu.jupiterone.io");
    assert_eq!(stratus.jupiterone.destination.scope("3f0b").as_deref(), Some("anthropic-graph:3f0b"));
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = parse(&organization(""), &[]).expect("a configuration");
    assert_eq!(config.kafka.topic_prefix, "anthropic");
    assert_eq!((config.kafka.partitions, config.kafka.replication_factor), (12, -1));
    assert!(config.kafka.create_topics);
    assert_eq!(config.retention, schemas::topics::Retention::default());
    let [producer, processor, sink] =
        [9101, 9102, 9103].map(|port| Some(std::net::SocketAddr::from(([127, 0, 0, 1], port))));
    let listen = config.admin_listen;
    assert_eq!((listen.producer, listen.processor, listen.sink), (producer, processor, sink));
    let nimbus = &config.organizations[0];
    assert_eq!(nimbus.polling_interval, PollingInterval::Every(Duration::from_hours(1)));
    assert_eq!((nimbus.requests_per_minute, nimbus.max_deleted_count), (90, 20));
    assert!((nimbus.max_deleted_fraction - 0.3).abs() < f64::EPSILON);
    assert_eq!(config.jupiterone.full_sync_interval, Duration::from_hours(24));
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
                "organizations.nimbus.polling_interval: \"{text}\" is no interval; write a time of at least one second \
                 such as \"90s\", \"30m\", \"1h\" or \"1d\", or one of FIFTEEN_MINUTES, THIRTY_MINUTES, ONE_HOUR, \
                 FOUR_HOURS, EIGHT_HOURS, TWELVE_HOURS, ONE_DAY, ONE_WEEK, or \"DISABLED\""
            )
        );
    }
}

#[test]
fn each_mistake_in_an_organization_is_said_exactly() {
    let table = [
        ("apikey = \"x\"", "apikey: unknown key; did you mean api_key?"),
        ("polling_intervall = \"1h\"", "polling_intervall: unknown key; did you mean polling_interval?"),
        (
            "api_key = \"sk-ant-admin01-x\"",
            "api_key: a secret does not belong into this file; write { env = \"NAME\" } or { file = \"PATH\" }",
        ),
        ("api_key = { env = \"A\", file = \"b\" }", "api_key: has both env and file; keep one of them"),
        ("api_key = { path = \"b\" }", "api_key.path: unknown key; known here: env, file"),
        ("tag_account_name = \"yes\"", "tag_account_name: is a text; write true or false"),
        ("account_name = 5", "account_name: is a number; write a text in quotes"),
        ("requests_per_minute = 0", "requests_per_minute: 0 is not allowed; write a number from 1 to 60000"),
        ("requests_per_minute = \"9\"", "requests_per_minute: is a text; write a number from 1 to 60000"),
        (
            "max_deleted_fraction = 1.5",
            "max_deleted_fraction: 1.5 is not allowed; write a number from 0 to 1",
        ),
        (
            "base_url = \"api.anthropic.com\"",
            "base_url: is no URL; write one such as \"https://api.anthropic.com\"",
        ),
        (
            "base_url = \"https://api.anthropic.com/v1/\"",
            "base_url: has the API's version in it; write \"https://api.anthropic.com\"",
        ),
        (
            "base_url = \"http://gateway:8080\"",
            "base_url: would send the key over plain http to another machine; write https://, or set allow_http = true",
        ),
        (
            "jupiterone = { region = \"a.b\" }",
            "jupiterone.region: is no region; write \"us\" or \"eu\", or a base_url",
        ),
        (
            "jupiterone = { scope = \"a\", integration_instance_id = \"b\" }",
            "jupiterone: has both integration_instance_id and scope; keep one of them",
        ),
        (
            "jupiterone = { region = \"eu\", base_url = \"https://j1\" }",
            "jupiterone.region: stands beside base_url; keep one of them",
        ),
        (
            "jupiterone = { base_url = \"http://j1\" }",
            "jupiterone.base_url: would send the key over plain http to another machine; write https://, or set \
             allow_http = true",
        ),
        (
            "jupiterone = \"scope\"",
            "jupiterone: is a text; write a table of integration_instance_id, scope, account_id, api_key, region, \
             base_url, allow_http",
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(refused(&organization(lines), &[]), format!("organizations.nimbus.{expected}"), "{lines}");
    }
    for lines in [
        "allow_http = true\nbase_url = \"http://gateway:8080\"",
        "jupiterone = { allow_http = true, base_url = \"http://j1\" }",
    ] {
        parse(&organization(lines), &[]).expect(lines);
    }
}

#[test]
fn each_mistake_elsewhere_is_said_exactly() {
    let kafka = |lines: &str| format!("[kafka]\nbootstrap_servers = \"b:9092\"\n{lines}");
    let table = [
        (
            String::new(),
            "kafka.bootstrap_servers: is missing; write the brokers' addresses, such as \"127.0.0.1:9092\"",
        ),
        (kafka("[jupiter]"), "jupiter: unknown key; did you mean jupiterone?"),
        (
            kafka("[zebra]"),
            "zebra: unknown key; known here: kafka, organizations, jupiterone, retention, admin_listen, \
             http",
        ),
        (kafka("partition = 3"), "kafka.partition: unknown key; did you mean partitions?"),
        (kafka("partitions = 0"), "kafka.partitions: 0 is not allowed; write a number from 1 to 10000"),
        (
            kafka("replication_factor = 0"),
            "kafka.replication_factor: 0 is not allowed; write -1 (the broker's default) or at least 1",
        ),
        (
            kafka("topic_prefix = \"a b\""),
            "kafka.topic_prefix: is no beginning of a topic's name; write at most 200 of the characters A-Z a-z 0-9 . _ -",
        ),
        (
            kafka("properties = { \"group.id\" = \"mine\" }"),
            "kafka.properties.group.id: is set by the services, which promise what depends on it; remove it",
        ),
        (
            kafka("properties.client.id = \"x\""),
            "kafka.properties.client: is a table; put the whole name in quotes, such as \"client.…\" = …",
        ),
        (
            kafka("[retention]\nraw = \"for ever\""),
            "retention.raw: \"for ever\" is no retention time; write a time such as \"30d\" or \"12h\", or \"unlimited\"",
        ),
        (
            kafka("[admin_listen]\nsink = \"9103\""),
            "admin_listen.sink: \"9103\" is no address; write one such as \"127.0.0.1:9101\", or \"\" for no admin endpoint",
        ),
        (
            kafka("[organizations]\nname = \"x\""),
            "organizations: is a table; begin each organization with [[organizations]]",
        ),
        (
            kafka("[[organizations]]\naccount_name = \"x\""),
            "organizations[0].name: is missing; write a short name of a-z, 0-9 and -, such as \"nimbus\"",
        ),
        (
            kafka("[[organizations]]\nname = \"Nimbus Labs\""),
            "organizations.Nimbus Labs.name: \"Nimbus Labs\" is no name; write at most 63 of a-z, 0-9 and single - \
             between them",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(refused(&text, &[]), expected, "{text}");
    }
}

#[test]
fn two_organizations_share_no_name_id_key_or_target() {
    let two = |one: &str, two: &str| {
        format!(
            "kafka.bootstrap_servers = \"b:9092\"\n[[organizations]]\nname = \"one\"\n{one}\n\
             [[organizations]]\nname = \"two\"\n{two}\n"
        )
    };
    let key = "api_key = { env = \"KEY\" }";
    let scope = "jupiterone = { scope = \"anthropic-graph:abc\" }";
    let target = "organizations.two.jupiterone: is the target of one too, and each would delete the other's graph; \
                  give each a target of its own";
    let table = [
        (
            two("", "").replace("two", "one"),
            "organizations.one.name: is there twice; give each organization a name of its own",
        ),
        (
            two("organization_id = \"abc\"", "organization_id = \"abc\""),
            "organizations.two.organization_id: is that of one too; one organization is configured once",
        ),
        (two(key, key), "organizations.two.api_key: is that of one too; one key is one organization's"),
        (two(scope, scope), target),
        (two("organization_id = \"abc\"", scope), target),
    ];
    for (text, expected) in table {
        assert_eq!(refused(&text, &[]), expected, "{text}");
    }
    let elsewhere = "jupiterone = { scope = \"anthropic-graph:abc\", account_id = \"other\" }";
    parse(&two(scope, elsewhere), &[]).expect("one scope in two accounts");
    parse(&two("", ""), &[]).expect("scopes of two organizations, whatever their ids");
}

#[test]
fn all_problems_are_reported_together_one_per_line() {
    let text = "[kafka]\npartitions = -1\nfoo = 1\n[[organizations]]\nname = \"nimbus\"\npolling_interval = 5\n\
                [retention]\nchanges = \"x\"\n";
    let expected = "kafka.foo: unknown key; known here: bootstrap_servers, topic_prefix, partitions, \
                    replication_factor, create_topics, properties\n\
                    kafka.bootstrap_servers: is missing; write the brokers' addresses, such as \"127.0.0.1:9092\"\n\
                    kafka.partitions: -1 is not allowed; write a number from 1 to 10000\n\
                    organizations.nimbus.polling_interval: is a number; write a text in quotes\n\
                    retention.changes: \"x\" is no retention time; write a time such as \"30d\" or \"12h\", or \"unlimited\"";
    assert_eq!(refused(text, &[]), expected);
}

#[test]
fn a_file_that_is_missing_or_no_toml_says_so_without_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.toml");
    let load = || Config::load(Some(&path), &BTreeMap::new()).map_err(|errors| errors.to_string());
    let shown = path.display().to_string();
    assert_eq!(
        load().unwrap_err(),
        format!(
            "{shown}: there is no such file; write one, give another with --config, or set ANTHROPIC_GRAPH__… variables"
        )
    );
    fs::write(&path, "[kafka]\nbootstrap_servers = \"b:9092\"\napi_key = sk-ant-admin01-secret\n").unwrap();
    let message = load().unwrap_err();
    assert!(message.starts_with(&format!("{shown}:3: is not TOML: ")), "{message}");
    assert!(!message.contains("sk-ant"), "{message}");
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
    assert_eq!(stratus.base_url.as_str(), "https://api.anthropic.com");
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
    let access = &config.jupiterone_access(&alone).unwrap()["nimbus-labs"];
    assert_eq!((access.account_id.as_str(), access.api_key.expose_secret()), ("acme", "j1-key"));
}

#[test]
fn a_mistake_from_the_environment_names_its_variable() {
    let table = [
        (
            ("ANTHROPIC_GRAPH__KAFKA__PARTITIONS", "many"),
            "kafka.partitions (ANTHROPIC_GRAPH__KAFKA__PARTITIONS): many is not allowed; write a number from 1 to 10000",
        ),
        (
            ("ANTHROPIC_GRAPH__KAFKA__TOPIC_PREFFIX", "x"),
            "kafka.topic_preffix (ANTHROPIC_GRAPH__KAFKA__TOPIC_PREFFIX): unknown key; did you mean topic_prefix?",
        ),
        (
            ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__TAG_ACCOUNT_NAME", "yes"),
            "organizations.nimbus.tag_account_name (ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__TAG_ACCOUNT_NAME): is a \
             text; write true or false",
        ),
        (
            ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS", "x"),
            "ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS: names no key; write ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__KEY",
        ),
        (
            ("ANTHROPIC_GRAPH__ORGANIZATIONS", "x"),
            "ANTHROPIC_GRAPH__ORGANIZATIONS: names no organization; write ANTHROPIC_GRAPH__ORGANIZATIONS__NAME__KEY",
        ),
        (
            ("ANTHROPIC_GRAPH__KAFKA__", "x"),
            "ANTHROPIC_GRAPH__KAFKA__: names no key; write ANTHROPIC_GRAPH__SECTION__KEY",
        ),
    ];
    for (variable, expected) in table {
        assert_eq!(refused(&organization(""), &[variable]), expected);
    }
    let both = [
        ("ANTHROPIC_GRAPH__JUPITERONE__BASE_URL", "https://j1.example"),
        ("ANTHROPIC_GRAPH__JUPITERONE__REGION", "eu"),
    ];
    assert_eq!(
        refused(&organization(""), &both),
        "jupiterone.region (ANTHROPIC_GRAPH__JUPITERONE__REGION): stands beside base_url; keep one of them"
    );
}
