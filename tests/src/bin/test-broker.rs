//! Keeps a Kafka broker for as long as another process lives: `test-broker PID FOLDER` prints the broker's address.

use std::path::PathBuf;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let usage =
        "usage: test-broker PID FOLDER (PID: the process to keep a broker for; FOLDER: its data, removed)";
    let pid = arguments.next().and_then(|pid| pid.into_string().ok()?.parse().ok()).context(usage)?;
    let folder = arguments.next().map(PathBuf::from).context(usage)?;
    tests::broker::keeper::keep(pid, &folder)
}
