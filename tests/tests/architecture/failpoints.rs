//! The failpoints: all known to the kill harness, none in a release.

use std::collections::BTreeSet;
use std::process::Command;

use tests::kill::places::{FAILING, PLACES};

use crate::{sources, text, workspace};

/// How a failpoint begins in a source.
const CALL: &str = "service::failpoint!(\"";
/// What a program does so that the places end it.
const ARMING: &str = "failpoints::arm(";

#[test]
fn the_kill_harness_knows_every_failpoint_of_the_sources_and_no_other() {
    let services = ["producer/src", "processor/src", "sink/src"];
    let services = sources().into_iter().filter(|path| services.iter().any(|it| path.starts_with(it)));
    let placed: BTreeSet<String> = services.flat_map(|source| placed(&text(&source))).collect();
    let known: BTreeSet<String> = PLACES.iter().chain(&FAILING).map(|&place| place.to_owned()).collect();
    assert_eq!(placed, known);
}

/// Of the default members, as `cargo build` without a package builds them, and of each product alone. Every crate that
/// it asks about is one that `cargo test` has downloaded, so it needs no network.
#[test]
fn a_service_that_is_built_as_usual_has_no_failpoint() {
    let products = ["producer", "processor", "sink", "console@0.1", "cli", "simulator", "quickstart"];
    let alone = products.map(|product| vec!["--package", product]);
    for packages in std::iter::once(vec![]).chain(alone) {
        assert!(!is_built_from_fail(&packages), "cargo build {packages:?} builds the crate fail");
    }
    assert!(is_built_from_fail(&["--package", "tests"]), "the tests' services have no failpoints");
}

/// A build of the whole workspace gives the products what the tests need.
#[test]
fn only_the_tests_programs_arm_failpoints() {
    let arming = sources().into_iter().filter(|source| text(source).contains(ARMING));
    let arming = arming.filter(|source| !source.ends_with("architecture/failpoints.rs"));
    let programs =
        ["processor", "producer", "sink"].map(|service| format!("tests/src/bin/tested-{service}.rs"));
    assert_eq!(arming.map(|source| source.display().to_string()).collect::<Vec<_>>(), programs);
}

fn is_built_from_fail(packages: &[&str]) -> bool {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline", "--edges", "normal", "--prefix", "none"]).args(packages);
    let output = cargo.current_dir(workspace()).output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("a tree is text");
    tree.lines().any(|line| line.starts_with("fail v"))
}

fn placed(source: &str) -> Vec<String> {
    source.split(CALL).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}
