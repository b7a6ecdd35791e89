//! A short run of the kill harness, and the patches that are to be caught by it.

use std::process::Command;
use std::time::Duration;

use tests::kill::{Order, run};
use tests::services::binaries;

/// Each failpoint once, some moments and the broker; the long run is `cargo run --release -p tests --bin kill`.
const KILLS: u64 = 36;

#[test]
fn nothing_is_lost_doubled_or_invented_by_kills_at_every_failpoint() {
    let programs = tempfile::tempdir().expect("a folder for the programs");
    let (tree, target) = (binaries::workspace(), binaries::failpoint_target());
    binaries::build_with_failpoints(tree, &target, programs.path()).expect("the services are built");
    let order = Order {
        kills: KILLS,
        seed: 7,
        programs: programs.path().to_owned(),
        longest: Duration::from_mins(10),
        stops_early: false,
    };
    let summary = run(&order).expect("a broker can be started");
    assert_eq!(summary.violations, 0, "{summary:?}");
    assert!(summary.kills >= 30, "{summary:?}");
}

#[test]
fn every_mutation_still_applies_to_the_sources() {
    let folder = binaries::workspace().join("tests/mutations");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the mutations are there") {
        let patch = entry.expect("a patch").path();
        let mut git = Command::new("git");
        let checked = git.args(["apply", "--check"]).arg(&patch).current_dir(binaries::workspace()).output();
        let checked = checked.expect("git starts");
        let error = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success(), "{}: make it anew: {error}", patch.display());
        count += 1;
    }
    assert!(count >= 8, "{count} mutations");
}
