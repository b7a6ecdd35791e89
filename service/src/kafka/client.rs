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

use crate::config::{self, GroupProtocol, SecretError, SecretOrText, SecretSource};
use crate::redaction::remember;

/// Set where the user does not say otherwise, for all clients.
const DEFAULTS: [(&str, &str); 7] = [
    ("client.id", "anthropic-graph"),
    // A service shows librdkafka's statistics itself. To collect them for the brokers too (KIP-714) takes a third of a
    // megabyte for each client.
    ("enable.metrics.push", "false"),
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

/// How often librdkafka gives its statistics, for who shows them (ms): more often than Prometheus asks.
const STATISTICS: (&str, &str) = ("statistics.interval.ms", "5000");

/// In the names of properties whose values are secrets, wherever they are.
const SECRET: [&str; 5] = ["password", "passphrase", "secret", "key.pem", "jaas"];

/// The supported mechanisms. Kerberos would need a library of the system.
const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];
/// Lets librdkafka fetch the tokens of OAUTHBEARER and renew them for each client.
const TOKENS_BY: (&str, &str) = ("sasl.oauthbearer.method", "oidc");

/// Begins an entry that is not a property of librdkafka's.
const OWN: &str = "anthropic-graph.";
/// Begins an entry that names the file that a property's secret is in.
const FILE: &str = "anthropic-graph.file.";
/// Begins an entry that has the ID that a schema registry gave a schema, after the schema's fingerprint.
const SCHEMA_ID: &str = "anthropic-graph.schema-id.";
/// The entry that has the protocol of consumer groups. The property itself would also be the readers', which join no group.
const GROUP_PROTOCOL: (&str, &str) = ("anthropic-graph.group-protocol", "consumer");

