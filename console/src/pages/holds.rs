//! The deletions that wait for a decision, and the commands that decide.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use graph::access::Moment;
use schemas::{
    coverage::{Hold, HoldState},
    element::ElementType,
};
use serde::Serialize;
use service::shell::{BY, word};

use super::{Answer, Asked, html, json};
use crate::{
    chrome::{Chrome, PageName},
    current_state::Now,
    display,
    query::{Format, Scope, text},
    refusal::Refusal,
    store::{Named, NamedType, Relationship, View},
};

/// Elements of a group that a page names (count); JSON has them all.
const MOST: usize = 40;
/// Groups of a page (count).
const MOST_GROUPS: usize = 20;

#[derive(Template)]
#[template(path = "holds.html")]
struct HoldsPage {
    chrome: Chrome,
    groups: Vec<Group>,
    more: usize,
    wrote: Option<i64>,
    json: String,
    csv: String,
}

/// The holds of one collection.
struct Group {
    collection: String,
    count: String,
    since: String,
    why: Option<String>,
    rows: Vec<Row>,
    more: usize,
    /// The relationships that an approval deletes as well.
    also: Option<String>,
    /// Nothing to decide: all of them were rejected.
    commands: Option<(String, String)>,
    /// What the form sends, where who asks may decide.
    form: Option<Form>,
}

struct Form {
    organization: String,
    collection: String,
    listing: String,
}

struct Row {
    name: String,
    kind: String,
    href: Option<String>,
    state: &'static str,
    since: String,
    listing: String,
}

#[derive(Serialize)]
struct HoldJson<'a> {
    element_key: &'a str,
    collection: &'a str,
    state: &'a str,
    proposed_ts_ms: i64,
    listing_id: &'a str,
    raw_offset: i64,
    /// How many relationships are deleted with the element, by type.
    relationships: BTreeMap<&'static str, usize>,
}

pub(crate) fn page(view: &View<'_>, asked: &Asked) -> Result<Answer, Refusal> {
    let mut scope = asked.parameters.scope(view, (asked.sources.now_ms)())?;
    // Decisions are about now.
    scope.moment = Moment::Now;
    let now = asked.sources.now(|present| present.organization(&scope.organization.id).clone());
    match asked.format {
        Format::Json => json(&holds_json(view, &scope, &now)?),
        Format::Csv => {
            Ok(Answer::Csv { name: "holds.csv".to_owned(), text: csv(&holds_json(view, &scope, &now)?) })
        }
        Format::Html => {
            let mut by_collection: BTreeMap<&str, Vec<&Hold>> = BTreeMap::new();
            let (relationships, entities): (Vec<_>, Vec<_>) =
                now.holds.values().partition(|hold| hold.element_key.contains('|'));
            for hold in entities.into_iter().chain(relationships) {
                by_collection.entry(&hold.collection).or_default().push(hold);
            }
            let more = by_collection.len().saturating_sub(MOST_GROUPS);
            let groups = by_collection.into_iter().take(MOST_GROUPS);
            let groups = groups
                .map(|(collection, holds)| group(view, &scope, &now, collection, &holds, asked.may_decide))
                .collect::<Result<Vec<_>, _>>()?;
            let proposed = asked.sources.proposed(&scope.organization.id);
            let notices = asked.sources.progress.notices();
            html(&HoldsPage {
                chrome: Chrome::new("Holds", PageName::Holds, Some(&scope), proposed, notices),
                groups,
                more,
                wrote: text(asked.parameters.wrote.as_ref()).and_then(|offset| offset.parse().ok()),
                json: scope.address("/holds").with("format", "json").to_string(),
                csv: scope.address("/holds").with("format", "csv").to_string(),
            })
        }
    }
}

fn group(
    view: &View<'_>,
    scope: &Scope,
    now: &Now,
    collection: &str,
    holds: &[&Hold],
    may_decide: bool,
) -> Result<Group, Refusal> {
    let oldest = holds.iter().map(|hold| hold.proposed_ts_ms).min().unwrap_or_default();
    let reason = now.coverage.get(collection).and_then(|coverage| coverage.latest.as_ref()?.reason.clone());
    // The reason ends with a command that this page takes the place of.
    let why = reason.map(|reason| reason.split("; `").next().unwrap_or_default().to_owned());
    let proposed: Vec<&&Hold> = holds.iter().filter(|hold| hold.state == HoldState::Proposed).collect();
    let keys: Vec<&str> = proposed.iter().map(|hold| hold.element_key.as_str()).collect();
    let also = also(&view.relationships(&scope.organization, &keys)?, &keys);
    let newest = proposed.into_iter().max_by_key(|hold| hold.raw_offset);
    let rows = holds.iter().take(MOST).map(|hold| row(view, scope, hold)).collect::<Result<Vec<_>, _>>()?;
    Ok(Group {
        collection: display::name(collection),
        count: display::count(holds.len(), "deletion"),
        since: display::time(oldest),
        why: why.map(|why| display::fitted(&why, 400)),
        rows,
        more: holds.len().saturating_sub(MOST),
        also,
        commands: newest.map(|hold| (command("approve", hold), command("reject", hold))),
        form: newest.filter(|_| may_decide).map(|hold| Form {
            organization: hold.organization_id.clone(),
            collection: hold.collection.clone(),
            listing: hold.listing_id.clone(),
        }),
    })
}

