//! The three services' own code, each as a task of this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use service::config::Config;
use service::exit::Outcome;
use service::kafka::topics::Broker;
use service::shutdown::{Shutdown, ShutdownTrigger, shutdown};
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

/// How long the services may take to end: each bounds its own end, and a person who pressed Ctrl-C waits.
const END_BOUND: Duration = Duration::from_secs(15);

type Ended = (&'static str, anyhow::Result<Outcome>);

/// The running services.
pub(crate) struct Services {
    config: Config,
    broker: Broker,
    environment: BTreeMap<String, String>,
    running: JoinSet<Ended>,
    trigger: ShutdownTrigger,
    shutdown: Shutdown,
}

impl Services {
    /// Starts processor and sink.
    pub(crate) fn start(config: Config, broker: Broker) -> Self {
        let (trigger, shutdown) = shutdown();
        let environment = service::config::environment();
        let mut running = JoinSet::new();
        let processor = processor::run::run(
            config.clone(),
            processor::run::Options { until_end: false, broker },
            shutdown.clone(),
        );
        running.spawn(async { ("processor", processor.await) });
        let options = sink::Options { until_end: false, environment: Arc::new(environment.clone()), broker };
        let sink = sink::run(config.clone(), options, shutdown.clone());
        running.spawn(async { ("sink", sink.await) });
        Self { config, broker, environment, running, trigger, shutdown }
    }

    /// Starts `producer run`, which polls at its interval.
    pub(crate) fn keep_polling(&mut self) {
        let polling = producer::run::run(self.config.clone(), self.producer_options(), self.shutdown.clone());
        self.running.spawn(async { ("producer", polling.await) });
    }

    /// Starts `producer poll`, which polls once.
    pub(crate) fn poll(&mut self) {
        let (config, options) = (self.config.clone(), self.producer_options());
        let shutdown = self.shutdown.clone();
        let poll = async move { producer::manual::poll(config, options, None, shutdown).await };
        self.running.spawn(async { ("poll", poll.await) });
    }

    fn producer_options(&self) -> producer::setup::Options {
        producer::setup::Options { environment: self.environment.clone(), broker: self.broker }
    }

    /// Waits for the next that ends: `Ok` for a poll that did, with its line if it is incomplete.
    pub(crate) async fn next_end(&mut self) -> anyhow::Result<Option<String>> {
        match self.running.join_next().await {
            None => std::future::pending().await,
            Some(ended) => judge(ended),
        }
    }

    /// Ends all of them.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.trigger.ask();
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
        _ => Err(anyhow!("the {name} ended by itself")),
    }
}
