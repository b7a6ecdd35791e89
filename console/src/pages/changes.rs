//! What changed, newest first, and as it happens.

use askama::Template;
use graph::access::Moment;
use schemas::{
    change::{Op, Reason},
    element::{Content, Element, ElementType, UserAssignedWorkspace},
};
use serde::Serialize;
use serde_json::Value;

use super::{Answer, Asked, ROWS, html, json};
use crate::{
    address::Address,
    chrome::{Chrome, PageName},
    display,
    query::{Format, Parameters, Scope, text},
    refusal::Refusal,
    store::{
        NamedType, View,
        changes::{Change, Filter, Place},
    },
};

/// Changes of an answer in JSON or CSV (count).
const MOST_EXPORTED: usize = 1_000;
/// Differences of one change on a page (count); JSON has them all.
const MOST_DIFFERENCES: usize = 8;

const OPS: [Op; 5] = [Op::Create, Op::Update, Op::Delete, Op::Read, Op::Notice];

#[derive(Template)]
#[template(path = "changes.html")]
struct ChangesPage {
    chrome: Chrome,
    heading: String,
    filters: Vec<Select>,
    hidden: Vec<(&'static str, String)>,
    active: Vec<Active>,
    rows: Vec<Row>,
    live: Option<String>,
    newest: String,
    older: Option<String>,
    json: String,
    csv: String,
}

#[derive(Template)]
#[template(path = "change.html")]
struct RowOnly {
    row: Row,
}

struct Select {
    name: &'static str,
    label: &'static str,
    options: Vec<(String, String, bool)>,
}

/// A filter that is not in the form, with the address that takes it away.
struct Active {
    text: String,
    remove: String,
}

struct Row {
    time: String,
    iso: String,
    revision: String,
    verb: &'static str,
    op: &'static str,
    kind: String,
    subject: Vec<Part>,
    differences: Vec<(String, String, String)>,
    more: usize,
    reason: Option<String>,
    window: String,
    listing: Option<(String, String)>,
    decision: Option<String>,
    offset: String,
}

/// A piece of a sentence, which may be a link.
struct Part {
    text: String,
    href: Option<String>,
}

/// A change in JSON.
#[derive(Serialize)]
struct ChangeJson<'a> {
    revision: i64,
    ts_ms: i64,
    op: &'a str,
    reason: Option<&'a str>,
    element_key: &'a str,
    element_type: Option<&'a str>,
    display_name: Option<&'a str>,
    from_key: Option<&'a str>,
    to_key: Option<&'a str>,
    changed: Vec<Difference<'a>>,
    collection: &'a str,
    listing_id: Option<&'a str>,
    decision_by: Option<&'a str>,
    not_before_ts_ms: Option<i64>,
    not_after_ts_ms: Option<i64>,
    partition: i32,
    offset: i64,
}

#[derive(Serialize)]
struct Difference<'a> {
    name: &'a str,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

pub(crate) fn page(view: &View<'_>, asked: &Asked) -> Result<Answer, Refusal> {
    let parameters = &asked.parameters;
    let scope = parameters.scope(view, (asked.sources.now_ms)())?;
    let mut filter = filter(view, parameters, &scope)?;
    let most = if asked.format == Format::Html { ROWS } else { MOST_EXPORTED };
    let mut changes = view.changes(&scope.organization, &filter, most + 1)?;
    let has_more = changes.len() > most;
    changes.truncate(most);
    let address = address(parameters, &scope);
    match asked.format {
        Format::Json => json(&changes.iter().map(change_json).collect::<Vec<_>>()),
        Format::Csv => Ok(Answer::Csv {
            name: format!("changes-{}.csv", scope.organization.newest_revision),
            text: csv(&changes),
        }),
        Format::Html => {
            let older = changes.last().filter(|_| has_more).map(|last| last.place);
            let newest = changes.first().map(|first| first.place);
            let is_live = scope.moment == Moment::Now && filter.before.is_none();
            // Where nothing matches yet, all that comes is newer.
            filter.after = newest.or(Some(Place { revision: 0, offset: -1 }));
            let live = is_live.then(|| {
                let path = Address::new("/changes/events");
                let path =
                    address.parameters().into_iter().fold(path, |path, (name, value)| path.with(name, value));
                path.with_some("after", filter.after).to_string()
            });
            let holds = asked.sources.proposed(&scope.organization.id);
            let notices = asked.sources.progress.notices();
            html(&ChangesPage {
                chrome: Chrome::new("Changes", PageName::Changes, Some(&scope), holds, notices),
                heading: heading(view, parameters, &scope)?,
                filters: selects(parameters),
                hidden: hidden(parameters, &scope),
                active: active(parameters, &address),
                rows: changes.iter().map(|change| row(change, &scope, &address)).collect(),
                newest: address.clone().without("before").without("at").to_string(),
                older: older.map(|place| address.clone().with("before", place).to_string()),
                json: address.clone().with("format", "json").to_string(),
                csv: address.clone().with("format", "csv").to_string(),
                live,
            })
        }
    }
}

