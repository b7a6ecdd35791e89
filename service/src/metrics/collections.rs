//! What is known of each collection. An organization may have thousands of workspaces, so their members are shown
//! together.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::catalog::{HOLDS, Metric};
use super::exposition::write;

/// The values of each collection, by organization and collection.
#[derive(Debug)]
pub(super) struct ByCollection<T>(Arc<Mutex<BTreeMap<(String, String), T>>>);

impl<T> Default for ByCollection<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for ByCollection<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Copy> ByCollection<T> {
    /// Shows a value, or none.
    pub(super) fn set(&self, organization: &str, collection: &str, value: Option<T>) {
        match value {
            Some(value) => self.insert(organization, collection, value),
            None => self.remove(organization, collection),
        }
    }

    pub(super) fn insert(&self, organization: &str, collection: &str, value: T) {
        self.entries().insert((organization.to_owned(), collection.to_owned()), value);
    }

    pub(super) fn remove(&self, organization: &str, collection: &str) {
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

/// A time of each collection: for members, the oldest.
#[derive(Debug, Clone)]
pub(super) struct Oldest {
    pub(super) metric: &'static Metric,
    pub(super) times: ByCollection<SystemTime>,
}

/// How many deletions of each collection are held: left to a person, and rejected.
pub(super) type Holds = ByCollection<[usize; 2]>;

impl Collector for Oldest {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let times = self.times.by_kind(Ord::min).into_iter().map(|((organization, collection), time)| {
            let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            (vec![organization, collection], since_epoch.as_secs_f64())
        });
        write(encoder, self.metric, times)
    }
}

impl Collector for Holds {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sum = |a: [usize; 2], b: [usize; 2]| [a[0] + b[0], a[1] + b[1]];
        let counts = self.by_kind(sum).into_iter().flat_map(|((organization, collection), counts)| {
            ["proposed", "rejected"].into_iter().zip(counts).map(move |(state, count)| {
                #[expect(clippy::cast_precision_loss, reason = "elements are fewer than 2^52")]
                (vec![organization.clone(), collection.clone(), state.to_owned()], count as f64)
            })
        });
        write(encoder, &HOLDS, counts)
    }
}

/// `members` for `members/<workspace id>`, any other collection as it is.
pub(super) fn kind(collection: &str) -> &str {
    collection.split_once('/').map_or(collection, |(kind, _)| kind)
}
