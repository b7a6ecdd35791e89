//! What is wrong with a configuration, said exactly.

use std::collections::BTreeMap;
use std::fs;

use service::config::Config;

use crate::{organization, parse, refused};

#[test]
#[expect(clippy::too_many_lines, reason = "a row for each mistake")]
fn each_mistake_in_an_organization_is_said_exactly() {
    let table = [
        ("apikey = \"x\"", "apikey: unknown key; did you mean api_key?"),
        ("polling_intervall = \"1h\"", "polling_intervall: unknown key; did you mean polling_interval?"),
        (
            "api_key = \"sk-ant-admin01-x\"",
            "api_key: a secret must not be in this file; use { env = \"NAME\" } or { file = \"PATH\" }",
        ),
        ("api_key = { env = \"A\", file = \"b\" }", "api_key: has both env and file; keep one of them"),
        ("api_key = { path = \"b\" }", "api_key.path: unknown key; known here: env, file"),
        ("tag_account_name = \"yes\"", "tag_account_name: is a string; use true or false"),
        ("organization_id = \"a/coverage\"", "organization_id: must be an organization ID without slashes"),
        (
            "anthropic_version = \"2023 06 01\"",
            "anthropic_version: has characters that an HTTP header cannot contain; use ASCII letters, digits \
             and punctuation",
        ),
        (
            "anthropic_version = \"2023\\r\\nx-api-key: x\"",
            "anthropic_version: has characters that an HTTP header cannot contain; use ASCII letters, digits \
             and punctuation",
        ),
        (
            "jupiterone = { account_id = \"acmé\" }",
            "jupiterone.account_id: has characters that an HTTP header cannot contain; use ASCII letters, digits \
             and punctuation",
        ),
        ("account_name = 5", "account_name: is a number; use a string in quotes"),
        ("requests_per_minute = 0", "requests_per_minute: 0 is not allowed; use a number from 1 to 60000"),
        ("requests_per_minute = \"9\"", "requests_per_minute: is a string; use a number from 1 to 60000"),
        ("max_deleted_fraction = 1.5", "max_deleted_fraction: 1.5 is not allowed; use a number from 0 to 1"),
        ("base_url = \"api.anthropic.com\"", "base_url: must be a URL such as \"https://api.anthropic.com\""),
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
            "jupiterone.region: is not a region; use \"us\" or \"eu\", or a base_url",
        ),
        (
            "jupiterone = { scope = \"a\", integration_instance_id = \"b\" }",
            "jupiterone: has both integration_instance_id and scope; keep one of them",
        ),
        (
            "jupiterone = { region = \"eu\", base_url = \"https://j1\" }",
            "jupiterone.region: cannot be combined with base_url; keep one of them",
        ),
        (
            "jupiterone = { base_url = \"http://j1\" }",
            "jupiterone.base_url: would send the key over plain http to another machine; write https://, or set \
             allow_http = true",
        ),
        (
            "jupiterone = \"scope\"",
            "jupiterone: is a string; use a table of integration_instance_id, scope, account_id, api_key, region, \
             base_url, allow_http, nhi_class",
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
fn an_invalid_host_or_a_key_is_reported_without_its_value() {
    let table = [
        // No host: an internationalized name that is cut off.
        (
            "jupiterone = { region = \"xn--a\" }",
            "jupiterone.region: is not a region; use \"us\" or \"eu\", or a base_url",
        ),
        ("base_url = \"sk-ant-admin01-x\"", "base_url: must be a URL such as \"https://api.anthropic.com\""),
        (
            "polling_interval = \"sk-ant-admin01-x\"",
            "polling_interval: \"sk-ant-admin01-…\" is not an interval; use a time of at least one second such as \"90s\", \
             \"30m\", \"1h\" or \"1d\", or one of FIFTEEN_MINUTES, THIRTY_MINUTES, ONE_HOUR, FOUR_HOURS, EIGHT_HOURS, \
             TWELVE_HOURS, ONE_DAY, ONE_WEEK, or \"DISABLED\"",
        ),
    ];
    for (lines, expected) in table {
        assert_eq!(refused(&organization(lines), &[]), format!("organizations.nimbus.{expected}"), "{lines}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_mistake_elsewhere_is_said_exactly() {
    let kafka = |lines: &str| format!("[kafka]\nbootstrap_servers = \"b:9092\"\n{lines}");
    let table = [
        (
            String::new(),
            "kafka.bootstrap_servers: is missing; write the brokers' addresses, such as \"127.0.0.1:9092\"",
        ),
        (
            "[kafka]\nbootstrap_servers = \"http://127.0.0.1:9092\"\n".to_owned(),
            "kafka.bootstrap_servers: \"http://127.0.0.1:9092\" is a URL; write HOST:PORT, such as \"127.0.0.1:9092\"",
        ),
        (kafka("[jupiter]"), "jupiter: unknown key; did you mean jupiterone?"),
        (
            kafka("[zebra]"),
            "zebra: unknown key; known here: kafka, schema_registry, organizations, jupiterone, retention, admin_listen, \
             console, http",
        ),
        (kafka("partition = 3"), "kafka.partition: unknown key; did you mean partitions?"),
        (kafka("partitions = 0"), "kafka.partitions: 0 is not allowed; use a number from 1 to 10000"),
        (
            kafka("replication_factor = 0"),
            "kafka.replication_factor: 0 is not allowed; write -1 (the broker's default) or at least 1",
        ),
        (
            kafka("group_protocol = \"new\""),
            "kafka.group_protocol: is not a group protocol; write \"classic\" or \"consumer\"",
        ),
        (
            kafka("properties.\"group.protocol\" = \"consumer\""),
            "kafka.properties.group.protocol: is set elsewhere; write kafka.group_protocol",
        ),
        (
            kafka("group_protocol = \"consumer\"\nproperties.\"session.timeout.ms\" = 6000"),
            "kafka.properties.session.timeout.ms: is the brokers' setting with kafka.group_protocol = \"consumer\"; set \
             consumer.session.timeout.ms of the groups with kafka-configs.sh, and remove it",
        ),
        (
            kafka("topic_prefix = \"a b\""),
            "kafka.topic_prefix: is not a valid topic prefix; use at most 200 of the characters A-Z a-z 0-9 . _ -",
        ),
        (
            kafka("properties = { \"group.id\" = \"mine\" }"),
            "kafka.properties.group.id: is set by the services, and their guarantees depend on it; remove it",
        ),
        (
            kafka("properties.client.id = \"x\""),
            "kafka.properties.client: is a table; put the whole name in quotes, such as \"client.…\" = …",
        ),
        (
            kafka("[retention]\nraw = \"for ever\""),
            "retention.raw: \"for ever\" is not a retention time; use a time such as \"30d\" or \"12h\", or \"unlimited\"",
        ),
        (
            kafka("[admin_listen]\nsink = \"9103\""),
            "admin_listen.sink: \"9103\" is not an address; use one such as \"127.0.0.1:9101\", or \"none\" for no admin endpoint",
        ),
        (
            kafka("[console]\nlisten = \"0.0.0.0:9104\""),
            "console.listen: 0.0.0.0:9104 is not on loopback, so it needs console.auth, a proxy that \
             authenticates people; without one, use \"127.0.0.1:9104\", and reach it from another computer \
             through `ssh -L 9104:127.0.0.1:9104 HOST`",
        ),
        (
            kafka("[console]\nlisten = \"9104\""),
            "console.listen: \"9104\" is not an address; use one such as \"127.0.0.1:9104\"",
        ),
        (
            kafka(
                "[console.auth]\nheader = \"a\"\njwks_url = \"http://keys.example\"\nissuer = \"i\"\naudience = \"a\"",
            ),
            "console.auth.jwks_url: would read the proxy's keys over plain http from another machine; write https://",
        ),
        (
            kafka("[console.auth]\nheader = \"a\"\njwks_url = \"https://keys.example\"\naudience = \"a\""),
            "console.auth.issuer: is missing; write what the assertion's iss must be",
        ),
        (
            kafka(
                "[console.auth]\nheader = \"a\"\njwks_url = \"https://k.example\"\nissuer = \"i\"\naudience = \"a\"\n\
                 deciders = \"a\"",
            ),
            "console.auth.deciders: is not a list of strings; use one such as [\"security\", \"platform\"]",
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
            "organizations.Nimbus Labs.name: \"Nimbus Labs\" is not a valid name; use at most 63 of a-z, 0-9 and single hyphens \
             between them",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(refused(&text, &[]), expected, "{text}");
    }
}

/// An integration instance's ID.
const INSTANCE: &str = "3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e";

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
    let instance = |id: &str| format!("jupiterone = {{ integration_instance_id = \"{id}\" }}");
    let target = "organizations.two.jupiterone: is also the target of one, and each would delete the other's graph; \
                  give each its own target";
    let table = [
        (
            two("", "").replace("two", "one"),
            "organizations.one.name: is used twice; give each organization its own name",
        ),
        (
            two("organization_id = \"abc\"", "organization_id = \"abc\""),
            "organizations.two.organization_id: is also that of one; configure each organization once",
        ),
        (
            two(key, key),
            "organizations.two.api_key: is also that of one; each organization needs its own key",
        ),
        (two(scope, scope), target),
        (two("organization_id = \"abc\"", scope), target),
        (two(&instance(INSTANCE), &instance(&INSTANCE.to_uppercase())), target),
    ];
    for (text, expected) in table {
        assert_eq!(refused(&text, &[]), expected, "{text}");
    }
    let elsewhere = "jupiterone = { scope = \"anthropic-graph:abc\", account_id = \"other\" }";
    parse(&two(scope, elsewhere), &[]).expect("one scope in two accounts");
    parse(&two("", ""), &[]).expect("scopes of two organizations, whatever their ids");
}

#[test]
fn entries_with_invalid_names_are_distinguished() {
    let entry = |name: &str| format!("[[organizations]]\n{name}\napi_key = {{ env = \"KEY\" }}\n");
    let text = [entry("name = \"Nimbus Labs\""), entry("")].concat();
    let errors = refused(&format!("[kafka]\nbootstrap_servers = \"b:9092\"\n{text}"), &[]);
    let shared = "organizations[1].api_key: is also that of Nimbus Labs; each organization needs its own key";
    assert!(errors.lines().any(|line| line == shared), "{errors}");
    assert!(
        errors.starts_with("organizations.Nimbus Labs.name: \"Nimbus Labs\" is not a valid name; "),
        "{errors}"
    );
}

#[test]
fn no_configuration_at_all_says_how_to_give_one() {
    let nothing = BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]);
    assert_eq!(
        Config::load(None, &nothing).unwrap_err().to_string(),
        "no configuration: name a file with --config FILE, or set ANTHROPIC_GRAPH__KAFKA__BOOTSTRAP_SERVERS"
    );
    let config = Config::load_without_brokers(None, &nothing).expect("it asks no broker");
    assert_eq!(config.kafka.topic_prefix, "anthropic");
}

#[test]
fn each_problem_of_a_file_begins_with_the_file_and_one_of_a_variable_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.toml");
    fs::write(&path, "[kafka]\nbootstrap_servers = \"b:9092\"\ntopic_prefx = \"a\"\npartitions = 0\n")
        .unwrap();
    let environment = BTreeMap::from([("ANTHROPIC_GRAPH__KAFKA__PARTITIONS".to_owned(), "many".to_owned())]);
    let errors = Config::load(Some(&path), &environment).unwrap_err().to_string();
    let lines: Vec<&str> = errors.lines().collect();
    let file = format!("{}: kafka.topic_prefx: unknown key; did you mean topic_prefix?", path.display());
    assert_eq!(lines[0], file);
    assert!(lines[1].starts_with("kafka.partitions (ANTHROPIC_GRAPH__KAFKA__PARTITIONS): many "), "{errors}");
    fs::write(&path, "[kafka]\nbootstrap_servers = \"b:9092\"\n").unwrap();
    let config = Config::load(Some(&path), &BTreeMap::new()).expect("a configuration");
    let errors = config.admin_keys(&BTreeMap::new()).unwrap_err().to_string();
    assert!(errors.starts_with(&format!("{}: organizations: is missing; ", path.display())), "{errors}");
}

#[test]
fn all_problems_are_reported_together_one_per_line() {
    let text = "[kafka]\npartitions = -1\nfoo = 1\n[[organizations]]\nname = \"nimbus\"\npolling_interval = 5\n\
                [retention]\nchanges = \"x\"\n";
    let expected = "kafka.foo: unknown key; known here: bootstrap_servers, topic_prefix, partitions, \
                    replication_factor, create_topics, group_protocol, properties\n\
                    kafka.bootstrap_servers: is missing; write the brokers' addresses, such as \"127.0.0.1:9092\"\n\
                    kafka.partitions: -1 is not allowed; use a number from 1 to 10000\n\
                    organizations.nimbus.polling_interval: is a number; use a string in quotes\n\
                    retention.changes: \"x\" is not a retention time; use a time such as \"30d\" or \"12h\", or \"unlimited\"";
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
            "{shown}: the file does not exist; create it, choose another with --config, or set ANTHROPIC_GRAPH__… variables"
        )
    );
    fs::write(&path, "[kafka]\nbootstrap_servers = \"b:9092\"\napi_key = sk-ant-admin01-secret\n").unwrap();
    let message = load().unwrap_err();
    assert!(message.starts_with(&format!("{shown}:3: is not TOML: ")), "{message}");
    assert!(!message.contains("sk-ant"), "{message}");
}