/// The changes after a place, oldest first, each with its place and its HTML, and the newest place.
pub(crate) fn live(
    view: &View<'_>,
    parameters: &Parameters,
    after: Option<Place>,
    now_ms: i64,
) -> Result<Vec<(Place, String)>, Refusal> {
    let scope = parameters.scope(view, now_ms)?;
    let mut filter = filter(view, parameters, &scope)?;
    filter.until = None;
    filter.before = None;
    filter.after = after.or(filter.after).or(Some(Place { revision: 0, offset: -1 }));
    let address = address(parameters, &scope);
    let changes = view.changes(&scope.organization, &filter, ROWS)?;
    let rendered = changes.iter().map(|change| {
        let row = RowOnly { row: row(change, &scope, &address) };
        let html = row.render().map_err(|error| Refusal::failed(&error))?;
        Ok((change.place, html))
    });
    rendered.collect()
}

fn filter(view: &View<'_>, parameters: &Parameters, scope: &Scope) -> Result<Filter, Refusal> {
    let place = |name: &str, parameter: &Option<String>| {
        let parse = |text: &str| {
            text.parse::<Place>().map_err(|()| {
                Refusal::bad(format!("{name}: write a revision and an offset, such as 169-1234"))
            })
        };
        text(parameter.as_ref()).map(parse).transpose()
    };
    let kind = text(parameters.kind.as_ref()).map(|name| {
        let full = format!("anthropic_{name}");
        ElementType::parse(&full)
            .ok_or_else(|| Refusal::bad(format!("type: {name:?} is not a type of the graph")))
    });
    let question = parameters.question(view, scope).map_err(|refusal| match refusal {
        Refusal::Search(name) => Refusal::bad(format!("{name:?} has no match or several; give the ID")),
        other => other,
    })?;
    let named = [
        question.workspace.map(|id| ElementType::Workspace.entity_key(&id)),
        question.user.map(|id| ElementType::User.entity_key(&id)),
        question.api_key.map(|id| ElementType::ApiKey.entity_key(&id)),
    ];
    let until = match scope.moment {
        Moment::Now => None,
        Moment::Revision(revision) => Some(revision),
        Moment::Time(_) => {
            // A question that nothing answers loads nothing.
            let nothing = graph::access::Question { api_key: Some(String::new()), ..Default::default() };
            Some(view.snapshot(&scope.organization, &nothing, scope.moment)?.revision)
        }
    };
    Ok(Filter {
        op: text(parameters.op.as_ref()).map(str::to_owned),
        kind: kind.transpose()?,
        reason: text(parameters.reason.as_ref()).map(str::to_owned),
        listing: text(parameters.listing.as_ref()).map(str::to_owned),
        decided: text(parameters.decided.as_ref()).is_some(),
        element: named.into_iter().flatten().next(),
        until,
        before: place("before", &parameters.before)?,
        after: place("after", &parameters.after)?,
    })
}

/// The same page, without its place in the list.
fn address(parameters: &Parameters, scope: &Scope) -> Address {
    scope
        .address("/changes")
        .with_some("workspace", text(parameters.workspace.as_ref()))
        .with_some("user", text(parameters.user.as_ref()))
        .with_some("api_key", text(parameters.api_key.as_ref()))
        .with_some("type", text(parameters.kind.as_ref()))
        .with_some("op", text(parameters.op.as_ref()))
        .with_some("reason", text(parameters.reason.as_ref()))
        .with_some("listing", text(parameters.listing.as_ref()))
        .with_some("decided", text(parameters.decided.as_ref()))
}

fn heading(view: &View<'_>, parameters: &Parameters, scope: &Scope) -> Result<String, Refusal> {
    let all = [
        (NamedType::Workspace, &parameters.workspace),
        (NamedType::User, &parameters.user),
        (NamedType::ApiKey, &parameters.api_key),
    ];
    for (kind, parameter) in all {
        if let Some(id) = text(parameter.as_ref()) {
            let found = view.find(&scope.organization, kind, id, scope.moment)?;
            return Ok(format!(" about {}", display::name(found.as_ref().map_or(id, |named| &named.name))));
        }
    }
    Ok(match scope.moment {
        Moment::Now => String::new(),
        Moment::Revision(revision) => format!(" up to revision {}", display::grouped(revision)),
        Moment::Time(ts_ms) => format!(" up to {}", display::time(ts_ms)),
    })
}

