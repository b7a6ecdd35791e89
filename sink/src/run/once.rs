//! Once: up to the end of the graph topic as it is at the start, every organization that needs it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use service::config::is_asked_for;
use service::exit::Outcome;
use service::kafka::wait_for_commits;
use service::shell::pasteable;
use service::shutdown::{CancellationToken, wait};
use service::tasks::Error;
use service::{stdout, wording};
use tokio::runtime::Handle;
use tracing::warn;

use crate::organizations;
use crate::setup::Setup;
use crate::task::{Legacy, STOPPED, Task, now_ms};
use graph::plan::{self, Phase, Urgency};

/// Partitions that are worked on at a time (count): as many as a topic has by default, since opening one is mostly waiting.
/// Each has a consumer and a producer of about ten threads.
const PARTITIONS_AT_ONCE: usize = 12;

/// Tries of one organization's sync job (count): with their pauses, half a minute beyond the client's own tries.
const TRIES: u32 = 3;
/// Longest pause before another try: a command that somebody waits for does not wait for more.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// How it went, by the name of the organization.
type Report = BTreeMap<String, Verdict>;

/// From the best to the worst.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Synced {
        /// Objects that JupiterOne refuses (count).
        refused: usize,
    },
    /// Something must be fixed first.
    Paused(String),
    /// JupiterOne was not there, or failed.
    Failed(String),
}

/// Works through all partitions, without being a member of the group: a running sink is fenced.
pub(super) async fn run(
    setup: Arc<Setup>,
    urgency: Urgency,
    only: Option<String>,
    shutdown: CancellationToken,
) -> anyhow::Result<Outcome> {
    let (mut report, closed) = all(&setup, urgency, only.as_deref(), &shutdown).await?;
    if let Some(asked) = only.as_deref().filter(|_| report.is_empty() && closed.is_empty()) {
        organizations::check_asked(&setup.configured, asked)?;
    }
    for configured in &setup.configured {
        let name = configured.name.as_str();
        let is_wanted = is_asked_for(only.as_deref(), name, configured.pin.as_deref());
        if !is_wanted || report.contains_key(name) {
            continue;
        }
        if shutdown.is_cancelled() {
            report.insert(name.to_owned(), Verdict::Failed(STOPPED.to_owned()));
        } else if closed.is_empty() {
            warn!(organization.name = name, "the graph topic does not contain {name} yet");
        }
    }
    let outcome = ending(&report, &closed)?;
    if outcome == Outcome::Done {
        stdout::print([done(&report)])?;
    }
    Ok(outcome)
}

/// The results of the organizations, if all of them are synchronized.
fn done(report: &Report) -> String {
    if report.is_empty() {
        return "nothing to do: the graph topic has no configured organization yet".to_owned();
    }
    let newest =
        format!("JupiterOne has the newest graph of {}", wording::count(report.len(), "organization"));
    let refused = report.iter().filter_map(|(name, verdict)| match verdict {
        Verdict::Synced { refused: refused @ 1.. } => {
            Some(format!("{} or some of their properties of {name}", wording::count(*refused, "object")))
        }
        Verdict::Synced { .. } | Verdict::Paused(_) | Verdict::Failed(_) => None,
    });
    let refused: Vec<String> = refused.collect();
    if refused.is_empty() {
        newest
    } else {
        format!("{newest}, but refuses {}; see `anthropic-graph sync parked`", refused.join(", "))
    }
}

fn ending(report: &Report, closed: &[String]) -> anyhow::Result<Outcome> {
    let lines = |pick: fn(&Verdict) -> Option<&String>| {
        let lines: Vec<String> = report
            .iter()
            .filter_map(|(name, verdict)| pick(verdict).map(|reason| format!("{name}: {reason}")))
            .collect();
        lines.join("; ")
    };
    let failed = lines(|verdict| if let Verdict::Failed(reason) = verdict { Some(reason) } else { None });
    let paused = lines(|verdict| if let Verdict::Paused(reason) = verdict { Some(reason) } else { None });
    let failed = (!failed.is_empty()).then(|| format!("failed to synchronize {failed}"));
    let paused = (!paused.is_empty()).then(|| format!("paused: {paused}"));
    let mut errors: Vec<String> = failed.into_iter().chain(closed.iter().cloned()).collect();
    if errors.is_empty() {
        return Ok(paused.map_or(Outcome::Done, Outcome::Incomplete));
    }
    errors.extend(paused);
    anyhow::bail!(errors.join("\n"))
}

/// The results of the organizations, and why partitions are closed. An error ends no other partition's work.
async fn all(
    setup: &Arc<Setup>,
    urgency: Urgency,
    only: Option<&str>,
    shutdown: &CancellationToken,
) -> anyhow::Result<(Report, Vec<String>)> {
    let work = |partition| {
        let (setup, only, shutdown) = (Arc::clone(setup), only.map(str::to_owned), shutdown.clone());
        let work = move || one(&setup, partition, urgency, only.as_deref(), &shutdown);
        async move { (partition, tokio::task::spawn_blocking(work).await) }
    };
    let mut results = stream::iter(0..setup.partitions).map(work).buffer_unordered(PARTITIONS_AT_ONCE);
    let (mut report, mut closed, mut failed) = (Report::new(), Vec::new(), None);
    while let Some((partition, result)) = results.next().await {
        match result? {
            Ok(part) => merge(&mut report, part),
            Err(Error::Closed(error)) => closed.push(format!("partition {partition} is closed: {error:#}")),
            Err(error) => {
                let text = format!("partition {partition} cannot be synchronized");
                failed.get_or_insert_with(|| anyhow::Error::from(error).context(text));
            }
        }
    }
    failed.map_or(Ok((report, closed)), Err)
}

