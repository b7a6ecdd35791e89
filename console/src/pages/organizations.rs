//! All organizations: how fresh what is known is, what waits, and what JupiterOne has.

use askama::Template;
use graph::plan::sync_state::{SyncState, behind};
use serde::Serialize;
use service::config::{self, PollingInterval};

use super::{Answer, Asked, html, json};
use crate::{
    address::Address,
    chrome::{Chrome, PageName},
    current_state::Now,
    display,
    query::Format,
    refusal::Refusal,
    store::{Organization, View},
};

/// Organizations of a page (count): more of them are in JSON.
const MOST: usize = 200;

#[derive(Template)]
#[template(path = "organizations.html")]
struct OrganizationsPage {
    chrome: Chrome,
    rows: Vec<Row>,
    more: usize,
}

struct Row {
    name: String,
    id: String,
    access: String,
    changes: String,
    holds_page: String,
    jupiterone_page: String,
    revision: String,
    changed: String,
    elements: String,
    poll: String,
    poll_state: &'static str,
    next_poll: String,
    collections: Vec<Fresh>,
    holds: usize,
    jupiterone: Vec<(String, &'static str)>,
    dead_letters: usize,
}

/// When an organization is polled next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The console's configuration does not list it.
    NotConfigured,
    /// Polling is disabled.
    ByHand,
    /// No poll is known yet.
    Unknown,
    /// At that time, if the producer runs (ms since 1970).
    At(i64),
}

/// How fresh a family of collections is.
struct Fresh {
    name: String,
    text: String,
    state: &'static str,
}

/// An organization in JSON.
#[derive(Debug, Serialize)]
pub(crate) struct OrganizationJson {
    id: String,
    name: String,
    revision: i64,
    changed_ts_ms: i64,
    element_count: Option<i64>,
    poll: Option<Poll>,
    #[serde(skip)]
    next: Next,
    next_poll_ts_ms: Option<i64>,
    coverage: Vec<graph::access::answer::Coverage>,
    proposed_holds: usize,
    jupiterone: Vec<Target>,
    dead_letters: usize,
}

