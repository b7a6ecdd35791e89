//! The command line.

use clap::Parser;
use service::{Verbosity, command_line, exit::Outcome};

use crate::{check::check, needs::NEEDS, run::run};

/// Turns raw records into changes and compacted state.
#[derive(Debug, Parser)]
#[command(name = "processor", version)]
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
