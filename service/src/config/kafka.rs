//! `[kafka]`: the cluster and what is asked of it.

use std::collections::BTreeMap;

use schemas::topics::DEFAULT_PREFIX;
use toml::Value;

use super::secret::SecretOrText;
use super::table_reader::{TableReader, kind};

/// librdkafka properties that carry a promise or choose a way of working; only the services set them.
pub(crate) const RESERVED: [&str; 17] = [
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    // Fetching from a follower brings nothing here but the wait for what it does not have yet: every reader reads to an
    // end that the leader names.
    "client.rack",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.protocol",
    "isolation.level",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "test.mock.num.brokers",
    "transactional.id",
];

/// Longest topic prefix (characters): Kafka allows 249 for a topic's name, and the longest suffix needs room.
const MAX_PREFIX: usize = 200;
/// Most partitions (count): beyond it a typing error is likelier than a wish.
const MAX_PARTITIONS: i32 = 10_000;
/// Most replicas (count): Kafka's protocol has 16 bits for it.
const MAX_REPLICATION: i32 = 32_767;
/// `kafka.partitions` where it is not given (count).
const DEFAULT_PARTITIONS: i32 = 12;

/// Properties that only the protocol `classic` has: with `consumer`, the brokers set both.
const CLASSIC: [&str; 2] = ["session.timeout.ms", "heartbeat.interval.ms"];

const KEYS: [&str; 7] = [
    "bootstrap_servers",
    "topic_prefix",
    "partitions",
    "replication_factor",
    "create_topics",
    "group_protocol",
    "properties",
];

/// The protocol of the services' consumer groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// A member assigns the partitions.
    #[default]
    Classic,
    /// The brokers assign the partitions (KIP-848). Needs Kafka 4.0.
    Consumer,
}

#[derive(Debug, Clone)]
pub struct Kafka {
    /// Brokers to begin with, `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// Begins the topics' names, the consumer groups' and the transactional ids.
    pub topic_prefix: String,
    /// Of each topic that is created (count).
    pub partitions: i32,
    /// Of each topic that is created (count); -1 is the broker's default.
    pub replication_factor: i32,
    /// Whether a missing topic is created; otherwise it stops the service.
    pub create_topics: bool,
    pub group_protocol: GroupProtocol,
    /// Any further librdkafka property, by its name.
    pub properties: BTreeMap<String, SecretOrText>,
}

impl Kafka {
    pub(super) fn read(root: &mut TableReader<'_>) -> Self {
        let mut section = root.section("kafka", &KEYS);
        let bootstrap_servers = section.parsed("bootstrap_servers", parse_servers).unwrap_or_default();
        let is_needed = !section.context.asks_no_broker && !section.has_problem("bootstrap_servers");
        if bootstrap_servers.is_empty() && is_needed {
            section.report(
                "bootstrap_servers",
                "is missing; write the brokers' addresses, such as \"127.0.0.1:9092\"",
            );
        }
        let group_protocol = section.parsed("group_protocol", parse_protocol).unwrap_or_default();
        Self {
            bootstrap_servers,
            topic_prefix: section
                .parsed("topic_prefix", parse_prefix)
                .unwrap_or_else(|| DEFAULT_PREFIX.to_owned()),
            partitions: section.number("partitions", 1..=MAX_PARTITIONS).unwrap_or(DEFAULT_PARTITIONS),
            replication_factor: replication_factor(&mut section),
            create_topics: section.boolean("create_topics").unwrap_or(true),
            group_protocol,
            properties: properties(&mut section, group_protocol),
        }
    }
}

/// Checks the topic prefix of a configuration or an argument; the error says what is allowed.
pub fn parse_prefix(text: &str) -> Result<String, String> {
    let legal = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if text.len() <= MAX_PREFIX && text.chars().all(legal) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "is not a valid topic prefix; use at most {MAX_PREFIX} of the characters A-Z a-z 0-9 . _ -"
        ))
    }
}

/// librdkafka takes a protocol before a host, and then says only that no broker answered.
fn parse_servers(text: &str) -> Result<String, String> {
    if text.contains("://") {
        Err(format!("\"{text}\" is a URL; write HOST:PORT, such as \"127.0.0.1:9092\""))
    } else {
        Ok(text.to_owned())
    }
}

fn parse_protocol(text: &str) -> Result<GroupProtocol, String> {
    match text {
        "classic" => Ok(GroupProtocol::Classic),
        "consumer" => Ok(GroupProtocol::Consumer),
        _ => Err("is not a group protocol; write \"classic\" or \"consumer\"".to_owned()),
    }
}

fn replication_factor(section: &mut TableReader<'_>) -> i32 {
    match section.number("replication_factor", -1..=MAX_REPLICATION) {
        Some(0) => {
            section.report(
                "replication_factor",
                "0 is not allowed; write -1 (the broker's default) or at least 1",
            );
            -1
        }
        factor => factor.unwrap_or(-1),
    }
}

fn properties(
    section: &mut TableReader<'_>,
    group_protocol: GroupProtocol,
) -> BTreeMap<String, SecretOrText> {
    let names: Vec<String> = match section.table.get("properties") {
        Some(Value::Table(table)) => table.keys().cloned().collect(),
        _ => Vec::new(),
    };
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut properties = section.section("properties", &known);
    names
        .iter()
        .filter_map(|name| {
            let value = property(&mut properties, name)?;
            if name == "bootstrap.servers" {
                properties.report(name, "is set elsewhere; write kafka.bootstrap_servers");
            } else if name == "group.protocol" {
                properties.report(name, "is set elsewhere; write kafka.group_protocol");
            } else if group_protocol == GroupProtocol::Consumer && CLASSIC.contains(&name.as_str()) {
                let message = format!(
                    "is the brokers' setting with kafka.group_protocol = \"consumer\"; set consumer.{name} of the groups \
                     with kafka-configs.sh, and remove it"
                );
                properties.report(name, message);
            } else if RESERVED.contains(&name.as_str()) {
                properties
                    .report(name, "is set by the services, and their guarantees depend on it; remove it");
            }
            Some((name.clone(), value))
        })
        .collect()
}

fn property(properties: &mut TableReader<'_>, name: &str) -> Option<SecretOrText> {
    match properties.table.get(name)? {
        Value::String(text) => Some(SecretOrText::Text(text.clone())).filter(|_| !text.is_empty()),
        Value::Integer(number) => Some(SecretOrText::Text(number.to_string())),
        Value::Float(number) => Some(SecretOrText::Text(number.to_string())),
        Value::Boolean(value) => Some(SecretOrText::Text(value.to_string())),
        // librdkafka's names have dots; without quotes TOML makes tables of them.
        Value::Table(table)
            if !table.is_empty() && !table.contains_key("env") && !table.contains_key("file") =>
        {
            properties
                .report(name, format!("is a table; put the whole name in quotes, such as \"{name}.…\" = …"));
            None
        }
        Value::Table(_) => properties.secret(name).map(SecretOrText::Secret),
        other => {
            let message =
                format!("is {}; use a string, a number, true or false, or {{ env = … }}", kind(other));
            properties.report(name, message);
            None
        }
    }
}
