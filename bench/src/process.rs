//! What a process takes: its seconds, its CPU and its memory.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tests::services::Service;

/// How often a process's memory is looked at; its peak is kept by the kernel until then.
const LOOK_PERIOD: Duration = Duration::from_millis(10);
/// How long a process may take: a million API keys take some minutes.
const BOUND: Duration = Duration::from_mins(20);

/// The log has the times that are measured.
const LOGS: (&str, &str) = ("RUST_LOG", "info,librdkafka=error,rdkafka=warn");

/// The unit of the times in /proc: the kernel shows them in hundredths of a second on every machine.
const TICKS_A_SECOND: u64 = 100;

/// A process that has ended well.
pub(crate) struct Ended {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// From its start to its end.
    pub(crate) took: Duration,
    /// Peak of its resident memory (MiB).
    pub(crate) peak_mib: f64,
}

/// Runs a program to its end.
pub(crate) fn run(name: &'static str, program: &Path, arguments: &[String]) -> Result<Ended> {
    let began = Instant::now();
    let mut running = Service::start(name, program, arguments, &[LOGS]);
    let mut peak_kib = 0;
    let pid = running.pid();
    while !running.has_ended() {
        if began.elapsed() >= BOUND {
            bail!("{name} does not end within {} min:\n{}", BOUND.as_secs() / 60, running.kill().stderr);
        }
        peak_kib = status(pid, "VmHWM:").map_or(peak_kib, |now| now.max(peak_kib));
        thread::sleep(LOOK_PERIOD);
    }
    let took = began.elapsed();
    let ended = running.finish();
    ensure!(ended.code == Some(0), "{name} failed ({:?}):\n{}\n{}", ended.code, ended.stdout, ended.stderr);
    ensure!(peak_kib > 0, "no memory of {name} in /proc: the bench measures on Linux only");
    Ok(Ended { stdout: ended.stdout, stderr: ended.stderr, took, peak_mib: mib(peak_kib) })
}

/// A figure of `/proc/PID/status` in KiB, such as `VmHWM:`; none once the process has ended.
pub(crate) fn status(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The CPU time that a process has taken so far, its threads' included; none once it has ended.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: the state is field 3, utime and stime are 14 and 15 (proc_pid_stat(5)).
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = fields.next()?.ok()? + fields.next()?.ok()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_A_SECOND))
}

/// How many threads a process has; none once it has ended.
pub(crate) fn threads(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "no memory has 2^53 KiB")]
pub(crate) fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// The last line of what a program printed, as JSON.
pub(crate) fn last_line(stdout: &str) -> Result<serde_json::Value> {
    let line = stdout.lines().last().context("it printed nothing")?;
    serde_json::from_str(line).with_context(|| format!("its last line is not JSON: {line}"))
}
