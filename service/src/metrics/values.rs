//! The values of metrics, kept by their entries in the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::catalog::{Kind, Metric};

type Labels = Vec<(&'static str, String)>;

/// The values of these metrics. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Values(Arc<BTreeMap<&'static str, Series>>);

#[derive(Debug, Clone)]
enum Series {
    Counter(Family<Labels, Counter>),
    Gauge(Family<Labels, Gauge<f64, AtomicU64>>),
    Histogram(Family<Labels, Histogram, Buckets>),
}

#[derive(Debug, Clone)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl Values {
    pub(super) fn of<'a>(metrics: impl IntoIterator<Item = &'a &'static Metric>) -> Self {
        let series = metrics.into_iter().filter_map(|metric| {
            let series = match metric.kind {
                Kind::Counter => Series::Counter(Family::default()),
                Kind::Gauge => Series::Gauge(Family::default()),
                Kind::Histogram(bounds) => Series::Histogram(Family::new_with_constructor(Buckets(bounds))),
                Kind::Info => return None,
            };
            Some((metric.name, series))
        });
        Self(Arc::new(series.collect()))
    }

    /// Registers one of the metrics, if it is one of these.
    pub(super) fn register(&self, metric: &Metric, registry: &mut Registry) {
        let (name, help) = (metric.base_name(), metric.help);
        let unit = metric.unit().map(|unit| match unit {
            "seconds" => Unit::Seconds,
            _ => Unit::Bytes,
        });
        match (self.0.get(metric.name), unit) {
            (Some(Series::Counter(it)), None) => registry.register(name, help, it.clone()),
            (Some(Series::Counter(it)), Some(unit)) => {
                registry.register_with_unit(name, help, unit, it.clone());
            }
            (Some(Series::Gauge(it)), None) => registry.register(name, help, it.clone()),
            (Some(Series::Gauge(it)), Some(unit)) => {
                registry.register_with_unit(name, help, unit, it.clone());
            }
            (Some(Series::Histogram(it)), None) => registry.register(name, help, it.clone()),
            (Some(Series::Histogram(it)), Some(unit)) => {
                registry.register_with_unit(name, help, unit, it.clone());
            }
            (None, _) => {}
        }
    }

    /// Adds to a counter. With 0, it makes the series exist.
    pub(super) fn count(&self, metric: &Metric, labels: &[&str], count: u64) {
        match self.0.get(metric.name) {
            Some(Series::Counter(it)) => {
                it.get_or_create(&named(metric, labels)).inc_by(count);
            }
            _ => debug_assert!(false, "{} is not a counter here", metric.name),
        }
    }

    pub(super) fn set(&self, metric: &Metric, labels: &[&str], value: f64) {
        match self.0.get(metric.name) {
            Some(Series::Gauge(it)) => {
                it.get_or_create(&named(metric, labels)).set(value);
            }
            _ => debug_assert!(false, "{} is not a gauge here", metric.name),
        }
    }

    /// Adds an observation to a histogram.
    pub(super) fn observe(&self, metric: &Metric, labels: &[&str], value: f64) {
        match self.0.get(metric.name) {
            Some(Series::Histogram(it)) => it.get_or_create(&named(metric, labels)).observe(value),
            _ => debug_assert!(false, "{} is not a histogram here", metric.name),
        }
    }

    /// Makes a histogram's series exist.
    pub(super) fn expect(&self, metric: &Metric, labels: &[&str]) {
        if let Some(Series::Histogram(it)) = self.0.get(metric.name) {
            drop(it.get_or_create(&named(metric, labels)));
        }
    }

    pub(super) fn forget(&self, metric: &Metric, labels: &[&str]) {
        let labels = named(metric, labels);
        match self.0.get(metric.name) {
            Some(Series::Counter(it)) => it.remove(&labels),
            Some(Series::Gauge(it)) => it.remove(&labels),
            Some(Series::Histogram(it)) => it.remove(&labels),
            None => false,
        };
    }
}

fn named(metric: &Metric, labels: &[&str]) -> Labels {
    debug_assert_eq!(metric.labels.len(), labels.len(), "the labels of {}", metric.name);
    metric.labels.iter().zip(labels).map(|(name, value)| (*name, (*value).to_owned())).collect()
}
