//! Where and with what was measured: figures of two machines, or of two versions, are not comparable.

use std::{
    fs,
    process::{Command, Stdio},
    thread,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tests::{broker::jars, services::binaries};

/// The version that `bench/peers/kafka-streams/pom.xml` names.
const KAFKA_STREAMS: &str = "4.4.0";

/// The machine, the versions, and the commit.
pub(crate) fn describe() -> Value {
    let librdkafka = rdkafka::util::get_rdkafka_version().1;
    json!({
        "machine": {
            "cpu": field("/proc/cpuinfo", "model name"),
            "cores": thread::available_parallelism().map_or(0, usize::from),
            "memory": field("/proc/meminfo", "MemTotal"),
            "kernel": said("uname", &["-sr"]),
        },
        "versions": {
            "anthropic-graph": env!("CARGO_PKG_VERSION"),
            "rustc": said("rustc", &["--version"]),
            "librdkafka": librdkafka,
            "Kafka": jars::version(),
            "Kafka Streams": KAFKA_STREAMS,
            "Java": said("java", &["--version"]).lines().next().unwrap_or_default(),
        },
        "commit": said("git", &["describe", "--always", "--abbrev=40", "--dirty"]),
        "measured": Timestamp::now().strftime("%F").to_string(),
    })
}

fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(binaries::workspace()).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}
