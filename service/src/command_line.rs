//! The command line of a service that works up to a topic's end: `run` and `check`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::{Config, environment};
use crate::exit::Outcome;
use crate::kafka::acls::{CheckArguments, Needs};
use crate::shell::Program;
use crate::shutdown::{CancellationToken, shutdown_signal};
use crate::startup::Options;
use crate::stdout;
use crate::telemetry::Verbosity;

/// The arguments of the service.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The configuration file. Without it, all settings come from the environment.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work until stopped.
    Run {
        /// Work up to the end of the topic as it is now, then exit.
        #[arg(long)]
        until_end: bool,
    },
    /// Check configuration, credentials, brokers and topics without changing anything.
    Check(CheckArguments),
}

impl Arguments {
    /// Only `run` without `--until-end` is a service.
    pub fn verbosity(&self) -> Verbosity {
        match self.command {
            Command::Run { until_end: false } => Verbosity::Service,
            Command::Run { until_end: true } | Command::Check(_) => Verbosity::Command,
        }
    }

    /// Does what the arguments ask for.
    pub async fn execute(
        self,
        needs: &Needs,
        run: impl AsyncFnOnce(Config, Options, CancellationToken) -> anyhow::Result<Outcome>,
        check: impl AsyncFnOnce(Config, Options) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<Outcome> {
        let config = Config::load(self.config.as_deref(), &environment())?;
        let program = Program::running(self.config.as_deref()).beside(needs.service, "anthropic-graph");
        let options = Options::of_process(program);
        match self.command {
            Command::Run { until_end } => {
                run(config, Options { until_end, ..options }, shutdown_signal()?).await
            }
            Command::Check(arguments) => match arguments.commands(&config.kafka, needs) {
                Some(commands) => stdout::print(commands),
                None => check(config, options).await,
            },
        }
    }
}
