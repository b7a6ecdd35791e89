//! The services as they are released: without the failpoints that the tests' programs have.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use jiff::Timestamp;
use serde_json::Value;
use tests::services::{Service, binaries};

use crate::process::{self, Ended};

/// The folder of the services' programs.
pub(crate) struct Services(PathBuf);

impl Services {
    /// Builds them, next to this program.
    pub(crate) fn build() -> Result<Self> {
        let program = std::env::current_exe()?;
        let folder = program.parent().context("a program lies in a folder")?;
        let target = folder.parent().context("a profile's folder lies in the target folder")?;
        let packages =
            ["producer", "processor", "sink", "cli"].map(|package| ["--package", package]).concat();
        let built = binaries::build_packages(&packages, binaries::workspace(), target);
        built.map(Self).map_err(|reason| anyhow!("the services cannot be built: {reason}"))
    }

    pub(crate) fn program(&self, service: &str) -> PathBuf {
        self.0.join(service)
    }

    /// Runs a service's command to its end.
    pub(crate) fn run(&self, service: &'static str, config: &Path, arguments: &[&str]) -> Result<Ended> {
        let config = config.display().to_string();
        let arguments: Vec<_> =
            ["--config", &config].iter().chain(arguments).map(ToString::to_string).collect();
        process::run(service, &self.program(service), &arguments)
    }

    /// Starts a service's `run`.
    pub(crate) fn start(&self, service: &'static str, config: &Path) -> Service {
        let config = config.display().to_string();
        Service::start(service, &self.program(service), ["--config", &config, "run"], &[])
    }
}

/// A log of JSON lines.
pub(crate) struct Log(Vec<Value>);

impl Log {
    pub(crate) fn of(log: &str) -> Self {
        Self(log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    /// When a message that begins so was logged first, in the lines that a test picks.
    pub(crate) fn first(&self, message: &str, test: impl Fn(&Value) -> bool) -> Result<Timestamp> {
        self.times(message, test).next().with_context(|| format!("{message:?} was not logged"))?
    }

    /// When a message that begins so was logged last.
    pub(crate) fn last(&self, message: &str) -> Result<Timestamp> {
        self.times(message, |_| true).last().with_context(|| format!("{message:?} was not logged"))?
    }

    /// How often a message that begins so was logged.
    pub(crate) fn count(&self, message: &str) -> usize {
        self.times(message, |_| true).count()
    }

    fn times(&self, message: &str, test: impl Fn(&Value) -> bool) -> impl Iterator<Item = Result<Timestamp>> {
        let lines = self.0.iter().filter(move |line| {
            line["message"].as_str().is_some_and(|it| it.starts_with(message)) && test(line)
        });
        lines.map(time)
    }
}

/// When a line was logged.
pub(crate) fn time(line: &Value) -> Result<Timestamp> {
    let time = line["timestamp"].as_str().context("a line without a time")?;
    time.parse().with_context(|| format!("no time: {time}"))
}

/// How long it was from one time to another.
pub(crate) fn between(begin: Timestamp, end: Timestamp) -> Result<Duration> {
    Duration::try_from(end.duration_since(begin)).context("the log's times go backward")
}
