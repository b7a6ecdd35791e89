//! The command line.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use service::config::Config;
use service::exit::Outcome;
use service::kafka::topics::Broker;
use service::shell::Program;
use service::shutdown::shutdown_signal;

use crate::approve::Approve;
use crate::options::Options;
use crate::run::{self};

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
    /// List the objects that JupiterOne refuses.
    Parked {
        /// Of this organization only.
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        /// JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// Show what a sync job would delete; with --revision, allow it.
    Approve {
        /// Of this organization.
        #[arg(long, value_name = "NAME")]
        organization: String,
        /// The revision of the graph that was shown.
        #[arg(long, value_name = "REVISION", requires = "by")]
        revision: Option<i64>,
        /// Take the target from the organization that it holds, whose graph is deleted from it.
        #[arg(long, requires = "revision")]
        take_target: bool,
        /// Who allows it.
        #[arg(long, value_name = "WHO")]
        by: Option<String>,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
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
        Command::Parked { organization, json } => {
            crate::parked::parked(config, organization, json, options).await
        }
        Command::Approve { organization, revision, take_target: takes_target, by, why } => {
            let program = Program::running(arguments.config.as_deref());
            let approve = Approve { organization, revision, takes_target, by, why, program };
            crate::approve::approve(config, approve, options).await
        }
    }
}
