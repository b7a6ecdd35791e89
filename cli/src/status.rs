//! `anthropic-graph status`: freshness, holds, sync state and dead letters of each organization.

use std::collections::BTreeMap;

use anyhow::Context as _;
use graph::{
    access::certainty::time,
    plan::sync_state::{SyncState, behind},
    text::clean,
};
use schemas::{
    collection::Collection,
    coverage::{self, HoldState},
    raw::{self, NO_REASON},
    sync::Sync,
};
use serde::Serialize;
use service::{
    config::{Config, environment, is_asked_for},
    exit::Outcome,
    kafka::client_config,
    shell::{self, Program},
    stdout, wording,
};
use tracing::warn;

use crate::{
    cell::wrapped,
    columns::{self, age},
    dead_letters,
    freshness::{self, Freshness},
    selection::Selection,
    sync_topic,
};

/// Most causes of an organization that are explained (count); the collections of the others are counted.
const EXPLAINED: usize = 5;
/// Marks the age of a collection that is not whole.
const NOT_WHOLE: &str = " !";
/// Indents the lines of a note after its first one (columns).
const HANGING: usize = 2;

/// An organization, as `--json` has it.
#[derive(Debug, Serialize)]
struct Status {
    organization: Organization,
    /// The graph's revision; null until the first poll.
    revision: Option<i64>,
    elements: Option<i64>,
    last_poll: Option<LastPoll>,
    collections: Vec<Listed>,
    holds: Holds,
    /// Null if the sync topic cannot be read.
    jupiterone: Option<JupiterOne>,
    /// Null if the dead letters cannot be read (count).
    dead_letters: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Organization {
    /// Null if it was never polled and the configuration does not pin it.
    id: Option<String>,
    name: String,
}

#[derive(Debug, Serialize)]
struct LastPoll {
    ended_ts_ms: i64,
    /// Whether all of its listings were whole.
    complete: bool,
}

#[derive(Debug, Serialize)]
struct Listed {
    collection: String,
    whole_ts_ms: Option<i64>,
    not_whole_since_ts_ms: Option<i64>,
    /// How the newest attempt ended, and why.
    outcome: Option<String>,
    reason: Option<String>,
}

/// Deletions that the guard holds (counts).
#[derive(Debug, Default, Serialize)]
struct Holds {
    open: usize,
    rejected: usize,
}

#[derive(Debug, Serialize)]
struct JupiterOne {
    sync_state: SyncState,
    /// The revision that it holds.
    revision: Option<i64>,
    behind: i64,
    ended_ts_ms: Option<i64>,
    paused: Option<String>,
    /// Objects that JupiterOne refuses (count).
    parked: usize,
}

/// What the topics say, by organization ID.
struct Known {
    freshness: BTreeMap<String, Freshness>,
    syncs: Option<BTreeMap<String, Sync>>,
    dead_letters: Option<BTreeMap<String, usize>>,
}

/// Shows it; `program` is for the commands that are shown.
pub async fn status(config: Config, program: Program, arguments: Selection) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        let known = Known::read(&config)?;
        let mut all = known.statuses(&config);
        let asked = arguments.organization.as_deref();
        all.retain(|it| is_asked_for(asked, &it.organization.name, it.organization.id.as_deref()));
        if let Some(asked) = asked.filter(|_| all.is_empty()) {
            config.organization(asked)?;
        }
        if arguments.json {
            let lines = all.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
            return stdout::print(lines.context("failed to write a status as JSON")?);
        }
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let mark = stdout::styled(stdout::UNUSUAL, NOT_WHOLE);
        let width = columns::of_terminal();
        let mut lines = text(&all, now_ms, &program, &|name| config.organization(name).is_ok(), width);
        if arguments.organization.is_some() {
            lines.extend(all.iter().flat_map(|status| collections(status, now_ms, width)));
        } else {
            lines.extend(known.of_other_organizations(&all, &program));
        }
        stdout::print(lines.into_iter().map(|line| line.replace(NOT_WHOLE, &mark)))
    })
    .await
    .context("the reading thread ended")?
}

