//! The process that keeps a broker for as long as a test run lasts.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::container::{ContainerBroker, check_engine};
use super::jars::JarBroker;
use super::owner::Owner;

/// How soon after the run's end the broker ends.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// No test run takes that long: a run that hangs must not keep its broker for good.
const LONGEST_RUN: Duration = Duration::from_hours(3);

/// A broker from jars answers after 2 to 4 s; with two cores busy compiling, later.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Another process may take a port between its choice and its use.
const ATTEMPTS: u32 = 3;

enum Broker {
    Container(Box<ContainerBroker>),
    Jars(JarBroker),
}

impl Broker {
    fn address(&self) -> &str {
        match self {
            Self::Container(broker) => broker.address(),
            Self::Jars(broker) => broker.address(),
        }
    }

    fn is_running(&mut self) -> bool {
        match self {
            Self::Container(broker) => broker.is_running(),
            Self::Jars(broker) => broker.is_running(),
        }
    }
}

/// Starts a broker, prints its address as one line, keeps it until the owner is gone, and removes the folder.
pub fn keep(owner_pid: u32, folder: &Path) -> Result<()> {
    let owner =
        Owner::new(owner_pid).with_context(|| format!("no process {owner_pid} to keep a broker for"))?;
    fs::create_dir_all(folder)?;
    let broker = start(folder)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", broker.address())?;
    stdout.flush()?;
    let deadline = Instant::now() + LONGEST_RUN;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(end_of_run(&owner, deadline))?;
    // A container's end blocks on a runtime of its own.
    drop(runtime);
    drop(broker);
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

async fn end_of_run(owner: &Owner, deadline: Instant) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    while owner.is_alive() && Instant::now() < deadline {
        tokio::select! {
            () = tokio::time::sleep(LOOK_PERIOD) => {}
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    Ok(())
}

/// All failures are reported together: it is enough to fix one of the ways.
fn start(folder: &Path) -> Result<Broker> {
    let container = check_engine()
        .and_then(|()| ContainerBroker::start())
        .map(|broker| Broker::Container(Box::new(broker)));
    let no_container = match container.and_then(answering) {
        Ok(broker) => return Ok(broker),
        Err(error) => error,
    };
    let mut no_jars = anyhow!("not tried");
    for attempt in 1..=ATTEMPTS {
        match JarBroker::start(&folder.join(format!("broker-{attempt}")))
            .map(Broker::Jars)
            .and_then(answering)
        {
            Ok(broker) => return Ok(broker),
            Err(error) => no_jars = error,
        }
    }
    bail!("container: {no_container:#}\njars: {no_jars:#}")
}

/// The broker, once it answers a client.
fn answering(mut broker: Broker) -> Result<Broker> {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg)
        .create()?;
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    loop {
        let error = match client.fetch_metadata(None, Duration::from_secs(1)) {
            Ok(metadata) if !metadata.brokers().is_empty() => return Ok(broker),
            Ok(_) => anyhow!("it knows no broker"),
            Err(error) => error.into(),
        };
        if !broker.is_running() {
            return Err(error.context("the broker ended at once"));
        }
        if Instant::now() > deadline {
            return Err(error.context("the broker does not answer"));
        }
        thread::sleep(Duration::from_millis(50));
    }
}
