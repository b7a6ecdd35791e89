//! The process as Linux describes it in `/proc`. Elsewhere there is nothing to show.
//!
//! The names are those of all client libraries of Prometheus, so that common dashboards find them:
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::catalog::{Metric, PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_MEMORY, PROCESS_OPEN_FDS, PROCESS_START};
use super::exposition::write;

/// Clock ticks of a second in `/proc` (`USER_HZ`); the kernel shows them so on x86 and ARM whatever its own clock is.
const TICKS: f64 = 100.0;
/// Bytes of a `kB` in `/proc`.
const KB: f64 = 1024.0;

/// One of the metrics.
#[derive(Debug)]
pub(super) struct ProcessMetric(pub(super) &'static Metric);

impl Collector for ProcessMetric {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        write(encoder, self.0, read(self.0).into_iter().map(|value| (Vec::new(), value)))
    }
}

/// Whether the metric is one of these.
pub(super) fn has(metric: &Metric) -> bool {
    metric.name.starts_with("process_")
}

fn read(metric: &Metric) -> Option<f64> {
    let is_called = |other: &Metric| metric.name == other.name;
    if is_called(&PROCESS_CPU) {
        Some((stat(14)? + stat(15)?) / TICKS)
    } else if is_called(&PROCESS_START) {
        let booted = field(&fs::read_to_string("/proc/stat").ok()?, "btime")?;
        Some(booted + stat(22)? / TICKS)
    } else if is_called(&PROCESS_MEMORY) {
        Some(field(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")? * KB)
    } else if is_called(&PROCESS_MAX_FDS) {
        field(&fs::read_to_string("/proc/self/limits").ok()?, "Max open files")
    } else if is_called(&PROCESS_OPEN_FDS) {
        // The folder that is read is one of them.
        let count = u32::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?;
        Some(f64::from(count.saturating_sub(1)))
    } else {
        None
    }
}

/// A field of `/proc/self/stat`, counted from 1 as in proc(5). The second, the name, may contain spaces and parentheses.
fn stat(number: usize) -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

/// The number that follows a line's beginning.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::super::catalog::{
        PROCESS_CPU, PROCESS_MAX_FDS, PROCESS_MEMORY, PROCESS_OPEN_FDS, PROCESS_START,
    };
    use super::read;

    #[test]
    fn the_process_is_described() {
        let read = |metric| read(metric).expect("Linux says it");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
        let age = now - read(&PROCESS_START);
        assert!((-2.0..3_600.0).contains(&age), "started {age} s ago");
        assert!((0.0..3_600.0).contains(&read(&PROCESS_CPU)));
        assert!(read(&PROCESS_MEMORY) > 1_000_000.0, "{} bytes", read(&PROCESS_MEMORY));
        assert!(read(&PROCESS_OPEN_FDS) >= 3.0 && read(&PROCESS_OPEN_FDS) < read(&PROCESS_MAX_FDS));
    }
}