impl Known {
    /// Only the graph topic has to be readable.
    fn read(config: &Config) -> anyhow::Result<Self> {
        let client = client_config(&config.kafka, &environment())?;
        // Read first, so that the graph is not older.
        let syncs = readable("JupiterOne", sync_topic::newest(config, &client));
        let freshness = freshness::read(config, &client)?;
        let dead_letters = readable("dead letters", dead_letters::counts(config, &client));
        Ok(Self { freshness, syncs, dead_letters })
    }

    /// The organizations in the graph topic, and those that are configured but were never polled, by name.
    fn statuses(&self, config: &Config) -> Vec<Status> {
        let configured = |id: &str, name: &str| {
            config.organizations.iter().any(|it| it.name == name || it.organization_id.as_deref() == Some(id))
        };
        let known =
            self.freshness.iter().filter(|(id, it)| !it.coverage.is_empty() || configured(id, &it.name));
        let mut all: Vec<Status> = known.map(|(id, freshness)| self.status(id, freshness)).collect();
        let unpolled = config.organizations.iter().filter(|it| {
            let known = |status: &Status| {
                status.organization.name == it.name
                    || it.organization_id.is_some() && status.organization.id == it.organization_id
            };
            !all.iter().any(known)
        });
        let unpolled: Vec<Status> = unpolled
            .map(|it| Status {
                organization: Organization { id: it.organization_id.clone(), name: it.name.clone() },
                revision: None,
                elements: None,
                last_poll: None,
                collections: Vec::new(),
                holds: Holds::default(),
                jupiterone: None,
                dead_letters: None,
            })
            .collect();
        all.extend(unpolled);
        all.sort_by(|one, other| one.organization.name.cmp(&other.organization.name));
        all
    }

    fn status(&self, id: &str, freshness: &Freshness) -> Status {
        let Freshness { name, poll, coverage, holds } = freshness;
        let ended_ts_ms = poll.ended_ts_ms;
        let jupiterone = self.syncs.as_ref().map(|syncs| {
            let sync = syncs.get(id);
            let finished = sync.and_then(|sync| sync.finished.as_ref());
            JupiterOne {
                sync_state: SyncState::of(sync, poll),
                revision: finished.map(|finished| finished.revision),
                behind: behind(sync, poll),
                ended_ts_ms: finished.map(|finished| finished.ended_ts_ms),
                paused: sync.and_then(|sync| sync.paused.clone()),
                parked: sync.map_or(0, |sync| sync.parked.len()),
            }
        });
        let rejected = holds.values().filter(|hold| hold.state == HoldState::Rejected).count();
        Status {
            organization: Organization { id: Some(id.to_owned()), name: name.clone() },
            revision: Some(poll.revision),
            elements: Some(poll.element_count),
            last_poll: ended_ts_ms.map(|ended_ts_ms| LastPoll { ended_ts_ms, complete: poll.complete }),
            collections: coverage.values().map(Listed::of).collect(),
            holds: Holds { open: holds.len() - rejected, rejected },
            jupiterone,
            dead_letters: self.dead_letters.as_ref().map(|counts| counts.get(id).copied().unwrap_or(0)),
        }
    }

    /// Dead letters of other organizations.
    fn of_other_organizations(&self, all: &[Status], program: &Program) -> Option<String> {
        let is_shown = |id: &String| all.iter().any(|status| status.organization.id.as_ref() == Some(id));
        let counts = self.dead_letters.iter().flatten().filter(|(id, _)| !is_shown(id));
        let count = counts.map(|(_, count)| count).sum();
        (count > 0).then(|| {
            let letters = wording::count(count, "dead letter");
            format!("other organizations: {letters}; to list them: {}", program.command("dead-letters list"))
        })
    }
}

