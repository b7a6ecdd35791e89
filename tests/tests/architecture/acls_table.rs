//! The table of permissions in docs/kafka.md is what the programs print.

use std::fmt::Write as _;

use cli::acls::uses;
use schemas::topics::Topic;
use service::kafka::acls::{Grant, Resource};

use crate::generated::check_behind_mark;

const NEXT: &str = "\n## Managed clusters\n";
const PREFIX: &str = "<prefix>";

#[test]
fn the_table_of_permissions_is_what_the_programs_need() {
    let mut table = "| program | topics | groups | transactional IDs |\n|---|---|---|---|\n".to_owned();
    let mut row = |program: String, grants: &[Grant]| {
        let cells = [cell(grants, topic), cell(grants, group), cell(grants, transactional_ids)];
        writeln!(table, "| {program} | {} |", cells.join(" | ")).expect("writing to a String cannot fail");
    };
    for needs in [producer::needs::NEEDS, processor::needs::NEEDS, sink::NEEDS] {
        row(format!("`{}`", needs.service), &needs.grants(PREFIX, true));
    }
    for it in uses(PREFIX, true) {
        let commands: Vec<String> =
            it.commands.iter().map(|command| format!("`anthropic-graph {command}`")).collect();
        row(commands.join(", "), &it.grants);
    }
    check_behind_mark("docs/kafka.md", &table, Some(NEXT));
}

fn cell(grants: &[Grant], name: impl Fn(&Resource) -> Option<String>) -> String {
    let named = grants.iter().filter_map(|grant| {
        let operations: Vec<String> = grant.operations.iter().map(ToString::to_string).collect();
        Some(format!("{}: {}", name(&grant.resource)?, operations.join(", ")))
    });
    named.collect::<Vec<_>>().join("<br>")
}

fn topic(resource: &Resource) -> Option<String> {
    match resource {
        Resource::Topic(name) => {
            let topic = Topic::ALL.into_iter().find(|topic| topic.name(PREFIX) == *name);
            topic.map(|topic| format!("`{}`", topic.name("").trim_start_matches('.')))
        }
        Resource::Topics(prefix) => Some(format!("`{prefix}*`")),
        Resource::Group(_) | Resource::TransactionalIds(_) => None,
    }
}

fn group(resource: &Resource) -> Option<String> {
    if let Resource::Group(name) = resource { Some(format!("`{name}`")) } else { None }
}

fn transactional_ids(resource: &Resource) -> Option<String> {
    if let Resource::TransactionalIds(prefix) = resource { Some(format!("`{prefix}*`")) } else { None }
}
