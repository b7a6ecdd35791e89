//! What JupiterOne has of an organization, and what it refuses.

use std::collections::BTreeMap;

use askama::Template;
use graph::{
    access::Moment,
    plan::{
        self, Phase,
        sync_state::{SyncState, behind, would_allow},
    },
};
use schemas::{
    coverage::Poll,
    sync::{ParkedState, Sync},
};
use serde::Serialize;
use serde_json::json as object;
use service::shell::{Program, pasteable_later, word};

use super::{Answer, Asked, html, json};
use crate::{
    chrome::{Chrome, PageName},
    display,
    query::Format,
    refusal::Refusal,
    store::View,
};

/// Refused objects of a page (count); JSON has them all.
const MOST: usize = 50;

#[derive(Template)]
#[template(path = "jupiterone.html")]
struct JupiterOnePage {
    chrome: Chrome,
    targets: Vec<Target>,
    json: String,
    csv: String,
}

struct Target {
    name: String,
    state: &'static str,
    phase: String,
    /// What ends it.
    next: Option<String>,
    would_allow: Option<WouldAllow>,
    finished: Option<Job>,
    open: Option<Job>,
    approval: Option<String>,
    counts: Vec<(String, String)>,
    incomplete: Vec<String>,
    unwritten: Option<String>,
    parked: Vec<Parked>,
    more: usize,
}

/// What an approval would allow, and how to give it.
struct WouldAllow {
    what: String,
    command: String,
}

/// A target in JSON: its record, and what follows from it.
#[derive(Serialize)]
struct TargetJson<'a> {
    #[serde(flatten)]
    sync: &'a Sync,
    sync_state: SyncState,
    behind: i64,
    /// By type; null if no job waits for a person, or until they are counted.
    approval_would_delete: Option<BTreeMap<String, i64>>,
}

struct Job {
    id: String,
    revision: String,
    time: String,
}

struct Parked {
    key: String,
    state: &'static str,
    since: String,
    reason: String,
}

pub(crate) fn page(view: &View<'_>, asked: &Asked) -> Result<Answer, Refusal> {
    let mut scope = asked.parameters.scope(view, (asked.sources.now_ms)())?;
    scope.moment = Moment::Now;
    let now = asked.sources.now(|present| present.organization(&scope.organization.id).clone());
    let poll = now.poll.clone().unwrap_or_default();
    let targets: Vec<TargetJson<'_>> = now
        .syncs
        .iter()
        .map(|(target, sync)| TargetJson {
            sync,
            sync_state: SyncState::of(Some(sync), &poll),
            behind: behind(Some(sync), &poll),
            approval_would_delete: now.deletions(target),
        })
        .collect();
    match asked.format {
        Format::Json => json(&object!({ "graph_revision": poll.revision, "targets": targets })),
        Format::Csv => Ok(Answer::Csv { name: "jupiterone.csv".to_owned(), text: csv(&targets) }),
        Format::Html => {
            let holds = asked.sources.proposed(&scope.organization.id);
            let notices = asked.sources.progress.notices();
            let now_ms = (asked.sources.now_ms)();
            html(&JupiterOnePage {
                chrome: Chrome::new("JupiterOne", PageName::JupiterOne, Some(&scope), holds, notices),
                targets: targets.iter().map(|it| target(it, &poll, now_ms)).collect(),
                json: scope.address("/jupiterone").with("format", "json").to_string(),
                csv: scope.address("/jupiterone").with("format", "csv").to_string(),
            })
        }
    }
}

