//! `anthropic-graph sync status`: the phase of each organization's synchronization, its reason, and what ends it.
//!
//! The sink's own function decides the phase from the recorded state and the graph. The command needs no running sink.

use std::collections::BTreeMap;

use anyhow::Context as _;
use graph::{
    plan::{
        self, Phase, Rules, Situation, Urgency,
        sync_state::{SyncState, behind, would_allow},
    },
    state::{State, States},
    text::clean,
};
use schemas::{
    collection::POLL,
    coverage::Poll,
    sync::{ParkedState, Sync},
    topics::Topic,
};
use serde_json::{Value, json};
use service::{
    config::{Config, Organization, environment, is_asked_for},
    exit::Outcome,
    kafka::{client_config, cluster_admin::ClusterAdmin, topics},
    shell::{self, Program, pasteable_later},
    stdout,
    wording::time,
};

use crate::{cell::wrapped, columns, selection::Selection, sync_topic, topic_reader};

/// Where the values of the lines begin (columns).
const VALUES_AT: usize = 15;

/// An organization in both topics.
struct Recorded {
    id: String,
    name: String,
    poll: Poll,
    sync: Option<Sync>,
    phase: Phase,
    since_ms: Option<i64>,
    /// What the next job would delete, by type, where it waits for a person.
    deletions: Option<BTreeMap<String, i64>>,
    /// Whether what it waits for has been approved, and no job has started since.
    is_approved: bool,
    is_configured: bool,
    /// Members of the sinks' group (count); none: the group cannot be seen.
    sinks: Option<usize>,
}

/// Shows it; `program` is for the commands that are shown.
pub async fn status(config: Config, program: Program, arguments: Selection) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        let mut all = read(&config)?;
        let asked = arguments.organization.as_deref();
        all.retain(|it| is_asked_for(asked, &it.name, Some(&it.id)));
        if let Some(asked) = asked.filter(|_| all.is_empty()) {
            config.organization(asked)?;
        }
        all.sort_by(|one, other| one.name.cmp(&other.name));
        if arguments.json {
            return stdout::print(all.iter().map(Recorded::as_json));
        }
        if all.is_empty() {
            return stdout::print(["the graph topic has no organization yet"]);
        }
        let width = columns::of_terminal();
        let lines = all.iter().flat_map(|it| it.lines(&program));
        stdout::print(lines.flat_map(|line| wrapped(&line, width, VALUES_AT)))
    })
    .await
    .context("the reading thread ended")?
}

fn read(config: &Config) -> anyhow::Result<Vec<Recorded>> {
    let client = client_config(&config.kafka, &environment())?;
    let prefix = &config.kafka.topic_prefix;
    let name = Topic::Graph.name(prefix);
    let cluster = ClusterAdmin::new(&client)?;
    let sinks = cluster.members(&format!("{prefix}.sink")).ok().flatten();
    // First: the graph is then no older.
    let mut syncs = sync_topic::newest(config, &client)?;
    let Some(partitions) = cluster.partition_count(&name)? else {
        return Err(topics::does_not_exist(Topic::Graph, prefix));
    };
    let mut all = Vec::new();
    // One after the other: each graph is in memory while it is looked at.
    for partition in 0..partitions {
        let mut states = States::default();
        topic_reader::fold(config, &client, Topic::Graph, partition..partition + 1, |record| {
            let key = String::from_utf8_lossy(record.key.unwrap_or_default());
            states.fold_record(&key, record.value)
        })?;
        for (id, state) in states.iter() {
            let sync = syncs.remove(id);
            if sync.is_some() || state.poll().element_count > 0 {
                all.push(Recorded::of(config, id, state, sync, (partition, partitions), sinks));
            }
        }
    }
    Ok(all)
}

impl Recorded {
    fn of(
        config: &Config,
        id: &str,
        state: &State,
        sync: Option<Sync>,
        (partition, partitions): (i32, i32),
        sinks: Option<usize>,
    ) -> Self {
        let coverage = state.coverage();
        let named = coverage.get(POLL).or_else(|| coverage.values().next());
        let name = named.map(|coverage| coverage.organization_name.clone()).unwrap_or_default();
        let configured = Organization::find(&config.organizations, id, &name);
        let rules = Rules {
            full_sync_interval_ms: i64::try_from(config.jupiterone.full_sync_interval.as_millis())
                .unwrap_or(i64::MAX),
            max_deleted_fraction: configured.map_or(1.0, |it| it.max_deleted_fraction),
            max_deleted_count: configured.map_or(u32::MAX, |it| it.max_deleted_count),
            nhi_class: configured.is_some_and(|it| it.jupiterone.nhi_class),
        };
        let known =
            sync.clone().unwrap_or_else(|| Sync { organization_name: name.clone(), ..Sync::default() });
        let situation = Situation {
            organization_id: id,
            state,
            sync: &known,
            rules: &rules,
            partition,
            partitions,
            conflict: None,
            has_turn: false,
            now_ms: jiff::Timestamp::now().as_millisecond(),
            urgency: Urgency::Patient,
        };
        let (phase, since_ms) = plan::phase_from_topics(&situation);
        let waits_for_person = matches!(phase, Phase::Paused { retry: None, .. });
        let is_approved = waits_for_person
            && known.approval.is_some()
            && !matches!(plan::next(None, &situation).phase, Phase::Paused { .. });
        Self {
            id: id.to_owned(),
            name,
            poll: state.poll(),
            deletions: (waits_for_person && !is_approved).then(|| plan::deletions(state, &known)),
            sync,
            phase,
            since_ms,
            is_approved,
            is_configured: configured.is_some(),
            sinks,
        }
    }

