//! What librdkafka's statistics say, of all Kafka clients of the process together.
//!
//! librdkafka describes the fields in its STATISTICS.md. A task's clients come and go with its partition, so the gauges
//! are put together when they are asked for, and a client that is gone is not among them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use serde::Deserialize;

use super::catalog::{KAFKA_LAG, KAFKA_QUEUE_BYTES, KAFKA_QUEUE_RECORDS, KAFKA_RTT, KAFKA_RTT_P99, Metric};
use super::exposition::{Sample, write};

/// The newest statistics of each client, by its number.
static CLIENTS: Mutex<BTreeMap<u64, Statistics>> = Mutex::new(BTreeMap::new());
/// The number of the next client.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Microseconds of a second.
const MICROS: f64 = 1_000_000.0;

/// The fields that are exported.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Statistics {
    #[serde(rename = "type")]
    pub(super) client: String,
    pub(super) tx_bytes: u64,
    pub(super) rx_bytes: u64,
    /// Of a producer: records that are not yet acknowledged (count), and their bytes.
    msg_cnt: u64,
    msg_size: u64,
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
    #[serde(default)]
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Deserialize)]
struct Broker {
    nodeid: i64,
    rtt: Window,
}

/// Of the requests that were answered since the last statistics (us).
#[derive(Debug, Deserialize)]
struct Window {
    avg: f64,
    p99: f64,
    cnt: u64,
}

#[derive(Debug, Deserialize)]
struct Topic {
    partitions: BTreeMap<String, Partition>,
}

#[derive(Debug, Deserialize)]
struct Partition {
    /// Records that were fetched and not yet read (count), and their bytes.
    fetchq_cnt: u64,
    fetchq_size: u64,
    /// Negative where it is not known.
    next_offset: i64,
    /// The last stable offset, negative where it is not known.
    ls_offset: i64,
}

/// One client's place among the statistics. Its context has it.
#[derive(Debug)]
pub(crate) struct ClientStatistics {
    id: u64,
}

