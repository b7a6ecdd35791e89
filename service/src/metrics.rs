//! What the services count and measure, by the entries of the [`catalog`].
//!
//! Labels have few values: an organization's configured name, a kind of collection, an outcome, an op, a partition.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use rdkafka::util::get_rdkafka_version;
use schemas::change::Op;
use schemas::collection::{Collection, MEMBERS};
use schemas::sync::{Parked, ParkedState};
use tracing::debug;

use self::catalog::{
    API_REQUEST_DURATION, API_REQUESTS, BUILD, CATALOG, CHANGES, DEAD_LETTERS, ELEMENTS, FALSE_TAKEOVERS,
    KAFKA_RECEIVED, KAFKA_SENT, LAST_LISTED, LAST_RECONCILED, LISTINGS, Metric, NEXT_POLL,
    OBSERVED_TO_SYNCED, PARKED, PARTITION_LAG, POLL_DELAY, POLL_DURATION, POLL_LISTINGS_DONE,
    POLL_LISTINGS_EXPECTED, POLLING_INTERVAL, POLLS, RECONCILED, RESTORE_DURATION, SYNC_BEHIND,
    SYNC_JOB_DURATION, SYNC_JOBS, SYNC_PHASE, TAKEOVERS, TASK_STATE, TRANSACTION_DURATION,
    TRANSACTION_RECORDS, WITHHELD,
};
use self::clients::ClientGauge;
pub(crate) use self::clients::ClientStatistics;
use self::collections::{ByCollection, Holds, Oldest, kind};
use self::process::ProcessMetric;
use self::values::Values;
use crate::version::COMMIT;

pub mod catalog;
mod clients;
mod collections;
mod exposition;
mod process;
mod values;

/// How a poll ends.
const POLL_OUTCOMES: [&str; 3] = ["complete", "incomplete", "failed"];
/// How the producer's listings end.
const LISTING_OUTCOMES: [&str; 4] = ["whole", "failed", "skipped", "gone"];
/// How the processor's listings end.
const RECONCILED_OUTCOMES: [&str; 5] = ["whole", "partial", "guarded", "void", "applied"];
/// How sync jobs end.
const SYNC_OUTCOMES: [&str; 5] = ["finished", "incomplete", "refused", "failed", "aborted"];
/// How transactions end.
const TRANSACTION_OUTCOMES: [&str; 4] = ["committed", "aborted", "fenced", "failed"];

/// The types of Kafka clients.
const CLIENT_TYPES: [&str; 2] = ["consumer", "producer"];

/// The metrics of the clients of Kafka and the APIs: they are made by what knows no metrics, so these are the process's.
static CLIENTS: LazyLock<Values> = LazyLock::new(|| Values::of(PROCESS_WIDE.iter()));
/// Those of them that are counted.
static PROCESS_WIDE: [&Metric; 6] = [
    &API_REQUESTS,
    &API_REQUEST_DURATION,
    &TRANSACTION_DURATION,
    &TRANSACTION_RECORDS,
    &KAFKA_SENT,
    &KAFKA_RECEIVED,
];

/// What the services count and measure. Clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    values: Values,
    last_whole: ByCollection<SystemTime>,
    not_whole: ByCollection<SystemTime>,
    held_since: ByCollection<SystemTime>,
    holds: Holds,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            values: Values::of(CATALOG),
            last_whole: ByCollection::default(),
            not_whole: ByCollection::default(),
            held_since: ByCollection::default(),
            holds: Holds::default(),
        }
    }
}

impl Metrics {
    /// A service's registry, with the metrics that the catalog names for it.
    pub fn new(service: &'static str) -> (Self, Registry) {
        let mut registry = Registry::default();
        let metrics = Self::default();
        for metric in CATALOG.iter().filter(|metric| metric.services.contains(&service)) {
            metrics.register(metric, service, &mut registry);
        }
        for outcome in TRANSACTION_OUTCOMES {
            CLIENTS.expect(&TRANSACTION_DURATION, &[outcome]);
        }
        CLIENTS.expect(&TRANSACTION_RECORDS, &[]);
        for (client, counter) in
            CLIENT_TYPES.into_iter().flat_map(|it| [(it, &KAFKA_SENT), (it, &KAFKA_RECEIVED)])
        {
            CLIENTS.count(counter, &[client], 0);
        }
        if RESTORE_DURATION.services.contains(&service) {
            metrics.values.expect(&RESTORE_DURATION, &[]);
        }
        (metrics, registry)
    }

