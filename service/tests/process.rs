//! How a process that runs under the main wrapper ends: this program starts itself, so it has no test harness.

#[cfg(feature = "tls")]
use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
#[cfg(feature = "tls")]
use rdkafka::{ClientConfig, consumer::BaseConsumer};
use service::Verbosity;
use service::config::Errors;
#[cfg(feature = "tls")]
use service::config::{GroupProtocol, Kafka, SecretOrText};
use service::exit::{Outcome, UsageError};
use service::http::{self, Settings, check_url};
#[cfg(feature = "tls")]
use service::kafka::client_config;
use service::shutdown::shutdown_signal;

/// Set for the process that is started: it runs under the wrapper and does what its argument says.
const STARTED: &str = "SERVICE_TEST_STARTED";

#[derive(Parser)]
#[command(version)]
struct Arguments {
    act: String,
}

impl Arguments {
    fn verbosity(&self) -> Verbosity {
        if self.act.starts_with("quiet") { Verbosity::Command } else { Verbosity::Service }
    }
}

fn main() -> ExitCode {
    if env::var_os(STARTED).is_some() {
        return service::run_main("sink", Arguments::verbosity, act);
    }
    each_ending_has_its_exit_code_and_last_line();
    the_log_is_json_on_stderr_and_begins_with_the_version();
    a_command_logs_nothing_but_warnings_as_text();
    the_long_version_names_the_commit_and_librdkafka();
    a_panic_is_logged_without_its_values();
    loopback_needs_neither_certificates_nor_a_proxy();
    the_first_signal_ends_in_order_and_the_second_at_once();
    #[cfg(feature = "tls")]
    a_client_with_tls_that_still_closes_is_no_crash();
    ExitCode::SUCCESS
}

async fn act(arguments: Arguments) -> anyhow::Result<Outcome> {
    match arguments.act.as_str() {
        "done" | "quiet" => Ok(Outcome::Done),
        "quiet-warning" => {
            tracing::warn!(partition = 3, "a warning");
            Ok(Outcome::Done)
        }
        "check" => Ok(Outcome::Failed),
        "incomplete" => Ok(Outcome::Incomplete("incomplete: nimbus users (403)".to_owned())),
        "usage" => {
            Err(UsageError("--from is no time; write one such as 2026-11-24T00:00:00Z".to_owned()).into())
        }
        "configuration" => Err(Errors::one("kafka.bootstrap_servers", "is missing").into()),
        "fail" => Err(anyhow::anyhow!("connection refused")).context("failed to reach the broker"),
        "panic" => {
            let key = "sk-ant-admin01-secret".to_owned();
            let ended = tokio::spawn(async move { panic!("bad key {key}") }).await;
            Err(anyhow::anyhow!("the task ended: {}", ended.expect_err("a panic").is_panic()))
        }
        "run" | "hang" => {
            let shutdown = shutdown_signal()?;
            tracing::info!("ready");
            shutdown.cancelled().await;
            if arguments.act == "hang" {
                std::future::pending::<()>().await;
            }
            Ok(Outcome::Done)
        }
        #[cfg(feature = "tls")]
        "tls" => {
            // As the admin client, whose close is not awaited.
            for _ in 0..4 {
                let encrypted = client_with_tls()?;
                thread::spawn(move || drop(encrypted.create::<BaseConsumer>()));
            }
            thread::sleep(Duration::from_millis(5));
            Ok(Outcome::Done)
        }
        url => {
            let base_url = check_url(url, false)?;
            let request_timeout = Duration::from_secs(10);
            let settings =
                Settings { base_url: &base_url, root_certificate: None, request_timeout, what: "test" };
            http::client(settings)?.get(url).send().await?;
            Ok(Outcome::Done)
        }
    }
}

/// The configuration of a client that needs OpenSSL.
#[cfg(feature = "tls")]
fn client_with_tls() -> anyhow::Result<ClientConfig> {
    let kafka = Kafka {
        bootstrap_servers: "127.0.0.1:1".to_owned(),
        topic_prefix: "anthropic".to_owned(),
        partitions: 1,
        replication_factor: 1,
        create_topics: false,
        group_protocol: GroupProtocol::Classic,
        properties: [("security.protocol".to_owned(), SecretOrText::Text("SSL".to_owned()))].into(),
    };
    Ok(client_config(&kafka, &BTreeMap::new())?)
}

