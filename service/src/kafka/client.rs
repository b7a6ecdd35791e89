//! What all Kafka clients of a process share: configuration and log.

use std::collections::BTreeMap;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaConfRes;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use tracing::{debug, error, info, trace, warn};

use crate::config::{self, SecretError, SecretOrText, SecretSource};
use crate::redaction::remember;

/// Set where the user does not say otherwise, for all clients.
const DEFAULTS: [(&str, &str); 6] = [
    ("client.id", "anthropic-graph"),
    // Brokers close idle connections, and an idle service has many: no news.
    ("log.connection.close", "false"),
    // Of pauses before a broker that went away is tried again (ms). librdkafka asks who the transaction coordinator is
    // only when such a try has failed: its own ten seconds would be added to every election.
    (LONGEST_RECONNECT_PAUSE, "1000"),
    // A broker whose machine is gone refuses nothing: how long a connection to it is tried (ms), instead of 30 s.
    ("socket.connection.setup.timeout.ms", "10000"),
    // A broker behind a load balancer drops silent connections without a word.
    ("socket.keepalive.enable", "true"),
    // One request that a broker leaves unanswered (ms): librdkafka's own minute would stall a poll or a task for it.
    ("socket.timeout.ms", "10000"),
];

/// librdkafka makes no client where the first pause is longer than the longest, and the longest is one of [`DEFAULTS`].
const FIRST_RECONNECT_PAUSE: &str = "reconnect.backoff.ms";
const LONGEST_RECONNECT_PAUSE: &str = "reconnect.backoff.max.ms";

/// The property that bounds a record: a service's producer sends none that is larger.
const MESSAGE_BYTES: &str = "message.max.bytes";
/// Its least value, which is librdkafka's default (bytes). The bounds of elements and dead letters are made for it, and
/// a topic must take records of this size.
pub(super) const LEAST_MESSAGE_BYTES: i64 = 1_000_000;

/// In the names of properties whose values are secrets, wherever they are.
const SECRET: [&str; 4] = ["password", "secret", "key.pem", "jaas"];

/// Begins an entry that is no property of librdkafka's: it names the file that a property's secret is in.
const FILE: &str = "anthropic-graph.file.";

/// Why the configuration of the Kafka clients is refused: all are for a person to mend.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The property is the services' own.
    #[error("kafka.properties.\"{0}\" is set by the service, which promises what depends on it; remove it")]
    Reserved(String),
    /// The property's secret cannot be had.
    #[error("cannot resolve kafka.properties.\"{property}\"")]
    Secret {
        /// The property.
        property: String,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// TLS is asked for, and this binary has none.
    #[error(
        "kafka.properties.\"{0}\" needs TLS, which this build lacks; build with `--features tls`, or use the container image"
    )]
    NoTls(String),
    /// librdkafka has no such property.
    #[error("kafka.properties.\"{0}\" is no property of librdkafka; see its CONFIGURATION.md for the names")]
    Unknown(String),
    /// librdkafka refuses the value.
    #[error(
        "kafka.properties.\"{0}\" has a value that librdkafka refuses; see its CONFIGURATION.md for the values"
    )]
    Invalid(String),
    /// Records that the services write would be refused.
    #[error(
        "kafka.properties.\"{MESSAGE_BYTES}\" is {0}, and must be at least {LEAST_MESSAGE_BYTES}, which the largest \
         record needs; raise it, or remove it"
    )]
    MessageBytes(i64),
}

/// The configuration that all clients of a process begin with: bootstrap servers, client id, the user's properties.
/// `environment` is where secrets named by a variable are. It remembers which secrets are in files: whoever makes a
/// client of it takes [`fresh`].
pub fn client_config(
    kafka: &config::Kafka,
    environment: &BTreeMap<String, String>,
) -> Result<ClientConfig, ConfigError> {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    config.extend(DEFAULTS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    for (name, value) in &kafka.properties {
        if config::RESERVED.contains(&name.as_str()) {
            return Err(ConfigError::Reserved(name.clone()));
        }
        let secret = value
            .resolve(environment)
            .map_err(|source| ConfigError::Secret { property: name.clone(), source })?;
        if SECRET.iter().any(|secret| name.contains(secret)) {
            remember(secret.expose_secret());
        }
        if !cfg!(feature = "tls") && needs_tls(name, secret.expose_secret()) {
            return Err(ConfigError::NoTls(name.clone()));
        }
        if let Some(bytes) =
            message_bytes(name, secret.expose_secret()).filter(|it| *it < LEAST_MESSAGE_BYTES)
        {
            return Err(ConfigError::MessageBytes(bytes));
        }
        if name == "debug" {
            config.set_log_level(RDKafkaLogLevel::Debug);
        }
        config.set(name, secret.expose_secret());
        if let SecretOrText::Secret(SecretSource::File(path) | SecretSource::Beside(path)) = value
            && let Some(path) = path.to_str()
        {
            config.set(format!("{FILE}{name}"), path);
        }
    }
    if !kafka.properties.contains_key(LONGEST_RECONNECT_PAUSE) {
        raise_longest_reconnect_pause(&mut config);
    }
    config.set("bootstrap.servers", &kafka.bootstrap_servers);
    #[cfg(feature = "failpoints")]
    if let Some(rack) = crate::failpoints::client_rack() {
        config.set("client.rack", rack);
    }
    // Here, so that a wrong property is found before any client is made. The error's own text holds the value.
    match fresh(&config).create_native_config() {
        Ok(_) => Ok(config),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, name, _)) => {
            Err(ConfigError::Unknown(name))
        }
        Err(KafkaError::ClientConfig(_, _, name, _)) => Err(ConfigError::Invalid(name)),
        Err(_) => Err(ConfigError::Invalid("bootstrap.servers".to_owned())),
    }
}

