//! The failpoints: all known to the kill harness, none in a release.

use std::collections::BTreeSet;
use std::process::Command;

use tests::kill::places::{FAILING, PLACES};

use crate::{sources, text, workspace};

/// How a failpoint begins in a source.
const CALL: &str = "service::failpoint!(\"";

#[test]
fn the_kill_harness_knows_every_failpoint_of_the_sources_and_no_other() {
    let services = ["producer/src", "processor/src", "sink/src"];
    let services = sources().into_iter().filter(|path| services.iter().any(|it| path.starts_with(it)));
    let placed: BTreeSet<String> = services.flat_map(|source| placed(&text(&source))).collect();
    let known: BTreeSet<String> = PLACES.iter().chain(&FAILING).map(|&place| place.to_owned()).collect();
    assert_eq!(placed, known);
}

#[test]
fn a_service_that_is_built_as_usual_has_no_failpoint() {
    for service in ["producer", "processor", "sink"] {
        let tree = |features: &[&str]| {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", service]);
            let output = cargo.args(features).current_dir(workspace()).output().expect("cargo starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).expect("a tree is text")
        };
        assert!(!tree(&[]).contains("fail v"), "{service} is built from the crate fail");
        assert!(tree(&["--features", "failpoints"]).contains("fail v"), "{service} cannot have failpoints");
    }
}

fn placed(source: &str) -> Vec<String> {
    source.split(CALL).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}
