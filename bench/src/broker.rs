//! The Kafka that everything is measured on: one of its own, or the one that is named.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tests::{
    broker::{BOOTSTRAP_SERVERS, jars::JarBroker},
    kafka,
};

/// A broker from jars answers after 2 to 4 s.
const START_BOUND: Duration = Duration::from_mins(1);

pub(crate) struct Broker {
    pub(crate) bootstrap_servers: String,
    // Before the folder of its data.
    _own: Option<(JarBroker, TempDir)>,
}

impl Broker {
    pub(crate) fn start() -> Result<Self> {
        if let Ok(given) = std::env::var(BOOTSTRAP_SERVERS)
            && !given.trim().is_empty()
        {
            return Ok(Self { bootstrap_servers: given.trim().to_owned(), _own: None });
        }
        let folder = tempfile::tempdir().context("no folder for the broker's data")?;
        let broker = JarBroker::start(folder.path())
            .context("no broker to measure on; install what is missing, or set KAFKA_BOOTSTRAP_SERVERS")?;
        let bootstrap_servers = broker.address().to_owned();
        kafka::until_it_answers(&bootstrap_servers, START_BOUND);
        Ok(Self { bootstrap_servers, _own: Some((broker, folder)) })
    }
}