/// What could be read; logs a warning if nothing could.
fn readable<T>(what: &str, read: anyhow::Result<T>) -> Option<T> {
    read.inspect_err(|error| warn!("{what}: unknown: {error:#}")).ok()
}

impl Listed {
    fn of(coverage: &coverage::Coverage) -> Self {
        let latest = coverage.latest.as_ref();
        Self {
            collection: coverage.collection.clone(),
            whole_ts_ms: coverage.whole.as_ref().map(|whole| whole.ended_ts_ms),
            not_whole_since_ts_ms: coverage.not_whole_since_ts_ms,
            outcome: latest.map(|latest| latest.outcome.to_string()),
            reason: latest.and_then(|latest| latest.reason.clone()),
        }
    }

    /// Members of an archived workspace no longer change.
    fn is_gone(&self) -> bool {
        self.outcome.as_deref() == Some(raw::Outcome::Gone.as_str())
    }

    fn age(&self, now_ms: i64) -> String {
        let mark = if self.not_whole_since_ts_ms.is_some() { NOT_WHOLE } else { "" };
        age(self.whole_ts_ms, now_ms) + mark
    }
}

/// The table and its notes; `is_configured` says whether a command accepts a name, `width` how many columns there are.
fn text(
    all: &[Status],
    now_ms: i64,
    program: &Program,
    is_configured: &dyn Fn(&str) -> bool,
    width: Option<usize>,
) -> Vec<String> {
    if all.is_empty() {
        return vec!["no organization is configured or in the graph topic".to_owned()];
    }
    let headings = [
        "ORGANIZATION",
        "POLLED",
        "USERS",
        "WORKSPACES",
        "API KEYS",
        "MEMBERS",
        "HOLDS",
        "JUPITERONE",
        "DEAD LETTERS",
    ];
    let row = |status: &Status| {
        let family = |family: &str| status.family(family, now_ms);
        let unknown = || "unknown".to_owned();
        [
            clean(&status.organization.name),
            age(status.last_poll.as_ref().map(|poll| poll.ended_ts_ms), now_ms),
            family("users"),
            family("workspaces"),
            family("api_keys"),
            family("members"),
            status.holds.open.to_string(),
            status.jupiterone.as_ref().map_or_else(unknown, JupiterOne::label),
            status.dead_letters.map_or_else(unknown, |count| count.to_string()),
        ]
    };
    let mut lines = vec![format!("Ages as of {}. ! = the newest listing was incomplete", time(now_ms))];
    lines.extend(columns::lines(headings, all.iter().map(row).collect(), width));
    let notes = all.iter().flat_map(|status| status.notes(program, is_configured(&status.organization.name)));
    lines.extend(notes.flat_map(|note| wrapped(&note, width, HANGING)));
    lines
}

/// The collections of an organization, one per line.
fn collections(status: &Status, now_ms: i64, width: Option<usize>) -> Vec<String> {
    let row = |listed: &Listed| {
        [
            clean(&listed.collection),
            listed.whole_ts_ms.map_or_else(|| "never".to_owned(), time),
            age(listed.whole_ts_ms, now_ms),
            listed.outcome.as_deref().map_or_else(String::new, clean),
        ]
    };
    let rows: Vec<_> = status.collections.iter().map(row).collect();
    columns::lines(["COLLECTION", "LAST WHOLE", "AGE", "LAST ATTEMPT"], rows, width)
}

impl Status {
    /// The age of the collections of one family: that of the oldest.
    fn family(&self, family: &str, now_ms: i64) -> String {
        let is_of = |listed: &&Listed| {
            Collection::parse(&listed.collection).is_some_and(|it| it.family().name() == family)
                && !listed.is_gone()
        };
        let of: Vec<&Listed> = self.collections.iter().filter(is_of).collect();
        let Some(oldest) = of.iter().min_by_key(|listed| listed.whole_ts_ms) else { return "-".to_owned() };
        let is_whole = of.iter().all(|listed| listed.not_whole_since_ts_ms.is_none());
        if is_whole { oldest.age(now_ms) } else { age(oldest.whole_ts_ms, now_ms) + NOT_WHOLE }
    }

