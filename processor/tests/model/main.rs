//! The core under simulation: thousands of histories of organizations that live, listings that fail and tasks that die,
//! each step compared with a reference model.

mod laws;
mod permutations;
mod records;
mod reference;
mod script;
mod step;
mod strategies;
mod task;
mod world;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use script::Script;
use strategies::History;
use task::{Task, Topics};

/// Histories of one test (count): some ten seconds of a debug build. `PROPTEST_CASES` asks for another number.
const CASES: u32 = 2_000;
/// Histories that failed once, and are tried first ever after.
const REGRESSIONS: &str = "tests/model/proptest-regressions";

#[test]
fn a_task_that_dies_anywhere_knows_what_the_listings_said() {
    let (started, steps) = (Instant::now(), AtomicUsize::new(0));
    let histories = AtomicUsize::new(0);
    let outcome = runner().run(&strategies::histories(), |history| {
        steps.fetch_add(check(&history), Ordering::Relaxed);
        histories.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let (histories, steps) = (histories.into_inner(), steps.into_inner());
    println!("{histories} histories, {steps} steps in {:?}", started.elapsed());
}

/// Runs one history with crashes, and through the processor without one: they write the same bytes. Returns how many
/// steps there were.
fn check((organizations, steps, acts, seed): &History) -> usize {
    let script = Script::of(*organizations, steps);
    let task = Task::run(&script, acts);
    task.check_end(*seed);
    let quiet = Topics::of_the_processor(&script);
    // Bytes would tell a reader nothing.
    assert!(task.topics.changes == quiet.changes, "other changes than without a crash");
    assert!(task.topics.graph == quiet.graph, "other graph records than without a crash");
    assert_eq!(task.topics.dead_letters, quiet.dead_letters, "other dead letters than without a crash");
    assert!(task.topics == quiet, "another offset than without a crash");
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