    fn parked(&self, state: &ParkedState) -> usize {
        self.sync.iter().flat_map(|sync| &sync.parked).filter(|parked| parked.state == *state).count()
    }

    fn lines(&self, program: &Program) -> Vec<String> {
        let Self { id, name, poll, sync, phase, .. } = self;
        let since = self.since_ms.map_or_else(String::new, |since_ms| format!(" since {}", time(since_ms)));
        let mut lines = vec![format!("{} ({}): {}{since}", clean(name), clean(id), phase.name())];
        let mut line = |what: &str, text: String| lines.push(format!("  {what:<12} {}", clean(&text)));
        if self.is_approved {
            line("reason", "its next sync job is approved".to_owned());
            line("next", "a running sink starts the sync job within half a minute".to_owned());
        } else {
            line("reason", pasteable_later(&phase.reason(), program));
            line("next", phase.then());
        }
        if !self.is_configured {
            line(
                "sink",
                "the configuration does not list the organization, so its sink ignores it".to_owned(),
            );
        } else if self.sinks == Some(0) {
            line("sink", "none runs, so no job starts: start one with `sink run`".to_owned());
        }
        let behind = behind(sync.as_ref(), poll);
        let (revision, elements) = (poll.revision, poll.element_count);
        line("graph", format!("revision {revision}, {elements} elements; JupiterOne is {behind} behind"));
        if let Some(deletions) = &self.deletions {
            let approve = program.command(&format!("sync approve --organization {}", shell::word(name)));
            let would = would_allow(sync.as_ref(), deletions);
            line("approval", format!("{would}; to see and allow it: {approve}"));
        }
        if let Some(sync) = sync {
            self.record_lines(sync, line);
        }
        lines
    }

    fn record_lines(&self, sync: &Sync, mut line: impl FnMut(&str, String)) {
        line("target", sync.target.clone());
        if let Some(finished) = &sync.finished {
            let objects: i64 = finished.counts.values().sum();
            let at = time(finished.ended_ts_ms);
            let job = format!(
                "revision {}, {objects} objects; job {} ended {at}",
                finished.revision, finished.job_id
            );
            line("JupiterOne", job);
            let counts = finished.counts.iter().map(|(kind, count)| format!("{count} {kind}"));
            let counts: Vec<String> = counts.collect();
            if !counts.is_empty() {
                line("uploaded", counts.join(", "));
            }
            if finished.unwritten > 0 {
                line("not written", format!("{} objects; the sink will repeat the job", finished.unwritten));
            }
            finished.incomplete.iter().for_each(|what| line("incomplete", what.clone()));
        }
        if let Some(intent) = &sync.intent {
            let (revision, started) = (intent.revision, time(intent.started_ts_ms));
            let job = if intent.job_id.is_empty() { "ID unknown" } else { &intent.job_id };
            let asks = if intent.asks { ", which checks what the target holds" } else { "" };
            line("open job", format!("of revision {revision}, started {started}: {job}{asks}"));
        }
        if !sync.parked.is_empty() {
            let (parked, stripped) = (self.parked(&ParkedState::Parked), self.parked(&ParkedState::Stripped));
            let text = format!("{parked} not uploaded, {stripped} without their optional properties");
            line("refused", text + "; `anthropic-graph sync parked` lists them");
        }
        if let Some(approval) = &sync.approval {
            let (revision, by, at) = (approval.revision, &approval.by, time(approval.approved_ts_ms));
            line("approved", format!("revision {revision}, by {by} at {at}; not used yet"));
        }
    }

    fn as_json(&self) -> Value {
        let Self { id, name, poll, sync, phase, .. } = self;
        let sync = sync.as_ref();
        let finished = sync.and_then(|sync| sync.finished.as_ref());
        json!({
            "organization": { "id": id, "name": name },
            "phase": phase.name(),
            "reason": phase.reason(),
            "since_ts_ms": self.since_ms,
            "until_ts_ms": phase.until_ms(),
            "next": phase.then(),
            "sinks": self.sinks,
            "configured": self.is_configured,
            "approval_would_delete": self.deletions,
            "sync_state": SyncState::of(sync, poll),
            "graph": { "revision": poll.revision, "elements": poll.element_count },
            "behind": behind(sync, poll),
            "target": sync.map(|sync| &sync.target),
            "finished": finished.map(|finished| json!({
                "job_id": finished.job_id,
                "revision": finished.revision,
                "ended_ts_ms": finished.ended_ts_ms,
                "counts": finished.counts,
                "unwritten": finished.unwritten,
                "incomplete": finished.incomplete,
                "partial_types": finished.partial_types,
            })),
            "intent": sync.and_then(|sync| sync.intent.as_ref()),
            "paused": sync.and_then(|sync| sync.paused.as_ref()),
            "parked": self.parked(&ParkedState::Parked),
            "stripped": self.parked(&ParkedState::Stripped),
            "approval": sync.and_then(|sync| sync.approval.as_ref()),
        })
    }
}

#[cfg(test)]
mod tests;
