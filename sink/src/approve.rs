//! `anthropic-graph sync approve`: shows what a sync job would delete, and allows it. The job itself is the sink's.

use std::sync::Arc;

use anyhow::{Context, bail};
use schemas::sync::{self, Approval, Finished, Sync};
use service::config::{Config, is_asked_for};
use service::exit::{Outcome, filled};
use service::kafka::wait_for_commits;
use service::shell::{self, Program};
use service::startup::Options;
use service::stdout;

use crate::organization::Organization;
use crate::organizations::{self, Configured};
use crate::run::{self};
use crate::setup::Setup;
use crate::sync_topic::{self, SyncTopic};
use crate::task::{self, now_ms};
use graph::plan;

/// What a person allows.
#[derive(Debug, Clone)]
pub struct Approve {
    /// The organization's name or ID.
    pub organization: String,
    /// Of the graph that they saw; without one, it is only shown what a sync job would delete.
    pub revision: Option<i64>,
    /// Whether the target may be taken from the organization that it holds.
    pub takes_target: bool,
    pub by: Option<String>,
    pub why: Option<String>,
    /// For the command that is shown.
    pub program: Program,
}

/// An organization as the topics have it.
struct Found {
    partition: i32,
    sync: Sync,
    /// What a job would allow itself with the approval.
    seen: Approval,
    /// The organization that the target holds, if it is another.
    holder: Option<String>,
}

/// Shows on stdout what a sync job of the organization would delete, or records that it may: only what is shown, and
/// only against the same finished job. A running sink takes its partition back and continues.
pub async fn approve(config: Config, mut approve: Approve, options: Options) -> anyhow::Result<Outcome> {
    approve.by = approve.by.map(|by| filled("--by", by)).transpose()?;
    let setup = run::set_up_to_decide(&config, &options).await?;
    tokio::task::spawn_blocking(move || decide(&setup, &approve)).await?
}

fn decide(setup: &Arc<Setup>, approve: &Approve) -> anyhow::Result<Outcome> {
    let Some(found) = find(setup, approve)? else {
        let name = &approve.organization;
        organizations::check_asked(&setup.configured, name)?;
        bail!("the graph topic does not contain the organization {name} yet")
    };
    show(&found, approve)?;
    let Some(revision) = approve.revision else { return Ok(Outcome::Done) };
    if revision != found.seen.revision {
        bail!(
            "the graph is now at revision {}, not {revision}; run the command again without --revision to see \
             what a sync job would delete",
            found.seen.revision
        );
    }
    if let Some(holder) = found.holder.as_ref().filter(|_| !approve.takes_target) {
        bail!(
            "the target {} holds the organization {holder}, and a sync job would delete all of it; if that is \
             right, add --take-target",
            found.sync.target
        );
    }
    record(setup, found)?;
    stdout::print([format!(
        "approved: the next sync job of revision {revision} may delete these objects; a running sink starts it within \
         half a minute"
    )])
}

fn find(setup: &Arc<Setup>, approve: &Approve) -> anyhow::Result<Option<Found>> {
    for partition in 0..setup.partitions {
        wait_for_commits(&setup.kafka, &setup.graph_topic, partition)?;
        let (_, states) = task::restored(setup, partition)?;
        for (id, state) in states.iter() {
            let configured =
                task::name_of(state).and_then(|name| organizations::matching(&setup.configured, id, name));
            let asked = Some(approve.organization.as_str());
            let Some(configured) = configured.filter(|it| is_asked_for(asked, &it.name, Some(id))) else {
                continue;
            };
            let sync = record_of(setup, partition, configured, id)?;
            let holder = setup.targets.other_holder(configured, id);
            let finished = sync.finished.as_ref().filter(|_| holder.is_none());
            let seen = Approval {
                revision: state.poll().revision,
                finished_job_id: finished.map(|finished| finished.job_id.clone()),
                deletions: if holder.is_none() { plan::deletions(state, &sync) } else { [].into() },
                takes_target: holder.is_some(),
                by: approve.by.clone().unwrap_or_default(),
                why: approve.why.clone(),
                approved_ts_ms: now_ms(),
            };
            return Ok(Some(Found { partition, sync, seen, holder }));
        }
    }
    Ok(None)
}

fn record_of(setup: &Setup, partition: i32, configured: &Arc<Configured>, id: &str) -> anyhow::Result<Sync> {
    let records = sync_topic::read(&setup.kafka, &setup.group_id, &setup.sync_topic, [partition])
        .context("failed to read the sync topic")?;
    let record = configured.record(&records, id);
    Ok(Organization::new(Arc::clone(configured), id, record, None).sync)
}