/// Adds a partition's report. Two organizations of one name may lie in two partitions, whose tasks end in any order: the one
/// that was synchronized before must not hide that the other one is paused.
fn merge(report: &mut Report, part: Report) {
    for (name, verdict) in part {
        match report.get_mut(&name) {
            Some(before) => *before = verdict.max(before.clone()),
            None => {
                report.insert(name, verdict);
            }
        }
    }
}

fn one(
    setup: &Arc<Setup>,
    partition: i32,
    urgency: Urgency,
    only: Option<&str>,
    shutdown: &CancellationToken,
) -> Result<Report, Error> {
    if shutdown.is_cancelled() {
        return Ok(Report::new());
    }
    wait_for_commits(&setup.kafka, &setup.graph_topic, partition)?;
    let opened = Task::open(Arc::clone(setup), partition, &mut Legacy::default(), shutdown)?;
    let Some(mut task) = opened else { return Ok(Report::new()) };
    let result = synchronize(&mut task, &setup.runtime, urgency, only, shutdown);
    task.close();
    result
}

fn synchronize(
    task: &mut Task,
    runtime: &Handle,
    urgency: Urgency,
    only: Option<&str>,
    shutdown: &CancellationToken,
) -> Result<Report, Error> {
    let mut report = Report::new();
    let mut waiting: Vec<String> = task
        .organizations
        .values()
        .filter(|it| is_asked_for(only, &it.configured.name, Some(&it.id)))
        .map(|organization| organization.id.clone())
        .collect();
    for attempt in 1..=TRIES {
        for id in &waiting {
            task.decide_in_turn(id, urgency, shutdown)?;
        }
        task.wait_for_jobs(shutdown);
        let mut again = Vec::new();
        let mut longest = Duration::ZERO;
        for id in waiting {
            let outcome = task.take_end(&id)?;
            let is_stopped = outcome == Some(plan::Outcome::Stopped) || task.organizations[&id].is_queued();
            // A decision without a job stays: a requested resync is not a reason for a second job.
            if outcome.is_some() && !is_stopped {
                task.decide(&id, Urgency::Now, false)?;
            }
            let organization = &task.organizations[&id];
            let name = organization.configured.name.clone();
            let verdict = match &organization.phase {
                _ if is_stopped => Verdict::Failed(STOPPED.to_owned()),
                Some(Phase::Retrying { error, retry }) => {
                    let rest = Duration::from_millis(u64::try_from(retry.at_ms - now_ms()).unwrap_or(0));
                    if rest > LONGEST_REST {
                        Verdict::Failed(format!("{error}; {}", retry.describe()))
                    } else {
                        longest = longest.max(rest);
                        again.push(id);
                        Verdict::Failed(error.clone())
                    }
                }
                Some(phase @ (Phase::Paused { .. } | Phase::Waiting(_))) => {
                    Verdict::Paused(pasteable(&phase.reason(), &task.setup.program))
                }
                Some(Phase::Synced { .. } | Phase::Uploading { .. }) | None => {
                    Verdict::Synced { refused: organization.sync.parked.len() }
                }
            };
            report.insert(name, verdict);
        }
        if again.is_empty() || attempt == TRIES || shutdown.is_cancelled() {
            break;
        }
        runtime.block_on(wait(longest, shutdown));
        waiting = again;
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::{Report, Verdict, done, merge};

    fn last_line(refused: &[(&str, usize)]) -> String {
        let synced = refused.iter().map(|&(name, refused)| (name.to_owned(), Verdict::Synced { refused }));
        done(&synced.collect::<Report>())
    }

    #[test]
    fn the_worst_verdict_on_a_name_counts_in_whatever_order_the_partitions_end() {
        let of = |verdict: &Verdict| Report::from([("nimbus".to_owned(), verdict.clone())]);
        let (synced, paused) =
            (Verdict::Synced { refused: 1 }, Verdict::Paused("two organizations".to_owned()));
        let failed = Verdict::Failed("no answer".to_owned());
        for (one, other, worst) in [(&synced, &paused, &paused), (&paused, &failed, &failed)] {
            for (first, second) in [(one, other), (other, one)] {
                let mut report = of(first);
                merge(&mut report, of(second));
                assert_eq!(report, of(worst));
            }
        }
    }

    #[test]
    fn the_last_line_counts_what_jupiterone_refuses_by_organization() {
        assert_eq!(last_line(&[("nimbus", 0)]), "JupiterOne has the newest graph of 1 organization");
        assert_eq!(
            last_line(&[("cumulus", 0), ("nimbus", 1), ("stratus", 12)]),
            "JupiterOne has the newest graph of 3 organizations, but refuses 1 object or some of their properties of \
             nimbus, 12 objects or some of their properties of stratus; see `anthropic-graph sync parked`"
        );
    }
}