impl Default for ClientStatistics {
    fn default() -> Self {
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for ClientStatistics {
    fn drop(&mut self) {
        clients().remove(&self.id);
    }
}

impl ClientStatistics {
    /// Takes the statistics that librdkafka gave the client, and returns how many bytes it has sent and received since
    /// the last ones; an error if they have another form.
    pub(super) fn take(&self, json: &[u8]) -> Result<(String, [u64; 2]), serde_json::Error> {
        let now: Statistics = serde_json::from_slice(json)?;
        let (client, bytes) = (now.client.clone(), [now.tx_bytes, now.rx_bytes]);
        let before = clients().insert(self.id, now);
        let before = before.map_or([0, 0], |before| [before.tx_bytes, before.rx_bytes]);
        Ok((client, [bytes[0].saturating_sub(before[0]), bytes[1].saturating_sub(before[1])]))
    }
}

fn clients() -> MutexGuard<'static, BTreeMap<u64, Statistics>> {
    // A map is whole between any two calls.
    CLIENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the metric is a gauge of these statistics.
pub(super) fn has(metric: &Metric) -> bool {
    let gauges = [&KAFKA_RTT, &KAFKA_RTT_P99, &KAFKA_QUEUE_RECORDS, &KAFKA_QUEUE_BYTES, &KAFKA_LAG];
    gauges.iter().any(|gauge| gauge.name == metric.name)
}

/// One of the gauges.
#[derive(Debug)]
pub(super) struct ClientGauge(pub(super) &'static Metric);

impl Collector for ClientGauge {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let samples = samples(self.0, clients().values());
        write(encoder, self.0, samples.into_iter())
    }
}

#[expect(clippy::cast_precision_loss, reason = "queues and lags are less than 2^52")]
fn samples<'a>(metric: &Metric, clients: impl Iterator<Item = &'a Statistics>) -> BTreeMap<Vec<String>, f64> {
    let mut samples: BTreeMap<Vec<String>, f64> = BTreeMap::new();
    let is_called = |other: &Metric| metric.name == other.name;
    for client in clients {
        let mut add = |labels: Vec<String>, value: f64, join: fn(f64, f64) -> f64| {
            let sample: Sample = (labels, value);
            samples.entry(sample.0).and_modify(|kept| *kept = join(*kept, value)).or_insert(value);
        };
        if is_called(&KAFKA_RTT) || is_called(&KAFKA_RTT_P99) {
            // A broker that is known by its address only has the ID -1.
            for broker in client.brokers.values().filter(|it| it.nodeid >= 0 && it.rtt.cnt > 0) {
                let micros = if is_called(&KAFKA_RTT) { broker.rtt.avg } else { broker.rtt.p99 };
                add(vec![client.client.clone(), broker.nodeid.to_string()], micros / MICROS, f64::max);
            }
            continue;
        }
        let partitions =
            client.topics.iter().flat_map(|(topic, it)| it.partitions.iter().map(move |it| (topic, it)));
        if is_called(&KAFKA_LAG) {
            let known = partitions.filter(|(_, (_, it))| it.next_offset >= 0 && it.ls_offset >= 0);
            for (topic, (number, it)) in known {
                let lag = it.ls_offset.saturating_sub(it.next_offset).max(0);
                add(vec![topic.clone(), number.clone()], lag as f64, f64::min);
            }
            continue;
        }
        let (sent, fetched): (u64, u64) = if is_called(&KAFKA_QUEUE_BYTES) {
            (client.msg_size, partitions.map(|(_, (_, it))| it.fetchq_size).sum())
        } else {
            (client.msg_cnt, partitions.map(|(_, (_, it))| it.fetchq_cnt).sum())
        };
        let queued = if client.client == "producer" { sent } else { fetched };
        add(vec![client.client.clone()], queued as f64, |a, b| a + b);
    }
    samples
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{ClientStatistics, Statistics, samples};
    use crate::metrics::catalog::{
        KAFKA_LAG, KAFKA_QUEUE_BYTES, KAFKA_QUEUE_RECORDS, KAFKA_RTT, KAFKA_RTT_P99, Metric,
    };

    const CONSUMER: &str = r#"{"type": "consumer", "tx_bytes": 10, "rx_bytes": 1000, "msg_cnt": 0, "msg_size": 0,
        "brokers": {
            "b:1/1": {"nodeid": 1, "rtt": {"avg": 2000, "p99": 9000, "cnt": 4}},
            "b:1/bootstrap": {"nodeid": -1, "rtt": {"avg": 7000000, "p99": 7000000, "cnt": 1}},
            "b:2/2": {"nodeid": 2, "rtt": {"avg": 0, "p99": 0, "cnt": 0}}},
        "topics": {"raw": {"partitions": {
            "0": {"fetchq_cnt": 3, "fetchq_size": 300, "next_offset": 90, "ls_offset": 100, "hi_offset": 120},
            "-1": {"fetchq_cnt": 0, "fetchq_size": 0, "next_offset": -1001, "ls_offset": -1001}}}}}"#;
    const PRODUCER: &str = r#"{"type": "producer", "tx_bytes": 5, "rx_bytes": 6, "msg_cnt": 2, "msg_size": 20,
        "brokers": {"b:1/1": {"nodeid": 1, "rtt": {"avg": 1000, "p99": 1000, "cnt": 1}}}}"#;

    fn of(metric: &Metric, clients: &[&str]) -> BTreeMap<String, f64> {
        let clients: Vec<Statistics> =
            clients.iter().map(|it| serde_json::from_str(it).expect("statistics")).collect();
        samples(metric, clients.iter()).into_iter().map(|(labels, value)| (labels.join(" "), value)).collect()
    }

    fn is(samples: &[(&str, f64)]) -> BTreeMap<String, f64> {
        samples.iter().map(|(labels, value)| ((*labels).to_owned(), *value)).collect()
    }

    #[test]
    fn clients_are_put_together_by_type_broker_and_partition() {
        let all = [CONSUMER, CONSUMER, PRODUCER];
        assert_eq!(of(&KAFKA_RTT, &all), is(&[("consumer 1", 0.002), ("producer 1", 0.001)]));
        assert_eq!(of(&KAFKA_RTT_P99, &all), is(&[("consumer 1", 0.009), ("producer 1", 0.001)]));
        assert_eq!(of(&KAFKA_QUEUE_RECORDS, &all), is(&[("consumer", 6.0), ("producer", 2.0)]));
        assert_eq!(of(&KAFKA_QUEUE_BYTES, &all), is(&[("consumer", 600.0), ("producer", 20.0)]));
    }

    #[test]
    fn the_lag_is_to_the_last_stable_offset_and_unknown_offsets_have_none() {
        assert_eq!(of(&KAFKA_LAG, &[CONSUMER]), is(&[("raw 0", 10.0)]));
    }

    #[test]
    fn bytes_are_counted_from_statistics_to_statistics() {
        let client = ClientStatistics::default();
        let next = CONSUMER.replace("1000,", "1500,");
        assert_eq!(
            client.take(CONSUMER.as_bytes()).expect("statistics"),
            ("consumer".to_owned(), [10, 1000])
        );
        assert_eq!(client.take(next.as_bytes()).expect("statistics"), ("consumer".to_owned(), [0, 500]));
        assert!(client.take(b"{}").is_err());
    }
}
