//! Kills the three real binaries and the broker over and over, and holds what is left to the truth:
//! `cargo run --release -p tests --bin kill -- --kills 1000 --seed 1`. With `--cluster` on three brokers, of which one is
//! killed at a time, and with followers that answer the services' fetches.
//!
//! The last line is the summary as JSON. Exit code 0 only without violations.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tests::kill::{Options, run};
use tests::services::binaries;

fn main() -> anyhow::Result<ExitCode> {
    let usage = "usage: kill [--kills COUNT] [--seed NUMBER] [--minutes MOST] [--cluster]";
    let (mut kills, mut seed, mut minutes, mut is_cluster) = (1000, 1, 120, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--cluster" {
            is_cluster = true;
            continue;
        }
        let value = arguments.next().and_then(|value| value.parse().ok()).context(usage)?;
        match name.as_str() {
            "--kills" => kills = value,
            "--seed" => seed = value,
            "--minutes" => minutes = value,
            _ => bail!("{usage}"),
        }
    }
    let programs = tempfile::tempdir()?;
    binaries::copy(binaries::folder(), programs.path()).map_err(anyhow::Error::msg)?;
    let options = Options {
        kills,
        seed,
        is_cluster,
        programs: programs.path().to_owned(),
        longest: Duration::from_mins(minutes),
        stops_early: false,
    };
    let summary = run(&options)?;
    print(&serde_json::to_string(&summary)?);
    Ok(if summary.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print(line: &str) {
    println!("{line}");
}
