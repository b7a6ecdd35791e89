//! The command line.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};
use schemas::raw::DecisionKind;
use service::{
    config::{Config, environment},
    exit::Outcome,
    shell::Program,
    shutdown::shutdown_signal,
    startup::Options,
};

use crate::{
    access_between, acls, changes, confirmation::Confirmation, dead_letters, decide, forget, help, holds,
    parked, reset, selection::Selection, shell_files, status, sync_status, who_can,
};

/// Shows who can access which Anthropic workspace with which API key, records decisions, and maintains the Kafka topics
/// of anthropic-graph.
#[derive(Debug, Parser)]
#[command(name = "anthropic-graph", version, help_template = help::template(&commands()), disable_help_subcommand = true)]
pub struct Arguments {
    /// The services' configuration file. Without it, all settings come from the environment.
    ///
    /// Most commands need only the section `[kafka]`. `sync approve` and `sync resync` need what the sink needs.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

/// The commands, in the order of [`help::GROUPS`].
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show who can access a workspace or use an API key, and what a person can access.
    ///
    /// Needs Read on the changes topic only. If the graph topic may be read as well, the answer says how fresh the
    /// collections are. docs/who-can.md explains the answer.
    WhoCan(who_can::Arguments),
    /// Show who gained and who lost which access between two moments.
    ///
    /// Needs Read on the changes topic only.
    Access(access_between::Arguments),
    /// Print each change as a line, until interrupted.
    ///
    /// Needs Read on the changes topic. The names of a relationship's ends come from the graph topic, if that can be
    /// read. Without `--group` it commits nothing, so every reader sees all changes.
    Changes(changes::Arguments),
    /// Show how fresh and in sync each organization is, and what needs a decision.
    ///
    /// The age of a collection is the time since its last whole listing. Members are as old as the workspace that was
    /// listed longest ago. Needs Read on the graph topic. The sync topic and the dead letters are "unknown" if they may
    /// not be read. With --organization, it lists each of its collections. No topic says whether a sink is running: see its `/readyz`.
    Status(Selection),
    /// List the raw records that could not be used, and what replaces them.
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Serve pages about access and changes, now and at any past moment, on loopback.
    Console,
    /// List suspiciously many deletions that are held, and approve or reject them.
    #[command(subcommand)]
    Holds(Holds),
    /// Show what JupiterOne holds, approve or repeat a sync job, list refused objects.
    #[command(subcommand)]
    Sync(Sync),
    /// Delete everything known about an organization, after showing it.
    ///
    /// With --confirm, the processor deletes every element and writes a change for each. The records in `raw` and
    /// `changes` stay until their retention ends, and JupiterOne's scope is not emptied. Remove the organization from
    /// the producer's configuration first: the next poll would bring it back. Showing needs Read on the graph topic,
    /// deciding needs Write on the raw topic.
    Forget(forget::Arguments),
    /// Verify that changes and graph follow from the raw records; changes nothing.
    ///
    /// The services may be running. It shares only the decoding of records with the processor. Needs Read on the topics
    /// `raw`, `changes`, `graph` and `deadletters`. Exit code 1 if a law is violated, 3 if the topics have nothing
    /// about the given organization. A transaction in `changes` or `graph` that stays open for half a minute is an
    /// error: verify again after it has ended.
    Verify(Verify),
    /// Rebuild changes and graph from the raw records, in topics with another prefix.
    ///
    /// Writes `PREFIX.changes`, `PREFIX.graph` and `PREFIX.deadletters` with the current mapping, for comparison or
    /// inspection. The same version writes the same values from the same records, byte for byte. Only the header
    /// `ce_cause` differs: it is `replay`. A listing whose beginning was removed by retention or by --from is partial.
    /// The live topics and groups are not touched, and a prefix with a `raw` or a `sync` topic is refused. The topics
    /// must be empty: after an interrupted replay, delete them or use another prefix.
    ///
    /// Needs Read on the raw topic and, under the other prefix, Create, Write and `DescribeConfigs` on topics and Write
    /// on transactional IDs.
    Replay(processor::replay::Arguments),
    /// Delete the processor's output, to rebuild it from raw, after showing it.
    ///
    /// The output is the committed offsets of its group, `changes` and `graph`. The command shows what `raw` can no
    /// longer restore. With --confirm it deletes them, unless a processor or a sink is running. If a service starts
    /// during the reset, the command fails: stop the service and run `reset` again. Then run `processor run
    /// --until-end`, and the `sync approve` that the sink asks for if JupiterOne holds a different graph. Readers of
    /// `changes` must start over too.
    Reset(Confirmation),
    /// Print the `kafka-acls.sh` commands that grant what each command needs.
    ///
    /// A comment before each group of lines names the commands that need them. For a service, use its `check --acls`.
    Acls(acls::Arguments),
    /// Print completions for a shell.
    ///
    /// For bash: `source <(anthropic-graph completions bash)`.
    Completions(shell_files::CompletionsArguments),
    /// Print the manual page; with --into, write a page for each command.
    Man(shell_files::ManArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// List dead letters: the position of each, its raw record, and why that could not be used.
    ///
    /// Needs Read on the dead letter topic only. Dead letters have the IDs of organizations: --organization takes a name
    /// only if the configuration has its `organization_id`.
    List(Selection),
    /// Show a dead letter and its raw record as JSON.
    ///
    /// Needs Read on the dead letter topic only. Bytes that are not a raw record are shown in hexadecimal, at most
    /// 4,096 of them. The record may contain names and email addresses.
    Show(dead_letters::ShowArguments),
    /// Show what redriving each dead letter would change, and what replaces it; writes nothing.
    ///
    /// Redriven, a record would go through the raw topic, where its offset defines its order. A listing's resources count
    /// only between its beginning and its manifest, so a resource that comes later changes nothing. The next whole
    /// listing of the collection replaces it. Needs Read on the dead letter topic and on the graph topic. Exit code 3 if
    /// a dead letter needs a replacement and has none yet.
    Redrive(Selection),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Holds {
    /// List held deletions, since when and why they are held, and the commands that decide.
    ///
    /// Needs Read on the graph topic only. Each command can be pasted: it names the program and configuration of this
    /// call. `--by $(id -un)` expands to the name of the user who runs it.
    List(Selection),
    /// Approve held deletions, up to a listing.
    ///
    /// Affects only what was held by that listing, and a rejected hold only if --key names it. The decision is a record
    /// in the raw topic, which the processor applies when it reads it. Deciding needs Write on that topic and nothing
    /// else, so --organization works only if the configuration has the `organization_id`.
    Approve(decide::Arguments),
    /// Reject held deletions, up to a listing, so that their elements stay.
    ///
    /// Affects only what was held by that listing. If --key names an entity, the relationships that were held with it
    /// stay too. Deciding needs Write on the raw topic and nothing else.
    Reject(decide::Arguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sync {
    /// Show the phase of each organization: why no sync job was started, and what follows.
    ///
    /// A phase is `synced`, `waiting`, `uploading`, `retrying` or `paused`. The command applies the sink's own rules to the
    /// topics `sync` and `graph`, and needs Read on both. No sink has to run. The number of running sinks is shown if the
    /// consumer group can be described. A running sink shows its phases in `/readyz` and in its metrics.
    Status(Selection),
    /// Show what the next sync job would delete; with --revision, approve it.
    ///
    /// A job waits for approval if it would delete more than the limits and approved holds allow, or if the graph was
    /// re-created. It also waits if the target held the organization before this `topic_prefix` did, or holds another
    /// organization (--take-target). A running sink then continues without a restart. Needs the sink's configuration
    /// and permissions.
    Approve(Approve),
    /// Upload the graph again even if nothing changed.
    ///
    /// Tries each organization three times, with at most 30 s between two tries. If JupiterOne asks for a longer pause,
    /// the command ends with exit code 1 and says until when. It waits up to 30 minutes for a job that JupiterOne is
    /// finishing. A job that needs an approval needs it here too. A running sink yields. Needs the sink's configuration
    /// and permissions.
    Resync {
        /// Only this organization: its name in the configuration, or its ID.
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
    },
    /// List the objects that JupiterOne refuses, and why.
    ///
    /// Needs Read on the sync topic only.
    Parked(Selection),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Approve {
    /// The organization: its name in the configuration, or its ID.
    #[arg(long, value_name = "NAME")]
    organization: String,
    /// The graph revision that was shown.
    #[arg(long, value_name = "REVISION", requires = "by")]
    revision: Option<i64>,
    /// Take the target over from the organization that it holds, whose graph is deleted from it.
    #[arg(long, requires = "revision")]
    take_target: bool,
    /// Who approves it.
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
    /// Why it is approved.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// Only this organization: its name in the configuration, or its ID.
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Verify the changes and the graph that `replay --from earliest` wrote with this prefix.
    #[arg(long, value_name = "PREFIX")]
    replayed: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
}

fn commands() -> clap::Command {
    Command::augment_subcommands(clap::Command::new("anthropic-graph"))
}

pub async fn main(arguments: Arguments) -> anyhow::Result<Outcome> {
    // These need no configuration.
    match &arguments.command {
        Command::Completions(of) => return shell_files::completions(Arguments::command(), of),
        Command::Man(of) => return shell_files::man(Arguments::command(), of),
        _ => {}
    }
    let program = Program::running(arguments.config.as_deref());
    let asks_brokers = match &arguments.command {
        Command::WhoCan(of) => of.origin.asks_brokers(),
        Command::Access(of) => of.origin.asks_brokers(),
        _ => true,
    };
    let load = if asks_brokers { Config::load } else { Config::load_without_brokers };
    let config = load(arguments.config.as_deref(), &environment())?;
    match arguments.command {
        Command::WhoCan(arguments) => who_can::who_can(config, arguments).await,
        Command::Access(arguments) => access_between::access(config, arguments).await,
        Command::Changes(arguments) => changes::changes(config, arguments, shutdown_signal()?).await,
        Command::Console => console::reading::console(config, shutdown_signal()?).await,
        Command::Status(arguments) => status::status(config, program, arguments).await,
        Command::DeadLetters(DeadLetters::List(arguments)) => dead_letters::list(config, arguments).await,
        Command::DeadLetters(DeadLetters::Show(arguments)) => dead_letters::show(config, arguments).await,
        Command::DeadLetters(DeadLetters::Redrive(arguments)) => {
            dead_letters::redrive(config, arguments).await
        }
        Command::Holds(Holds::List(arguments)) => holds::list(config, program, arguments).await,
        Command::Holds(Holds::Approve(arguments)) => {
            decide::decide(config, DecisionKind::Approve, arguments).await
        }
        Command::Holds(Holds::Reject(arguments)) => {
            decide::decide(config, DecisionKind::Reject, arguments).await
        }
        Command::Sync(sync) => self::sync(config, program, sync).await,
        Command::Forget(arguments) => forget::forget(config, program, arguments).await,
        Command::Verify(Verify { organization, replayed, json }) => {
            verify::verify(config, verify::Options { organization, replayed, json }).await
        }
        Command::Replay(arguments) => processor::replay::replay(config, arguments, shutdown_signal()?).await,
        Command::Reset(confirmation) => reset::reset(config, program, confirmation).await,
        Command::Acls(arguments) => acls::acls(&config, &arguments),
        Command::Completions(_) | Command::Man(_) => unreachable!("handled above"),
    }
}

async fn sync(config: Config, program: Program, sync: Sync) -> anyhow::Result<Outcome> {
    let options = Options { until_end: true, ..Options::of_process(program.clone()) };
    match sync {
        Sync::Status(arguments) => sync_status::status(config, program, arguments).await,
        Sync::Approve(Approve { organization, revision, take_target: takes_target, by, why }) => {
            let approve = sink::Approve { organization, revision, takes_target, by, why, program };
            sink::approve(config, approve, options).await
        }
        Sync::Resync { organization } => {
            sink::resync(config, organization, options, shutdown_signal()?).await
        }
        Sync::Parked(arguments) => parked::parked(config, arguments).await,
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
