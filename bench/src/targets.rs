//! What the services were when they were first measured side by side (commit dafb6ae), and what they are to be.

use crate::limit::Limit::{self, AtLeast, AtMost};

/// Of a figure, or of its ratio to a peer's.
pub(crate) struct Target {
    pub(crate) figure: &'static str,
    /// None: the figure itself.
    pub(crate) peer: Option<&'static str>,
    pub(crate) before: &'static str,
    pub(crate) limit: Limit,
}

const MEMORY: &str = "Kafka Streams, in memory";
const ROCKS_DB: &str = "Kafka Streams, RocksDB";

pub(crate) const TARGETS: [Target; 30] = [
    ratio("first-sync", MEMORY, "0.45", AtLeast(3.0)),
    ratio("first-sync", ROCKS_DB, "0.45", AtLeast(3.0)),
    ratio("first-sync", "bare producer, 10,000 records a transaction", "0.19", AtLeast(0.6)),
    ratio("no-change", ROCKS_DB, "0.27", AtLeast(10.0)),
    ratio("no-change", MEMORY, "0.14", AtLeast(5.0)),
    ratio("no-change", "bare consumer", "0.02", AtLeast(0.5)),
    ratio("restore", MEMORY, "0.15", AtLeast(2.0)),
    ratio("restore", "bare consumer", "0.05", AtLeast(0.5)),
    figure("memory", "1,800 B", AtMost(300.0)),
    ratio("memory-peak", "itself, at rest", "2.4", AtMost(2.0)),
    figure("latency", "245 ms", AtMost(10.0)),
    figure("latency-p99", "366 ms", AtMost(20.0)),
    ratio("sink", "JupiterOne's SDK", "1.6", AtLeast(4.0)),
    ratio("sink", "JupiterOne's SDK, gzip", "2.2", AtLeast(4.0)),
    ratio("sink-peak", "JupiterOne's SDK", "0.87", AtMost(0.2)),
    figure("verify", "73 s", AtMost(10.0)),
    ratio("verify-peak", "the processor, which restores the same", "1.35", AtMost(2.0)),
    figure("million", "161 s", AtMost(30.0)),
    // 3 GB.
    figure("million-peak", "12,119 MiB", AtMost(2_861.0)),
    figure("history", "unknown", AtMost(20.0)),
    figure("history-page", "unknown", AtMost(50.0)),
    figure("history-page-everyone", "unknown", AtMost(50.0)),
    figure("history-who-can", "unknown", AtMost(3.0)),
    figure("history-who-can-store", "unknown", AtMost(100.0)),
    figure("start", "1.5 s", AtMost(1.0)),
    figure("idle", "1.4 %", AtMost(0.5)),
    // 30 MB each.
    figure("idle-processor-memory", "26 MiB", AtMost(28.6)),
    figure("idle-sink-memory", "20 MiB", AtMost(28.6)),
    figure("idle-producer-memory", "14 MiB", AtMost(28.6)),
    figure("organizations", "unknown", AtMost(1.0)),
];

const fn ratio(figure: &'static str, peer: &'static str, before: &'static str, limit: Limit) -> Target {
    Target { figure, peer: Some(peer), before, limit }
}

const fn figure(figure: &'static str, before: &'static str, limit: Limit) -> Target {
    Target { figure, peer: None, before, limit }
}