#[derive(Debug, Serialize)]
struct Poll {
    started_ts_ms: Option<i64>,
    ended_ts_ms: Option<i64>,
    complete: bool,
    incomplete: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Target {
    #[serde(rename = "target")]
    name: String,
    revision: Option<i64>,
    behind: Option<i64>,
    sync_state: SyncState,
    paused: Option<String>,
}

pub(crate) fn page(view: &View<'_>, asked: &Asked) -> Result<Answer, Refusal> {
    let organizations = view.organizations()?;
    let organizations_json: Vec<OrganizationJson> = asked.sources.now(|present| {
        organizations.iter().map(|it| organization_json(it, present.organization(&it.id), asked)).collect()
    });
    match asked.format {
        Format::Json => json(&organizations_json),
        Format::Csv => {
            Ok(Answer::Csv { name: "organizations.csv".to_owned(), text: csv(&organizations_json) })
        }
        Format::Html => {
            let now_ms = (asked.sources.now_ms)();
            let rows = asked.sources.now(|present| {
                let rows = organizations.iter().zip(&organizations_json).take(MOST);
                rows.map(|(it, shown)| row(it, shown, present.organization(&it.id), now_ms)).collect()
            });
            let chrome = Chrome::new(
                "Organizations",
                PageName::Organizations,
                None,
                0,
                asked.sources.progress.notices(),
            );
            html(&OrganizationsPage { chrome, rows, more: organizations.len().saturating_sub(MOST) })
        }
    }
}

fn organization_json(organization: &Organization, now: &Now, asked: &Asked) -> OrganizationJson {
    let next = next(organization, now, &asked.sources.configured);
    let next_poll_ts_ms = match next {
        Next::At(ts_ms) => Some(ts_ms),
        Next::NotConfigured | Next::ByHand | Next::Unknown => None,
    };
    let poll = now.poll.clone().unwrap_or_default();
    OrganizationJson {
        id: organization.id.clone(),
        name: organization.name.clone(),
        revision: organization.newest_revision,
        changed_ts_ms: organization.newest_ts_ms,
        element_count: now.poll.as_ref().map(|poll| poll.element_count),
        poll: now.poll.as_ref().map(|poll| Poll {
            started_ts_ms: poll.started_ts_ms,
            ended_ts_ms: poll.ended_ts_ms,
            complete: poll.complete,
            incomplete: poll.incomplete.clone(),
        }),
        next,
        next_poll_ts_ms,
        coverage: now.coverage().collect(),
        proposed_holds: now
            .holds
            .values()
            .filter(|hold| hold.state == schemas::coverage::HoldState::Proposed)
            .count(),
        jupiterone: now
            .syncs
            .iter()
            .map(|(target, sync)| Target {
                name: target.clone(),
                revision: sync.finished.as_ref().map(|finished| finished.revision),
                behind: sync.finished.as_ref().map(|_| behind(Some(sync), &poll)),
                sync_state: SyncState::of(Some(sync), &poll),
                paused: sync.paused.clone(),
            })
            .collect(),
        dead_letters: now.dead_letters,
    }
}

fn next(organization: &Organization, now: &Now, configured: &[config::Organization]) -> Next {
    let Some(found) = config::Organization::find(configured, &organization.id, &organization.name) else {
        return Next::NotConfigured;
    };
    match found.polling_interval {
        PollingInterval::Disabled => Next::ByHand,
        PollingInterval::Every(interval) => {
            let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
            let started_ts_ms = now.poll.as_ref().and_then(|poll| poll.started_ts_ms);
            started_ts_ms.map_or(Next::Unknown, |ts_ms| Next::At(ts_ms.saturating_add(interval_ms)))
        }
    }
}

fn next_poll(next: Next, now_ms: i64) -> String {
    match next {
        Next::NotConfigured => "not in this configuration".to_owned(),
        Next::ByHand => "next by `producer poll`".to_owned(),
        Next::Unknown => String::new(),
        Next::At(ts_ms) if ts_ms >= now_ms => format!("next {}", display::until(ts_ms, now_ms)),
        Next::At(ts_ms) => format!("next due {}", display::ago(ts_ms, now_ms)),
    }
}

fn row(organization: &Organization, shown: &OrganizationJson, now: &Now, now_ms: i64) -> Row {
    let address = |path| Address::new(path).with("organization", &organization.id).to_string();
    let (poll, poll_state) = poll(shown, now_ms);
    Row {
        name: display::name(&organization.name),
        id: display::name(&organization.id),
        access: address("/access"),
        changes: address("/changes"),
        holds_page: address("/holds"),
        jupiterone_page: address("/jupiterone"),
        revision: display::grouped(organization.newest_revision),
        changed: display::ago(organization.newest_ts_ms, now_ms),
        elements: shown.element_count.map_or_else(|| "not known".to_owned(), display::grouped),
        poll,
        poll_state,
        next_poll: next_poll(shown.next, now_ms),
        collections: now.families().into_iter().map(|family| fresh(family, now, now_ms)).collect(),
        holds: shown.proposed_holds,
        jupiterone: shown.jupiterone.iter().map(target).collect(),
        dead_letters: shown.dead_letters,
    }
}

fn poll(shown: &OrganizationJson, now_ms: i64) -> (String, &'static str) {
    match &shown.poll {
        None => ("none that is known".to_owned(), "unknown"),
        Some(poll) => match poll.ended_ts_ms.or(poll.started_ts_ms) {
            Some(ts_ms) if poll.complete => (display::ago(ts_ms, now_ms), "good"),
            Some(ts_ms) => (format!("{}, incomplete", display::ago(ts_ms, now_ms)), "bad"),
            None => ("none that is known".to_owned(), "unknown"),
        },
    }
}

/// Of the members of several workspaces, the worst.
fn fresh(family: &str, now: &Now, now_ms: i64) -> Fresh {
    let of_family = now.coverage.values().filter(|it| it.collection.split('/').next() == Some(family));
    let (mut oldest, mut failing, mut count) = (Some(i64::MAX), Vec::new(), 0_usize);
    for coverage in of_family {
        count += 1;
        oldest = oldest.min(coverage.whole.as_ref().map(|whole| whole.ended_ts_ms));
        if coverage.not_whole_since_ts_ms.is_some() {
            let reason = coverage.latest.as_ref().and_then(|latest| latest.reason.clone());
            failing.push((coverage.collection.clone(), reason));
        }
    }
    let name = match (family, count) {
        ("api_keys", _) => "API keys".to_owned(),
        ("members", 0..=1) => "members".to_owned(),
        ("members", count) => format!("members of {} workspaces", display::count_of(count)),
        (family, _) => family.replace('_', " "),
    };
    let age = oldest
        .filter(|it| *it != i64::MAX)
        .map_or_else(|| "never whole".to_owned(), |ts| display::ago(ts, now_ms));
    match failing.as_slice() {
        [] => Fresh { name, text: age, state: if oldest.is_some() { "good" } else { "unknown" } },
        [(collection, reason), rest @ ..] => {
            let reason = reason.as_deref().map(|reason| format!(": {}", display::fitted(reason, 160)));
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            let which =
                if family == "members" { format!(" ({}{more})", display::name(collection)) } else { more };
            let text = format!("not whole{which}{}; whole {age}", reason.unwrap_or_default());
            Fresh { name, text, state: "bad" }
        }
    }
}

fn target(target: &Target) -> (String, &'static str) {
    let label = target.sync_state.label(target.behind.unwrap_or_default());
    match target.sync_state {
        SyncState::Paused => {
            let reason = target.paused.as_deref().unwrap_or_default();
            (format!("{label}: {}", display::fitted(reason, 120)), "bad")
        }
        SyncState::Never => (label, "unknown"),
        SyncState::InSync => (label, "good"),
        SyncState::Behind | SyncState::Incomplete => (label, "waiting"),
        SyncState::OtherGraph => (label, "bad"),
    }
}

fn csv(shown: &[OrganizationJson]) -> String {
    let mut lines = vec![
        "organization_id,organization_name,revision,changed_ts_ms,element_count,poll_ended_ts_ms,poll_complete,\
         proposed_holds,jupiterone_behind,next_poll_ts_ms,dead_letters"
            .to_owned(),
    ];
    for it in shown {
        let behind = it.jupiterone.iter().filter_map(|target| target.behind).max();
        let number = |number: Option<i64>| number.map(|it| it.to_string()).unwrap_or_default();
        let values = [
            it.id.clone(),
            it.name.clone(),
            it.revision.to_string(),
            it.changed_ts_ms.to_string(),
            number(it.element_count),
            number(it.poll.as_ref().and_then(|poll| poll.ended_ts_ms)),
            it.poll.as_ref().map(|poll| poll.complete.to_string()).unwrap_or_default(),
            it.proposed_holds.to_string(),
            number(behind),
            number(it.next_poll_ts_ms),
            it.dead_letters.to_string(),
        ];
        lines.push(values.map(|value| graph::access::csv::value(&value)).join(","));
    }
    lines.join("\r\n") + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::{Next, next_poll};

    #[test]
    fn the_next_poll_is_shown_in_words() {
        for (next, shown) in [
            (Next::NotConfigured, "not in this configuration"),
            (Next::ByHand, "next by `producer poll`"),
            (Next::Unknown, ""),
            (Next::At(1_000_000), "next in less than a minute"),
            (Next::At(1_900_000), "next in 15 min"),
            (Next::At(0), "next due 16 min ago"),
        ] {
            assert_eq!(next_poll(next, 1_000_000), shown, "{next:?}");
        }
    }
}
