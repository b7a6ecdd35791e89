//! `producer check`: checks configuration, brokers, topics and keys without changing anything.

use anyhow::Context as _;
use schemas::collection::Collection;
use service::api::Retry;
use service::check::{self, Line};
use service::config::Config;
use service::exit::Outcome;
use service::kafka::client_config;
use service::kafka::topics::{self, Wanted};
use service::schema_registry;
use service::startup::Options;

use crate::admin::{Admin, Error, Failure, RETRY};
use crate::error_chain::chain;
use crate::listing::path;
use crate::needs::NEEDS;
use crate::page;
use crate::poll::Source;
use crate::setup::{known, pin, sources};

/// Tries of a request (count): few, because a person is waiting.
const TRIES: u32 = 2;

/// Prints a line per check.
pub async fn check(config: Config, options: Options) -> anyhow::Result<Outcome> {
    let mut organizations = sources(&config, &options.environment, Retry { tries: TRIES, ..RETRY })?;
    let mut lines = vec![check::configuration(organizations.len())];
    let (asked, asking) = (config.clone(), options.clone());
    (lines, organizations) = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        lines.extend(kafka(&asked, &asking, &mut organizations)?);
        Ok((lines, organizations))
    })
    .await
    .context("the thread that checks Kafka ended")??;
    lines.extend(schema_registry::check(&config, &options.environment, NEEDS.writes, "producer").await);
    for source in &mut organizations {
        lines.extend(organization(source).await);
    }
    check::print(&lines)
}

/// Checks brokers and topics, and sets which organization each key must belong to, if an earlier poll recorded it.
fn kafka(config: &Config, options: &Options, organizations: &mut [Source]) -> anyhow::Result<Vec<Line>> {
    let client = client_config(&config.kafka, &options.environment)?;
    let wanted = Wanted::by(&NEEDS, config, options.broker);
    let mut lines = check::kafka(&client, &wanted, "producer");
    // A check creates no topics.
    if lines.iter().all(Line::is_good)
        && let Ok(partition_count) = topics::ensure(&client, &Wanted { create: false, ..wanted })
        && let Err(error) = known(&client, &config.kafka.topic_prefix, partition_count, || false)
            .and_then(|known| pin(organizations, &[], &known.unwrap_or_default(), partition_count))
    {
        lines.push(Line::Failed(format!("kafka: cannot read the graph topic: {error:#}")));
    }
    Ok(lines)
}

/// Checks the key's organization and the four steps of a poll, each with a page of one row.
async fn organization(source: &mut Source) -> Vec<Line> {
    let name = format!("organization {}", source.organization().name);
    let identity = match source.identify().await {
        Ok(()) => {
            let id = source.organization_id().unwrap_or("unknown, because /me is refused");
            Line::Good(format!("{name}: the Admin API key is accepted; organization ID {id}"))
        }
        Err(error) => Line::Failed(format!("{name}: {}", chain(&error))),
    };
    let mut steps = vec![identity];
    let admin = &mut source.admin;
    steps.push(step(&name, "Fetch Users", one(admin, &Collection::Users, &[]).await));
    let all = [("include_archived", "true")];
    let workspaces = one(admin, &Collection::Workspaces, &all).await;
    let workspace_id = workspaces.as_ref().ok().cloned().flatten();
    let is_empty = workspaces.is_ok();
    steps.push(step(&name, "Fetch Workspaces", workspaces));
    steps.push(match workspace_id {
        Some(id) => {
            let members = one(admin, &Collection::Members(id), &[]).await;
            // An archived workspace has no members.
            let members = members.or_else(|failure| match failure.status {
                Some(400 | 404) => Ok(None),
                _ => Err(failure),
            });
            step(&name, "Fetch Workspace Members", members)
        }
        None if is_empty => Line::Good(format!("{name}: Fetch Workspace Members: no workspace exists yet")),
        None => Line::Failed(format!(
            "{name}: Fetch Workspace Members: not tried, because Fetch Workspaces failed"
        )),
    });
    steps.push(step(&name, "Fetch Api Keys", one(admin, &Collection::ApiKeys, &[]).await));
    steps
}

/// Requests one row, and returns its ID.
async fn one(
    admin: &mut Admin,
    collection: &Collection,
    parameters: &[(&str, &str)],
) -> Result<Option<String>, Failure> {
    let mut query = vec![("limit", "1")];
    query.extend(parameters);
    match admin.get(&path(collection), &query).await {
        Err(Error::StopOrganization(failure) | Error::FailListing(failure)) => Err(failure),
        Ok(answer) => match page::read(&answer.body) {
            Err(error) => Err(Failure::of_answer(answer.request_id, error.to_string())),
            Ok(page) => Ok(page.data.first().and_then(|row| row.text("id")).map(str::to_owned)),
        },
    }
}

fn step(name: &str, title: &str, result: Result<Option<String>, Failure>) -> Line {
    match result {
        Ok(_) => Line::Good(format!("{name}: {title}")),
        Err(failure) => {
            let request = failure.request_id.map(|id| format!(" ({id})")).unwrap_or_default();
            Line::Failed(format!("{name}: {title}: {}{request}", failure.reason))
        }
    }
}