/// To the first pause, if that is longer. librdkafka refuses what is not a number.
fn raise_longest_reconnect_pause(config: &mut ClientConfig) {
    let milliseconds = |name| config.get(name).and_then(|it| it.trim().parse::<u32>().ok());
    if let Some(first) = milliseconds(FIRST_RECONNECT_PAUSE)
        && milliseconds(LONGEST_RECONNECT_PAUSE).is_some_and(|longest| longest < first)
    {
        config.set(LONGEST_RECONNECT_PAUSE, first.to_string());
    }
}

/// The configuration as a client is made with it: secrets that are in files are read again, so that a rotated password
/// is used from the next client on. One that cannot be read now stays what it was.
pub fn fresh(base: &ClientConfig) -> ClientConfig {
    let mut config = base.clone();
    for entry in base.config_map().into_keys().filter(|entry| entry.starts_with(FILE)) {
        config.remove(entry);
    }
    for (property, secret) in files(base) {
        match secret {
            Ok(secret) => drop(config.set(property, secret.expose_secret())),
            Err(error) => warn!(property, "cannot read the secret again: {:#}", anyhow::Error::from(error)),
        }
    }
    config
}

/// A property whose file has another secret now than the one that a client of that configuration used.
pub(super) fn changed_secret(base: &ClientConfig, used: &ClientConfig) -> Option<String> {
    files(base).into_iter().find_map(|(property, secret)| {
        let secret = secret.ok()?;
        (used.get(&property) != Some(secret.expose_secret())).then_some(property)
    })
}

/// The properties whose secrets are in files, with what the files hold now.
fn files(base: &ClientConfig) -> Vec<(String, Result<SecretString, SecretError>)> {
    let read = |path: &str| SecretSource::File(path.into()).resolve(&BTreeMap::new());
    let entries = base.config_map().into_iter();
    entries.filter_map(|(entry, path)| Some((entry.strip_prefix(FILE)?.to_owned(), read(path)))).collect()
}

/// Whether a broker rejected the credentials. The next client may have others.
pub(super) fn is_rejection(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed)
    )
}

/// The bound of a record, if the property is that one. librdkafka refuses what is not a number.
fn message_bytes(name: &str, value: &str) -> Option<i64> {
    (name == MESSAGE_BYTES).then(|| value.trim().parse().ok()).flatten()
}

/// Whether librdkafka without OpenSSL would refuse it: TLS, and SCRAM and OAUTHBEARER, which need its hashes.
fn needs_tls(name: &str, value: &str) -> bool {
    let value = value.trim().to_ascii_uppercase();
    match name {
        "security.protocol" => value == "SSL" || value == "SASL_SSL",
        "sasl.mechanism" | "sasl.mechanisms" => value.starts_with("SCRAM-") || value == "OAUTHBEARER",
        _ => name.starts_with("ssl."),
    }
}

/// A client's configuration: what the user may say otherwise, then what nobody may.
pub(super) fn with(
    base: &ClientConfig,
    defaults: &[(&str, &str)],
    promises: &[(&str, &str)],
) -> ClientConfig {
    let mut config = fresh(base);
    for (name, value) in defaults {
        if base.get(name).is_none() {
            config.set(*name, *value);
        }
    }
    for (name, value) in promises {
        config.set(*name, *value);
    }
    config
}

/// Where librdkafka's own lines and errors go: to `tracing`, a level lower than librdkafka thinks, since it retries
/// by itself what it complains about.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log;

impl ClientContext for Log {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Log {}

pub(super) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        // A consumer's property in a producer's configuration, and the reverse: one table serves both.
        _ if facility == "CONFWARN" => debug!(facility, "{line}"),
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            error!(facility, "{line}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => warn!(facility, "{line}"),
        RDKafkaLogLevel::Notice => info!(facility, "{line}"),
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => debug!(facility, "{line}"),
    }
}

