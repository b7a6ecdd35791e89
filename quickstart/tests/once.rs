//! The binary as a person runs it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

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
    assert!(summary["access"]["people"].as_u64() > Some(30), "{summary}");
    assert!(summary["access"]["members"].as_u64() < summary["access"]["people"].as_u64(), "{summary}");
    assert!(summary["access"]["keys_whose_creator_left"].as_u64() > Some(0), "{summary}");
    assert!(summary["access"]["api_keys"].as_u64() > Some(10), "{summary}");
    assert_eq!(summary["entities"], summary["jupiterone"]["entities"]);
    assert_eq!(summary["relationships"], summary["jupiterone"]["relationships"]);
}

#[test]
fn the_burst_of_life_changes_every_kind_of_element_as_the_real_api_does() {
    let output = run(&["--once"]);
    assert_code(&output, 0);
    let stdout = String::from_utf8_lossy(&output.stdout);
    // Relationships without properties are never updated. The organization neither comes nor goes, and a workspace or a key
    // is archived, never deleted.
    let table = [
        ("updated organization ", ""),
        ("created person ", "["),
        ("updated person ", "["),
        ("deleted person ", "["),
        ("created workspace ", "["),
        ("updated workspace ", "["),
        ("created API key ", "["),
        ("updated API key ", "["),
        ("created organization ", " has person "),
        ("deleted organization ", " has person "),
        ("created organization ", " has workspace "),
        ("created person ", " is assigned to workspace "),
        ("updated person ", " is assigned to workspace "),
        ("deleted person ", " is assigned to workspace "),
        ("created person ", " created API key "),
        ("deleted person ", " created API key "),
        ("created workspace ", " has API key "),
    ];
    for (what, whom) in table {
        let has = stdout.lines().any(|line| line.contains(what) && line.contains(whom));
        assert!(has, "{what}…{whom} is missing:\n{stdout}");
    }
    assert!(!stdout.contains("deleted workspace ") && !stdout.contains("deleted API key "), "{stdout}");
    let shown = |line: &str| line.contains(" is assigned to workspace ") && line.contains("wrkspc_");
    assert!(!stdout.lines().any(shown), "a name stands for an ID:\n{stdout}");
}

