//! Measures rounds of the three binaries between the simulated ends, and holds each to the truth:
//! `cargo run --release -p tests --bin round -- USERS WORKSPACES API_KEYS`.
//!
//! Three rounds: the first sync, one without life, one after life; then the auditor, over all of it. Prints one JSON line
//! per command and round, with seconds and the peak of its resident memory (`VmHWM` of `/proc/PID/status`, so on Linux only).

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use schemas::topics::Topic;
use serde_json::json;
use simulator::anthropic::{ROUND, Settings};
use tests::{
    comparison::{agree, changes, expected, predicted, seen},
    world::World,
};

/// How often a process's memory is looked at; its peak is kept by the kernel until then.
const LOOK_PERIOD: Duration = Duration::from_millis(10);

fn main() -> anyhow::Result<()> {
    let sizes: Vec<usize> = std::env::args().skip(1).map(|it| it.parse()).collect::<Result<_, _>>()?;
    let [users, workspaces, api_keys] =
        sizes.try_into().ok().context("usage: round USERS WORKSPACES API_KEYS")?;
    let world = World::of(vec![Settings { users, workspaces, api_keys, ..Settings::default() }]);
    // The Admin API's limit is what a poll of many workspaces waits for; here the services are measured.
    world.configure("requests_per_minute = 60000");
    measure(&world, "first sync");
    agree(&world, 0);

    let (known, jobs) = (changes(&world, 0).len(), world.jupiterone.jobs().len());
    measure(&world, "no life");
    ensure!(changes(&world, 0).len() == known, "a round without life wrote changes");
    ensure!(world.jupiterone.jobs().len() == jobs, "a round without life started a job");

    let before = expected(&world.anthropic[0].truth(), 0);
    world.anthropic[0].live(ROUND);
    measure(&world, "life");
    agree(&world, 0);
    let after = expected(&world.anthropic[0].truth(), 0);
    let new = seen(&changes(&world, 0)[known..]);
    ensure!(new == predicted(&before, &after), "the changes are not those that the life predicts");
    timed(&world, "audit", "anthropic-graph", &["verify"]);
    let topics = Topic::ALL.map(|topic| (format!("{topic:?}"), json!(world.read(topic).len())));
    let entities = world.graph(0).entities.len();
    let relationships = world.graph(0).relationships.len();
    print(&json!({ "records": serde_json::Map::from_iter(topics), "changes": new.len(),
        "entities": entities, "relationships": relationships, "equal": true }));
    Ok(())
}

fn measure(world: &World, round: &str) {
    timed(world, round, "producer", &["poll"]);
    timed(world, round, "processor", &["run", "--until-end"]);
    timed(world, round, "sink", &["run", "--until-end"]);
}

fn timed(world: &World, round: &str, service: &'static str, arguments: &[&str]) {
    let began = Instant::now();
    let running = world.spawn(service, arguments);
    let status = format!("/proc/{}/status", running.pid());
    let mut peak_kib = 0;
    while let Some(kib) = fs::read_to_string(&status).ok().as_deref().and_then(peak) {
        peak_kib = peak_kib.max(kib);
        std::thread::sleep(LOOK_PERIOD);
    }
    let seconds = began.elapsed().as_secs_f64();
    running.finish().expect(0);
    let command = format!("{service} {}", arguments.join(" "));
    print(&json!({ "round": round, "command": command, "seconds": (seconds * 100.0).round() / 100.0,
        "peak_rss_mib": peak_kib / 1024 }));
}

/// KiB of `VmHWM`; a process that has ended has none.
fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[expect(clippy::print_stdout, reason = "the result of the measurement")]
fn print(line: &serde_json::Value) {
    println!("{line}");
}