/// Why the configuration of the Kafka clients is refused: all are for a person to fix.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The property is the services' own.
    #[error("kafka.properties.\"{0}\" is set by the service, and its guarantees depend on it; remove it")]
    Reserved(String),
    /// The property's secret cannot be had.
    #[error("cannot resolve kafka.properties.\"{property}\"")]
    Secret {
        property: String,
        #[source]
        source: SecretError,
    },
    /// TLS is asked for, and this binary has none.
    #[error(
        "kafka.properties.\"{0}\" needs TLS, which this build lacks; build without `--no-default-features`, or use the \
         container image"
    )]
    NoTls(String),
    /// The mechanism is not supported.
    #[error(
        "kafka.properties.\"sasl.mechanism\" is {0}, which is not supported; use one of {list}. Amazon MSK takes \
         SCRAM-SHA-512, or a client certificate; its IAM access control is not supported", list = MECHANISMS.join(", ")
    )]
    Mechanism(String),
    /// Nothing would fetch tokens.
    #[error(
        "kafka.properties.\"sasl.mechanism\" is OAUTHBEARER without a source of tokens; set \
         \"{name}\" to \"{value}\", and \"sasl.oauthbearer.token.endpoint.url\"",
        name = TOKENS_BY.0, value = TOKENS_BY.1
    )]
    NoTokens,
    /// librdkafka has no such property.
    #[error(
        "kafka.properties.\"{0}\" is not a property of librdkafka; see its CONFIGURATION.md for the names"
    )]
    Unknown(String),
    /// librdkafka refuses the value.
    #[error(
        "kafka.properties.\"{0}\" has a value that librdkafka rejects; see its CONFIGURATION.md for the values"
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
/// `environment` is where secrets named by a variable are. It remembers which secrets are in files: take [`fresh`] before
/// you make a client of it.
pub fn client_config(
    kafka: &config::Kafka,
    environment: &BTreeMap<String, String>,
) -> Result<ClientConfig, ConfigError> {
    // Before librdkafka does. OpenSSL would otherwise clean up when the process exits, and crash a client that another
    // thread still closes (openssl/openssl#6214).
    #[cfg(feature = "tls")]
    openssl_sys::init();
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
    check_mechanism(&config)?;
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

/// Has every client that is made of this configuration give its statistics to the metrics, unless the user says how
/// often.
pub fn show_statistics(config: &mut ClientConfig) {
    let (name, interval) = STATISTICS;
    if config.get(name).is_none() {
        config.set(name, interval);
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
    for entry in base.config_map().into_keys().filter(|entry| entry.starts_with(OWN)) {
        config.remove(entry);
    }
    for (property, secret) in files(base) {
        match secret {
            Ok(secret) => drop(config.set(property, secret.expose_secret())),
            Err(error) => warn!(
                property,
                "cannot read the secret of kafka.properties.{property} again: {:#}",
                anyhow::Error::from(error)
            ),
        }
    }
    config
}

/// Has every member of a group that is made of this configuration use that protocol.
pub fn set_group_protocol(config: &mut ClientConfig, protocol: GroupProtocol) {
    let (entry, consumer) = GROUP_PROTOCOL;
    match protocol {
        GroupProtocol::Classic => config.remove(entry),
        GroupProtocol::Consumer => config.set(entry, consumer),
    };
}

/// The protocol that members of a group use.
pub(super) fn group_protocol(base: &ClientConfig) -> GroupProtocol {
    match base.get(GROUP_PROTOCOL.0) {
        Some(_) => GroupProtocol::Consumer,
        None => GroupProtocol::Classic,
    }
}

/// Has every producer that is made of this configuration frame the schema's values with a registry's ID.
pub(crate) fn set_schema_id(config: &mut ClientConfig, fingerprint: u64, id: u32) {
    config.set(format!("{SCHEMA_ID}{fingerprint}"), id.to_string());
}

/// The IDs that a schema registry gave the schemas, by fingerprint.
pub(super) fn schema_ids(base: &ClientConfig) -> BTreeMap<u64, u32> {
    let entries = base.config_map().into_iter();
    entries
        .filter_map(|(entry, id)| Some((entry.strip_prefix(SCHEMA_ID)?.parse().ok()?, id.parse().ok()?)))
        .collect()
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

/// librdkafka would refuse an unknown mechanism only when a client is created, and would wait for a token forever.
fn check_mechanism(config: &ClientConfig) -> Result<(), ConfigError> {
    let mechanism = ["sasl.mechanism", "sasl.mechanisms"].into_iter().find_map(|name| config.get(name));
    let Some(mechanism) = mechanism.map(str::trim) else { return Ok(()) };
    if !MECHANISMS.contains(&mechanism) {
        return Err(ConfigError::Mechanism(mechanism.to_owned()));
    }
    let (name, value) = TOKENS_BY;
    if mechanism == "OAUTHBEARER" && config.get(name).map(str::trim) != Some(value) {
        return Err(ConfigError::NoTokens);
    }
    Ok(())
}

/// Whether librdkafka without OpenSSL would refuse it: TLS, and SCRAM and OAUTHBEARER, which need its hashes.
fn needs_tls(name: &str, value: &str) -> bool {
    let value = value.trim().to_ascii_uppercase();
    match name {
        "security.protocol" => value == "SSL" || value == "SASL_SSL",
        "sasl.mechanism" | "sasl.mechanisms" => value.starts_with("SCRAM-") || value == "OAUTHBEARER",
        _ => ["ssl.", "https.", "sasl.oauthbearer."].iter().any(|start| name.starts_with(start)),
    }
}

/// A client's configuration: what the user may override, then what the user may not.
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
    use crate::config::{GroupProtocol, Kafka, SecretOrText, SecretSource};

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
            group_protocol: GroupProtocol::Classic,
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
        assert!(refusal(&[("sesion.timeout.ms", "1")]).contains("\"sesion.timeout.ms\" is not a property"));
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
        assert!(refusal(&[("message.max.bytes", "much")]).contains("librdkafka rejects"));
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
            ("sasl.oauthbearer.method", "oidc"),
        ] {
            assert!(refusal(&[(name, value)]).contains("build without `--no-default-features`"), "{name}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn this_build_can_log_in_by_every_way_that_there_is() {
        let native = ClientConfig::new().create_native_config().unwrap();
        let features = native.get("builtin.features").unwrap();
        let features: Vec<&str> = features.split(',').collect();
        for feature in ["ssl", "sasl_plain", "sasl_scram", "sasl_oauthbearer", "oidc"] {
            assert!(features.contains(&feature), "{feature} of {features:?}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn oauthbearer_without_a_source_of_tokens_is_refused_with_the_property_that_names_one() {
        let mechanism = ("sasl.mechanism", "OAUTHBEARER");
        for other in [("sasl.oauthbearer.method", "default"), ("client.id", "graph")] {
            assert!(
                refusal(&[mechanism, other]).contains("\"sasl.oauthbearer.method\" to \"oidc\""),
                "{other:?}"
            );
        }
        checked(&[mechanism, ("sasl.oauthbearer.method", "oidc")]).unwrap();
    }

    #[test]
    fn a_way_to_log_in_that_is_not_supported_is_refused_with_those_that_are() {
        for mechanism in ["AWS_MSK_IAM", "GSSAPI"] {
            let refusal = refusal(&[("sasl.mechanism", mechanism)]);
            assert!(refusal.contains(mechanism) && refusal.contains("SCRAM-SHA-512"), "{refusal}");
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
