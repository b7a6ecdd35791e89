//! The core under simulation: thousands of histories of organizations that live, listings that fail and tasks that die,
//! each step compared with a reference model.

mod auditor;
mod corruptions;
mod kept;
mod laws;
mod permutations;
mod polls;
mod records;
mod reference;
mod script;
mod step;
mod strategies;
mod tampered;
mod task;
mod world;

use std::{cell::Cell, ops::RangeInclusive, time::Instant};

use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use script::Script;
use strategies::History;
use task::{Task, Topics};

/// Histories of each test (count): together two thousand, within two minutes of a debug build on two cores.
/// `PROPTEST_CASES` asks for another number.
const CASES: u32 = 1_000;
/// Histories that failed once, and are tried first ever after.
const REGRESSIONS: &str = "tests/simulation/proptest-regressions";

#[test]
fn a_task_that_dies_anywhere_knows_what_the_listings_said() {
    simulate(1..=1);
}

#[test]
fn organizations_that_share_a_partition_stay_apart_whatever_dies() {
    simulate(2..=3);
}

#[expect(clippy::print_stdout, reason = "how much was tried is asked of a test by --nocapture")]
fn simulate(organizations: RangeInclusive<u8>) {
    let (started, histories, steps) = (Instant::now(), Cell::new(0), Cell::new(0));
    let outcome = runner().run(&strategies::histories(organizations), |history| {
        steps.set(steps.get() + check(&history));
        histories.set(histories.get() + 1);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    println!("{} histories, {} steps in {:?}", histories.get(), steps.get(), started.elapsed());
}

/// Runs one history with crashes, and through the processor without one: they write the same bytes, whether the one with
/// crashes decodes each resource or, as the processor, only what has changed. Returns how many steps there were.
fn check((organizations, steps, acts, seed): &History) -> usize {
    let script = Script::of(*organizations, steps);
    let task = Task::run(&script, acts, seed % 2 == 0);
    task.check_end(*seed);
    let quiet = Topics::of_the_processor(&script);
    // Bytes are not readable.
    assert!(task.topics.changes == quiet.changes, "other changes than without a crash");
    assert!(task.topics.graph == quiet.graph, "other graph records than without a crash");
    assert_eq!(task.topics.dead_letters, quiet.dead_letters, "other dead letters than without a crash");
    assert!(task.topics == quiet, "another offset than without a crash");
    auditor::check(&script, &quiet, *seed);
    script.happenings.len()
}

fn runner() -> TestRunner {
    let cases = match std::env::var("PROPTEST_CASES") {
        Ok(cases) => cases.parse().expect("PROPTEST_CASES is a number"),
        Err(_) => CASES,
    };
    let persistence = FileFailurePersistence::Direct(REGRESSIONS);
    TestRunner::new(Config { cases, failure_persistence: Some(Box::new(persistence)), ..Config::default() })
}
