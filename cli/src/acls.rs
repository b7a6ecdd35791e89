//! `anthropic-graph acls`: the permissions that each command needs.

use clap::Args;
use schemas::topics::Topic;
use service::{
    config::Config,
    exit::Outcome,
    kafka::acls::{Grant, Operation, Resource, principal},
    stdout,
};

/// Stands for the prefix that `replay --into` names.
const INTO: &str = "PREFIX";
/// Stands for the consumer group that `changes --group` names.
const GROUP: &str = "NAME";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The principal that gets the permissions; the default is the user that the configuration logs in as.
    #[arg(long, value_name = "TYPE:NAME")]
    principal: Option<String>,
}

/// Commands and the permissions that they need.
#[derive(Debug, Clone)]
pub struct Use {
    /// The commands, without the program's name.
    pub commands: &'static [&'static str],
    pub grants: Vec<Grant>,
}

/// All commands that connect to Kafka, for topics with this prefix, which some of them create where they may.
pub fn uses(prefix: &str, create_topics: bool) -> Vec<Use> {
    let grant = |resource, operations: &[Operation]| Grant { resource, operations: operations.to_vec() };
    let topic =
        |topic: Topic, operations: &[Operation]| grant(Resource::Topic(topic.name(prefix)), operations);
    let read = |topics: &[Topic]| topics.iter().map(|it| topic(*it, &[Operation::Read])).collect::<Vec<_>>();
    let group = |service: &str, operations: &[Operation]| {
        grant(Resource::Group(format!("{prefix}.{service}")), operations)
    };
    let export = [
        topic(Topic::Changes, &[Operation::Read]),
        grant(Resource::Group(GROUP.to_owned()), &[Operation::Read]),
    ];
    let replay = [
        topic(Topic::Raw, &[Operation::Read]),
        grant(
            Resource::Topics(format!("{INTO}.")),
            &[Operation::Write, Operation::Create, Operation::DescribeConfigs],
        ),
        grant(Resource::TransactionalIds(format!("{INTO}.replay-")), &[Operation::Write]),
    ];
    let reset = [
        topic(Topic::Raw, &[Operation::Describe]),
        topic(Topic::Changes, &[Operation::Delete]),
        topic(Topic::Graph, &[Operation::Read, Operation::Delete]),
        group("processor", &[Operation::Delete]),
        group("sink", &[Operation::Delete]),
    ];
    // These commands act as a sink, but do not join its group.
    let mut sink = sink::NEEDS.grants(prefix, create_topics);
    sink.retain(|grant| !matches!(grant.resource, Resource::Group(_)));
    let row = |commands, grants| Use { commands, grants };
    vec![
        row(&["who-can", "access", "changes"], read(&[Topic::Changes])),
        row(&["changes --group NAME"], export.into()),
        row(&["console"], read(&[Topic::Changes, Topic::Graph, Topic::Sync, Topic::DeadLetters])),
        row(&["status"], read(&[Topic::Graph, Topic::Sync, Topic::DeadLetters])),
        row(&["holds list", "forget"], read(&[Topic::Graph])),
        row(&["sync status"], read(&[Topic::Graph, Topic::Sync])),
        row(&["sync parked"], read(&[Topic::Sync])),
        row(&["dead-letters list", "dead-letters show"], read(&[Topic::DeadLetters])),
        row(&["dead-letters redrive"], read(&[Topic::DeadLetters, Topic::Graph])),
        row(&["verify"], read(&[Topic::Raw, Topic::Changes, Topic::Graph, Topic::DeadLetters])),
        row(
            &["holds approve", "holds reject", "forget --confirm"],
            vec![topic(Topic::Raw, &[Operation::Write])],
        ),
        row(&["replay --into PREFIX"], replay.into()),
        row(&["reset"], reset.into()),
        row(&["sync approve", "sync resync"], sink),
    ]
}

/// Prints the commands, after a comment for each use.
pub(crate) fn acls(config: &Config, arguments: &Arguments) -> anyhow::Result<Outcome> {
    let kafka = &config.kafka;
    let principal =
        arguments.principal.clone().unwrap_or_else(|| principal(&kafka.properties, "anthropic-graph"));
    let mut lines = Vec::new();
    for Use { commands, grants } in uses(&kafka.topic_prefix, kafka.create_topics) {
        lines.push(format!("# {}", commands.join(", ")));
        lines.extend(grants.iter().map(|grant| grant.command(&kafka.bootstrap_servers, &principal)));
    }
    stdout::print(lines)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Command, CommandFactory as _};

    use super::uses;
    use crate::arguments::Arguments;

    /// They connect to no broker.
    const WITHOUT_KAFKA: [&str; 3] = ["acls", "completions", "man"];

    fn leaves(command: &Command, path: &str, names: &mut BTreeSet<String>) {
        for inner in command.get_subcommands() {
            let path = format!("{path} {}", inner.get_name()).trim().to_owned();
            if inner.has_subcommands() {
                leaves(inner, &path, names);
            } else {
                names.insert(path);
            }
        }
    }

    #[test]
    fn each_command_that_connects_to_a_broker_has_its_grants() {
        let mut commands = BTreeSet::new();
        leaves(&Arguments::command(), "", &mut commands);
        let named = uses("a", true).into_iter().flat_map(|it| it.commands.to_vec());
        let mut listed: BTreeSet<String> =
            named.map(|name| name.split(" --").next().unwrap_or(name).to_owned()).collect();
        listed.extend(WITHOUT_KAFKA.map(str::to_owned));
        assert_eq!(listed, commands);
    }
}
