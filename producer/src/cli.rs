//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use service::Verbosity;
use service::config::Config;
use service::exit::Outcome;
use service::kafka::acls::CheckArguments;
use service::shell::Program;
use service::shutdown::shutdown_signal;
use service::startup::Options;
use service::{stdout, wording};

use crate::needs::NEEDS;
use crate::{check, poll_once, run};

/// Polls the Anthropic Admin API and publishes raw records.
#[derive(Debug, Parser)]
#[command(name = "producer", version)]
pub struct Arguments {
    /// The configuration file. Without it, all settings come from the environment.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Poll each organization at its interval until stopped.
    Run,
    /// Poll once, regardless of the interval.
    Poll {
        /// Only this organization: its name in the configuration, or its ID where that is configured.
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
    },
    /// Check configuration, brokers, topics and Admin API keys without changing anything.
    Check(CheckArguments),
}

impl Arguments {
    /// Only `run` is a service.
    pub fn verbosity(&self) -> Verbosity {
        match self.command {
            Command::Run => Verbosity::Service,
            Command::Poll { .. } | Command::Check(_) => Verbosity::Command,
        }
    }
}

pub async fn main(arguments: Arguments) -> anyhow::Result<Outcome> {
    let program = Program::running(arguments.config.as_deref()).beside("producer", "anthropic-graph");
    let options = Options::of_process(program);
    let config = Config::load(arguments.config.as_deref(), &options.environment)?;
    match arguments.command {
        Command::Run => run::run(config, options, shutdown_signal()?).await,
        Command::Poll { organization } => {
            let polled = match &organization {
                Some(name) => name.clone(),
                None => wording::count(config.organizations.len(), "organization"),
            };
            let outcome =
                poll_once::poll(config, options, organization.as_deref(), shutdown_signal()?).await?;
            if outcome == Outcome::Done {
                stdout::print([format!("polled {polled}: every collection is complete")])?;
            }
            Ok(outcome)
        }
        Command::Check(arguments) => match arguments.commands(&config.kafka, &NEEDS) {
            Some(commands) => stdout::print(commands),
            None => check::check(config, options).await,
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
