//! `producer poll`: polls each organization once.

use std::sync::Arc;

use anyhow::{anyhow, bail};
use rdkafka::ClientConfig;
use schemas::raw::{NO_REASON, Trigger};
use service::config::Config;
use service::exit::{Outcome, one_line};
use service::shutdown::CancellationToken;
use service::startup::{Options, Startup};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::error;

use crate::admin::RETRY;
use crate::error_chain::chain;
use crate::needs::NEEDS;
use crate::poll::{Context, Error, Report, Source};
use crate::publish::Publisher;
use crate::run::MAX_POLLS_AT_ONCE;
use crate::setup::{known, pin, sources};

/// Most failed collections that the last line names (count).
const MAX_NAMED: usize = 20;

/// Polls every configured organization once, or the one that is asked for, whatever its interval.
pub async fn poll(
    mut config: Config,
    options: Options,
    organization: Option<&str>,
    shutdown: CancellationToken,
) -> anyhow::Result<Outcome> {
    let mut others = Vec::new();
    if let Some(name) = organization {
        let wanted = config.organization(name)?.clone();
        let name = wanted.name.clone();
        others = std::mem::replace(&mut config.organizations, vec![wanted]);
        others.retain(|other| other.name != name);
    }
    let mut sources = sources(&config, &options.environment, RETRY)?;
    let (prefix, asked) = (config.kafka.topic_prefix.clone(), shutdown.clone());
    let startup = Startup { needs: &NEEDS, config: &config, options: &options, listen: None, patience: None };
    let read = move |client: &ClientConfig, partition_count, _: &dyn Fn() -> bool| {
        known(client, &prefix, partition_count, || asked.is_cancelled())
    };
    let Some((started, known)) = startup.start(read).await? else {
        bail!("stopped before anything was polled")
    };
    pin(&mut sources, &others, &known, started.partition_count)?;
    let publisher = Publisher::new(started.client, &config.kafka.topic_prefix, started.partition_count);
    let context = Context { publisher, metrics: started.metrics };
    let results = poll_all(sources, &context, &shutdown).await;
    conclude(&results)
}

async fn poll_all(
    sources: Vec<Source>,
    context: &Context,
    shutdown: &CancellationToken,
) -> Vec<(String, Result<Report, Error>)> {
    let at_once = Arc::new(Semaphore::new(MAX_POLLS_AT_ONCE));
    let mut polls = JoinSet::new();
    for mut source in sources {
        let (context, shutdown, at_once) = (context.clone(), shutdown.clone(), Arc::clone(&at_once));
        polls.spawn(async move {
            let _turn = at_once.acquire().await.expect("it is never closed");
            let result = source.poll(&context, Trigger::Manual, &shutdown).await;
            (source.organization().name.clone(), result)
        });
    }
    let mut results = polls.join_all().await;
    results.sort_by(|(one, _), (other, _)| one.cmp(other));
    results
}

/// Done if everything is whole. Incomplete, with the failed listings, if something is whole. Otherwise an error.
fn conclude(results: &[(String, Result<Report, Error>)]) -> anyhow::Result<Outcome> {
    let parts: Vec<String> = results.iter().filter_map(|(name, result)| shortfall(name, result)).collect();
    if parts.is_empty() {
        return Ok(Outcome::Done);
    }
    for (organization, result) in results {
        if let Err(error) = result {
            error!(organization.name = organization, "cannot poll the organization: {}", chain(error));
        }
    }
    let line = parts.join("; ");
    let has_whole = results.iter().any(|(_, result)| result.as_ref().is_ok_and(Report::has_whole));
    if has_whole { Ok(Outcome::Incomplete(format!("incomplete: {line}"))) } else { Err(anyhow!(line)) }
}

fn shortfall(name: &str, result: &Result<Report, Error>) -> Option<String> {
    match result {
        Err(error) => Some(format!("{name}: cannot poll the organization: {}", chain(error))),
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
            parts.extend((unnamed > 0).then(|| format!("and {unnamed} more (see the log)")));
            Some(format!("{name}: {}", parts.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::raw::ListingOutcome;
    use service::exit::Outcome;

    use super::conclude;
    use crate::admin::Failure;
    use crate::poll::{Error, Report};

    fn report(lines: &[(&str, &str)]) -> Report {
        let line = |&(collection, outcome): &(&str, &str)| ListingOutcome {
            collection: collection.to_owned(),
            outcome: outcome.into(),
            reason: (outcome == "failed").then(|| "403".to_owned()),
            http_status: None,
            request_id: (outcome == "failed").then(|| "req_1".to_owned()),
            listing_id: None,
        };
        Report { outcomes: lines.iter().map(line).collect(), reason: None, stopped: None }
    }

    #[test]
    fn an_incomplete_poll_names_each_failed_listing() {
        let whole = || ("acme".to_owned(), Ok(report(&[("users", "whole"), ("members/wrkspc_1", "gone")])));
        assert_eq!(conclude(&[whole()]).expect("done"), Outcome::Done);
        let failed = report(&[("users", "whole"), ("workspaces", "failed"), ("members", "skipped")]);
        let outcome = conclude(&[whole(), ("nimbus".to_owned(), Ok(failed))]).expect("incomplete");
        let expected =
            "incomplete: nimbus: workspaces failed (403, req_1), members skipped (no reason was given)";
        assert_eq!(outcome, Outcome::Incomplete(expected.to_owned()));
    }

    #[test]
    fn the_last_line_is_one_line_of_bounded_length() {
        let collections: Vec<String> = (0..1_000).map(|number| format!("members/a\n{number}")).collect();
        let lines: Vec<(&str, &str)> = collections.iter().map(|name| (name.as_str(), "failed")).collect();
        let failed = report(&[&[("users", "whole")], &lines[..]].concat());
        let Ok(Outcome::Incomplete(line)) = conclude(&[("nimbus".to_owned(), Ok(failed))]) else {
            panic!("it is incomplete");
        };
        assert!(line.starts_with("incomplete: nimbus: members/a\\n0 failed (403, req_1), "), "{line}");
        assert!(line.ends_with("members/a\\n19 failed (403, req_1), and 980 more (see the log)"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn a_poll_without_a_whole_listing_is_an_error() {
        let refused = || ("nimbus".to_owned(), Err(Error::Refused(Failure::of("401"))));
        let error = conclude(&[refused()]).expect_err("nothing was done");
        assert_eq!(error.to_string(), "nimbus: cannot poll the organization: 401");
        let whole = ("acme".to_owned(), Ok(report(&[("users", "whole")])));
        assert_eq!(conclude(&[whole, refused()]).expect("incomplete").code(), 3);
    }
}
