//! What is right and wrong with the topics found. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use schemas::topics::Topic;

use super::finding::{Finding, alter_command};
use super::{Wanted, durability};

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Count.
    pub partitions: i32,
    /// Of the partition that has the fewest (count).
    pub replicas: i64,
    /// Whether each partition has a leader.
    pub is_led: bool,
    /// Its settings by Kafka's names; none where they were not asked for.
    pub settings: Option<BTreeMap<String, String>>,
}

/// The partition count of the topics that exist; where they differ, the largest, since a topic only grows.
pub(super) fn partitions(found: &BTreeMap<Topic, Found>) -> Option<i32> {
    found.values().map(|found| found.partitions).max()
}

/// One finding per thing: each wanted topic's existence and cleanup policy, each existing topic's partition count,
/// each setting that is below its floor, and each that breaks or weakens a promise.
pub(super) fn findings(servers: &str, wanted: &Wanted<'_>, found: &BTreeMap<Topic, Found>) -> Vec<Finding> {
    let partitions = partitions(found).unwrap_or(wanted.partitions);
    let mut findings = Vec::new();
    for topic in Topic::ALL {
        match found.get(&topic) {
            Some(found_topic) => {
                findings.push(count(servers, wanted, topic, found_topic, found));
                if let Some(settings) = &found_topic.settings {
                    findings.push(cleanup(servers, wanted, topic, settings));
                    findings.extend(below_floor(servers, wanted, topic, settings));
                    let replicas = found_topic.replicas;
                    findings.extend(durability::findings(servers, wanted, topic, replicas, settings));
                }
            }
            None if wanted.topics.contains(&topic) => {
                let line = format!(
                    "{}: missing; create it: {}",
                    topic.name(wanted.prefix),
                    create_command(servers, wanted, topic, partitions)
                );
                findings.push(Finding { is_missing: true, ..Finding::bad(line) });
            }
            None => {}
        }
    }
    findings
}

fn count(
    servers: &str,
    wanted: &Wanted<'_>,
    topic: Topic,
    found_topic: &Found,
    found: &BTreeMap<Topic, Found>,
) -> Finding {
    let name = topic.name(wanted.prefix);
    let most = found.iter().max_by_key(|(_, found)| found.partitions);
    let (largest, should_be) = most.map_or((topic, 1), |(topic, found)| (*topic, found.partitions));
    let is = found_topic.partitions;
    if is == should_be {
        return Finding::good(format!("{name}: {is} partitions"));
    }
    Finding::bad(format!(
        "{name}: {is} partitions, should be {should_be} as {} has, because an organization is in the same \
         partition of each; while {name} is empty: kafka-topics.sh --bootstrap-server {servers} --alter \
         --topic {name} --partitions {should_be}; otherwise set a new kafka.topic_prefix and poll again",
        largest.name(wanted.prefix)
    ))
}

fn cleanup(servers: &str, wanted: &Wanted<'_>, topic: Topic, settings: &BTreeMap<String, String>) -> Finding {
    let name = topic.name(wanted.prefix);
    let should_be = topic.cleanup_policy();
    let is = settings.get("cleanup.policy").map_or("", String::as_str);
    if is == should_be {
        return Finding::good(format!("{name}: cleanup.policy={is}"));
    }
    let fix = alter_command(servers, &name, "cleanup.policy", should_be);
    Finding::bad(format!("{name}: cleanup.policy={is}, should be {should_be}: {fix}"))
}

fn below_floor(
    servers: &str,
    wanted: &Wanted<'_>,
    topic: Topic,
    settings: &BTreeMap<String, String>,
) -> Vec<Finding> {
    let name = topic.name(wanted.prefix);
    let below = topic.floors().iter().filter_map(|(setting, floor)| {
        let is = settings.get(*setting)?;
        // The broker rejects what is not a number of milliseconds.
        is.parse::<u64>().is_ok_and(|is| is < *floor).then(|| {
            let fix = alter_command(servers, &name, setting, &floor.to_string());
            Finding::bad(format!("{name}: {setting}={is}, should be at least {floor}: {fix}"))
        })
    });
    below.collect()
}

