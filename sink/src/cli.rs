//! The command line.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use service::config::Config;
use service::exit::{Outcome, shutdown_signal};
use service::kafka::topics::Broker;

use crate::run::{self, Options};

/// Keeps JupiterOne equal to the graph topic.
#[derive(Debug, Parser)]
#[command(name = "sink", version, about)]
pub struct Arguments {
    /// The configuration; without it, the environment's `ANTHROPIC_GRAPH`__… variables are all there is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep JupiterOne equal to the graph topic.
    Run {
        /// Work up to the end of the graph topic as it is now, then exit.
        #[arg(long)]
        until_end: bool,
    },
    /// Check configuration, credentials, broker and topics without changing anything.
    Check,
    /// Upload the graph again although nothing changed, then exit. A running sink gives way for it.
    Resync {
        /// Of this organization only.
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
    },
}

/// Does what the arguments ask for.
pub async fn execute(arguments: Arguments) -> anyhow::Result<Outcome> {
    let shutdown = shutdown_signal()?;
    let environment = Arc::new(service::config::environment());
    let config = Config::load(arguments.config.as_deref(), &environment)?;
    let mut options = Options { until_end: false, environment, broker: Broker::Kafka };
    match arguments.command {
        Command::Run { until_end } => {
            options.until_end = until_end;
            run::run(config, options, shutdown).await
        }
        Command::Check => crate::check::check(&config, &options).await,
        Command::Resync { organization } => run::resync(config, organization, options, shutdown).await,
    }
}