fn target(target: &TargetJson<'_>, poll: &Poll, now_ms: i64) -> Target {
    let TargetJson { sync, sync_state, behind, approval_would_delete } = target;
    let recorded = plan::phase_from_record(sync, poll.revision, now_ms).map(|(phase, _)| phase);
    let (state, phase) = match &recorded {
        Some(phase) => recorded_phase(phase),
        None => unrecorded_phase(sync, *sync_state, *behind),
    };
    let finished = sync.finished.as_ref();
    Target {
        name: display::name(&sync.target),
        state,
        phase,
        next: recorded.map(|phase| display::fitted(&sentence(&phase.then()), 200)),
        would_allow: approval_would_delete.as_ref().map(|deletions| WouldAllow {
            what: sentence(&would_allow(Some(sync), deletions).replacen("would", "An approval would", 1)),
            command: format!("anthropic-graph sync approve --organization {}", word(&sync.organization_name)),
        }),
        finished: finished.map(|it| Job {
            id: display::name(&it.job_id),
            revision: display::grouped(it.revision),
            time: display::time(it.ended_ts_ms),
        }),
        open: sync.intent.as_ref().map(|it| Job {
            id: if it.job_id.is_empty() { "not known yet".to_owned() } else { display::name(&it.job_id) },
            revision: display::grouped(it.revision),
            time: display::time(it.started_ts_ms),
        }),
        approval: sync.approval.as_ref().map(|it| {
            let deletions: i64 = it.deletions.values().sum();
            let why = it.why.as_deref().map(|why| format!(": {}", display::fitted(why, 200)));
            format!(
                "{} allowed {} at revision {}{}",
                display::name(&it.by),
                display::count(usize::try_from(deletions).unwrap_or(0), "deletion"),
                display::grouped(it.revision),
                why.unwrap_or_default()
            )
        }),
        counts: finished
            .map(|it| {
                it.counts.iter().map(|(kind, count)| (kind.clone(), display::grouped(*count))).collect()
            })
            .unwrap_or_default(),
        incomplete: finished
            .map(|it| it.incomplete.iter().take(MOST).map(|text| display::fitted(text, 200)).collect())
            .unwrap_or_default(),
        unwritten: finished
            .filter(|it| it.unwritten > 0)
            .map(|it| display::count(usize::try_from(it.unwritten).unwrap_or(0), "object")),
        parked: sync
            .parked
            .iter()
            .take(MOST)
            .map(|it| Parked {
                key: display::name(&it.element_key),
                state: if it.state == ParkedState::Stripped {
                    "only required properties"
                } else {
                    "not uploaded"
                },
                since: display::time(it.since_ts_ms),
                reason: display::fitted(&it.reason, 200),
            })
            .collect(),
        more: sync.parked.len().saturating_sub(MOST),
    }
}

fn recorded_phase(phase: &Phase) -> (&'static str, String) {
    let (state, what) = match phase {
        Phase::Paused { .. } => ("bad", "Paused"),
        Phase::Retrying { .. } => ("waiting", "Retrying"),
        Phase::Uploading { .. } => ("waiting", "Uploading"),
        Phase::Waiting(_) => ("waiting", "Waiting"),
        Phase::Synced { .. } => ("good", "Synced"),
    };
    // A reason may name the revision at which it was recorded. The reader may use another configuration.
    let reason = pasteable_later(&phase.reason(), &Program::new("anthropic-graph", None));
    (state, format!("{what}: {}", display::fitted(&reason, 600)))
}

fn unrecorded_phase(sync: &Sync, sync_state: SyncState, behind: i64) -> (&'static str, String) {
    match sync_state {
        SyncState::InSync => ("good", "Synced: JupiterOne has the newest revision.".to_owned()),
        SyncState::Behind => {
            let behind = display::count(usize::try_from(behind).unwrap_or(0), "revision");
            ("waiting", format!("Waiting: JupiterOne is {behind} behind."))
        }
        SyncState::Incomplete => {
            ("waiting", "Waiting: JupiterOne did not write all objects of the last sync job.".to_owned())
        }
        SyncState::OtherGraph => {
            ("bad", "JupiterOne has another graph: the revisions began again after its last job.".to_owned())
        }
        SyncState::Paused => {
            ("bad", format!("Paused: {}", display::fitted(sync.paused.as_deref().unwrap_or_default(), 600)))
        }
        SyncState::Never => ("unknown", "No sync job has finished yet.".to_owned()),
    }
}

/// With a capital letter and a period.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(characters).chain(['.']).collect()
}

/// Of the refused objects, and of the deletions that an approval would allow.
fn csv(all: &[TargetJson<'_>]) -> String {
    let mut lines = vec!["target,element_key,element_type,state,since_ts_ms,reason,count".to_owned()];
    let mut row = |values: [&str; 7]| lines.push(values.map(graph::access::csv::value).join(","));
    for TargetJson { sync, approval_would_delete, .. } in all {
        for it in &sync.parked {
            let (state, since) = (it.state.to_string(), it.since_ts_ms.to_string());
            row([&sync.target, &it.element_key, &it.element_type, &state, &since, &it.reason, "1"]);
        }
        for (kind, count) in approval_would_delete.iter().flatten() {
            row([&sync.target, "", kind, "approval_would_delete", "", "", &count.to_string()]);
        }
    }
    lines.join("\r\n") + "\r\n"
}
