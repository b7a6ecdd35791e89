//! Once: up to the end of the graph topic as it is at the start, every organization that needs it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use service::answer;
use service::exit::{Outcome, UsageError};
use service::kafka::settle;
use service::shutdown::Shutdown;
use tokio::runtime::Handle;
use tracing::warn;

use super::pause;
use crate::organization::Considered;
use crate::organization::Organization;
use crate::setup::Setup;
use crate::task::{Legacy, STOPPED, Task, TaskError, now_ms, read_failed};
use graph::plan::Urgency;

/// Partitions that are worked on at a time (count): each has a consumer and a producer of about ten threads.
const PARTITIONS_AT_ONCE: i32 = 4;

/// Tries of one organization's sync job (count): with their pauses, half a minute beyond the client's own tries.
const TRIES: u32 = 3;
/// Longest pause before another try: a command that somebody waits for does not wait for more.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// How it went, by organization.
type Report = BTreeMap<String, Verdict>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Synced {
        /// Objects that JupiterOne refuses (count).
        refused: usize,
    },
    /// Something must be mended first.
    Paused(String),
    /// JupiterOne was not there, or failed.
    Failed(String),
}

/// Works through all partitions, without being a member of the group: a sink that runs beside it is fenced.
pub(super) async fn run(
    setup: Arc<Setup>,
    urgency: Urgency,
    only: Option<String>,
    shutdown: Shutdown,
) -> anyhow::Result<Outcome> {
    let names: Vec<&str> = setup.configured.iter().map(|configured| configured.name.as_str()).collect();
    if let Some(name) = only.as_deref().filter(|name| !names.contains(name)) {
        let known = names.join(", ");
        return Err(UsageError(format!("--organization {name} names none; configured: {known}")).into());
    }
    let (work, asked, end) = (Arc::clone(&setup), only.clone(), shutdown.clone());
    let (mut report, closed) =
        tokio::task::spawn_blocking(move || all(&work, urgency, asked.as_deref(), &end)).await??;
    for name in names.into_iter().filter(|name| only.as_deref().is_none_or(|only| only == *name)) {
        if report.contains_key(name) {
            continue;
        }
        if shutdown.is_requested() {
            report.insert(name.to_owned(), Verdict::Failed(STOPPED.to_owned()));
        } else if closed.is_empty() {
            warn!(organization.name = name, "the graph topic knows nothing of the organization yet");
        }
    }
    let outcome = ending(&report, &closed)?;
    if outcome == Outcome::Done {
        answer::print([done(&report)])?;
    }
    Ok(outcome)
}

