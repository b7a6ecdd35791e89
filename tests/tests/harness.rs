//! What the other tests stand on, itself tested.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tests::broker::{BOOTSTRAP_SERVERS, bootstrap_servers};
use tests::services::Service;
use tests::world::World;
use tests::{kafka, prefix};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_broker_ends_with_the_process_that_it_is_kept_for_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut owner = Command::new("sleep").arg("600").spawn().unwrap();
    let (mut keeper, address) = keep(owner.id(), &run);
    TcpStream::connect(&address).expect("the broker listens");
    owner.kill().unwrap();
    owner.wait().unwrap();
    until("the keeper ends", || keeper.try_wait().unwrap().is_some());
    assert!(!has_process(&run), "the broker is gone");
    assert!(!run.exists(), "its data is gone");
}

#[test]
fn a_keeper_that_is_asked_to_stop_stops_its_broker() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let (mut keeper, address) = keep(std::process::id(), &run);
    TcpStream::connect(&address).expect("the broker listens");
    assert!(has_process(&run), "the broker runs");
    let stopped = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", keeper.id())).status().unwrap();
    assert!(stopped.success());
    until("the keeper ends", || keeper.try_wait().unwrap().is_some());
    assert!(!has_process(&run), "the broker is gone");
    assert!(!run.exists(), "its data is gone");
}

#[test]
fn all_threads_of_a_run_share_one_broker() {
    let threads: Vec<_> = (0..4).map(|_| thread::spawn(bootstrap_servers)).collect();
    let addresses: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(addresses.iter().all(|address| *address == bootstrap_servers()), "{addresses:?}");
}

#[test]
fn without_a_broker_the_reason_is_said_once_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let run = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "all_threads_of_a_run_share_one_broker",
            "a_topic_is_read_to_its_end_and_folded_as_compaction_would",
        ])
        .env("PATH", folder.path())
        .env("TMPDIR", folder.path())
        .env("DOCKER_HOST", "unix:///nowhere")
        .env_remove(BOOTSTRAP_SERVERS)
        .output()
        .unwrap();
    let said = [run.stdout, run.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    assert!(!run.status.success(), "{said}");
    assert_eq!(said.matches("no `java` on the path: install a Java 17").count(), 1, "{said}");
    assert!(said.matches("no Kafka broker to test on: install Java 17 and Maven").count() > 1, "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{said}");
}

#[test]
fn a_topic_is_read_to_its_end_and_folded_as_compaction_would() {
    let (servers, topic) = (bootstrap_servers(), prefix());
    kafka::create_topic(&servers, &topic, 2, &[("retention.ms", "-1")]);
    kafka::write(&servers, &topic, 0, "a", Some(b"1"), &[("ce_id", b"first")]);
    kafka::write(&servers, &topic, 1, "b", Some(b"2"), &[]);
    kafka::write(&servers, &topic, 0, "a", Some(b"3"), &[]);
    kafka::write(&servers, &topic, 1, "b", None, &[]);
    let records = kafka::read(&servers, &topic);
    let places: Vec<_> = records.iter().map(|record| (record.partition, record.offset)).collect();
    assert_eq!(places, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    assert_eq!((records[0].key_text(), records[0].header("ce_id")), ("a", Some("first")));
    assert_eq!(records[3].value, None);
    let folded = kafka::fold(records);
    assert_eq!(folded.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(folded["a"].value.as_deref(), Some(b"3".as_slice()));
    kafka::delete_records(&servers, &topic, &[(0, 1)]);
    assert_eq!(kafka::read(&servers, &topic).len(), 3);
    assert_eq!(kafka::read(&servers, &prefix()), [], "a topic that does not exist");
}

#[test]
fn a_binary_is_started_awaited_and_stopped() {
    let help = Service::run("processor", ["--help"], &[]);
    assert!(help.expect(0).stdout.contains("--config"), "{help:?}");
    let completions = Service::run("anthropic-graph", ["completions", "bash"], &[]);
    assert!(completions.expect(0).stdout.contains("who-can"), "it needs no configuration: {completions:?}");
    let usage = Service::run("processor", ["--no-such-option"], &[]);
    assert!(usage.expect(2).stderr.contains("--no-such-option"), "{usage:?}");
    let script = "trap 'exit 7' TERM; echo began; while :; do sleep 0.01; done";
    let start = || Service::start("script", Path::new("/bin/sh"), ["-c", script], &[]);
    let mut running = start();
    assert_eq!(running.printed("began"), "began");
    running.terminate().expect(7);
    assert_eq!(start().kill().code, None);
}

#[test]
fn a_world_has_both_ends_and_a_configuration_that_a_service_accepts() {
    let world = World::of(vec![simulator::anthropic::Settings::default(); 2]);
    let text = std::fs::read_to_string(world.config()).unwrap();
    let environment = std::collections::BTreeMap::new();
    let config = service::config::Config::from_toml(&text, world.folder(), &environment).unwrap();
    assert_eq!(config.kafka.topic_prefix, world.prefix);
    assert_eq!(config.organizations.len(), 2);
    assert_eq!(config.organizations[1].name, "organization-2");
    assert!(world.graph(0).entities.is_empty());
}

/// A keeper for a broker of its own, and the broker's address.
fn keep(owner: u32, folder: &Path) -> (Child, String) {
    let mut keeper = Command::new(env!("CARGO_BIN_EXE_test-broker"))
        .arg(owner.to_string())
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("cargo has built it");
    let mut address = String::new();
    let stdout = keeper.stdout.take().expect("its stdout is a pipe");
    BufReader::new(stdout).read_line(&mut address).expect("it prints an address");
    (keeper, address.trim().to_owned())
}

/// Whether a process has the folder on its command line, as a broker has its own. A test of the broker's port would not
/// do: another process may have the port by now.
fn has_process(folder: &Path) -> bool {
    let folder = folder.to_str().expect("a temporary folder's name is text").as_bytes();
    let processes = std::fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
    let command_lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    command_lines.into_iter().any(|line| line.windows(folder.len()).any(|part| part == folder))
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
