//! Metrics whose values are worked out when they are asked for.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::catalog::{Kind, Metric};

/// The values of the labels, and the value.
pub(super) type Sample = (Vec<String>, f64);

/// Writes a gauge or a counter of the catalog with these samples; nothing if there are none.
pub(super) fn write(
    mut encoder: DescriptorEncoder<'_>,
    metric: &Metric,
    samples: impl Iterator<Item = Sample>,
) -> Result<(), fmt::Error> {
    let mut samples = samples.peekable();
    if samples.peek().is_none() {
        return Ok(());
    }
    let unit = metric.unit().map(|unit| if unit == "bytes" { Unit::Bytes } else { Unit::Seconds });
    let is_counter = metric.kind == Kind::Counter;
    let mut family = encoder.encode_descriptor(
        metric.base_name(),
        &format!("{}.", metric.help),
        unit.as_ref(),
        if is_counter { MetricType::Counter } else { MetricType::Gauge },
    )?;
    for (values, value) in samples {
        let labels: Vec<(&str, String)> = metric.labels.iter().copied().zip(values).collect();
        let encoder = family.encode_family(&labels)?;
        if is_counter {
            ConstCounter::new(value).encode(encoder)?;
        } else {
            ConstGauge::new(value).encode(encoder)?;
        }
    }
    Ok(())
}