fn row(view: &View<'_>, scope: &Scope, hold: &Hold) -> Result<Row, Refusal> {
    let key = &hold.element_key;
    let (name, kind, named) = if let [from, class, to] = key.split('|').collect::<Vec<_>>()[..] {
        let ends = [find(view, scope, from)?, find(view, scope, to)?];
        let [from, to] =
            [(from, &ends[0]), (to, &ends[1])].map(|(key, end)| end_name(scope, key, end.as_ref()));
        let named = ends.into_iter().flatten().next();
        (format!("{from} {class} {to}"), "relationship".to_owned(), named)
    } else {
        let named = find(view, scope, key)?;
        let kind = key.split(':').next().and_then(ElementType::parse).map(type_name);
        let name = named.as_ref().map_or(key, |named| &named.name);
        (display::name(name), kind.unwrap_or_default(), named)
    };
    Ok(Row {
        name,
        kind,
        href: named.map(|named| scope.address("/access").with(named.kind.parameter(), &named.id).to_string()),
        state: if hold.state == HoldState::Rejected { "kept" } else { "to decide" },
        since: display::time(hold.proposed_ts_ms),
        listing: scope.address("/changes").with("listing", &hold.listing_id).to_string(),
    })
}

/// The workspace, person or API key with that element key, if the store has it.
fn find(view: &View<'_>, scope: &Scope, key: &str) -> Result<Option<Named>, Refusal> {
    let kinds = [NamedType::Workspace, NamedType::User, NamedType::ApiKey];
    let found = kinds.into_iter().find_map(|kind| {
        let id = key.strip_prefix(kind.element_type().name())?.strip_prefix(':')?;
        Some((kind, id))
    });
    match found {
        Some((kind, id)) => Ok(view.find(&scope.organization, kind, id, Moment::Now)?),
        None => Ok(None),
    }
}

/// An end of a relationship: its name, or its key if the store does not have it.
fn end_name(scope: &Scope, key: &str, named: Option<&Named>) -> String {
    let is_account = key.split(':').next() == Some(ElementType::Account.name());
    let account = is_account.then_some(scope.organization.name.as_str());
    display::name(named.map(|named| named.name.as_str()).or(account).unwrap_or(key))
}

/// The command that decides about a collection, as a shell takes it.
fn command(kind: &str, hold: &Hold) -> String {
    format!(
        "anthropic-graph holds {kind} --organization-id {} --collection {} --listing {} {BY}",
        word(&hold.organization_id),
        word(&hold.collection),
        word(&hold.listing_id),
    )
}

/// What an approval of these elements deletes as well; `None`: nothing.
fn also(relationships: &[Relationship], keys: &[&str]) -> Option<String> {
    let held: BTreeSet<&str> = keys.iter().copied().collect();
    let others: BTreeMap<&str, ElementType> = relationships
        .iter()
        .filter(|it| !held.contains(it.key.as_str()))
        .map(|it| (it.key.as_str(), it.kind))
        .collect();
    let mut counts: BTreeMap<ElementType, usize> = BTreeMap::new();
    for kind in others.values() {
        *counts.entry(*kind).or_default() += 1;
    }
    let listed: Vec<String> = counts
        .into_iter()
        .map(|(kind, count)| format!("{} {}", display::count_of(count), type_name(kind)))
        .collect();
    (!listed.is_empty())
        .then(|| format!("{}: {}", display::count(others.len(), "relationship"), listed.join(", ")))
}

/// A type in words.
fn type_name(kind: ElementType) -> String {
    kind.name().trim_start_matches("anthropic_").replace("api_key", "API key").replace('_', " ")
}

fn holds_json<'a>(view: &View<'_>, scope: &Scope, now: &'a Now) -> Result<Vec<HoldJson<'a>>, Refusal> {
    let keys: Vec<&str> = now.holds.keys().map(String::as_str).collect();
    let mut relationships: BTreeMap<String, BTreeMap<&'static str, usize>> = BTreeMap::new();
    for Relationship { end, kind, .. } in view.relationships(&scope.organization, &keys)? {
        *relationships.entry(end).or_default().entry(kind.name()).or_default() += 1;
    }
    let holds = now.holds.values().map(|hold| HoldJson {
        element_key: &hold.element_key,
        collection: &hold.collection,
        state: hold.state.as_str(),
        proposed_ts_ms: hold.proposed_ts_ms,
        listing_id: &hold.listing_id,
        raw_offset: hold.raw_offset,
        relationships: relationships.remove(&hold.element_key).unwrap_or_default(),
    });
    Ok(holds.collect())
}

fn csv(holds: &[HoldJson<'_>]) -> String {
    let header = "collection,element_key,state,proposed_ts_ms,listing_id,raw_offset,relationships";
    let mut lines = vec![header.to_owned()];
    for hold in holds {
        let values = [
            hold.collection.to_owned(),
            hold.element_key.to_owned(),
            hold.state.to_owned(),
            hold.proposed_ts_ms.to_string(),
            hold.listing_id.to_owned(),
            hold.raw_offset.to_string(),
            hold.relationships.values().sum::<usize>().to_string(),
        ];
        lines.push(values.map(|value| graph::access::csv::value(&value)).join(","));
    }
    lines.join("\r\n") + "\r\n"
}