#[test]
fn a_mistake_from_the_environment_names_its_variable() {
    let table = [
        (
            ("ANTHROPIC_GRAPH__KAFKA__PARTITIONS", "many"),
            "kafka.partitions (ANTHROPIC_GRAPH__KAFKA__PARTITIONS): many is not allowed; use a number from 1 to 10000",
        ),
        (
            ("ANTHROPIC_GRAPH__KAFKA__TOPIC_PREFFIX", "x"),
            "kafka.topic_preffix (ANTHROPIC_GRAPH__KAFKA__TOPIC_PREFFIX): unknown key; did you mean topic_prefix?",
        ),
        (
            ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__TAG_ACCOUNT_NAME", "yes"),
            "organizations.nimbus.tag_account_name (ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__TAG_ACCOUNT_NAME): is a \
             string; use true or false",
        ),
        (
            ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS", "x"),
            "ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS: does not name a key; use ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__KEY",
        ),
        (
            ("ANTHROPIC_GRAPH__ORGANIZATIONS", "x"),
            "ANTHROPIC_GRAPH__ORGANIZATIONS: does not name an organization; use ANTHROPIC_GRAPH__ORGANIZATIONS__NAME__KEY",
        ),
        (
            ("ANTHROPIC_GRAPH__KAFKA__", "x"),
            "ANTHROPIC_GRAPH__KAFKA__: does not name a key; use ANTHROPIC_GRAPH__SECTION__KEY",
        ),
    ];
    for (variable, expected) in table {
        assert_eq!(refused(&organization(""), &[variable]), expected);
    }
    // Each name is a table within the one before it: with enough of them, building the tables overflows the stack.
    let deep = format!("ANTHROPIC_GRAPH{}", "__A".repeat(100_000));
    assert_eq!(
        refused(&organization(""), &[(&deep, "x")]),
        format!("{deep}: does not name a key; use ANTHROPIC_GRAPH__SECTION__KEY")
    );
    let both = [
        ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__API_KEY", "a-key"),
        ("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__API_KEY__FILE", "/run/secrets/key"),
    ];
    assert_eq!(
        refused(&organization(""), &both),
        "organizations.nimbus.api_key (ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__API_KEY): \
         ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__API_KEY__FILE is set as well; set one of the two"
    );
    let both = [
        ("ANTHROPIC_GRAPH__JUPITERONE__BASE_URL", "https://j1.example"),
        ("ANTHROPIC_GRAPH__JUPITERONE__REGION", "eu"),
    ];
    assert_eq!(
        refused(&organization(""), &both),
        "jupiterone.region (ANTHROPIC_GRAPH__JUPITERONE__REGION): cannot be combined with base_url; keep one of them"
    );
}
