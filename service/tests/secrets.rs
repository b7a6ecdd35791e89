//! Each service resolves its own secrets and no others, and none is ever shown.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use secrecy::ExposeSecret;
use service::config::{Config, SecretOrText, SecretSource};

const BOTH: &str = r#"
kafka = { bootstrap_servers = "b:9092", properties = { "sasl.password" = "hunter2" } }
[[organizations]]
name = "nimbus"
api_key = { env = "NIMBUS_ADMIN_KEY" }
[[organizations]]
name = "stratus"
api_key = { env = "STRATUS_ADMIN_KEY" }
[jupiterone]
account_id = "acme"
api_key = { env = "JUPITERONE_API_KEY" }
"#;

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn config(text: &str) -> Config {
    Config::from_toml(text, Path::new(""), &BTreeMap::new()).expect("a configuration")
}

#[test]
fn the_producer_needs_no_jupiterone_key() {
    let environment = environment(&[("NIMBUS_ADMIN_KEY", "a"), ("STRATUS_ADMIN_KEY", " b\n")]);
    let keys = config(BOTH).admin_keys(&environment).expect("two keys");
    assert_eq!(keys["nimbus"].expose_secret(), "a");
    assert_eq!(keys["stratus"].expose_secret(), "b");
}

#[test]
fn the_sink_needs_no_admin_key() {
    let environment = environment(&[("JUPITERONE_API_KEY", "j1")]);
    let access = config(BOTH).jupiterone_access(&environment).expect("access");
    assert_eq!(access.len(), 2);
    assert_eq!(access["nimbus"].api_key.expose_secret(), "j1");
}

#[test]
fn the_processor_needs_neither_key_nor_organization() {
    config(BOTH);
    config("kafka.bootstrap_servers = \"b:9092\"");
}

#[test]
fn what_a_service_lacks_is_reported_together() {
    let nothing = BTreeMap::new();
    assert_eq!(
        config(BOTH).admin_keys(&nothing).unwrap_err().to_string(),
        "organizations.nimbus.api_key: the environment variable NIMBUS_ADMIN_KEY is not set; set it to the key\n\
         organizations.stratus.api_key: the environment variable STRATUS_ADMIN_KEY is not set; set it to the key"
    );
    assert_eq!(
        config(BOTH).jupiterone_access(&nothing).unwrap_err().to_string(),
        "jupiterone.api_key: the environment variable JUPITERONE_API_KEY is not set; set it to the key"
    );
    let bare = config("kafka.bootstrap_servers = \"b:9092\"\n[[organizations]]\nname = \"nimbus-labs\"");
    assert_eq!(
        bare.admin_keys(&nothing).unwrap_err().to_string(),
        "organizations.nimbus-labs.api_key: is missing; write { env = \"NAME\" } or { file = \"PATH\" }, or set \
         ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS_LABS__API_KEY"
    );
    assert_eq!(
        bare.jupiterone_access(&nothing).unwrap_err().to_string(),
        "jupiterone.account_id: is missing; write the JupiterOne account's id\n\
         jupiterone.api_key: is missing; write { env = \"NAME\" } or { file = \"PATH\" }, or set \
         ANTHROPIC_GRAPH__JUPITERONE__API_KEY"
    );
    assert_eq!(
        config("kafka.bootstrap_servers = \"b:9092\"").admin_keys(&nothing).unwrap_err().to_string(),
        "organizations: there is none; begin one with [[organizations]], or set \
         ANTHROPIC_GRAPH__ORGANIZATIONS__NAME__API_KEY"
    );
}

#[test]
fn two_organizations_with_the_same_key_in_two_places_are_refused() {
    let environment = environment(&[("NIMBUS_ADMIN_KEY", "same"), ("STRATUS_ADMIN_KEY", "same\n")]);
    assert_eq!(
        config(BOTH).admin_keys(&environment).unwrap_err().to_string(),
        "organizations.stratus.api_key: is the same key as that of nimbus; one key is one organization's"
    );
}

#[test]
fn a_key_with_something_else_around_it_is_refused() {
    let environment = environment(&[("NIMBUS_ADMIN_KEY", "KEY=a b"), ("STRATUS_ADMIN_KEY", "b")]);
    assert_eq!(
        config(BOTH).admin_keys(&environment).unwrap_err().to_string(),
        "organizations.nimbus.api_key: is no key, for it has white space or other signs within; give the key and \
         nothing else"
    );
}

#[test]
fn a_key_file_is_trimmed_and_read_again_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let source = SecretSource::File(path.clone());
    let resolve = || source.resolve(&BTreeMap::new()).map(|key| key.expose_secret().to_owned());
    let refused = |expected: &str| {
        let message = resolve().unwrap_err().to_string();
        assert_eq!(message, expected.replace('%', &path.display().to_string()));
    };
    refused("cannot read the key file %; check its path and permissions");
    fs::write(&path, "first\n").unwrap();
    assert_eq!(resolve().unwrap(), "first");
    fs::write(&path, " second\r\n\n").unwrap();
    assert_eq!(resolve().unwrap(), "second");
    fs::write(&path, " \n").unwrap();
    refused("the key file % is empty; write the key and nothing else into it");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    refused("the key file % is not UTF-8; write the key and nothing else into it");
    fs::write(&path, "x".repeat(65 * 1024)).unwrap();
    refused("the key file % is larger than 64 KiB; write the key and nothing else into it");
}

#[test]
fn debug_shows_where_a_secret_is_and_never_what_it_is() {
    let environment = environment(&[
        ("NIMBUS_ADMIN_KEY", "sk-ant-admin01-a"),
        ("STRATUS_ADMIN_KEY", "sk-ant-admin01-b"),
        ("JUPITERONE_API_KEY", "j1-secret"),
    ]);
    let config = config(BOTH);
    let shown = format!(
        "{config:?} {:?} {:?} {:?} {:?}",
        config.admin_keys(&environment),
        config.jupiterone_access(&environment),
        SecretSource::Text("text-secret".into()),
        SecretOrText::Text("text-secret".to_owned()),
    );
    assert!(shown.contains("Env(NIMBUS_ADMIN_KEY)"), "{shown}");
    for secret in ["sk-ant", "j1-secret", "text-secret", "hunter2"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}
