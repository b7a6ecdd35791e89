//! The metrics, their names and labels in one place.
//!
//! Labels have few values: an organization's configured name, a kind of collection, an outcome, an op, a partition.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use schemas::sync::{Parked, parked};

/// Begins every name.
pub const PREFIX: &str = "anthropic_graph";

/// What the services count. Clones share their values.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    last_whole: LastWhole,
    not_whole: NotWhole,
    holds: Holds,
    listings: Family<ListingLabels, Counter>,
    poll_listings_done: Family<OrganizationLabels, Gauge>,
    poll_listings_expected: Family<OrganizationLabels, Gauge>,
    poll_duration: Family<OrganizationLabels, Gauge>,
    poll_late: Family<OrganizationLabels, Gauge>,
    changes: Family<ChangeLabels, Counter>,
    lag: Family<PartitionLabels, Gauge>,
    closed: Family<PartitionLabels, Gauge>,
    sync_jobs: Family<SyncJobLabels, Counter>,
    paused: Family<OrganizationLabels, Gauge>,
    parked: Family<ParkedLabels, Gauge>,
    takeovers: Family<PartitionLabels, Counter>,
    false_takeovers: Family<PartitionLabels, Counter>,
    dead_letters: Family<PartitionLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListingLabels {
    organization: String,
    collection: String,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    organization: String,
    op: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabels {
    partition: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OrganizationLabels {
    organization: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ParkedLabels {
    organization: String,
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SyncJobLabels {
    organization: String,
    outcome: String,
}

impl Metrics {
    /// A service's registry with `build_info`, and its metrics in it.
    pub fn new(service: &'static str) -> (Self, Registry) {
        let mut registry = Registry::with_prefix(PREFIX);
        let build = Info::new([("service", service), ("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The service and its version", build);
        let metrics = Self::default();
        metrics.register(&mut registry);
        (metrics, registry)
    }

    fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.last_whole.clone()));
        registry.register_collector(Box::new(self.not_whole.clone()));
        registry.register_collector(Box::new(self.holds.clone()));
        registry.register("listings", "Listings by outcome", self.listings.clone());
        let done = "Listings that the newest poll has ended, well or not";
        registry.register("poll_listings_done", done, self.poll_listings_done.clone());
        let expected = "Listings that the newest poll takes";
        registry.register("poll_listings_expected", expected, self.poll_listings_expected.clone());
        let took = "How long the last poll took";
        registry.register_with_unit("poll_duration", took, Unit::Seconds, self.poll_duration.clone());
        let late = "How much later than its interval the newest poll began";
        registry.register_with_unit("poll_late", late, Unit::Seconds, self.poll_late.clone());
        registry.register("changes", "Changes by op", self.changes.clone());
        registry.register("lag_records", "Records of a partition that are not yet read", self.lag.clone());
        let closed = "Whether a partition is closed until a person resolves the reason in /readyz";
        registry.register("partition_closed", closed, self.closed.clone());
        registry.register("sync_jobs", "JupiterOne sync jobs by outcome", self.sync_jobs.clone());
        registry.register("paused", "Whether the sink starts no sync job", self.paused.clone());
        registry.register("parked_objects", "Objects that JupiterOne refuses", self.parked.clone());
        registry.register(
            "takeovers",
            "Times that another sink took the partition over",
            self.takeovers.clone(),
        );
        registry.register(
            "false_takeovers",
            "Takeovers without another sink, which are a bug",
            self.false_takeovers.clone(),
        );
        registry.register("dead_letters", "Records that could not be decoded", self.dead_letters.clone());
    }

    /// A collection was listed whole, and its listing ended then.
    pub fn listed_whole(&self, organization: &str, collection: &str, ended: SystemTime) {
        self.last_whole.insert(organization, collection, ended);
    }

    /// Since when no listing of a collection has been whole; `None`: the newest one is.
    pub fn not_whole(&self, organization: &str, collection: &str, since: Option<SystemTime>) {
        self.not_whole.insert(organization, collection, since);
    }

    /// How many deletions of a collection are held: left to a person, and rejected.
    pub fn held(&self, organization: &str, collection: &str, proposed: usize, rejected: usize) {
        self.holds.insert(organization, collection, [proposed, rejected]);
    }

    /// A collection is gone, or another process has its organization.
    pub fn forget_collection(&self, organization: &str, collection: &str) {
        self.last_whole.remove(organization, collection);
        self.not_whole.remove(organization, collection);
        self.holds.remove(organization, collection);
    }

    /// A listing ended, such as `whole`, `partial`, `failed`, `guarded`.
    pub fn count_listing(&self, organization: &str, collection: &str, outcome: &str) {
        let labels = ListingLabels {
            organization: organization.to_owned(),
            collection: kind(collection).to_owned(),
            outcome: outcome.to_owned(),
        };
        self.listings.get_or_create(&labels).inc();
    }

    /// The newest poll of an organization has ended so many listings of those that it takes.
    pub fn set_poll_listings(&self, organization: &str, done: usize, expected: usize) {
        let labels = OrganizationLabels { organization: organization.to_owned() };
        self.poll_listings_done.get_or_create(&labels).set(i64::try_from(done).unwrap_or(i64::MAX));
        self.poll_listings_expected.get_or_create(&labels).set(i64::try_from(expected).unwrap_or(i64::MAX));
    }

    /// A poll of an organization ended.
    pub fn poll_took(&self, organization: &str, duration: Duration) {
        let labels = OrganizationLabels { organization: organization.to_owned() };
        self.poll_duration.get_or_create(&labels).set(seconds(duration));
    }

    /// A poll of an organization began that much after its time.
    pub fn poll_was_late(&self, organization: &str, late: Duration) {
        let labels = OrganizationLabels { organization: organization.to_owned() };
        self.poll_late.get_or_create(&labels).set(seconds(late));
    }

    /// Another process polls the organization.
    pub fn forget_polls(&self, organization: &str) {
        let labels = OrganizationLabels { organization: organization.to_owned() };
        for gauge in
            [&self.poll_listings_done, &self.poll_listings_expected, &self.poll_duration, &self.poll_late]
        {
            gauge.remove(&labels);
        }
    }

    /// Changes of one op (`c`, `u`, `d`, `r`, `m`) were written.
    pub fn count_changes(&self, organization: &str, op: &str, count: u64) {
        let labels = ChangeLabels { organization: organization.to_owned(), op: op.to_owned() };
        self.changes.get_or_create(&labels).inc_by(count);
    }

    /// How many records of a partition are not yet read.
    pub fn set_lag(&self, partition: i32, records: i64) {
        self.lag.get_or_create(&PartitionLabels { partition }).set(records);
    }

    /// Whether a partition is closed until a person resolves why.
    pub fn set_closed(&self, partition: i32, is_closed: bool) {
        self.closed.get_or_create(&PartitionLabels { partition }).set(i64::from(is_closed));
    }

    /// Another process has the partition.
    pub fn forget_partition(&self, partition: i32) {
        self.lag.remove(&PartitionLabels { partition });
        self.closed.remove(&PartitionLabels { partition });
    }

    /// A sync job ended, such as `finished`, `aborted`, `failed`, `refused`.
    pub fn count_sync_job(&self, organization: &str, outcome: &str) {
        let labels = SyncJobLabels { organization: organization.to_owned(), outcome: outcome.to_owned() };
        self.sync_jobs.get_or_create(&labels).inc();
    }

    /// Whether the sink starts no sync job of the organization until something is mended or decided.
    pub fn set_paused(&self, organization: &str, is_paused: bool) {
        let labels = OrganizationLabels { organization: organization.to_owned() };
        self.paused.get_or_create(&labels).set(i64::from(is_paused));
    }

    /// What JupiterOne refuses of the organization.
    pub fn set_parked(&self, organization: &str, parked: &[Parked]) {
        for state in [parked::PARKED, parked::STRIPPED] {
            let labels = ParkedLabels { organization: organization.to_owned(), state: state.to_owned() };
            let count = parked.iter().filter(|parked| parked.state == state).count();
            self.parked.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Another process has the organization: how it stands is that process's to show.
    pub fn forget_organization(&self, organization: &str) {
        self.paused.remove(&OrganizationLabels { organization: organization.to_owned() });
        for state in [parked::PARKED, parked::STRIPPED] {
            let labels = ParkedLabels { organization: organization.to_owned(), state: state.to_owned() };
            self.parked.remove(&labels);
        }
    }

    /// Another sink took the partition over.
    pub fn count_takeover(&self, partition: i32) {
        self.takeovers.get_or_create(&PartitionLabels { partition }).inc();
    }

    /// A takeover turned out to be none.
    pub fn count_false_takeover(&self, partition: i32) {
        self.false_takeovers.get_or_create(&PartitionLabels { partition }).inc();
    }

    /// Dead letters were written.
    pub fn count_dead_letters(&self, partition: i32, count: u64) {
        self.dead_letters.get_or_create(&PartitionLabels { partition }).inc_by(count);
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// What is known of each collection, by organization and collection: an organization may have thousands of workspaces,
/// so what is shown is put together for each kind of collection.
#[derive(Debug, Clone)]
struct ByCollection<T>(Arc<Mutex<BTreeMap<(String, String), T>>>);

impl<T> Default for ByCollection<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Copy> ByCollection<T> {
    fn insert(&self, organization: &str, collection: &str, value: T) {
        self.entries().insert((organization.to_owned(), collection.to_owned()), value);
    }

    fn remove(&self, organization: &str, collection: &str) {
        self.entries().remove(&(organization.to_owned(), collection.to_owned()));
    }

    fn by_kind(&self, join: impl Fn(T, T) -> T) -> BTreeMap<(String, String), T> {
        let mut joined = BTreeMap::new();
        for ((organization, collection), value) in self.entries().iter() {
            let entry = joined.entry((organization.clone(), kind(collection).to_owned()));
            entry.and_modify(|kept| *kept = join(*kept, *value)).or_insert(*value);
        }
        joined
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<(String, String), T>> {
        // A map is whole between any two calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When each collection was last listed whole, shown as an age at the time of the question.
type LastWhole = ByCollection<SystemTime>;
/// Since when each collection has not been listed whole, if it is so.
type NotWhole = ByCollection<Option<SystemTime>>;
/// How many deletions of each collection are held: left to a person, and rejected.
type Holds = ByCollection<[usize; 2]>;

impl Collector for LastWhole {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let now = SystemTime::now();
        let family = encoder.encode_descriptor(
            "last_whole_listing_age",
            "Age of the last whole listing, of the oldest workspace's for members",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        let ages = self.by_kind(Ord::min).into_iter().map(|((organization, collection), ended)| {
            let labels = [("organization", organization), ("collection", collection)];
            (labels, now.duration_since(ended).unwrap_or_default().as_secs_f64())
        });
        encode_gauges(family, ages)
    }
}

impl Collector for NotWhole {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let family = encoder.encode_descriptor(
            "not_whole_since",
            "Since when no listing has been whole, of the first such workspace for members; 0: the newest is whole",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        let first = |a: Option<SystemTime>, b| a.into_iter().chain(b).min();
        let times = self.by_kind(first).into_iter().map(|((organization, collection), since)| {
            let labels = [("organization", organization), ("collection", collection)];
            let since = since.and_then(|since| since.duration_since(SystemTime::UNIX_EPOCH).ok());
            (labels, since.unwrap_or_default().as_secs_f64())
        });
        encode_gauges(family, times)
    }
}

impl Collector for Holds {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let family = encoder.encode_descriptor(
            "holds",
            "Deletions that are held, by state",
            None,
            MetricType::Gauge,
        )?;
        let sum = |a: [usize; 2], b: [usize; 2]| [a[0] + b[0], a[1] + b[1]];
        let counts = self.by_kind(sum).into_iter().flat_map(|((organization, collection), counts)| {
            ["proposed", "rejected"].into_iter().zip(counts).map(move |(state, count)| {
                let labels = [
                    ("organization", organization.clone()),
                    ("collection", collection.clone()),
                    ("state", state.to_owned()),
                ];
                #[expect(clippy::cast_precision_loss, reason = "elements are fewer than 2^52")]
                (labels, count as f64)
            })
        });
        encode_gauges(family, counts)
    }
}

fn encode_gauges<const N: usize>(
    mut family: MetricEncoder<'_>,
    gauges: impl Iterator<Item = ([(&'static str, String); N], f64)>,
) -> Result<(), fmt::Error> {
    for (labels, value) in gauges {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// `members` for `members/<workspace id>`, any other collection as it is.
fn kind(collection: &str) -> &str {
    collection.split_once('/').map_or(collection, |(kind, _)| kind)
}

#[cfg(test)]
mod tests;