fn command(act: &str) -> Command {
    let program = env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.arg(act).env(STARTED, "1").env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(act: &str) -> Child {
    command(act).spawn().expect("a process")
}

/// Exit code, and the lines on stderr; nothing may be on stdout.
fn ended(act: &str) -> (i32, Vec<String>) {
    let output = start(act).wait_with_output().expect("an end");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{act}: stdout is for results");
    let stderr = String::from_utf8_lossy(&output.stderr);
    (output.status.code().expect("no signal"), stderr.lines().map(str::to_owned).collect())
}

fn each_ending_has_its_exit_code_and_last_line() {
    let table = [
        ("check", 1, None),
        ("fail", 1, Some("failed to reach the broker: connection refused")),
        ("usage", 2, Some("--from is no time; write one such as 2026-11-24T00:00:00Z")),
        ("configuration", 2, Some("kafka.bootstrap_servers: is missing")),
        ("--unknown", 2, Some("For more information, try '--help'.")),
        ("incomplete", 3, Some("incomplete: nimbus users (403)")),
        ("done", 0, None),
    ];
    for (act, code, last) in table {
        let (ended_with, lines) = ended(act);
        assert_eq!(ended_with, code, "{act}: {lines:#?}");
        if let Some(last) = last {
            assert_eq!(lines.last().map(String::as_str), Some(last), "{act}");
        }
    }
}

fn the_log_is_json_on_stderr_and_begins_with_the_version() {
    let (_, lines) = ended("done");
    let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(line["message"], concat!("started sink ", env!("CARGO_PKG_VERSION")));
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert!(line["commit"].is_string(), "{line}");
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

fn a_command_logs_nothing_but_warnings_as_text() {
    assert_eq!(ended("quiet"), (0, Vec::new()));
    let (_, lines) = ended("quiet-warning");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("WARN") && lines[0].ends_with("a warning partition=3"), "{lines:#?}");
    assert!(!lines[0].contains('\u{1b}'), "no colors where stderr is not a terminal: {lines:?}");
}

fn the_long_version_names_the_commit_and_librdkafka() {
    let printed = |option| {
        let output = command(option).output().expect("an end");
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{option}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(printed("-V").lines().count(), 1);
    let long = printed("--version");
    for line in ["\ncommit: ", "\nlibrdkafka: ", "\nlibrdkafka features: "] {
        assert!(long.contains(line), "{line:?} is not in {long}");
    }
}

fn a_panic_is_logged_without_its_values() {
    let (code, lines) = ended("panic");
    assert_eq!(code, 1);
    let panic: serde_json::Value = serde_json::from_str(&lines[1]).expect("JSON");
    assert_eq!(panic["level"], "ERROR");
    assert!(panic["location"].as_str().is_some_and(|location| location.contains("process.rs")), "{panic}");
    assert!(!lines.concat().contains("sk-ant"), "{lines:#?}");
}

fn loopback_needs_neither_certificates_nor_a_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let mut command = command(&url);
    command.env("SSL_CERT_FILE", "/nonexistent").env("SSL_CERT_DIR", "/nonexistent");
    // Nothing listens on port 1: a request to the proxy fails.
    command.env("HTTP_PROXY", "http://127.0.0.1:1").env("http_proxy", "http://127.0.0.1:1");
    let child = command.spawn().expect("a process");
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a connection");
        assert_ne!(socket.read(&mut [0; 4096]).expect("a request"), 0);
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("an answer");
    });
    let output = child.wait_with_output().expect("an end");
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("no CA certificates"), "{log}");
}

fn the_first_signal_ends_in_order_and_the_second_at_once() {
    for (act, signals, code) in [
        ("run", &["TERM"][..], 0),
        ("run", &["INT"], 0),
        ("hang", &["TERM", "INT"], 1),
        ("hang", &["INT", "INT"], 1),
    ] {
        let mut child = start(act);
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        for (position, signal) in signals.iter().enumerate() {
            let awaited = if position == 0 { "\"ready\"" } else { "a second signal ends at once" };
            let mut line = String::new();
            while !line.contains(awaited) {
                line.clear();
                assert_ne!(log.read_line(&mut line).expect("a log"), 0, "{act} ended early");
            }
            let kill = Command::new("sh").args(["-c", &format!("kill -{signal} {}", child.id())]).status();
            assert!(kill.expect("sh").success());
        }
        let mut rest = String::new();
        log.read_to_string(&mut rest).expect("a log");
        assert_eq!(child.wait().expect("an end").code(), Some(code), "{act} {signals:?}: {rest}");
    }
}

/// OpenSSL frees what its threads still use where it is left to clean up at the end of the process.
#[cfg(feature = "tls")]
fn a_client_with_tls_that_still_closes_is_no_crash() {
    for _ in 0..50 {
        assert_eq!(ended("tls").0, 0);
    }
}
