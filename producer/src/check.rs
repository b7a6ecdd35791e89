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

use crate::admin::{self, Admin, Failure, RETRY};
use crate::error_chain::chain;
use crate::listing::path;
use crate::needs::NEEDS;
use crate::page;
use crate::poll::{Error, Source};
use crate::setup::{known, pin, sources};

/// Tries of a request (count): few, because a person is waiting.
const TRIES: u32 = 2;
/// The steps of a poll after `/me`.
const STEPS: [&str; 4] = ["Fetch Users", "Fetch Workspaces", "Fetch Workspace Members", "Fetch Api Keys"];

/// A step, and the ID of the first row or why there is none.
type Step = (&'static str, Result<Option<String>, Failure>);

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
    let identified = source.identify().await;
    let why = match &identified {
        Err(Error::Refused(_)) => Some("the key is refused"),
        Err(Error::Unknown(failure)) | Ok(Some(failure)) if failure.status.is_none() => {
            Some("the Admin API does not answer")
        }
        _ => None,
    };
    let mut lines = Vec::new();
    let mut steps: Vec<Step> = Vec::new();
    match identified {
        Ok(None) => {
            let id = source.organization_id().unwrap_or_default();
            lines.push(Line::Good(format!("{name}: the Admin API key is accepted; organization ID {id}")));
        }
        Ok(Some(failure)) | Err(Error::Refused(failure) | Error::Unknown(failure)) => {
            steps.push(("/me", Err(failure)));
        }
        Err(error) => lines.push(Line::Failed(format!("{name}: {}", chain(&error)))),
    }
    if let Some(why) = why {
        lines.extend(of_steps(&name, steps));
        lines.push(Line::Failed(format!("{name}: {}: not tried, because {why}", STEPS.join(", "))));
        return lines;
    }
    let [users, workspaces, members, api_keys] = STEPS;
    let admin = &mut source.admin;
    steps.push((users, one(admin, &Collection::Users, &[]).await));
    let all = [("include_archived", "true")];
    let listed = one(admin, &Collection::Workspaces, &all).await;
    let workspace_id = listed.as_ref().ok().cloned().flatten();
    let is_empty = listed.is_ok();
    steps.push((workspaces, listed));
    let not_asked = match workspace_id {
        Some(id) => {
            let listed = one(admin, &Collection::Members(id), &[]).await;
            // An archived workspace has no members.
            let listed = listed.or_else(|failure| match failure.status {
                Some(400 | 404) => Ok(None),
                _ => Err(failure),
            });
            steps.push((members, listed));
            None
        }
        None if is_empty => Some(Line::Good(format!("{name}: {members}: no workspace exists yet"))),
        None => Some(Line::Failed(format!("{name}: {members}: not tried, because {workspaces} failed"))),
    };
    steps.push((api_keys, one(admin, &Collection::ApiKeys, &[]).await));
    lines.extend(of_steps(&name, steps));
    lines.extend(not_asked);
    lines
}

/// A line for each step that went well, and one for each cause, with all steps that failed for it.
fn of_steps(name: &str, steps: Vec<Step>) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut failed: Vec<(Vec<&str>, Failure)> = Vec::new();
    for (title, result) in steps {
        match result {
            Ok(_) => lines.push(Line::Good(format!("{name}: {title}"))),
            Err(failure) => match failed.iter_mut().find(|(_, other)| other.reason == failure.reason) {
                Some((titles, _)) => titles.push(title),
                None => failed.push((vec![title], failure)),
            },
        }
    }
    lines.extend(failed.into_iter().map(|(titles, failure)| {
        let request = failure.request_id.map(|id| format!(" ({id})")).unwrap_or_default();
        Line::Failed(format!("{name}: {}: {}{request}", titles.join(", "), failure.reason))
    }));
    lines
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
        Err(admin::Error::StopOrganization(failure) | admin::Error::FailListing(failure)) => Err(failure),
        Ok(answer) => match page::read(&answer.body) {
            Err(error) => Err(Failure::of_answer(answer.request_id, error.to_string())),
            Ok(page) => Ok(page.data.first().and_then(|row| row.text("id")).map(str::to_owned)),
        },
    }
}

#[cfg(test)]
mod tests {
    use service::check::Line;

    use super::{Step, of_steps};
    use crate::admin::Failure;

    fn failed(title: &'static str, reason: &str, request: &str) -> Step {
        (title, Err(Failure::of_answer(Some(request.to_owned()), reason)))
    }

    #[test]
    fn a_cause_has_one_line_with_all_steps_that_failed_for_it() {
        let steps = vec![
            failed("/me", "403: no", "req_1"),
            failed("Fetch Users", "403: no", "req_2"),
            ("Fetch Workspaces", Ok(None)),
            failed("Fetch Api Keys", "500: down", "req_3"),
        ];
        let expected = [
            Line::Good("organization a: Fetch Workspaces".to_owned()),
            Line::Failed("organization a: /me, Fetch Users: 403: no (req_1)".to_owned()),
            Line::Failed("organization a: Fetch Api Keys: 500: down (req_3)".to_owned()),
        ];
        assert_eq!(of_steps("organization a", steps), expected);
    }
}