/// The command that makes a topic as the service would.
pub(super) fn create_command(servers: &str, wanted: &Wanted<'_>, topic: Topic, partitions: i32) -> String {
    let mut command = format!(
        "kafka-topics.sh --bootstrap-server {servers} --create --topic {} --partitions {partitions}",
        topic.name(wanted.prefix)
    );
    if wanted.replication_factor > 0 {
        write!(command, " --replication-factor {}", wanted.replication_factor).expect("a string takes all");
    }
    for (name, value) in topic.settings(&wanted.retention) {
        write!(command, " --config {name}={value}").expect("a string takes all");
    }
    command
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use schemas::topics::{Retention, Topic};

    use super::super::{Broker, Wanted};
    use super::{Found, create_command, findings};

    /// Of a cluster of three brokers, as the configuration has them where it names none.
    pub(in super::super) fn wanted(topics: &[Topic]) -> Wanted<'_> {
        Wanted {
            topics,
            prefix: "anthropic",
            partitions: 12,
            replication_factor: 3,
            retention: Retention::default(),
            create: true,
            must_see_settings: true,
            broker: Broker::Kafka,
        }
    }

    fn topic(partitions: i32, cleanup: &str) -> Found {
        let settings = BTreeMap::from([("cleanup.policy".to_owned(), cleanup.to_owned())]);
        Found { partitions, replicas: 3, is_led: true, settings: Some(settings) }
    }

    fn bad(topics: &[Topic], found: &BTreeMap<Topic, Found>) -> Vec<String> {
        let findings = findings("broker:9092", &wanted(topics), found);
        findings.into_iter().filter(|finding| !finding.is_good).map(|finding| finding.line).collect()
    }

    #[test]
    fn topics_as_they_must_be_give_good_findings_only() {
        let found = BTreeMap::from([(Topic::Raw, topic(6, "delete")), (Topic::Graph, topic(6, "compact"))]);
        assert_eq!(bad(&[Topic::Raw, Topic::Graph], &found), Vec::<String>::new());
    }

    #[test]
    fn a_graph_that_is_deleted_from_names_the_topic_the_setting_and_the_command() {
        let found = BTreeMap::from([(Topic::Graph, topic(6, "compact,delete"))]);
        assert_eq!(
            bad(&[Topic::Graph], &found),
            [
                "anthropic.graph: cleanup.policy=compact,delete, should be compact: kafka-configs.sh --bootstrap-server \
              broker:9092 --alter --entity-type topics --entity-name anthropic.graph --add-config \
              cleanup.policy=compact"
            ]
        );
    }

    #[test]
    fn a_graph_that_is_compacted_too_soon_is_refused() {
        let mut graph = topic(6, "compact");
        let settings = graph.settings.as_mut().unwrap();
        settings.insert("min.compaction.lag.ms".to_owned(), "0".to_owned());
        settings.insert("delete.retention.ms".to_owned(), "604800000".to_owned());
        let bad = bad(&[Topic::Graph], &BTreeMap::from([(Topic::Graph, graph)]));
        assert_eq!(bad.len(), 1);
        assert!(
            bad[0].starts_with("anthropic.graph: min.compaction.lag.ms=0, should be at least 3600000: "),
            "{}",
            bad[0]
        );
    }

    #[test]
    fn a_topic_with_fewer_partitions_than_another_is_named_even_where_this_service_does_not_use_it() {
        let found = BTreeMap::from([
            (Topic::Raw, topic(12, "delete")),
            (Topic::Sync, Found { partitions: 6, replicas: 3, is_led: true, settings: None }),
        ]);
        let bad = bad(&[Topic::Raw], &found);
        assert_eq!(bad.len(), 1);
        assert!(
            bad[0].starts_with("anthropic.sync: 6 partitions, should be 12 as anthropic.raw has"),
            "{}",
            bad[0]
        );
    }

    #[test]
    fn the_command_that_makes_a_topic_has_all_its_settings() {
        assert_eq!(
            create_command("broker:9092", &wanted(&[]), Topic::Graph, 12),
            "kafka-topics.sh --bootstrap-server broker:9092 --create --topic anthropic.graph --partitions 12 \
             --replication-factor 3 --config cleanup.policy=compact --config delete.retention.ms=604800000 \
             --config min.compaction.lag.ms=3600000"
        );
    }
}
