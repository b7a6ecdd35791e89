use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

/// The simulator with these arguments, and the lines that it prints at start.
fn start(arguments: &[&str]) -> (Child, Vec<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_simulator"))
        .args(arguments)
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let out = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let lines = out.lines().take(8).map(|line| line.expect("a line")).collect();
    (child, lines)
}

fn end(child: &mut Child, signal: &str) -> Option<i32> {
    // The shell has `kill` built in; a bare Debian has no program of that name.
    let kill = format!("kill {signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell runs").success());
    child.wait().expect("it ends").code()
}

fn last_word(line: &str) -> &str {
    line.rsplit(' ').next().expect("a word")
}

#[tokio::test]
async fn it_prints_what_it_accepts_writes_a_configuration_and_ends_cleanly() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("graph.toml");
    let (mut child, lines) = start(&[
        "--seed",
        "5",
        "--users",
        "3",
        "--workspaces",
        "2",
        "--api-keys",
        "4",
        "--generation",
        "2",
        "--include-default",
        "rejected",
        "--enforce-rate-limit",
        "--live",
        "20ms",
        "--write-config",
        file.to_str().expect("a plain path"),
    ]);
    let [anthropic, key, organization, truth, jupiterone, account, api_key, graph] = lines.as_slice() else {
        panic!("unexpected lines {lines:?}")
    };
    let client = reqwest::Client::builder().no_proxy().build().expect("a plain client");
    for page in [truth, graph] {
        let answer = client.get(last_word(page)).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{page}: {answer:?}");
    }
    let configuration: toml::Table = fs::read_to_string(&file).expect("a file").parse().expect("TOML");
    let polled = &configuration["organizations"][0];
    assert_eq!(configuration["kafka"]["bootstrap_servers"].as_str(), Some("127.0.0.1:9092"));
    assert_eq!(polled["base_url"].as_str(), Some(last_word(anthropic)));
    assert_eq!(polled["organization_id"].as_str(), Some(last_word(organization)));
    assert_eq!(configuration["jupiterone"]["base_url"].as_str(), Some(last_word(jupiterone)));
    assert_eq!(configuration["jupiterone"]["account_id"].as_str(), Some(last_word(account)));
    for (secret, printed) in [(&polled["api_key"], key), (&configuration["jupiterone"]["api_key"], api_key)] {
        let path = secret["file"].as_str().expect("a path");
        assert_eq!(fs::read_to_string(path).expect("a key").trim_end(), last_word(printed));
        assert_eq!(fs::metadata(path).expect("a file").permissions().mode() & 0o777, 0o600);
    }
    let url = format!("{}/_simulator/organization", last_word(anthropic));
    let truth = client.get(url).send().await.expect("answered");
    let truth: serde_json::Value = truth.json().await.expect("JSON");
    assert_eq!(truth["switches"]["generation"], 2);
    assert_eq!(truth["switches"]["include_default"], "rejected");
    assert_eq!(truth["switches"]["enforce_rate_limit"], true);
    assert_eq!(end(&mut child, "-TERM"), Some(0));
}

#[test]
fn a_configuration_that_a_person_wrote_is_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("graph.toml");
    fs::write(&file, "[kafka]\n").expect("a file");
    let path = file.to_str().expect("a plain path");
    let simulator = Command::new(env!("CARGO_BIN_EXE_simulator")).args(["--write-config", path]).output();
    let output = simulator.expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("exists, and the simulator did not write it; name another file"), "{stderr}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "[kafka]\n");
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1, "no key was written");

    fs::remove_file(&file).expect("it was there");
    for _ in 0..2 {
        let (mut child, _) = start(&["--write-config", path]);
        assert_eq!(end(&mut child, "-TERM"), Some(0), "its own file is written again");
    }
}

#[test]
fn an_interrupt_ends_it_cleanly_too() {
    let (mut child, lines) = start(&[]);
    assert_eq!(lines.len(), 8);
    assert_eq!(end(&mut child, "-INT"), Some(0));
}

#[test]
fn a_bad_flag_is_a_usage_error_and_a_taken_address_a_failure() {
    for (arguments, code) in [
        (["--generation", "5"], 2),
        (["--live", "0s"], 2),
        (["--live", "5 bananas"], 2),
        (["--include-default", "maybe"], 2),
        (["--anthropic-listen", "192.0.2.1:1"], 1),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_simulator")).args(arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}
