//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use service::answer;
use service::config::Config;
use service::exit::Outcome;
use service::shutdown::shutdown_signal;

use crate::setup::Options;
use crate::{check, manual, run};

/// Polls the Anthropic Admin API and publishes raw records.
#[derive(Debug, Parser)]
#[command(name = "producer", version)]
pub struct Arguments {
    /// The configuration; without it, everything comes from the environment.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Poll each organization at its interval until asked to end.
    Run,
    /// Poll once, whatever the interval, and end.
    Poll {
        /// Only this organization.
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
    },
    /// Check configuration, broker, topics and Admin API keys without changing anything.
    Check,
}

/// Does what the command line asks for.
pub async fn main(arguments: Arguments) -> anyhow::Result<Outcome> {
    let options = Options::of_process();
    let config = Config::load(arguments.config.as_deref(), &options.environment)?;
    match arguments.command {
        Command::Run => run::run(config, options, shutdown_signal()?).await,
        Command::Poll { organization } => {
            let polled = match &organization {
                Some(name) => name.clone(),
                None => answer::count(config.organizations.len(), "organization"),
            };
            let outcome = manual::poll(config, options, organization.as_deref(), shutdown_signal()?).await?;
            if outcome == Outcome::Done {
                answer::print([format!("polled {polled}: every collection is complete")])?;
            }
            Ok(outcome)
        }
        Command::Check => check::check(config, options).await,
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