    fn register(&self, metric: &'static Metric, service: &'static str, registry: &mut Registry) {
        match metric.name {
            name if name == BUILD.name => {
                let (_, librdkafka) = get_rdkafka_version();
                let values = [service, env!("CARGO_PKG_VERSION"), COMMIT, &librdkafka].map(ToOwned::to_owned);
                let labels: Vec<_> = metric.labels.iter().copied().zip(values).collect();
                registry.register(metric.base_name(), metric.help, Info::new(labels));
            }
            name if name == LAST_LISTED.name || name == LAST_RECONCILED.name => {
                registry.register_collector(Box::new(Oldest { metric, times: self.last_whole.clone() }));
            }
            name if name == catalog::NOT_WHOLE_SINCE.name => {
                registry.register_collector(Box::new(Oldest { metric, times: self.not_whole.clone() }));
            }
            name if name == catalog::OLDEST_HOLD.name => {
                registry.register_collector(Box::new(Oldest { metric, times: self.held_since.clone() }));
            }
            name if name == catalog::HOLDS.name => registry.register_collector(Box::new(self.holds.clone())),
            name if PROCESS_WIDE.iter().any(|it| it.name == name) => CLIENTS.register(metric, registry),
            _ if process::has(metric) => registry.register_collector(Box::new(ProcessMetric(metric))),
            _ if clients::has(metric) => registry.register_collector(Box::new(ClientGauge(metric))),
            _ => self.values.register(metric, registry),
        }
    }

    /// A collection was listed whole, and its listing ended then.
    pub fn listed_whole(&self, organization: &str, collection: &str, ended: SystemTime) {
        self.last_whole.insert(organization, collection, ended);
    }

    /// Since when no listing of a collection has been whole; `None`: the newest one is.
    pub fn not_whole(&self, organization: &str, collection: &str, since: Option<SystemTime>) {
        self.not_whole.set(organization, collection, since);
    }

    /// How many deletions of a collection are held: left to a person, and rejected.
    pub fn held(&self, organization: &str, collection: &str, proposed: usize, rejected: usize) {
        self.holds.insert(organization, collection, [proposed, rejected]);
    }

    /// Since when a deletion of a collection has been held that is left to a person; `None`: there is none.
    pub fn held_since(&self, organization: &str, collection: &str, since: Option<SystemTime>) {
        self.held_since.set(organization, collection, since);
    }

    /// A collection is gone, or another process has its organization.
    pub fn forget_collection(&self, organization: &str, collection: &str) {
        self.last_whole.remove(organization, collection);
        self.not_whole.remove(organization, collection);
        self.held_since.remove(organization, collection);
        self.holds.remove(organization, collection);
    }

    /// An organization that this producer may poll: its counters exist from now on.
    pub fn expect_polls(&self, organization: &str, interval: Duration) {
        for outcome in POLL_OUTCOMES {
            self.values.count(&POLLS, &[organization, outcome], 0);
        }
        for (collection, outcome) in families().flat_map(|it| LISTING_OUTCOMES.map(|outcome| (it, outcome))) {
            self.values.count(&LISTINGS, &[organization, collection, outcome], 0);
        }
        self.values.expect(&POLL_DURATION, &[organization]);
        expect_api(organization);
        self.values.set(&POLLING_INTERVAL, &[organization], interval.as_secs_f64());
    }

    /// A listing of the producer ended, such as `whole` or `failed`.
    pub fn count_listing(&self, organization: &str, collection: &str, outcome: &str) {
        self.values.count(&LISTINGS, &[organization, kind(collection), outcome], 1);
    }

    /// The newest poll of an organization has ended so many listings of those that it takes.
    pub fn set_poll_listings(&self, organization: &str, done: usize, expected: usize) {
        self.values.set(&POLL_LISTINGS_DONE, &[organization], number(done));
        self.values.set(&POLL_LISTINGS_EXPECTED, &[organization], number(expected));
    }

    /// The next poll of an organization begins then.
    pub fn set_next_poll(&self, organization: &str, due: SystemTime) {
        let since_epoch = due.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.values.set(&NEXT_POLL, &[organization], since_epoch.as_secs_f64());
    }

