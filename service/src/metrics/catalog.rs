//! The catalog of metrics: every metric is registered from its entry here, and docs/metrics.md is generated from it.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>: one prefix, base units, and `_total` for counters.

#![expect(clippy::doc_markdown, reason = "the help that Prometheus shows is the documentation")]

/// Begins every name, but those of the process, which all client libraries share.
pub const PREFIX: &str = "anthropic_graph_";

pub const SERVICES: [&str; 3] = ["producer", "processor", "sink"];

#[derive(Debug)]
pub struct Metric {
    /// Its full name, as Prometheus shows it.
    pub name: &'static str,
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The services that export it.
    pub services: &'static [&'static str],
    /// What it is, without a full stop, which the exposition adds.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A count that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A distribution over buckets with these upper bounds.
    Histogram(&'static [f64]),
    /// A constant 1 whose labels are the information.
    Info,
}

impl Kind {
    /// The type's name in Prometheus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
            Self::Info => "info",
        }
    }
}

impl Metric {
    /// Its unit: `seconds`, `bytes`, or none for a count.
    pub fn unit(&self) -> Option<&'static str> {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")))
    }

    /// Its name without the suffixes that the exposition adds by its type and unit.
    pub(super) fn base_name(&self) -> &'static str {
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram(_) => "",
        };
        let name = self.name.strip_suffix(suffix).unwrap_or(self.name);
        let unit = self.unit().and_then(|unit| name.strip_suffix(unit)?.strip_suffix('_'));
        unit.unwrap_or(name)
    }
}

/// What each label means.
pub const LABELS: [(&str, &str); 15] = [
    ("broker", "The broker's node ID"),
    ("client", "`consumer` or `producer`: the type of the Kafka client"),
    ("code", "The HTTP status of the response, or `none` if no complete response came"),
    (
        "collection",
        "`organization`, `users`, `workspaces`, `api_keys`, or `members` for those of all workspaces",
    ),
    ("commit", "The commit that a release was built from, else `unknown`"),
    ("librdkafka", "librdkafka's version"),
    ("op", "The change's `op`: `r`, `c`, `u`, `d`, or `m`"),
    ("organization", "The organization's `name` in the configuration"),
    ("outcome", "How it ended; the metric lists the values"),
    ("partition", "The partition's number"),
    ("phase", "`synced`, `waiting`, `uploading`, `retrying`, or `paused`"),
    ("service", "`producer`, `processor`, or `sink`"),
    ("state", "The metric lists the values"),
    ("topic", "The topic's name, with its prefix"),
    ("version", "The service's version"),
];

/// Upper bounds of what takes minutes (s).
const MINUTES: &[f64] = &[0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0];
/// Upper bounds of what takes milliseconds, and a minute if something is wrong (s).
const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Upper bounds of a restore, which reads a million elements in seconds (s).
const RESTORES: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Upper bounds of the records of a transaction (count); a task commits at 10,000.
const RECORDS: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0];
/// Upper bounds of the way to JupiterOne (s); an hour or a day is an outage or a pause.
const WAY: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0];

const PRODUCER: &[&str] = &["producer"];
const PROCESSOR: &[&str] = &["processor"];
const SINK: &[&str] = &["sink"];
const ENDS: &[&str] = &["producer", "sink"];
const TASKS: &[&str] = &["processor", "sink"];
const ALL_SERVICES: &[&str] = &SERVICES;

macro_rules! catalog {
    ($($constant:ident: $name:literal, $kind:expr, $labels:expr, $services:expr, $help:literal;)+) => {
        $(
            #[doc = $help]
            pub static $constant: Metric =
                Metric { name: $name, kind: $kind, labels: &$labels, services: $services, help: $help };
        )+

        /// Every metric, in the order of the page.
        pub static CATALOG: &[&Metric] = &[$(&$constant),+];
    };
}