fn selects(parameters: &Parameters) -> Vec<Select> {
    let select = |name, label, current: Option<&str>, options: Vec<(String, String)>| Select {
        name,
        label,
        options: std::iter::once((String::new(), "any".to_owned()))
            .chain(options)
            .map(|(value, text)| {
                let is_selected = current.unwrap_or_default() == value;
                (value, text, is_selected)
            })
            .collect(),
    };
    let types = ElementType::ALL.into_iter().map(|kind| (short(kind).to_owned(), kind_words(kind)));
    vec![
        select("type", "Type", text(parameters.kind.as_ref()), types.collect()),
        select(
            "op",
            "Change",
            text(parameters.op.as_ref()),
            OPS.iter().map(|op| (op.to_string(), verb(op).to_owned())).collect(),
        ),
        select(
            "reason",
            "Reason",
            text(parameters.reason.as_ref()),
            Reason::ALL.iter().map(|reason| (reason.to_string(), words(reason))).collect(),
        ),
    ]
}

fn hidden(parameters: &Parameters, scope: &Scope) -> Vec<(&'static str, String)> {
    let address = address(parameters, scope);
    address.without("type").without("op").without("reason").parameters()
}

fn active(parameters: &Parameters, address: &Address) -> Vec<Active> {
    let all = [
        ("workspace", "workspace", &parameters.workspace),
        ("user", "person", &parameters.user),
        ("api_key", "API key", &parameters.api_key),
        ("listing", "listing", &parameters.listing),
    ];
    let mut active: Vec<Active> = all
        .into_iter()
        .filter_map(|(name, label, value)| {
            let value = text(value.as_ref())?;
            let remove = address.clone().without(name).to_string();
            Some(Active { text: format!("{label} {}", display::name(value)), remove })
        })
        .collect();
    if text(parameters.decided.as_ref()).is_some() {
        active.push(Active {
            text: "decided by a person".to_owned(),
            remove: address.clone().without("decided").to_string(),
        });
    }
    active
}

fn short(kind: ElementType) -> &'static str {
    kind.name().strip_prefix("anthropic_").unwrap_or(kind.name())
}

fn kind_words(kind: ElementType) -> String {
    match kind {
        ElementType::Account => "organization",
        ElementType::User => "person",
        ElementType::Workspace => "workspace",
        ElementType::ApiKey => "API key",
        ElementType::AccountHasUser => "person of the organization",
        ElementType::AccountHasWorkspace => "workspace of the organization",
        ElementType::UserAssignedWorkspace => "membership",
        ElementType::UserCreatedApiKey => "creator of a key",
        ElementType::WorkspaceHasApiKey => "key of a workspace",
    }
    .to_owned()
}

fn row(change: &Change, scope: &Scope, address: &Address) -> Row {
    let shown_differences = change.differences.iter().take(MOST_DIFFERENCES).map(|(name, before, after)| {
        (
            display::fitted(name, 40),
            display::value(name, before.as_ref()),
            display::value(name, after.as_ref()),
        )
    });
    let page = address.clone().without("before").without("listing").without("decided");
    Row {
        time: display::time(change.ts_ms),
        iso: display::iso(change.ts_ms),
        revision: display::grouped(change.revision),
        verb: verb(&change.op),
        op: letter(&change.op),
        kind: change.kind.map_or_else(String::new, kind_words),
        subject: subject(change, scope),
        differences: shown_differences.collect(),
        more: change.differences.len().saturating_sub(MOST_DIFFERENCES),
        reason: change.reason.as_ref().map(explained),
        window: window(change),
        listing: change.listing.as_ref().map(|listing| {
            (display::fitted(&change.collection, 40), page.with("listing", listing).to_string())
        }),
        decision: change.decision_by.as_deref().map(display::name),
        offset: format!("partition {}, offset {}", change.partition, change.place.offset),
    }
}

/// Between which times the change happened.
fn window(change: &Change) -> String {
    match change.not_before_ts_ms {
        Some(ts_ms) => format!("happened after {}", display::time(ts_ms)),
        None => "happened at an unknown earlier time".to_owned(),
    }
}

fn explained(reason: &Reason) -> String {
    match reason {
        Reason::Absent => "no longer in a whole listing",
        Reason::EndDeleted => "an end of it was deleted",
        Reason::EndAppeared => "its missing end is there now",
        Reason::Approved => "a person approved the deletion",
        Reason::Forgotten => "a person had the organization forgotten",
        Reason::Held => "its deletion waits for a decision",
        other @ Reason::Other { .. } => return display::fitted(&words(other), 60),
    }
    .to_owned()
}

