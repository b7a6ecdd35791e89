//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use schemas::{raw::decision, topics::Topic};
use service::{
    answer,
    config::{Config, environment},
    exit::Outcome,
    kafka::topics::Broker,
    shell::Program,
    shutdown::shutdown_signal,
};

use crate::{check, confirmation::Confirmation, decide, forget, holds, replay, reset, run, tail};

/// Turns raw records into changes and compacted state.
#[derive(Debug, Parser)]
#[command(name = "processor", version)]
pub struct Arguments {
    /// The configuration; without it, everything comes from the environment.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Process raw records until asked to end.
    Run {
        /// End at the end of the raw topic as it is at the start.
        #[arg(long)]
        until_end: bool,
    },
    /// Check configuration, broker and topics without changing anything.
    Check,
    /// Print changes.
    Tail {
        /// earliest, latest, or a time such as 2026-11-24T09:00:00Z.
        #[arg(long, default_value = "latest")]
        from: tail::Since,
        /// Only this organization.
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        /// As JSON lines.
        #[arg(long)]
        json: bool,
        /// End at the end of the topic as it is at the start.
        #[arg(long)]
        until_end: bool,
    },
    /// Hold the topics to the laws, also while the services run; changes nothing.
    Verify {
        /// Only this organization.
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        /// The changes and the graph that `replay --from earliest` wrote under this prefix, against the raw topic.
        #[arg(long, value_name = "PREFIX")]
        replayed: Option<String>,
        /// As JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// List the deletions that the guard holds, and the commands that decide about them.
    Holds(holds::Arguments),
    /// Have held deletions made, up to the listing that was seen. Needs Write on the raw topic only.
    Approve(decide::Arguments),
    /// Keep what held deletions would delete. Needs Write on the raw topic only.
    Reject(decide::Arguments),
    /// Show, and with --confirm decide, that all that is known of an organization is deleted.
    Forget(forget::Arguments),
    /// Rebuild changes and graph from the raw topic, into topics of another prefix.
    Replay(replay::Arguments),
    /// Show, and with --confirm delete, what a processor has to forget to begin anew from the raw topic.
    Reset(Confirmation),
}

/// Does what the command line asks for.
pub async fn main(arguments: Arguments) -> anyhow::Result<Outcome> {
    let config = Config::load(arguments.config.as_deref(), &environment())?;
    let program = Program::running(arguments.config.as_deref());
    match arguments.command {
        Command::Run { until_end } => {
            let (options, shutdown) = (run::Options { until_end, broker: Broker::Kafka }, shutdown_signal()?);
            let raw = Topic::Raw.name(&config.kafka.topic_prefix);
            let outcome = run::run(config, options, shutdown.clone()).await?;
            if until_end && outcome == Outcome::Done {
                let done = !shutdown.is_requested();
                let what = if done { "processed up to its end" } else { "stopped before its end; run again" };
                answer::print([format!("{raw}: {what}")])?;
            }
            Ok(outcome)
        }
        Command::Check => check::check(config).await,
        Command::Tail { from, organization, json, until_end } => {
            let options = tail::Options { from, organization, json, until_end };
            tail::tail(config, options, shutdown_signal()?).await
        }
        Command::Verify { organization, replayed, json } => {
            verify::verify(config, verify::Options { organization, replayed, json }).await
        }
        Command::Holds(options) => holds::holds(config, program, options).await,
        Command::Approve(options) => decide::decide(config, decision::APPROVE, options).await,
        Command::Reject(options) => decide::decide(config, decision::REJECT, options).await,
        Command::Forget(options) => forget::forget(config, program, options).await,
        Command::Reset(options) => reset::reset(config, program, options).await,
        Command::Replay(options) => replay::replay(config, options, shutdown_signal()?).await,
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