pub(super) fn log_error(error: &KafkaError, reason: &str) {
    match error.rdkafka_error_code() {
        // rdkafka reports the end of a partition as an error; `PartitionReader` acts on it.
        Some(RDKafkaErrorCode::PartitionEOF) => trace!("{reason}"),
        // Said over and over while a broker is away, and less than the line about its connection says.
        Some(RDKafkaErrorCode::AllBrokersDown) => debug!("{reason}"),
        Some(RDKafkaErrorCode::Fatal) => error!("{reason}"),
        _ => warn!("{reason}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rdkafka::ClientConfig;
    use rdkafka::consumer::BaseConsumer;

    use super::{ConfigError, changed_secret, client_config, with};
    use crate::config::{Kafka, SecretOrText, SecretSource};

    fn checked(properties: &[(&str, &str)]) -> Result<ClientConfig, ConfigError> {
        let properties = properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretOrText::Text((*value).to_owned())))
            .collect();
        client_config(&kafka(properties), &BTreeMap::new())
    }

    fn kafka(properties: BTreeMap<String, SecretOrText>) -> Kafka {
        Kafka {
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            topic_prefix: "anthropic".to_owned(),
            partitions: 12,
            replication_factor: -1,
            create_topics: true,
            properties,
        }
    }

    fn refusal(properties: &[(&str, &str)]) -> String {
        checked(properties).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn the_user_s_properties_win_over_the_defaults() {
        let config = checked(&[("client.id", "mine")]).unwrap();
        assert_eq!(config.get("client.id"), Some("mine"));
        assert_eq!(config.get("bootstrap.servers"), Some("127.0.0.1:9092"));
        let config = with(&config, &[("client.id", "ours")], &[("acks", "all")]);
        assert_eq!((config.get("client.id"), config.get("acks")), (Some("mine"), Some("all")));
    }

    #[test]
    fn a_first_pause_before_a_reconnect_that_is_longer_than_our_longest_raises_it() {
        for (first, longest) in [("100", "1000"), ("5000", "5000")] {
            let config = checked(&[("reconnect.backoff.ms", first)]).unwrap();
            assert_eq!(config.get("reconnect.backoff.max.ms"), Some(longest));
            config.create::<BaseConsumer>().expect("librdkafka takes it");
        }
        let config = checked(&[("reconnect.backoff.ms", "50"), ("reconnect.backoff.max.ms", "70")]).unwrap();
        assert_eq!(config.get("reconnect.backoff.max.ms"), Some("70"));
    }

    #[test]
    fn a_property_that_carries_a_promise_is_refused_by_name() {
        for name in crate::config::RESERVED {
            let refusal = refusal(&[(name, "true")]);
            assert!(refusal.contains(name) && refusal.contains("remove it"), "{refusal}");
        }
    }

    #[test]
    fn an_unknown_property_and_a_refused_value_are_named_and_the_value_is_not_shown() {
        assert!(refusal(&[("sesion.timeout.ms", "1")]).contains("\"sesion.timeout.ms\" is no property"));
        let refusal = refusal(&[("session.timeout.ms", "hunter2")]);
        assert!(refusal.contains("session.timeout.ms") && !refusal.contains("hunter2"), "{refusal}");
    }

    #[test]
    fn a_bound_of_records_below_the_largest_record_is_refused_with_the_least_that_is_allowed() {
        for value in ["999999", " 1000 "] {
            let refusal = refusal(&[("message.max.bytes", value)]);
            let is_clear = refusal.contains("kafka.properties.\"message.max.bytes\"")
                && refusal.contains(value.trim())
                && refusal.contains("at least 1000000");
            assert!(is_clear, "{refusal}");
        }
        for value in ["1000000", "2000000"] {
            assert_eq!(
                checked(&[("message.max.bytes", value)]).unwrap().get("message.max.bytes"),
                Some(value)
            );
        }
        assert!(refusal(&[("message.max.bytes", "much")]).contains("librdkafka refuses"));
    }

    #[test]
    fn a_secret_in_a_file_is_read_again_for_each_client() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "first\n").unwrap();
        let secret = SecretOrText::Secret(SecretSource::File(path.clone()));
        let properties = BTreeMap::from([("sasl.password".to_owned(), secret)]);
        let base = client_config(&kafka(properties), &BTreeMap::new()).unwrap();
        assert_eq!(changed_secret(&base, &base), None);
        std::fs::write(&path, "second\n").unwrap();
        assert_eq!(changed_secret(&base, &base).as_deref(), Some("sasl.password"));
        let config = with(&base, &[], &[]);
        assert_eq!(config.get("sasl.password"), Some("second"));
        assert_eq!(changed_secret(&base, &config), None);
        config.create_native_config().expect("properties of librdkafka's alone");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(with(&base, &[], &[]).get("sasl.password"), Some("first"), "no file: as it was");
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_is_refused_by_a_build_without_it() {
        for (name, value) in [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("ssl.ca.location", "/etc/ca.pem"),
        ] {
            assert!(refusal(&[(name, value)]).contains("--features tls"), "{name}");
        }
    }

    #[test]
    fn a_secret_property_is_resolved_and_its_lack_names_the_variable() {
        let secret = || SecretOrText::Secret(SecretSource::Env("KAFKA_PASSWORD".to_owned()));
        let properties = || BTreeMap::from([("sasl.password".to_owned(), secret())]);
        let environment = BTreeMap::from([("KAFKA_PASSWORD".to_owned(), "hunter2".to_owned())]);
        let config = client_config(&kafka(properties()), &environment).unwrap();
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
        let error = client_config(&kafka(properties()), &BTreeMap::new()).unwrap_err();
        assert!(matches!(error, ConfigError::Secret { property, .. } if property == "sasl.password"));
    }
}