    /// A poll of an organization ended: `complete`, `incomplete`, or `failed`.
    pub fn count_poll(&self, organization: &str, outcome: &str) {
        self.values.count(&POLLS, &[organization, outcome], 1);
    }

    /// A poll of an organization that was not `failed` took that long.
    pub fn poll_took(&self, organization: &str, duration: Duration) {
        self.values.observe(&POLL_DURATION, &[organization], duration.as_secs_f64());
    }

    /// A poll of an organization began that much after its time.
    pub fn poll_was_late(&self, organization: &str, late: Duration) {
        self.values.set(&POLL_DELAY, &[organization], late.as_secs_f64());
    }

    /// Another process polls the organization.
    pub fn forget_polls(&self, organization: &str) {
        for gauge in [&POLL_LISTINGS_DONE, &POLL_LISTINGS_EXPECTED, &NEXT_POLL, &POLL_DELAY] {
            self.values.forget(gauge, &[organization]);
        }
    }

    /// How many elements an organization has, and how many relationships are withheld. Its counters exist from now on.
    pub fn set_elements(&self, organization: &str, elements: usize, withheld: usize) {
        self.values.set(&ELEMENTS, &[organization], number(elements));
        self.values.set(&WITHHELD, &[organization], number(withheld));
        for (collection, outcome) in
            families().flat_map(|it| RECONCILED_OUTCOMES.map(|outcome| (it, outcome)))
        {
            self.values.count(&RECONCILED, &[organization, collection, outcome], 0);
        }
        for op in Op::ALL {
            self.values.count(&CHANGES, &[organization, op.as_str()], 0);
        }
    }

    /// Another process has the organization's graph.
    pub fn forget_elements(&self, organization: &str) {
        self.values.forget(&ELEMENTS, &[organization]);
        self.values.forget(&WITHHELD, &[organization]);
    }

    /// A listing was reconciled, such as `whole`, `partial`, `guarded`.
    pub fn count_reconciled(&self, organization: &str, collection: &str, outcome: &str) {
        self.values.count(&RECONCILED, &[organization, kind(collection), outcome], 1);
    }

    /// Changes of one op (`c`, `u`, `d`, `r`, `m`) were written.
    pub fn count_changes(&self, organization: &str, op: &str, count: u64) {
        self.values.count(&CHANGES, &[organization, op], count);
    }

    /// How many offsets of a partition are not yet read.
    pub fn set_lag(&self, partition: i32, offsets: i64) {
        #[expect(clippy::cast_precision_loss, reason = "a lag is less than 2^52")]
        self.values.set(&PARTITION_LAG, &[&partition.to_string()], offsets as f64);
    }

