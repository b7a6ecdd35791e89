//! The topic table: names, settings, partitions.

use std::collections::BTreeMap;

/// Default of `kafka.topic_prefix`; also names consumer groups and transactional ids.
pub const DEFAULT_PREFIX: &str = "anthropic";

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// How long a record of `graph` stays readable after a newer one was written: a reader may fall this far behind (ms).
pub const MIN_COMPACTION_LAG_MS: u64 = HOUR_MS;
/// How long a tombstone of `graph` stays readable (ms).
pub const DELETE_RETENTION_MS: u64 = 7 * DAY_MS;

/// One of the five topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Resources, manifests, poll marks and decisions as seen.
    Raw,
    /// The log of changes, for anyone.
    Changes,
    /// The compacted state: elements, coverage, holds, withheld relationships.
    Graph,
    /// What JupiterOne holds.
    Sync,
    /// Records that could not be decoded.
    DeadLetters,
}

/// How long the records of the topics that are not compacted stay; `None` is unlimited (milliseconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Of `raw`.
    pub raw_ms: Option<u64>,
    /// Of `deadletters`.
    pub deadletters_ms: Option<u64>,
    /// Of `changes`.
    pub changes_ms: Option<u64>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { raw_ms: Some(30 * DAY_MS), deadletters_ms: Some(30 * DAY_MS), changes_ms: None }
    }
}

impl Topic {
    /// All five, in the order in which data flows.
    pub const ALL: [Self; 5] = [Self::Raw, Self::Changes, Self::Graph, Self::Sync, Self::DeadLetters];

    /// The topic's name under a prefix.
    pub fn name(self, prefix: &str) -> String {
        let suffix = match self {
            Self::Raw => "raw",
            Self::Changes => "changes",
            Self::Graph => "graph",
            Self::Sync => "sync",
            Self::DeadLetters => "deadletters",
        };
        format!("{prefix}.{suffix}")
    }

    /// `cleanup.policy`, the one setting that breaks a promise when it is another: a `raw` or `changes` that is
    /// compacted loses history, a `graph` or `sync` that is deleted from loses state.
    pub fn cleanup_policy(self) -> &'static str {
        match self {
            Self::Raw | Self::Changes | Self::DeadLetters => "delete",
            Self::Graph | Self::Sync => "compact",
        }
    }

    /// Settings that must not be less (ms), by Kafka's names: a reader of `graph` that is not further behind than these
    /// meets every record and every tombstone.
    pub fn floors(self) -> &'static [(&'static str, u64)] {
        match self {
            Self::Graph => &[
                ("min.compaction.lag.ms", MIN_COMPACTION_LAG_MS),
                ("delete.retention.ms", DELETE_RETENTION_MS),
            ],
            Self::Raw | Self::Changes | Self::Sync | Self::DeadLetters => &[],
        }
    }

    /// The settings with which the topic is created, by Kafka's names.
    pub fn settings(self, retention: &Retention) -> BTreeMap<&'static str, String> {
        let keep = |ms: Option<u64>| ms.map_or_else(|| "-1".to_owned(), |ms| ms.to_string());
        let mut settings = BTreeMap::from([("cleanup.policy", self.cleanup_policy().to_owned())]);
        match self {
            Self::Raw => settings.insert("retention.ms", keep(retention.raw_ms)),
            Self::Changes => settings.insert("retention.ms", keep(retention.changes_ms)),
            Self::DeadLetters => settings.insert("retention.ms", keep(retention.deadletters_ms)),
            Self::Graph | Self::Sync => None,
        };
        settings.extend(self.floors().iter().map(|(name, floor)| (*name, floor.to_string())));
        settings
    }
}

/// The partition of each topic that holds an organization's whole history: murmur2 of its id, as Kafka's Java
/// client partitions a key (`org.apache.kafka.clients.producer.internals.BuiltInPartitioner`).
///
/// # Panics
/// If `partitions` is not positive: a topic has at least one.
pub fn partition(organization_id: &str, partitions: i32) -> i32 {
    assert!(partitions > 0, "a topic has at least one partition");
    let positive = murmur2(organization_id.as_bytes()) & 0x7fff_ffff;
    i32::try_from(positive % partitions.unsigned_abs()).expect("a remainder is smaller than its divisor")
}

/// Kafka's murmur2 (`org.apache.kafka.common.utils.Utils.murmur2`), seed 0x9747b28c.
pub fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).expect("a key is shorter than 4 GiB");
    let mut hash = 0x9747_b28c ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes(word.try_into().expect("chunks of four")).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    for (position, &byte) in rest.iter().enumerate() {
        hash ^= u32::from(byte) << (8 * position);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::{Retention, Topic, murmur2, partition};

    #[test]
    fn murmur2_agrees_with_kafka_s_own_test_vectors() {
        // org.apache.kafka.common.utils.UtilsTest.testMurmur2
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, expected) in vectors {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), expected, "{key}");
        }
    }

    #[test]
    fn a_partition_is_within_the_topic() {
        for partitions in 1..50 {
            assert!((0..partitions).contains(&partition("3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e", partitions)));
        }
    }

    #[test]
    fn raw_keeps_thirty_days_and_the_graph_is_compacted() {
        let retention = Retention::default();
        assert_eq!(Topic::Raw.settings(&retention)["retention.ms"], "2592000000");
        assert_eq!(Topic::Changes.settings(&retention)["retention.ms"], "-1");
        assert_eq!(Topic::Graph.settings(&retention)["cleanup.policy"], "compact");
        assert_eq!(Topic::Graph.name("anthropic"), "anthropic.graph");
    }
}