catalog! {
    BUILD: "anthropic_graph_build_info", Kind::Info, ["service", "version", "commit", "librdkafka"], ALL_SERVICES,
        "Always 1; the labels say what is running";
    POLLS: "anthropic_graph_polls_total", Kind::Counter, ["organization", "outcome"], PRODUCER,
        "Polls that ended: complete, incomplete (a collection was not listed whole), or failed (nothing was written)";
    POLL_DURATION: "anthropic_graph_poll_duration_seconds", Kind::Histogram(MINUTES), ["organization"], PRODUCER,
        "Duration of a poll, complete or not";
    POLLING_INTERVAL: "anthropic_graph_polling_interval_seconds", Kind::Gauge, ["organization"], PRODUCER,
        "The configured polling_interval";
    NEXT_POLL: "anthropic_graph_next_poll_timestamp_seconds", Kind::Gauge, ["organization"], PRODUCER,
        "When the next poll is due, or when the running one was";
    POLL_DELAY: "anthropic_graph_poll_delay_seconds", Kind::Gauge, ["organization"], PRODUCER,
        "How much later than due the newest poll began";
    POLL_LISTINGS_DONE: "anthropic_graph_poll_listings_done", Kind::Gauge, ["organization"], PRODUCER,
        "Listings of the newest poll that have ended";
    POLL_LISTINGS_EXPECTED: "anthropic_graph_poll_listings_expected", Kind::Gauge, ["organization"], PRODUCER,
        "Listings that the newest poll takes";
    LISTINGS: "anthropic_graph_listings_total", Kind::Counter, ["organization", "collection", "outcome"], PRODUCER,
        "Listings that ended: whole, failed, skipped (what it depends on failed), or gone (the workspace has no members any more)";
    LAST_LISTED: "anthropic_graph_last_listed_timestamp_seconds", Kind::Gauge, ["organization", "collection"], PRODUCER,
        "When the newest whole listing ended; for members, of the workspace for which that is longest ago";
    RECONCILED: "anthropic_graph_reconciled_listings_total", Kind::Counter, ["organization", "collection", "outcome"],
        PROCESSOR,
        "Listings that were reconciled: whole, partial (deletes nothing), guarded (deletions are held), void (its workspace is not in the graph), or applied (was read before)";
    LAST_RECONCILED: "anthropic_graph_last_reconciled_timestamp_seconds", Kind::Gauge, ["organization", "collection"],
        PROCESSOR,
        "When the newest whole listing that is in the graph ended; for members, of the workspace for which that is longest ago";
    NOT_WHOLE_SINCE: "anthropic_graph_not_whole_since_timestamp_seconds", Kind::Gauge, ["organization", "collection"],
        PROCESSOR,
        "Since when no listing has been whole; for members, of the first such workspace. Absent while the newest listing is whole";
    CHANGES: "anthropic_graph_changes_total", Kind::Counter, ["organization", "op"], PROCESSOR,
        "Changes that were written";
    ELEMENTS: "anthropic_graph_elements", Kind::Gauge, ["organization"], PROCESSOR,
        "Elements in the graph";
    WITHHELD: "anthropic_graph_withheld_relationships", Kind::Gauge, ["organization"], PROCESSOR,
        "Relationships that are withheld because an end is missing";
    HOLDS: "anthropic_graph_holds", Kind::Gauge, ["organization", "collection", "state"], PROCESSOR,
        "Deletions that are held: proposed (a person has not decided) or rejected";
    OLDEST_HOLD: "anthropic_graph_oldest_hold_timestamp_seconds", Kind::Gauge, ["organization", "collection"], PROCESSOR,
        "When the oldest deletion was held that a person has not decided. Absent while there is none";
    DEAD_LETTERS: "anthropic_graph_dead_letters_total", Kind::Counter, ["partition"], PROCESSOR,
        "Raw records that could not be used and went to the dead letters";
    PARTITION_LAG: "anthropic_graph_partition_lag_offsets", Kind::Gauge, ["partition"], TASKS,
        "Offsets of the raw topic (processor) or the graph topic (sink) that the partition's task has not read";
    TASK_STATE: "anthropic_graph_task_state", Kind::Gauge, ["partition", "state"], ALL_SERVICES,
        "1 for the state that the partition's task is in, 0 for the others. The states are created, restoring, running, suspended (reopened after a pause), and closed (a person must resolve the reason in /readyz)";
    RESTORE_DURATION: "anthropic_graph_restore_duration_seconds", Kind::Histogram(RESTORES), [], TASKS,
        "Duration of a partition's restore, from opening its task to its first record";
    SYNC_PHASE: "anthropic_graph_sync_phase", Kind::Gauge, ["organization", "phase"], SINK,
        "1 for the phase that the organization is in, 0 for the others";
    SYNC_BEHIND: "anthropic_graph_sync_behind_revisions", Kind::Gauge, ["organization"], SINK,
        "Revisions of the graph that the last finished sync job did not contain";
    SYNC_JOBS: "anthropic_graph_sync_jobs_total", Kind::Counter, ["organization", "outcome"], SINK,
        "Sync jobs that ended: finished, incomplete (JupiterOne did not write all), refused (by JupiterOne, or by the sink's guard before it began), failed, or aborted";
    SYNC_JOB_DURATION: "anthropic_graph_sync_job_duration_seconds", Kind::Histogram(MINUTES), ["organization"], SINK,
        "Duration of a sync job, however it ended";
    OBSERVED_TO_SYNCED: "anthropic_graph_observed_to_synced_seconds", Kind::Histogram(WAY), ["organization"], SINK,
        "Time from the end of the listing that brought changes to the end of the sync job that took them to JupiterOne";
    PARKED: "anthropic_graph_parked_objects", Kind::Gauge, ["organization", "state"], SINK,
        "Objects that JupiterOne refuses: parked (left out), or stripped (without optional properties)";
    TAKEOVERS: "anthropic_graph_sync_takeovers_total", Kind::Counter, ["partition"], SINK,
        "Times that another sink, or a command, took the partition over";
    FALSE_TAKEOVERS: "anthropic_graph_sync_false_takeovers_total", Kind::Counter, ["partition"], SINK,
        "Takeovers without another sink, which are a bug";
    API_REQUESTS: "anthropic_graph_api_requests_total", Kind::Counter, ["organization", "code"], ENDS,
        "Requests to the Admin API (producer) or JupiterOne (sink), each try counted";
    API_REQUEST_DURATION: "anthropic_graph_api_request_duration_seconds", Kind::Histogram(SECONDS), ["organization"],
        ENDS,
        "Duration of such a request, up to its complete response";
    TRANSACTION_DURATION: "anthropic_graph_transaction_duration_seconds", Kind::Histogram(SECONDS), ["outcome"],
        ALL_SERVICES,
        "Duration of a Kafka transaction, from its beginning: committed, aborted, fenced, or failed (unreachable brokers, an unknown outcome)";
    TRANSACTION_RECORDS: "anthropic_graph_transaction_records", Kind::Histogram(RECORDS), [], ALL_SERVICES,
        "Records of a committed Kafka transaction";
    KAFKA_RTT: "anthropic_graph_kafka_broker_rtt_seconds", Kind::Gauge, ["client", "broker"], ALL_SERVICES,
        "Average round-trip time of requests to a broker over five seconds, of the client for which it is longest. A consumer's includes the wait for records, up to fetch.wait.max.ms";
    KAFKA_RTT_P99: "anthropic_graph_kafka_broker_rtt_p99_seconds", Kind::Gauge, ["client", "broker"], ALL_SERVICES,
        "The same: 99th percentile";
    KAFKA_SENT: "anthropic_graph_kafka_sent_bytes_total", Kind::Counter, ["client"], ALL_SERVICES,
        "Bytes that were sent to Kafka";
    KAFKA_RECEIVED: "anthropic_graph_kafka_received_bytes_total", Kind::Counter, ["client"], ALL_SERVICES,
        "Bytes that were received from Kafka";
    KAFKA_QUEUE_RECORDS: "anthropic_graph_kafka_queue_records", Kind::Gauge, ["client"], ALL_SERVICES,
        "Records in the clients' queues: not yet acknowledged (producer), or fetched and not yet read (consumer)";
    KAFKA_QUEUE_BYTES: "anthropic_graph_kafka_queue_bytes", Kind::Gauge, ["client"], ALL_SERVICES,
        "Bytes of the records in the clients' queues";
    PROCESS_CPU: "process_cpu_seconds_total", Kind::Counter, [], ALL_SERVICES,
        "CPU time that the process has used (Linux only, as all of the process)";
    PROCESS_MEMORY: "process_resident_memory_bytes", Kind::Gauge, [], ALL_SERVICES,
        "Memory of the process that is in RAM";
    PROCESS_OPEN_FDS: "process_open_fds", Kind::Gauge, [], ALL_SERVICES,
        "Open file descriptors";
    PROCESS_MAX_FDS: "process_max_fds", Kind::Gauge, [], ALL_SERVICES,
        "Most file descriptors that the process may open";
    PROCESS_START: "process_start_time_seconds", Kind::Gauge, [], ALL_SERVICES,
        "When the process started";
    KAFKA_LAG: "anthropic_graph_kafka_consumer_lag_offsets", Kind::Gauge, ["topic", "partition"], TASKS,
        "Offsets up to the last stable offset (read_committed) that a partition's consumer has not fetched";
}
