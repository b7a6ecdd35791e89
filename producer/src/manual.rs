//! `producer poll`: each organization once.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use schemas::raw::NO_REASON;
use service::config::Config;
use service::exit::{Outcome, one_line};
use service::kafka::{client_config, topics};
use service::metrics::Metrics;
use service::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::error;

use crate::backoff::Backoff;
use crate::error_chain::chain;
use crate::poll::{Context, Error, Report, Source};
use crate::publish::Publisher;
use crate::raw::MANUAL;
use crate::run::MAX_POLLS_AT_ONCE;
use crate::setup::{Options, pin, sources, wanted};

/// Failed collections that the last line names (count).
const MAX_NAMED: usize = 20;

/// Polls every configured organization once, or that of the name, whatever its interval.
pub async fn poll(
    mut config: Config,
    options: Options,
    organization: Option<&str>,
    shutdown: Shutdown,
) -> anyhow::Result<Outcome> {
    let mut others = Vec::new();
    if let Some(name) = organization {
        let wanted = config.organization(name)?.clone();
        others = std::mem::replace(&mut config.organizations, vec![wanted]);
        others.retain(|other| other.name != name);
    }
    let mut sources = sources(&config, &options.environment, Backoff::default())?;
    let client = client_config(&config.kafka, &options.environment)?;
    let prefix = config.kafka.topic_prefix.clone();
    let asked = shutdown.clone();
    let (sources, publisher) = tokio::task::spawn_blocking(move || -> anyhow::Result<_> {
        let partition_count = topics::ensure(&client, &wanted(&config, options.broker))?;
        pin(&mut sources, &others, &client, &prefix, partition_count, || asked.is_requested())?;
        Ok((sources, Publisher::new(client, &prefix, partition_count)))
    })
    .await
    .context("the thread that reaches Kafka ended")??;
    let context = Context { publisher, metrics: Metrics::default() };
    let results = poll_all(sources, &context, &shutdown).await;
    conclude(&results)
}

async fn poll_all(
    sources: Vec<Source>,
    context: &Context,
    shutdown: &Shutdown,
) -> Vec<(String, Result<Report, Error>)> {
    let at_once = Arc::new(Semaphore::new(MAX_POLLS_AT_ONCE));
    let mut polls = JoinSet::new();
    for mut source in sources {
        let (context, shutdown, at_once) = (context.clone(), shutdown.clone(), Arc::clone(&at_once));
        polls.spawn(async move {
            let _turn = at_once.acquire().await.expect("nobody closes it");
            let result = source.poll(&context, MANUAL, &shutdown).await;
            (source.organization().name.clone(), result)
        });
    }
    let mut results = polls.join_all().await;
    results.sort_by(|(one, _), (other, _)| one.cmp(other));
    results
}

/// Done if all is whole; incomplete, with each failed listing named, if something is; else an error.
fn conclude(results: &[(String, Result<Report, Error>)]) -> anyhow::Result<Outcome> {
    let parts: Vec<String> = results.iter().filter_map(|(name, result)| shortfall(name, result)).collect();
    if parts.is_empty() {
        return Ok(Outcome::Done);
    }
    for (organization, result) in results {
        if let Err(error) = result {
            error!(organization.name = organization, "not polled: {}", chain(error));
        }
    }
    let line = parts.join("; ");
    let has_whole = results.iter().any(|(_, result)| result.as_ref().is_ok_and(Report::has_whole));
    if has_whole { Ok(Outcome::Incomplete(format!("incomplete: {line}"))) } else { Err(anyhow!(line)) }
}

fn shortfall(name: &str, result: &Result<Report, Error>) -> Option<String> {
    match result {
        Err(error) => Some(format!("{name}: not polled: {}", chain(error))),
        Ok(report) if report.is_complete() => None,
        Ok(report) => {
            let mut parts: Vec<String> =
                report.reason.iter().chain(&report.stopped).map(|why| format!("stopped: {why}")).collect();
            parts.extend(report.failed().take(MAX_NAMED).map(|line| {
                let reason = line.reason.as_deref().unwrap_or(NO_REASON);
                let request = line.request_id.as_ref().map(|id| format!(", {id}")).unwrap_or_default();
                one_line(&format!("{} {} ({reason}{request})", line.collection, line.outcome)).into_owned()
            }));
            let unnamed = report.failed().count().saturating_sub(MAX_NAMED);
            parts.extend((unnamed > 0).then(|| format!("and {unnamed} more, which the log names")));
            Some(format!("{name}: {}", parts.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::raw::{ListingOutcome, outcome};
    use service::exit::Outcome;

    use super::conclude;
    use crate::admin::Failure;
    use crate::poll::{Error, Report};

    fn report(lines: &[(&str, &str)]) -> Report {
        let line = |&(collection, outcome): &(&str, &str)| ListingOutcome {
            collection: collection.to_owned(),
            outcome: outcome.to_owned(),
            reason: (outcome == outcome::FAILED).then(|| "403".to_owned()),
            http_status: None,
            request_id: (outcome == outcome::FAILED).then(|| "req_1".to_owned()),
            listing_id: None,
        };
        Report { outcomes: lines.iter().map(line).collect(), reason: None, stopped: None }
    }

    #[test]
    fn done_if_all_is_whole_or_gone_and_else_each_failed_listing_is_named() {
        let whole = || ("acme".to_owned(), Ok(report(&[("users", "whole"), ("members/wrkspc_1", "gone")])));
        assert_eq!(conclude(&[whole()]).expect("done"), Outcome::Done);
        let failed = report(&[("users", "whole"), ("workspaces", "failed"), ("members", "skipped")]);
        let outcome = conclude(&[whole(), ("nimbus".to_owned(), Ok(failed))]).expect("incomplete");
        let expected =
            "incomplete: nimbus: workspaces failed (403, req_1), members skipped (no reason was given)";
        assert_eq!(outcome, Outcome::Incomplete(expected.to_owned()));
    }

    #[test]
    fn the_last_line_is_one_line_and_names_no_more_than_people_read() {
        let collections: Vec<String> = (0..1_000).map(|number| format!("members/a\n{number}")).collect();
        let lines: Vec<(&str, &str)> = collections.iter().map(|name| (name.as_str(), "failed")).collect();
        let failed = report(&[&[("users", "whole")], &lines[..]].concat());
        let Ok(Outcome::Incomplete(line)) = conclude(&[("nimbus".to_owned(), Ok(failed))]) else {
            panic!("it is incomplete");
        };
        assert!(line.starts_with("incomplete: nimbus: members/a\\n0 failed (403, req_1), "), "{line}");
        assert!(
            line.ends_with("members/a\\n19 failed (403, req_1), and 980 more, which the log names"),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn an_error_if_nothing_at_all_is_whole() {
        let refused = || ("nimbus".to_owned(), Err(Error::Refused(Failure::of("401"))));
        let error = conclude(&[refused()]).expect_err("nothing was done");
        assert_eq!(error.to_string(), "nimbus: not polled: 401");
        let whole = ("acme".to_owned(), Ok(report(&[("users", "whole")])));
        assert_eq!(conclude(&[whole, refused()]).expect("incomplete").code(), 3);
    }
}