/// What became of the organizations, where all of them are synchronized.
fn done(report: &Report) -> String {
    if report.is_empty() {
        return "nothing to do: the graph topic has no configured organization yet".to_owned();
    }
    let newest =
        format!("JupiterOne has the newest graph of {}", answer::count(report.len(), "organization"));
    let refused = report.iter().filter_map(|(name, verdict)| match verdict {
        Verdict::Synced { refused: refused @ 1.. } => {
            Some(format!("{} or some of their properties of {name}", answer::count(*refused, "object")))
        }
        Verdict::Synced { .. } | Verdict::Paused(_) | Verdict::Failed(_) => None,
    });
    let refused: Vec<String> = refused.collect();
    if refused.is_empty() {
        newest
    } else {
        format!("{newest}, but refuses {}; see `sink parked`", refused.join(", "))
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

/// What became of the organizations, and why partitions are closed.
fn all(
    setup: &Arc<Setup>,
    urgency: Urgency,
    only: Option<&str>,
    shutdown: &Shutdown,
) -> Result<(Report, Vec<String>), TaskError> {
    let next = AtomicI32::new(0);
    let results = Mutex::new(Ok((Report::new(), Vec::new())));
    thread::scope(|scope| {
        for _ in 0..setup.partitions.min(PARTITIONS_AT_ONCE) {
            scope.spawn(|| {
                loop {
                    let partition = next.fetch_add(1, Ordering::Relaxed);
                    if partition >= setup.partitions || shutdown.is_requested() {
                        return;
                    }
                    let result = one(setup, partition, urgency, only, shutdown);
                    let mut results = results.lock().expect("nothing panics while it holds the lock");
                    match (results.as_mut(), result) {
                        (Ok((report, _)), Ok(part)) => report.extend(part),
                        (Ok((_, closed)), Err(error @ TaskError::Closed { .. })) => {
                            closed.push(format!("{:#}", anyhow::Error::from(error)));
                        }
                        (Ok(_), Err(error)) => *results = Err(error),
                        (Err(_), _) => {}
                    }
                }
            });
        }
    });
    results.into_inner().expect("nothing panics while it holds the lock")
}

fn one(
    setup: &Arc<Setup>,
    partition: i32,
    urgency: Urgency,
    only: Option<&str>,
    shutdown: &Shutdown,
) -> Result<Report, TaskError> {
    settle(&setup.kafka, &setup.graph_topic, partition).map_err(|error| read_failed(partition, error))?;
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
    shutdown: &Shutdown,
) -> Result<Report, TaskError> {
    let mut report = Report::new();
    let mut waiting: Vec<String> = task
        .organizations
        .values()
        .filter(|organization| only.is_none_or(|name| name == organization.configured.name))
        .map(|organization| organization.id.clone())
        .collect();
    for attempt in 1..=TRIES {
        let considered: Vec<Considered> = waiting
            .iter()
            .map(|id| task.consider_in_turn(id, urgency, shutdown))
            .collect::<Result<_, _>>()?;
        task.wait_for_jobs(shutdown);
        let mut again = Vec::new();
        for (id, considered) in waiting.into_iter().zip(considered) {
            task.take_end(&id)?;
            let organization = &task.organizations[&id];
            let verdict = verdict(organization, considered);
            let now_ms = now_ms();
            let verdict = match verdict {
                Verdict::Failed(reason) if organization.rest(now_ms) > LONGEST_REST => {
                    Verdict::Failed(format!("{reason}{}", organization.resumes(now_ms)))
                }
                Verdict::Failed(reason) => {
                    again.push(id);
                    Verdict::Failed(reason)
                }
                verdict => verdict,
            };
            report.insert(organization.configured.name.clone(), verdict);
        }
        if again.is_empty() || attempt == TRIES || shutdown.is_requested() {
            break;
        }
        let rest = again.iter().map(|id| task.organizations[id].rest(now_ms())).max().unwrap_or_default();
        pause(runtime, shutdown, rest);
        waiting = again;
    }
    Ok(report)
}

fn verdict(organization: &Organization, considered: Considered) -> Verdict {
    match (considered, &organization.refusal, &organization.failure) {
        (Considered::Synced, ..) => synced(organization),
        (Considered::Waiting, ..) => Verdict::Paused(
            "its collection organization was never listed whole; see what `producer poll` says".to_owned(),
        ),
        (Considered::Queued, ..) => Verdict::Failed(STOPPED.to_owned()),
        (_, Some(reason), _) => Verdict::Paused(reason.clone()),
        (_, None, Some(reason)) => Verdict::Failed(reason.clone()),
        (_, None, None) => synced(organization),
    }
}

fn synced(organization: &Organization) -> Verdict {
    Verdict::Synced { refused: organization.sync.parked.len() }
}

#[cfg(test)]
mod tests {
    use super::{Report, Verdict, done};

    fn last_line(refused: &[(&str, usize)]) -> String {
        let synced = refused.iter().map(|&(name, refused)| (name.to_owned(), Verdict::Synced { refused }));
        done(&synced.collect::<Report>())
    }

    #[test]
    fn the_last_line_counts_what_jupiterone_refuses_by_organization() {
        assert_eq!(last_line(&[("nimbus", 0)]), "JupiterOne has the newest graph of 1 organization");
        assert_eq!(
            last_line(&[("cumulus", 0), ("nimbus", 1), ("stratus", 12)]),
            "JupiterOne has the newest graph of 3 organizations, but refuses 1 object or some of their properties of \
             nimbus, 12 objects or some of their properties of stratus; see `sink parked`"
        );
    }
}