    /// Which of all its states a partition's task is in. Its counters exist from now on.
    pub fn set_task_state(&self, partition: i32, state: &str, all: &[&'static str]) {
        let partition = partition.to_string();
        for name in all {
            self.values.set(&TASK_STATE, &[&partition, name], f64::from(u8::from(*name == state)));
        }
        for counter in [&DEAD_LETTERS, &TAKEOVERS, &FALSE_TAKEOVERS] {
            self.values.count(counter, &[&partition], 0);
        }
    }

    /// Another process has the partition.
    pub fn forget_partition(&self, partition: i32, states: &[&'static str]) {
        let partition = partition.to_string();
        self.values.forget(&PARTITION_LAG, &[&partition]);
        for state in states {
            self.values.forget(&TASK_STATE, &[&partition, state]);
        }
    }

    /// A partition's task was restored.
    pub fn restored(&self, duration: Duration) {
        self.values.observe(&RESTORE_DURATION, &[], duration.as_secs_f64());
    }

    /// An organization that this sink synchronizes: its counters exist from now on.
    pub fn expect_sync(&self, organization: &str) {
        for outcome in SYNC_OUTCOMES {
            self.values.count(&SYNC_JOBS, &[organization, outcome], 0);
        }
        self.values.expect(&SYNC_JOB_DURATION, &[organization]);
        expect_api(organization);
        self.values.expect(&OBSERVED_TO_SYNCED, &[organization]);
    }

    /// A sync job ended, such as `finished`, `aborted`, `failed`, `refused`.
    pub fn count_sync_job(&self, organization: &str, outcome: &str) {
        self.values.count(&SYNC_JOBS, &[organization, outcome], 1);
    }

    /// A sync job of the organization took that long.
    pub fn sync_job_took(&self, organization: &str, duration: Duration) {
        self.values.observe(&SYNC_JOB_DURATION, &[organization], duration.as_secs_f64());
    }

    /// What a listing observed is in JupiterOne that long after the listing ended.
    pub fn observed_to_synced(&self, organization: &str, duration: Duration) {
        self.values.observe(&OBSERVED_TO_SYNCED, &[organization], duration.as_secs_f64());
    }

    /// How many revisions of the graph the last finished sync job did not contain.
    pub fn set_behind(&self, organization: &str, revisions: i64) {
        #[expect(clippy::cast_precision_loss, reason = "revisions are fewer than 2^52")]
        self.values.set(&SYNC_BEHIND, &[organization], revisions as f64);
    }

    /// Which of all its phases the organization's synchronization is in.
    pub fn set_phase(&self, organization: &str, phase: &str, all: &[&'static str]) {
        for name in all {
            self.values.set(&SYNC_PHASE, &[organization, name], f64::from(u8::from(*name == phase)));
        }
    }

    /// What JupiterOne refuses of the organization.
    pub fn set_parked(&self, organization: &str, parked: &[Parked]) {
        for state in ParkedState::ALL {
            let count = parked.iter().filter(|parked| parked.state == *state).count();
            self.values.set(&PARKED, &[organization, state.as_str()], number(count));
        }
    }

    /// Another process has the organization: how it stands is that process's to show.
    pub fn forget_organization(&self, organization: &str, phases: &[&'static str]) {
        for phase in phases {
            self.values.forget(&SYNC_PHASE, &[organization, phase]);
        }
        for state in ParkedState::ALL {
            self.values.forget(&PARKED, &[organization, state.as_str()]);
        }
        self.values.forget(&SYNC_BEHIND, &[organization]);
    }

    /// Another sink took the partition over.
    pub fn count_takeover(&self, partition: i32) {
        self.values.count(&TAKEOVERS, &[&partition.to_string()], 1);
    }

    /// A takeover turned out to be none.
    pub fn count_false_takeover(&self, partition: i32) {
        self.values.count(&FALSE_TAKEOVERS, &[&partition.to_string()], 1);
    }

    /// Dead letters were written.
    pub fn count_dead_letters(&self, partition: i32, count: u64) {
        self.values.count(&DEAD_LETTERS, &[&partition.to_string()], count);
    }
}

/// Takes the statistics that librdkafka gave a client.
pub(crate) fn client_statistics(of: &ClientStatistics, json: &[u8]) {
    match of.take(json) {
        Ok((client, [sent, received])) => {
            CLIENTS.count(&KAFKA_SENT, &[&client], sent);
            CLIENTS.count(&KAFKA_RECEIVED, &[&client], received);
        }
        // Another librdkafka than the one that is compiled in cannot be there.
        Err(error) => debug!(%error, "librdkafka's statistics have another form"),
    }
}

/// A request to an API ended with that status; `None`: without a complete response.
pub(crate) fn api_request_ended(organization: &str, status: Option<&str>, duration: Duration) {
    CLIENTS.count(&API_REQUESTS, &[organization, status.unwrap_or("none")], 1);
    CLIENTS.observe(&API_REQUEST_DURATION, &[organization], duration.as_secs_f64());
}

/// Its API's counters exist from now on.
fn expect_api(organization: &str) {
    for code in ["200", "401", "none"] {
        CLIENTS.count(&API_REQUESTS, &[organization, code], 0);
    }
    CLIENTS.expect(&API_REQUEST_DURATION, &[organization]);
}

/// A transaction of so many records ended: `committed`, `aborted`, `fenced`, or `failed`.
pub(crate) fn transaction_ended(outcome: &str, records: u64, duration: Duration) {
    CLIENTS.observe(&TRANSACTION_DURATION, &[outcome], duration.as_secs_f64());
    if outcome == "committed" {
        #[expect(clippy::cast_precision_loss, reason = "records are fewer than 2^52")]
        CLIENTS.observe(&TRANSACTION_RECORDS, &[], records as f64);
    }
}

/// The kinds of collections.
fn families() -> impl Iterator<Item = &'static str> {
    Collection::SINGLE.into_iter().map(|single| single.family().name()).chain([MEMBERS])
}

#[expect(clippy::cast_precision_loss, reason = "counts are fewer than 2^52")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
