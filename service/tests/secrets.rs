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
    let bare = config("kafka.bootstrap_servers = \"b:9092\"\n[[organizations]]\nname = \"nimbus-labs\"");
    assert_eq!(
        bare.admin_keys(&nothing).unwrap_err().to_string(),
        "organizations.nimbus-labs.api_key: is missing; write { env = \"NAME\" } or { file = \"PATH\" }, or set \
         ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS_LABS__API_KEY"
    );
    assert_eq!(
        config("kafka.bootstrap_servers = \"b:9092\"").admin_keys(&nothing).unwrap_err().to_string(),
        "organizations: is missing; add [[organizations]], or set \
         ANTHROPIC_GRAPH__ORGANIZATIONS__NAME__API_KEY"
    );
}

#[test]
fn two_organizations_with_the_same_key_in_two_places_are_refused() {
    let environment = environment(&[("NIMBUS_ADMIN_KEY", "same"), ("STRATUS_ADMIN_KEY", "same\n")]);
    assert_eq!(
        config(BOTH).admin_keys(&environment).unwrap_err().to_string(),
        "organizations.stratus.api_key: is the same key as that of nimbus; each organization needs its own key"
    );
}

#[test]
fn a_key_with_something_else_around_it_is_refused() {
    let environment = environment(&[("NIMBUS_ADMIN_KEY", "KEY=a b"), ("STRATUS_ADMIN_KEY", "b")]);
    assert_eq!(
        config(BOTH).admin_keys(&environment).unwrap_err().to_string(),
        "organizations.nimbus.api_key: is not a valid key: it contains white space or other characters; enter only the \
         key"
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
        "{config:?} {:?} {:?} {:?}",
        config.admin_keys(&environment),
        SecretSource::Text("text-secret".into()),
        SecretOrText::Text("text-secret".to_owned()),
    );
    assert!(shown.contains("Env(NIMBUS_ADMIN_KEY)"), "{shown}");
    for secret in ["sk-ant", "j1-secret", "text-secret", "hunter2"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}

#[test]
fn a_key_in_the_place_of_its_variable_s_name_or_its_file_is_not_shown() {
    let no_variable = "env does not name an environment variable that is set; write the variable's name (A-Z, 0-9 and \
                       _), such as NIMBUS_ADMIN_KEY, and set that variable to the key";
    let no_file = "file does not name a file that can be read; write the file's path, such as /run/secrets/admin-key, \
                   and write the key into that file";
    for key in [
        "sk-ant-admin01-abcdefghijkl",
        "j1-secret-key-abcdefghijkl",
        "0123456789abcdef0123456789abcdef",
        "AKIAIOSFODNN7EXAMPL3",
        "hunter2",
    ] {
        let fields = [("env", no_variable), ("file", no_file)];
        for (field, expected) in fields {
            let text = format!(
                "kafka = {{ bootstrap_servers = \"b:9092\", properties = {{ \"sasl.password\" = {{ {field} = \"{key}\" }} }} }}\n\
                 [[organizations]]\nname = \"nimbus\"\napi_key = {{ {field} = \"{key}\" }}"
            );
            let variable =
                format!("ANTHROPIC_GRAPH__ORGANIZATIONS__NIMBUS__API_KEY__{}", field.to_uppercase());
            let variable = environment(&[(&variable, key)]);
            let bare = "kafka.bootstrap_servers = \"b:9092\"";
            for (text, folder, environment) in [
                (&*text, "/etc/graph", &BTreeMap::new()),
                (&*text, "", &BTreeMap::new()),
                (bare, "", &variable),
            ] {
                let config =
                    Config::from_toml(text, Path::new(folder), environment).expect("a configuration");
                let error = config.admin_keys(environment).unwrap_err();
                assert_eq!(error.to_string(), format!("organizations.nimbus.api_key: {expected}"));
                let mut shown = format!("{error:?} {config:?}");
                if let Err(error) = service::kafka::client_config(&config.kafka, environment) {
                    let error = anyhow::Error::from(error);
                    shown = format!("{shown} {error:?} {error:#}");
                }
                assert!(!shown.contains(key), "{shown}");
            }
        }
    }
}

#[test]
fn a_variable_and_a_file_that_can_be_no_key_are_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("empty.key"), "").unwrap();
    for (source, expected) in [
        (
            "env = \"NIMBUS_ADMIN_KEY\"",
            "the environment variable NIMBUS_ADMIN_KEY is not set; set it to the key",
        ),
        ("file = \"empty.key\"", "the key file %/empty.key is empty; write the key and nothing else into it"),
        (
            "file = \"secrets/absent.key\"",
            "cannot read the key file %/secrets/absent.key; check its path and permissions (No such file or directory \
             (os error 2))",
        ),
    ] {
        let text = format!(
            "kafka.bootstrap_servers = \"b:9092\"\n[[organizations]]\nname = \"nimbus\"\napi_key = {{ {source} }}"
        );
        let config = Config::from_toml(&text, folder.path(), &BTreeMap::new()).expect("a configuration");
        let expected = expected.replace('%', &folder.path().display().to_string());
        let error = config.admin_keys(&BTreeMap::new()).unwrap_err().to_string();
        assert_eq!(error, format!("organizations.nimbus.api_key: {expected}"));
    }
}
