//! A short run of the kill harness, and the patches that are to be caught by it.

use std::time::Duration;

use tests::kill::{Options, run};
use tests::mutations::{mutated, patches};
use tests::services::binaries;

/// Each failpoint once, some moments and the broker; the long run is `cargo run --release -p tests --bin kill`.
const KILLS: u64 = 36;

#[test]
fn nothing_is_lost_doubled_or_invented_by_kills_at_every_failpoint() {
    let options = Options {
        kills: KILLS,
        seed: 7,
        is_cluster: false,
        programs: binaries::folder().to_owned(),
        longest: Duration::from_mins(10),
        stops_early: false,
    };
    let summary = run(&options).expect("a broker can be started");
    assert_eq!(summary.violations, 0, "{summary:?}");
    assert!(summary.kills >= 30, "{summary:?}");
}

#[test]
fn every_mutation_still_applies_to_the_sources() {
    let patches = patches().expect("the mutations can be listed");
    assert!(patches.len() >= 8, "{} mutations", patches.len());
    for path in patches {
        let patch = std::fs::read_to_string(&path).expect("a patch is text");
        let (file, mutant) = mutated(&patch, binaries::workspace())
            .unwrap_or_else(|error| panic!("{}: write it again: {error:#}", path.display()));
        let source = std::fs::read_to_string(binaries::workspace().join(file)).expect("a source is text");
        assert_ne!(source, mutant, "{} changes nothing", path.display());
    }
}
