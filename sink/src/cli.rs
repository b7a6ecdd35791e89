//! The command line.

use clap::Parser;
use service::exit::Outcome;
use service::{Verbosity, command_line};

use crate::check::check;
use crate::needs::NEEDS;
use crate::run::run;

/// Keeps JupiterOne equal to the graph topic.
///
/// `run --until-end` tries each organization three times, with at most 30 s between two tries.
#[derive(Debug, Parser)]
#[command(name = "sink", version)]
#[group(skip)]
pub struct Arguments {
    #[command(flatten)]
    arguments: command_line::Arguments,
}

impl Arguments {
    pub fn verbosity(&self) -> Verbosity {
        self.arguments.verbosity()
    }
}

/// Runs the command.
pub async fn main(Arguments { arguments }: Arguments) -> anyhow::Result<Outcome> {
    arguments.execute(&NEEDS, run, check).await
}
