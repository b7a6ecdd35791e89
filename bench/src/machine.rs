//! Where and with what was measured: figures of two machines, or of two versions, are not comparable.

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    thread,
};

use ::tests::{
    broker::{BOOTSTRAP_SERVERS, jars},
    services::binaries,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version that `bench/peers/kafka-streams/pom.xml` names.
const KAFKA_STREAMS: &str = "4.4.0";
/// The version that `bench/peers/jupiterone-sdk/package.json` names.
const JUPITERONE_SDK: &str = "17.4.0";

/// What the figures depend on, and no commit changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory: String,
    pub(crate) kernel: String,
}

impl Machine {
    /// The one that this runs on.
    pub(crate) fn this() -> Self {
        Self {
            cpu: field("/proc/cpuinfo", "model name"),
            cores: thread::available_parallelism().map_or(0, usize::from),
            memory: memory(&field("/proc/meminfo", "MemTotal")),
            kernel: said("uname", &["-sr"]),
        }
    }
}

/// Of all that takes part.
pub(crate) fn versions() -> BTreeMap<String, String> {
    let kafka = if std::env::var_os(BOOTSTRAP_SERVERS).is_some() {
        format!("that at {BOOTSTRAP_SERVERS}")
    } else {
        jars::version()
    };
    let versions = [
        ("anthropic-graph", env!("CARGO_PKG_VERSION").to_owned()),
        ("rustc", said("rustc", &["--version"])),
        ("librdkafka", rdkafka::util::get_rdkafka_version().1),
        ("Kafka", kafka),
        ("Kafka Streams", KAFKA_STREAMS.to_owned()),
        ("Java", said("java", &["--version"]).lines().next().unwrap_or_default().to_owned()),
        ("JupiterOne's SDK", JUPITERONE_SDK.to_owned()),
        ("Node.js", said("node", &["--version"])),
    ];
    versions.into_iter().map(|(name, version)| (name.to_owned(), version)).collect()
}

/// Of the working tree.
pub(crate) fn commit() -> String {
    said("git", &["describe", "--always", "--abbrev=40", "--dirty"])
}

pub(crate) fn today() -> String {
    Timestamp::now().strftime("%F").to_string()
}

/// To a gibibyte: the kernel keeps a little more or less for itself from start to start.
fn memory(total: &str) -> String {
    let kib: Option<u64> = total.strip_suffix("kB").and_then(|kib| kib.trim().parse().ok());
    kib.map_or_else(|| total.to_owned(), |kib| format!("{} GiB", (kib + (1 << 19)) >> 20))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use ::tests::services::binaries;

    use super::{JUPITERONE_SDK, KAFKA_STREAMS, memory};

    #[test]
    fn the_peers_have_the_versions_that_are_shown() {
        for (file, line) in [
            ("kafka-streams/pom.xml", format!("<version>{KAFKA_STREAMS}</version>")),
            (
                "jupiterone-sdk/package.json",
                format!("\"@jupiterone/integration-sdk-runtime\": \"{JUPITERONE_SDK}\""),
            ),
        ] {
            let text =
                fs::read_to_string(binaries::workspace().join("bench/peers").join(file)).expect("a file");
            assert!(text.contains(&line), "{file} does not say {line}");
        }
    }

    #[test]
    fn memory_is_shown_in_gibibytes() {
        assert_eq!(memory("24689000 kB"), "24 GiB");
        assert_eq!(memory("unknown"), "unknown");
    }
}
