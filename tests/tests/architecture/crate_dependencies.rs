//! Which crate may depend on which.

use std::process::Command;

use serde_json::Value;

use crate::workspace;

/// Each crate, and those of ours that it may be built from.
const ARROWS: [(&str, &[&str]); 14] = [
    ("schemas", &[]),
    ("graph", &["schemas"]),
    ("service", &["schemas"]),
    ("verify", &["schemas", "service"]),
    ("producer", &["schemas", "graph", "service"]),
    ("processor", &["schemas", "graph", "service"]),
    ("sink", &["schemas", "graph", "service"]),
    ("console", &["schemas", "graph", "service"]),
    ("cli", &["schemas", "graph", "service", "verify", "processor", "sink", "console"]),
    ("simulator", &["schemas"]),
    ("fuzz", &[]),
    ("quickstart", &["schemas", "graph", "service", "producer", "processor", "sink", "console", "simulator"]),
    ("tests", &["schemas", "graph", "service", "producer", "processor", "sink", "cli", "simulator"]),
    ("bench", &["schemas", "service", "simulator", "tests"]),
];

/// Each pure crate, and what else it may be built from: nothing that reaches the world, logs, or is random.
const PURE: [(&str, &[&str]); 2] = [
    ("schemas", &["apache-avro", "serde", "serde_json", "sha2", "thiserror"]),
    ("graph", &["foldhash", "hashbrown", "jiff", "serde", "serde_json", "siphasher", "thiserror"]),
];

/// Besides these, any crate's own tests may use them: they import nothing of what they test but the records.
const TEST_ONLY: [&str; 3] = ["simulator", "fuzz", "verify"];

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    assert_eq!(against_the_arrows(&metadata()), Vec::<String>::new());
}

#[test]
fn a_dependency_against_the_arrows_is_found() {
    assert_eq!(against_the_arrows(&one("sink", "simulator", None)), ["sink is built from simulator"]);
    assert_eq!(
        against_the_arrows(&one("producer", "quickstart", None)),
        ["producer is built from quickstart"]
    );
    assert_eq!(against_the_arrows(&one("cli", "producer", None)), ["cli is built from producer"]);
    assert_eq!(against_the_arrows(&one("processor", "verify", None)), ["processor is built from verify"]);
    assert_eq!(against_the_arrows(&one("schemas", "service", None)), ["schemas is built from service"]);
    assert_eq!(against_the_arrows(&one("sink", "processor", Some("dev"))), ["sink is tested with processor"]);
    assert_eq!(against_the_arrows(&one("simulator", "service", None)), ["simulator is built from service"]);
    assert_eq!(
        against_the_arrows(&one("common", "schemas", None)),
        ["common is in no place of the architecture"]
    );
}

#[test]
fn a_pure_crate_is_built_from_pure_ones() {
    assert_eq!(impurities(&metadata()), Vec::<String>::new());
    let made = |name: &str, kind: Option<&str>| {
        let dependency = serde_json::json!({ "name": name, "path": null, "kind": kind });
        serde_json::json!({ "packages": [{ "name": "graph", "dependencies": [dependency] }] })
    };
    assert_eq!(impurities(&made("tokio", None)), ["graph is built from tokio"]);
    assert_eq!(impurities(&made("proptest", Some("dev"))), Vec::<String>::new());
}

#[test]
fn a_dependency_along_the_arrows_is_not() {
    assert!(against_the_arrows(&one("sink", "simulator", Some("dev"))).is_empty());
    assert!(against_the_arrows(&one("quickstart", "sink", None)).is_empty());
}

/// The image is built from the whole workspace, and cargo refuses one that lacks a member.
#[test]
fn the_image_is_built_with_every_crate() {
    let shown = std::fs::read_to_string(workspace().join(".dockerignore")).expect("a list of what is shown");
    let hidden = ARROWS.iter().filter(|(name, _)| !shown.lines().any(|line| line == format!("!{name}")));
    assert_eq!(hidden.map(|(name, _)| *name).collect::<Vec<_>>(), Vec::<&str>::new());
}

/// What stands against the arrows in the output of `cargo metadata`.
fn against_the_arrows(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().expect("cargo lists packages");
    packages.iter().flat_map(wrong_dependencies).collect()
}

/// What makes the pure crates impure in the output of `cargo metadata`.
fn impurities(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().expect("cargo lists packages");
    let pure = PURE.iter().flat_map(|(name, allowed)| {
        let package = packages.iter().find(|package| package["name"] == *name);
        let dependencies =
            package.into_iter().flat_map(|package| package["dependencies"].as_array().into_iter().flatten());
        let built =
            dependencies.filter(|dependency| dependency["kind"] != "dev" && !dependency["path"].is_string());
        let names = built.filter_map(|dependency| dependency["name"].as_str());
        names
            .filter(|other| !allowed.contains(other))
            .map(move |other| format!("{name} is built from {other}"))
    });
    pure.collect()
}

fn wrong_dependencies(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().expect("a package has a name");
    let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{name} is in no place of the architecture")];
    };
    let dependencies = package["dependencies"].as_array().expect("cargo lists dependencies");
    let ours = dependencies.iter().filter(|dependency| dependency["path"].is_string());
    let judge = |dependency: &Value| {
        let other = dependency["name"].as_str().expect("a dependency has a name");
        let is_for_tests = dependency["kind"] == "dev";
        let is_allowed =
            allowed.contains(&other) || is_for_tests && (TEST_ONLY.contains(&other) || other == name);
        let verb = if is_for_tests { "tested with" } else { "built from" };
        (!is_allowed).then(|| format!("{name} is {verb} {other}"))
    };
    ours.filter_map(judge).collect()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(workspace())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo answers in JSON")
}

/// Metadata in which one package depends on one other.
fn one(from: &str, to: &str, kind: Option<&str>) -> Value {
    let dependency = serde_json::json!({ "name": to, "path": format!("/workspace/{to}"), "kind": kind });
    serde_json::json!({ "packages": [{ "name": from, "dependencies": [dependency] }] })
}