fn words(reason: &Reason) -> String {
    reason.as_str().replace('_', " ")
}

fn verb(op: &Op) -> &'static str {
    match op {
        Op::Create => "created",
        Op::Update => "updated",
        Op::Delete => "deleted",
        Op::Read => "first seen",
        Op::Notice => "notice",
        Op::Other { .. } => "changed",
    }
}

/// Of the style: what a newer version wrote looks like a notice.
fn letter(op: &Op) -> &'static str {
    match op {
        Op::Create => "c",
        Op::Update => "u",
        Op::Delete => "d",
        Op::Read => "r",
        Op::Notice | Op::Other { .. } => "m",
    }
}

/// What changed, by the names of things.
fn subject(change: &Change, scope: &Scope) -> Vec<Part> {
    let part = |key: &str| {
        let id = key.split_once(':').map_or(key, |(_, id)| id);
        match change.names.get(key) {
            Some(named) => Part {
                text: display::name(&named.name),
                href: Some(link(scope, change, named.kind, &named.id)),
            },
            None => Part { text: display::name(id), href: None },
        }
    };
    let plain = |text: String| Part { text, href: None };
    let Some(element) = &change.element else { return vec![part(&change.element_key)] };
    let mut ends = element.ends();
    let (Some(from), Some(to)) = (ends.next(), ends.next()) else {
        let mut name = part(&change.element_key);
        if name.href.is_none() {
            name.text = display::name(&element.display_name);
        }
        return vec![name];
    };
    let mut parts = vec![part(from), plain(" → ".to_owned()), part(to)];
    if from.starts_with("anthropic_account:") {
        "organization".clone_into(&mut parts[0].text);
    }
    if let Content::UserAssignedWorkspace(_, UserAssignedWorkspace { role: Some(role) }) = &element.content {
        parts.push(plain(format!(" as {}", display::role(Some(role)))));
    }
    parts
}

/// The thing's page, at the moment of the change.
fn link(scope: &Scope, change: &Change, kind: NamedType, id: &str) -> String {
    let address = scope.address("/access").with(kind.parameter(), id);
    address.with("at", change.revision).to_string()
}

fn change_json(change: &Change) -> ChangeJson<'_> {
    let element: Option<&Element> = change.element.as_ref();
    let [from_key, to_key] = element.map_or([None; 2], |element| element.content.ends());
    ChangeJson {
        revision: change.revision,
        ts_ms: change.ts_ms,
        op: change.op.as_str(),
        reason: change.reason.as_ref().map(Reason::as_str),
        element_key: &change.element_key,
        element_type: change.kind.map(ElementType::name),
        display_name: element.map(|element| element.display_name.as_str()),
        from_key,
        to_key,
        changed: change
            .differences
            .iter()
            .map(|(name, before, after)| Difference { name, before: before.as_ref(), after: after.as_ref() })
            .collect(),
        collection: &change.collection,
        listing_id: change.listing.as_deref(),
        decision_by: change.decision_by.as_deref(),
        not_before_ts_ms: change.not_before_ts_ms,
        not_after_ts_ms: change.not_after_ts_ms,
        partition: change.partition,
        offset: change.place.offset,
    }
}

fn csv(changes: &[Change]) -> String {
    let header = [
        "revision",
        "ts_ms",
        "op",
        "reason",
        "element_type",
        "element_key",
        "display_name",
        "changed",
        "collection",
        "listing_id",
        "decision_by",
        "not_before_ts_ms",
        "not_after_ts_ms",
        "partition",
        "offset",
    ];
    let mut lines = vec![header.join(",")];
    for change in changes {
        let it = change_json(change);
        let number = |number: Option<i64>| number.map(|it| it.to_string()).unwrap_or_default();
        let names: Vec<&str> = it.changed.iter().map(|difference| difference.name).collect();
        let values = [
            it.revision.to_string(),
            it.ts_ms.to_string(),
            it.op.to_owned(),
            it.reason.unwrap_or_default().to_owned(),
            it.element_type.unwrap_or_default().to_owned(),
            it.element_key.to_owned(),
            it.display_name.unwrap_or_default().to_owned(),
            names.join(" "),
            it.collection.to_owned(),
            it.listing_id.unwrap_or_default().to_owned(),
            it.decision_by.unwrap_or_default().to_owned(),
            number(it.not_before_ts_ms),
            number(it.not_after_ts_ms),
            it.partition.to_string(),
            it.offset.to_string(),
        ];
        let values = values.iter().map(|value| graph::access::csv::value(value));
        lines.push(values.collect::<Vec<_>>().join(","));
    }
    lines.join("\r\n") + "\r\n"
}