fn show(found: &Found, approve: &Approve) -> anyhow::Result<()> {
    let Found { sync, seen, holder, .. } = found;
    let (name, revision) = (&sync.organization_name, seen.revision);
    let mut lines = Vec::new();
    match (&sync.finished, holder) {
        (_, Some(holder)) => lines.push(format!(
            "{name}: its target {} holds the organization {holder}; a sync job of revision {revision} deletes \
             all of it",
            sync.target
        )),
        (None, None) => lines.push(format!(
            "{name}: no sync job of the target {} is recorded{}; a sync job of revision {revision} deletes \
             everything else that is there",
            sync.target,
            if sync.found == Some(sync::Found::Objects) {
                ", and the target already contained this organization"
            } else {
                ""
            }
        )),
        (Some(finished), None) => {
            lines.push(format!(
                "{name}: JupiterOne holds revision {}; a sync job of revision {revision} deletes{}",
                finished.revision,
                if seen.deletions.is_empty() { " nothing" } else { ":" }
            ));
            for (kind, deleted) in &seen.deletions {
                let before = finished.counts.get(kind).copied().unwrap_or(0);
                lines.push(format!("  {deleted} of {before} {kind}"));
            }
        }
    }
    let is_same = |finished: &Finished| finished.revision == revision && seen.deletions.is_empty();
    if holder.is_none() && sync.finished.as_ref().is_some_and(is_same) {
        lines.push("nothing waits for an approval".to_owned());
    } else if approve.revision.is_none() {
        let take = if holder.is_some() { " --take-target" } else { "" };
        let (name, by, program) = (shell::word(name), shell::BY, &approve.program);
        let command = format!("sync approve --organization {name} --revision {revision} {by}{take}");
        lines.push(format!("to allow it: {}", program.command(&command)));
    }
    stdout::print(lines)?;
    Ok(())
}

/// Becomes the partition's one writer, so that nothing is written between the reading and the approval, and leaves it
/// again.
fn record(setup: &Setup, found: Found) -> anyhow::Result<()> {
    let Found { partition, sync, seen, .. } = found;
    let topic = SyncTopic::open(&setup.kafka, &setup.group_id, &setup.sync_topic, partition)?;
    let written = topic.read().context("failed to read the sync topic")?.get(&sync.key()).cloned();
    topic.write_now(&approved(sync, written, seen)?)?;
    Ok(())
}

/// The record with the approval. What a sink wrote since it was looked at stays, such as the intent of a job that has to
/// be ended before the next.
fn approved(sync: Sync, written: Option<Sync>, seen: Approval) -> anyhow::Result<Sync> {
    let sync = match written {
        Some(written) if written.finished != sync.finished => {
            bail!(
                "a sync job finished meanwhile; run the command again without --revision to see what the \
                   next one would delete"
            )
        }
        Some(written) => Sync { organization_name: sync.organization_name, ..written },
        None => sync,
    };
    Ok(if seen.takes_target {
        // What it held there before, another organization has replaced.
        Sync { finished: None, found: None, parked: Vec::new(), approval: Some(seen), ..sync }
    } else {
        Sync { approval: Some(seen), ..sync }
    })
}

#[cfg(test)]
mod tests {
    use schemas::sync::Intent;

    use super::*;

    fn seen() -> Approval {
        Approval {
            revision: 7,
            finished_job_id: None,
            deletions: [].into(),
            takes_target: false,
            by: "ada".to_owned(),
            why: None,
            approved_ts_ms: 1,
        }
    }

    #[test]
    fn an_approval_keeps_the_intent_that_a_sink_wrote_since() {
        let intent = Intent { job_id: "job".to_owned(), revision: 7, started_ts_ms: 1, asks: true };
        let written = Sync { intent: Some(intent), ..Sync::default() };
        let approved = approved(Sync::default(), Some(written.clone()), seen()).expect("no job finished");
        assert_eq!(approved, Sync { approval: Some(seen()), ..written });
    }

    #[test]
    fn an_approval_is_refused_where_a_job_finished_since() {
        let written = Sync { finished: Some(Finished::default()), ..Sync::default() };
        let error = approved(Sync::default(), Some(written), seen()).expect_err("it was not seen");
        assert!(error.to_string().contains("run the command again"), "{error}");
    }
}
