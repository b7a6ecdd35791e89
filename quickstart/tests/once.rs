//! The binary as a person runs it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

fn quickstart(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quickstart"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

fn run(arguments: &[&str]) -> Output {
    quickstart(arguments).output().expect("the binary starts")
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

fn summary(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    serde_json::from_str(&stdout).expect("the line is JSON")
}

#[test]
fn once_ends_equal_and_has_seen_every_op() {
    let output = run(&["--once", "--json"]);
    assert_code(&output, 0);
    let summary = summary(&output);
    assert_eq!(summary["equal"], true);
    assert_eq!(summary["polls"], 2);
    for op in ["r", "c", "u", "d"] {
        assert!(summary["changes"][op].as_u64() > Some(0), "{op}: {summary}");
    }
    assert!(summary["entities"].as_u64() > Some(100), "{summary}");
    assert_eq!(summary["entities"], summary["jupiterone"]["entities"]);
    assert_eq!(summary["relationships"], summary["jupiterone"]["relationships"]);
}

#[test]
fn the_burst_of_life_changes_every_kind_of_element() {
    let output = run(&["--once"]);
    assert_code(&output, 0);
    let stdout = String::from_utf8_lossy(&output.stdout);
    // Relationships without properties are never updated, and the account neither comes nor goes.
    let table = [
        ("updated account ", ""),
        ("created user ", "["),
        ("updated user ", "["),
        ("deleted user ", "["),
        ("created workspace ", "["),
        ("updated workspace ", "["),
        ("deleted workspace ", "["),
        ("created API key ", "["),
        ("updated API key ", "["),
        ("deleted API key ", "["),
        ("created account ", " HAS user "),
        ("deleted account ", " HAS user "),
        ("created account ", " HAS workspace "),
        ("deleted account ", " HAS workspace "),
        ("created user ", " ASSIGNED workspace "),
        ("updated user ", " ASSIGNED workspace "),
        ("deleted user ", " ASSIGNED workspace "),
        ("created user ", " CREATED API key "),
        ("deleted user ", " CREATED API key "),
        ("created workspace ", " HAS API key "),
        ("deleted workspace ", " HAS API key "),
    ];
    for (what, whom) in table {
        let has = stdout.lines().any(|line| line.contains(what) && line.contains(whom));
        assert!(has, "{what}…{whom} is missing:\n{stdout}");
    }
}

#[test]
fn the_smallest_organization_and_another_seed_end_equal() {
    let smallest = ["--users", "1", "--workspaces", "0", "--api-keys", "0", "--seed", "7"];
    let output = run(&[&["--once", "--json"], &smallest[..]].concat());
    assert_code(&output, 0);
    assert_eq!(summary(&output)["equal"], true);
}

#[test]
fn a_drift_is_found_and_fails() {
    let output = run(&["--once", "--json", "--drift"]);
    assert_code(&output, 1);
    assert_eq!(summary(&output)["equal"], false);
    let output = run(&["--once", "--drift"]);
    assert_code(&output, 1);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("displayName should be"), "{stdout}");
    assert!(!stdout.contains('\x1b'), "colour only on a terminal: {stdout}");
}

#[test]
fn sizes_beyond_the_embedded_broker_end_with_2_and_name_the_way_out() {
    let output = run(&["--once", "--users", "100000"]);
    assert_code(&output, 2);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("--bootstrap-servers"), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn bad_usage_ends_with_2() {
    assert_code(&run(&["--drift"]), 2);
    assert_code(&run(&["--base-url", "http://127.0.0.1:1"]), 2);
    assert_code(&run(&["--polling-interval", "0s"]), 2);
    let output = run(&["--once", "--anthropic-key-env", "NO_SUCH_KEY_IS_SET"]);
    assert_code(&output, 2);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("NO_SUCH_KEY_IS_SET"), "{stderr}");
}

#[test]
fn ctrl_c_ends_the_life_with_a_summary_and_0() {
    // Once in the middle of the first sync, and once in the life.
    for awaited in ["JupiterOne  simulated", "created "] {
        let mut process = quickstart(&["--polling-interval", "1s"]).stdout(Stdio::piped()).spawn();
        let process = process.as_mut().expect("the binary starts");
        let mut stdout = BufReader::new(process.stdout.take().expect("its stdout is a pipe"));
        read_until(&mut stdout, awaited);
        interrupt(process);
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).expect("it writes text");
        let status = process.wait().expect("it ends");
        assert_eq!(status.code(), Some(0), "after {awaited:?}: {rest}");
        assert!(rest.contains("Summary"), "{rest}");
    }
}

fn read_until(stdout: &mut BufReader<ChildStdout>, awaited: &str) {
    let mut line = String::new();
    while !line.contains(awaited) {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).expect("it writes text"), 0, "it ended before {awaited:?}");
    }
}

/// By the shell, whose `kill` is built in: the standard library has none.
fn interrupt(process: &Child) {
    let command = format!("kill -INT {}", process.id());
    assert!(Command::new("sh").arg("-c").arg(command).status().expect("a shell").success());
}