    /// The collections without a whole listing, by cause: what was tried and failed first, then what was skipped.
    fn failing(&self) -> Vec<Failing<'_>> {
        let mut causes: Vec<Failing<'_>> = Vec::new();
        for listed in &self.collections {
            let Some(since_ts_ms) = listed.not_whole_since_ts_ms else { continue };
            let outcome = listed.outcome.as_deref().unwrap_or("not listed");
            let reason = listed.reason.as_deref().unwrap_or(NO_REASON);
            let same = causes.iter_mut().find(|cause| (cause.outcome, cause.reason) == (outcome, reason));
            if let Some(cause) = same {
                cause.collections.push(&listed.collection);
                cause.since_ts_ms = cause.since_ts_ms.min(since_ts_ms);
            } else {
                causes.push(Failing { outcome, reason, since_ts_ms, collections: vec![&listed.collection] });
            }
        }
        causes.sort_by_key(|cause| cause.outcome == raw::Outcome::Skipped.as_str());
        causes
    }

    /// What needs attention, and the commands that show more.
    fn notes(&self, program: &Program, is_configured: bool) -> Vec<String> {
        let name = &self.organization.name;
        let only =
            if is_configured { format!(" --organization {}", shell::word(name)) } else { String::new() };
        let command = |arguments: &str| program.command(&format!("{arguments}{only}"));
        let mut notes = Vec::new();
        if self.revision.is_none() {
            notes.push("not polled yet, or its first poll is not processed yet".to_owned());
        }
        let failing = self.failing();
        notes.extend(failing.iter().take(EXPLAINED).map(Failing::describe));
        let more: usize = failing.iter().skip(EXPLAINED).map(|cause| cause.collections.len()).sum();
        if more > 0 {
            let (more, all) = (wording::count(more, "more collection"), command("status"));
            notes.push(format!("{more} without a whole listing; to list them: {all}"));
        }
        if self.holds.open > 0 {
            let held = wording::count(self.holds.open, "deletion");
            notes.push(format!("{held} held; to list and decide: {}", command("holds list")));
        }
        if let Some(jupiterone) = &self.jupiterone {
            notes.extend(
                jupiterone.paused.iter().map(|reason| {
                    format!("JupiterOne is paused: {}", shell::pasteable_later(reason, program))
                }),
            );
            if jupiterone.parked > 0 {
                let refused = wording::count(jupiterone.parked, "object");
                notes.push(format!("JupiterOne refuses {refused}; to list them: {}", command("sync parked")));
            }
        }
        if let Some(letters @ 1..) = self.dead_letters {
            // Dead letters have IDs only.
            let id = shell::word(self.organization.id.as_deref().unwrap_or_default());
            let list = program.command(&format!("dead-letters list --organization {id}"));
            notes.push(format!("{}; to list them: {list}", wording::count(letters, "dead letter")));
        }
        notes.into_iter().map(|note| format!("{}: {}", clean(name), clean(&note))).collect()
    }
}

/// Collections without a whole listing for one cause.
struct Failing<'a> {
    outcome: &'a str,
    reason: &'a str,
    /// Since when the first of them has none (ms since 1970).
    since_ts_ms: i64,
    collections: Vec<&'a str>,
}

impl Failing<'_> {
    fn describe(&self) -> String {
        let Self { outcome, reason, since_ts_ms, collections } = self;
        let more = match collections.len() - 1 {
            0 => " has".to_owned(),
            more => format!(" and {} have", wording::count(more, "more collection")),
        };
        let since = time(*since_ts_ms);
        format!("{}{more} no whole listing since {since}, {outcome}: {reason}", collections[0])
    }
}

impl JupiterOne {
    fn label(&self) -> String {
        self.sync_state.label(self.behind)
    }
}

#[cfg(test)]
mod tests;