/// The line without its numbers, which differ from run to run.
fn shape(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let is_value = word.contains(|it: char| it.is_ascii_digit()) || word.ends_with("/graph.toml");
        if is_value { "…" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_page_quickstart_shows_what_is_printed() {
    let page = include_str!("../../docs/quickstart.md");
    let shown: Vec<&str> =
        page.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [introduced, reached, _changes, full, summed_up] = &shown[..] else {
        panic!("{} blocks", shown.len())
    };
    assert!(full.ends_with("The console stays open until you press Ctrl-C.\n"), "{full}");
    let mut process = quickstart(&["--polling-interval", "1s"]).stdout(Stdio::piped()).spawn();
    let process = process.as_mut().expect("the binary starts");
    let mut stdout = BufReader::new(process.stdout.take().expect("its stdout is a pipe"));
    let mut printed = Vec::new();
    while !printed.last().is_some_and(|line: &String| line.contains("who-can --workspace")) {
        let mut line = String::new();
        assert_ne!(stdout.read_line(&mut line).expect("it writes text"), 0, "it ended: {printed:?}");
        printed.push(line);
    }
    interrupt(process);
    printed.extend(stdout.lines().map(|line| line.expect("it writes text")));
    assert_eq!(process.wait().expect("it ends").code(), Some(0), "{printed:?}");
    let printed: Vec<String> = printed.iter().map(|line| shape(line)).collect();
    for line in [introduced, reached, summed_up].iter().flat_map(|block| block.lines()) {
        assert!(printed.contains(&shape(line)), "{line:?} is not printed: {printed:#?}");
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
    let output = run(&["--polling-interval", "5"]);
    assert_code(&output, 2);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("write a time span such as 5s or 1m") && !stderr.contains("friendly"),
        "{stderr}"
    );
    assert_code(&run(&["--mass-deletion", "--users", "20"]), 2);
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

#[test]
fn the_life_is_on_the_console_s_pages_whether_or_not_its_port_is_taken() {
    let mut taken = TcpListener::bind("127.0.0.1:9104");
    // Another test's quickstart may have it, and give it back before this one begins.
    let deadline = Instant::now() + Duration::from_mins(1);
    while taken.is_err() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        taken = TcpListener::bind("127.0.0.1:9104");
    }
    let (process, mut stdout) = started(&["--polling-interval", "1s"]);
    let line = read_until(&mut stdout, "Who can reach what");
    let (_, address) = line.trim().rsplit_once("http://").expect("an address");
    let host = address.strip_suffix("/access").expect("the page Access");
    assert_ne!(host, "127.0.0.1:9104");
    assert_shows(host, "/access", "Production");
    interrupted(process, stdout);
}

#[test]
fn the_console_stays_open_when_the_embedded_broker_is_full() {
    let (process, mut stdout) = started(&["--users", "2000", "--polling-interval", "1s"]);
    let line = read_until(&mut stdout, "Who can reach what");
    let (_, address) = line.trim().rsplit_once("http://").expect("an address");
    let host = address.strip_suffix("/access").expect("the page Access");
    read_until(&mut stdout, "Polling stops: the embedded broker is nearly full");
    read_until(&mut stdout, "The console stays open until you press Ctrl-C.");
    assert_shows(host, "/access", "Production");
    let rest = interrupted(process, stdout);
    assert!(rest.contains("are equal after poll"), "{rest}");
}

#[test]
fn a_mass_deletion_is_held_and_does_not_stop_the_sync() {
    let (process, mut stdout) = started(&["--mass-deletion", "--polling-interval", "1s"]);
    let line = read_until(&mut stdout, "/graph.toml");
    let (_, file) = line.split_once(" --config ").expect("a configuration");
    let file = file.split(' ').next().expect("a path").to_owned();
    let configuration = std::fs::read_to_string(&file).expect("a file");
    assert!(configuration.starts_with("[kafka]\nbootstrap_servers = \"127.0.0.1:"), "{configuration}");
    let host = read_until(&mut stdout, "/holds");
    let host = host.trim().strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("a host");
    assert!(read_until(&mut stdout, "holds list").contains(&format!("--config {file} ")));
    read_until(&mut stdout, "its deletion waits for a decision");
    for _ in 0..2 {
        read_until(&mut stdout, "JupiterOne holds ");
    }
    assert_shows(host, "/holds", "holds approve");
    interrupted(process, stdout);
    assert!(!std::path::Path::new(&file).exists(), "it goes with the run");
}

#[test]
fn the_life_goes_on_where_someone_changes_the_organization_and_deletions_are_held() {
    let (process, mut stdout) = started(&["--polling-interval", "1s"]);
    let line = read_until(&mut stdout, "/_simulator/organization");
    let host = line.trim().strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("a host");
    read_until(&mut stdout, "Who can reach what");
    let happened = |mutation: &str| {
        let of = |number: &usize| {
            let body = format!(r#"{{"mutation":"{mutation}","id":"user_late_{number}"}}"#);
            let request = format!("POST /_simulator/mutations HTTP/1.1\r\nContent-Length: {}", body.len());
            send(host, &request, &body).starts_with("HTTP/1.1 200")
        };
        (0..60).filter(of).count()
    };
    assert_eq!(happened("add_user"), 60);
    read_until(&mut stdout, "[user_late_59]");
    // More than half of all users, though the life may have been faster with some: the guard holds them.
    assert!(happened("remove_user") > 50);
    read_until(&mut stdout, "its deletion waits for a decision");
    // Every sync job is compared before the next one begins.
    for _ in 0..4 {
        read_until(&mut stdout, "JupiterOne holds ");
    }
    interrupted(process, stdout);
}

/// Whether a page of the console has the text. The history is being read for a moment.
#[track_caller]
fn assert_shows(host: &str, path: &str, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut page = String::new();
    while !page.contains(text) && Instant::now() < deadline {
        page = send(host, &format!("GET {path} HTTP/1.1"), "");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(page.starts_with("HTTP/1.1 200") && page.contains(text), "{page}");
}

/// The answer to a request, which is given with its headers but for those that each has.
fn send(host: &str, request: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(host).expect("it listens");
    let request = format!("{request}\r\nHost: {host}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn read_until(stdout: &mut BufReader<ChildStdout>, awaited: &str) -> String {
    let mut line = String::new();
    while !line.contains(awaited) {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).expect("it writes text"), 0, "it ended before {awaited:?}");
    }
    line
}

/// One that runs until it is interrupted.
fn started(arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut process = quickstart(arguments).stdout(Stdio::piped()).spawn().expect("the binary starts");
    let stdout = BufReader::new(process.stdout.take().expect("its stdout is a pipe"));
    (process, stdout)
}

/// What it prints after it is interrupted. It must succeed.
#[track_caller]
fn interrupted(mut process: Child, mut stdout: BufReader<ChildStdout>) -> String {
    interrupt(&process);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("it writes text");
    assert_eq!(process.wait().expect("it ends").code(), Some(0), "{rest}");
    rest
}

/// By the shell, whose `kill` is built in: the standard library has none.
fn interrupt(process: &Child) {
    let command = format!("kill -INT {}", process.id());
    assert!(Command::new("sh").arg("-c").arg(command).status().expect("a shell").success());
}
