//! The processor's job in Kafka Streams (`bench/peers/kafka-streams`).

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use schemas::topics::Topic;
use serde::Deserialize;
use tests::services::binaries;

use crate::{
    peers::output::Output,
    process::{self, last_line},
    raw_topic,
    world::{PARTITIONS, World},
};

/// Where it keeps its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    RocksDb,
}

impl Store {
    pub(crate) const ALL: [Self; 2] = [Self::Memory, Self::RocksDb];

    fn argument(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::RocksDb => "rocksdb",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "Kafka Streams, in memory",
            Self::RocksDb => "Kafka Streams, RocksDB",
        }
    }
}

/// The peer's classes and libraries.
pub(crate) struct Streams {
    class_path: String,
}

impl Streams {
    /// Builds it with Maven, which fetches what it does not have.
    pub(crate) fn build() -> Result<Self> {
        for (program, question, package) in
            [("javac", "-version", "openjdk-17-jdk-headless"), ("mvn", "--version", "maven")]
        {
            let answer = Command::new(program).arg(question).stdin(Stdio::null()).output();
            ensure!(
                answer.is_ok_and(|answer| answer.status.success()),
                "no `{program}` on the path, with which Kafka Streams' side is built: install a JDK 17 or newer and \
                 Maven (Debian: {package})"
            );
        }
        let workspace = binaries::workspace();
        let folder = workspace.join("target/bench/kafka-streams");
        let maven = Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(workspace.join("bench/peers/kafka-streams/pom.xml"))
            .arg(format!("-Dbuild.folder={}", folder.display()))
            .args(["compile", "dependency:copy-dependencies"])
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            maven.status.success(),
            "Kafka Streams' side cannot be built:\n{}",
            String::from_utf8_lossy(&maven.stdout)
        );
        Ok(Self { class_path: format!("{0}/classes:{0}/libs/*", folder.display()) })
    }

    /// Runs until it has committed what lies in the raw topic.
    pub(crate) fn run(&self, world: &World, store: Store, end: i64) -> Result<Run> {
        let arguments = [
            // Avro refuses generated classes that are not on its list of trusted ones.
            "-Dorg.apache.avro.SERIALIZABLE_PACKAGES=anthropic_graph.raw,anthropic_graph.graph,anthropic_graph.changes",
            "-cp",
            &self.class_path,
            "peer.Main",
            &world.bootstrap_servers,
            &world.topic(Topic::Raw),
            &world.partition().to_string(),
            &end.to_string(),
            &Topic::Changes.name(&application(world, store)),
            &application(world, store),
            store.argument(),
            &folder(world, store).display().to_string(),
        ];
        let ended = process::run("java", Path::new("java"), &arguments.map(str::to_owned))?;
        let report: Report =
            serde_json::from_value(last_line(&ended.stdout)?).context("Kafka Streams' result")?;
        Ok(Run { report, peak_mib: ended.peak_mib })
    }

    /// Makes the topic of its changes.
    pub(crate) fn prepare(world: &World, store: Store) {
        raw_topic::create(&world.bootstrap_servers, &application(world, store), Topic::Changes, PARTITIONS);
    }

    /// Makes it forget what is not in Kafka.
    pub(crate) fn forget(world: &World, store: Store) -> Result<()> {
        match std::fs::remove_dir_all(folder(world, store)) {
            // A store in memory may leave no folder.
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// What it has written.
    pub(crate) fn output(world: &World, store: Store) -> Result<Output> {
        let application = application(world, store);
        let elements = format!("{application}-elements-changelog");
        let changes = Topic::Changes.name(&application);
        Output::read(&world.bootstrap_servers, &changes, &elements, world.partition())
    }
}

pub(crate) struct Run {
    pub(crate) report: Report,
    /// Peak of its resident memory (MiB).
    pub(crate) peak_mib: f64,
}

/// What the peer reports about itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    restoring_s: f64,
    /// Records of its changelogs.
    pub(crate) restored: u64,
    working_s: f64,
    pub(crate) processed: u64,
}

impl Report {
    /// From the restore's begin until it can process.
    pub(crate) fn restoring(&self) -> Duration {
        Duration::from_secs_f64(self.restoring_s)
    }

    /// From then until the last record is committed.
    pub(crate) fn working(&self) -> Duration {
        Duration::from_secs_f64(self.working_s)
    }
}

fn application(world: &World, store: Store) -> String {
    format!("{}-streams-{}", world.prefix, store.argument())
}

fn folder(world: &World, store: Store) -> PathBuf {
    world.folder().join(store.argument())
}
