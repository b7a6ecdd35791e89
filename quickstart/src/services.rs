//! The code of the three services and of the console, each as a task of this process.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use console::reading::Console;
use service::config::{Config, Organization};
use service::exit::{Outcome, UsageError};
use service::shell::Program;
use service::shutdown::CancellationToken;
use service::startup::Options;
use tempfile::TempDir;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

use crate::kafka::Kafka;

/// How long the services may take to end: each bounds its own end, and a person who pressed Ctrl-C waits.
const END_BOUND: Duration = Duration::from_secs(15);

const PRODUCER: &str = "producer";

type Ended = (&'static str, anyhow::Result<Outcome>);

pub(crate) struct Services {
    config: Config,
    options: Options,
    running: JoinSet<Ended>,
    shutdown: CancellationToken,
    /// Ends the producer alone.
    polling: CancellationToken,
    /// Has the console's history, and the configuration for `anthropic-graph`. It goes with this.
    folder: TempDir,
}

impl Services {
    /// Starts processor and sink.
    pub(crate) fn start(config: Config, kafka: &Kafka) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("quickstart-").tempdir();
        let folder = folder.context("failed to create a folder")?;
        let file = folder.path().join("graph.toml");
        std::fs::write(&file, kafka.configuration())
            .with_context(|| format!("failed to write {}", file.display()))?;
        let shutdown = CancellationToken::new();
        let polling = shutdown.child_token();
        let program = Program::new("anthropic-graph", Some(&file));
        let options = Options { broker: kafka.broker, ..Options::of_process(program) };
        let mut running = JoinSet::new();
        let processor = processor::run::run(config.clone(), options.clone(), shutdown.clone());
        running.spawn(async { ("processor", processor.await) });
        let sink = sink::run(config.clone(), options.clone(), shutdown.clone());
        running.spawn(async { ("sink", sink.await) });
        Ok(Self { config, options, running, shutdown, polling, folder })
    }

    /// The configuration of the one organization.
    pub(crate) fn organization(&self) -> anyhow::Result<&Organization> {
        self.config.organizations.first().context("no organization is configured")
    }

    /// A command of `anthropic-graph` about the topics of this run.
    pub(crate) fn command(&self, arguments: &str) -> String {
        self.options.program.command(arguments)
    }

    /// Starts `producer run`, which polls at its interval.
    pub(crate) fn keep_polling(&mut self) {
        let polling = producer::run::run(self.config.clone(), self.options.clone(), self.polling.clone());
        self.running.spawn(async { (PRODUCER, polling.await) });
    }

    /// Ends `producer run`.
    pub(crate) fn stop_polling(&self) {
        self.polling.cancel();
    }

    /// Starts `producer poll`, which polls once.
    pub(crate) fn poll(&mut self) {
        let (config, options) = (self.config.clone(), self.options.clone());
        let shutdown = self.shutdown.clone();
        let poll = async move { producer::poll_once::poll(config, options, None, shutdown).await };
        self.running.spawn(async { ("poll", poll.await) });
    }

    /// Starts the console, and says where it is: at its usual address, else on a free port.
    pub(crate) async fn open_console(&mut self) -> anyhow::Result<String> {
        let mut config = self.config.clone();
        config.console.store = Some(self.folder.path().join("console.sqlite"));
        let console = match Console::open(&config).await {
            // The folder is new: it is the port that is taken.
            Err(error) if error.is::<UsageError>() => {
                config.console.listen.set_port(0);
                Console::open(&config).await?
            }
            opened => opened?,
        };
        let url = console.url();
        let serving = console.serve(self.shutdown.clone());
        self.running.spawn(async { ("console", serving.await) });
        Ok(url)
    }

    /// Waits for the next that ends: `Ok` for a poll that did, with its line if it is incomplete.
    pub(crate) async fn next_end(&mut self) -> anyhow::Result<Option<String>> {
        match self.running.join_next().await {
            None => std::future::pending().await,
            Some(Ok((PRODUCER, Ok(Outcome::Done)))) if self.polling.is_cancelled() => Ok(None),
            Some(ended) => judge(ended),
        }
    }

    /// Ends all of them.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        let all_ended = async {
            while let Some(ended) = self.running.join_next().await {
                let (name, result) = ended.context("a service panicked")?;
                result.with_context(|| format!("the {name} failed"))?;
            }
            Ok(())
        };
        match timeout(END_BOUND, all_ended).await {
            Ok(result) => result,
            Err(_) => bail!("the services did not end within {} s", END_BOUND.as_secs()),
        }
    }
}

fn judge(ended: Result<Ended, JoinError>) -> anyhow::Result<Option<String>> {
    let (name, result) = ended.context("a service panicked")?;
    match result.with_context(|| format!("the {name} failed"))? {
        Outcome::Done if name == "poll" => Ok(None),
        Outcome::Incomplete(line) if name == "poll" => Ok(Some(line)),
        _ => Err(anyhow!("the {name} ended unexpectedly")),
    }
}
