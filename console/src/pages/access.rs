//! Who can reach which workspace with which key, at a moment.

use std::collections::BTreeMap;

use askama::Template;
use graph::access::{
    Moment, Question, Snapshot, access,
    answer::{self, AsOf, Coverage},
    certainty, csv,
};
use schemas::collection::Collection;

use super::{Answer, Asked, ROWS, html, json};
use crate::{
    address::Address,
    calendar::{self, Calendar},
    chrome::{Chrome, PageName},
    diagram::{self, Diagram},
    display,
    query::{Format, Scope, text},
    refusal::Refusal,
    store::{Named, NamedType, Timeline, View},
};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// Workspaces that a row names (count).
const NAMED: usize = 6;
/// Matches that a search shows (count).
const MATCHES: usize = 50;
/// These mark elements whose deletion waits, or that a later change may have changed.
const TYPES: [NamedType; 3] = [NamedType::Workspace, NamedType::User, NamedType::ApiKey];

/// The page about one workspace, person or key.
#[derive(Template)]
#[template(path = "access.html")]
struct AnswerPage {
    chrome: Chrome,
    moment: MomentBar,
    /// As a parameter names it.
    center: &'static str,
    heading: &'static str,
    name: String,
    facts: Vec<String>,
    certainty: Vec<String>,
    diagram: Diagram,
    people: Table,
    keys: Table,
    forms: Forms,
}

/// The page without a center: search, and all workspaces.
#[derive(Template)]
#[template(path = "access_start.html")]
struct StartPage {
    chrome: Chrome,
    moment: MomentBar,
    searched: Option<String>,
    hits: Vec<Hit>,
    workspaces: Vec<Hit>,
    total: String,
    pager: Pager,
    forms: Forms,
}

/// Search, and the other forms of the answer.
struct Forms {
    q: String,
    hidden: Vec<(&'static str, String)>,
    json: String,
    csv: String,
}

/// The moment, and how to go to another one.
struct MomentBar {
    at: String,
    is_now: bool,
    revision: i64,
    first: i64,
    newest: i64,
    now: String,
    earlier: Option<String>,
    later: Option<String>,
    hidden: Vec<(&'static str, String)>,
    calendar: Calendar,
    valid: Vec<String>,
}

struct Table {
    rows: Vec<Row>,
    total: usize,
    pager: Pager,
}

struct Pager {
    text: String,
    previous: Option<String>,
    next: Option<String>,
}

struct Row {
    person: Option<Cell>,
    /// Those that share the row, since nothing else differs; the first ones.
    workspaces: Vec<Cell>,
    more: usize,
    key: Option<Cell>,
    status: String,
    role: String,
    because: String,
    kind: &'static str,
    usable: bool,
    flags: Vec<(String, &'static str)>,
}

struct Cell {
    name: String,
    detail: String,
    href: Option<String>,
}

struct Hit {
    kind: String,
    name: String,
    detail: String,
    state: String,
    href: String,
    is_there: bool,
}

pub(crate) fn page(view: &View<'_>, asked: &Asked) -> Result<Answer, Refusal> {
    let now_ms = (asked.sources.now_ms)();
    let scope = asked.parameters.scope(view, now_ms)?;
    let question = match asked.parameters.question(view, &scope) {
        Err(Refusal::Search(name)) => return start(view, asked, &scope, Some(&name)),
        question => question?,
    };
    if let Some(searched) = text(asked.parameters.q.as_ref()).filter(|_| asked.format == Format::Html) {
        return start(view, asked, &scope, Some(searched));
    }
    if question == Question::default() && asked.format == Format::Html {
        return start(view, asked, &scope, None);
    }
    let mut snapshot = view.snapshot(&scope.organization, &question, scope.moment)?;
    let as_of = as_of(&scope, &snapshot)?;
    let coverage = asked.sources.now(|present| {
        let now = present.organization(&scope.organization.id);
        if scope.moment == Moment::Now {
            now.holds.keys().for_each(|key| snapshot.organization.hold(key));
        }
        coverage(&snapshot, &question, now.coverage().filter(|_| scope.moment == Moment::Now))
    });
    let paths = access(&snapshot.organization, as_of.ts_ms, &question);
    let paths: Vec<answer::Path<'_>> = paths.iter().map(answer::Path::from).collect();
    let organization = answer::Organization { id: &snapshot.organization_id, name: &snapshot.name };
    match asked.format {
        Format::Json => json(&answer::Answer { organization, as_of, coverage, paths }),
        Format::Csv => {
            let lines = paths.iter().map(|path| csv::line(None, organization, as_of, path));
            let lines: Vec<String> = std::iter::once(csv::header(None)).chain(lines).collect();
            Ok(Answer::Csv {
                name: format!("access-{}.csv", as_of.revision),
                text: lines.join("\r\n") + "\r\n",
            })
        }
        Format::Html => answer_page(view, asked, &scope, &question, &snapshot, as_of, &coverage, &paths),
    }
}

#[expect(clippy::too_many_arguments, reason = "it is the end of one way")]
fn answer_page(
    view: &View<'_>,
    asked: &Asked,
    scope: &Scope,
    question: &Question,
    snapshot: &Snapshot,
    as_of: AsOf,
    coverage: &[Coverage],
    paths: &[answer::Path<'_>],
) -> Result<Answer, Refusal> {
    let (kind, id) = center(question).ok_or(Refusal::Failed)?;
    let named = view.find(&scope.organization, kind, id, scope.moment)?;
    let name = named.as_ref().map_or_else(|| id.to_owned(), |named| named.name.clone());
    let address = with_question(scope.address("/access"), question);
    let link = |kind: NamedType, id: &str| scope.address("/access").with(kind.parameter(), id).to_string();
    let timeline = view.timeline(&scope.organization, question, scope.moment)?;
    let heading = match kind {
        NamedType::Workspace => "Who can reach",
        NamedType::User => "What can be reached by",
        NamedType::ApiKey => "Who can use",
    };
    let page = asked.parameters.page()?;
    let (keys, people): (Vec<_>, Vec<_>) = paths.iter().partition(|path| path.api_key.is_some());
    let table = |paths: &[&answer::Path<'_>]| table(paths, page, &address, &link);
    let certainty = certainty::line(scope.moment, snapshot, as_of, coverage);
    let chrome = chrome(asked, scope, &format!("{heading} {}", display::name(&name)));
    html(&AnswerPage {
        center: kind.parameter(),
        heading,
        name: display::name(&name),
        facts: facts(kind, id, named.as_ref()),
        certainty: certainty.split_inclusive(". ").map(|it| it.trim().to_owned()).collect(),
        diagram: diagram::diagram(paths, Some((kind, id)), &link),
        people: table(&people),
        keys: table(&keys),
        moment: moment_bar(scope, &address, snapshot.revision, as_of, Some(&timeline)),
        forms: forms(asked, scope, &address),
        chrome,
    })
}

fn chrome(asked: &Asked, scope: &Scope, title: &str) -> Chrome {
    let holds = asked.sources.proposed(&scope.organization.id);
    Chrome::new(title, PageName::Access, Some(scope), holds, asked.sources.progress.notices())
}

/// What the picture is drawn around: the first of what is named.
fn center(question: &Question) -> Option<(NamedType, &str)> {
    let all = [
        (NamedType::Workspace, &question.workspace),
        (NamedType::User, &question.user),
        (NamedType::ApiKey, &question.api_key),
    ];
    all.into_iter().find_map(|(kind, id)| Some((kind, id.as_deref()?)))
}

fn with_question(address: Address, question: &Question) -> Address {
    address
        .with_some("workspace", question.workspace.as_ref())
        .with_some("user", question.user.as_ref())
        .with_some("api_key", question.api_key.as_ref())
}

/// What is known of the center itself.
fn facts(kind: NamedType, id: &str, named: Option<&Named>) -> Vec<String> {
    let mut facts = vec![match kind {
        NamedType::Workspace => format!("workspace {}", display::name(id)),
        NamedType::User => format!("person {}", display::name(id)),
        NamedType::ApiKey => format!("API key {}", display::name(id)),
    }];
    let Some(named) = named else { return facts };
    facts.extend(named.detail.as_deref().map(display::name));
    facts.extend(named.state.as_deref().map(|state| match kind {
        NamedType::User => format!("{} in the organization", display::role(Some(state))),
        NamedType::Workspace | NamedType::ApiKey => display::name(state),
    }));
    if !named.is_there {
        facts.push("not there at this moment".to_owned());
    }
    facts
}

fn as_of(scope: &Scope, snapshot: &Snapshot) -> Result<AsOf, Refusal> {
    let newest = scope.organization.newest_revision;
    if let Moment::Revision(asked) = scope.moment
        && asked > newest
    {
        return Err(Refusal::bad(format!(
            "at: the newest revision of {} is {newest}",
            scope.organization.name
        )));
    }
    let Some(observed) = snapshot.observed_ts_ms else {
        return Err(Refusal::bad(format!(
            "at: the changes topic has nothing about {} before {}, when its first revision, {}, was observed",
            scope.organization.name,
            display::time(scope.organization.first_ts_ms),
            scope.organization.first_revision
        )));
    };
    let ts_ms = match scope.moment {
        Moment::Now => scope.now_ms,
        Moment::Revision(_) => observed,
        Moment::Time(ts_ms) => ts_ms,
    };
    Ok(AsOf { revision: snapshot.revision, ts_ms })
}

/// What is known of the collections that the answer depends on: by changes, and for now by the graph topic.
fn coverage(snapshot: &Snapshot, question: &Question, now: impl Iterator<Item = Coverage>) -> Vec<Coverage> {
    let mut coverage: BTreeMap<String, Coverage> = BTreeMap::new();
    for (collection, ts_ms) in &snapshot.whole_ts_ms {
        let (collection, whole_ts_ms) = (collection.clone(), Some(*ts_ms));
        coverage
            .insert(collection.clone(), Coverage { collection, whole_ts_ms, not_whole_since_ts_ms: None });
    }
    let depends = |it: &Coverage| match Collection::parse(&it.collection) {
        Some(Collection::Users | Collection::Workspaces | Collection::ApiKeys) => true,
        Some(Collection::Members(id)) => question.workspace.as_ref().is_none_or(|asked| *asked == id),
        Some(Collection::Organization) | None => false,
    };
    coverage.extend(now.filter(depends).map(|it| (it.collection.clone(), it)));
    coverage.into_values().collect()
}

fn moment_bar(
    scope: &Scope,
    address: &Address,
    revision: i64,
    as_of: AsOf,
    timeline: Option<&Timeline>,
) -> MomentBar {
    let (first, newest) = (scope.organization.first_revision, scope.organization.newest_revision);
    let page = address.clone().without("page");
    let at = |revision: i64| page.clone().with("at", revision).to_string();
    let is_now = scope.moment == Moment::Now;
    let days = timeline.map(|timeline| timeline.days.as_slice()).unwrap_or_default();
    let today = scope.now_ms.div_euclid(DAY_MS);
    MomentBar {
        at: if is_now { "now".to_owned() } else { shown_moment(scope.moment) },
        is_now,
        revision,
        first,
        newest,
        now: page.clone().without("at").to_string(),
        earlier: (revision > first).then(|| at(revision - 1)),
        later: (!is_now).then(|| {
            if revision < newest { at(revision + 1) } else { page.clone().without("at").to_string() }
        }),
        hidden: page.clone().without("at").parameters(),
        calendar: calendar::calendar(days, today, as_of.ts_ms.div_euclid(DAY_MS), &at),
        valid: timeline.map(|timeline| valid(timeline, is_now)).unwrap_or_default(),
    }
}

fn shown_moment(moment: Moment) -> String {
    match moment {
        Moment::Now => "now".to_owned(),
        Moment::Revision(revision) => revision.to_string(),
        Moment::Time(ts_ms) => display::iso(ts_ms),
    }
}

/// Between which times the answer holds, and which changes may have begun and ended it.
fn valid(timeline: &Timeline, is_now: bool) -> Vec<String> {
    let Some(from) = timeline.from else { return Vec::new() };
    let mut lines = Vec::new();
    let since = display::time(from.ts_ms);
    match timeline.to {
        Some(to) => {
            let until = to.not_before_ts_ms.unwrap_or(from.ts_ms);
            lines.push(if until > from.ts_ms {
                format!("Valid between {since} and {}.", display::time(until))
            } else {
                format!("Observed {since}; the next change may have followed at once.")
            });
            lines.push(format!(
                "Revision {} may have ended it, by {}.",
                display::grouped(to.revision),
                display::time(to.ts_ms)
            ));
        }
        None if is_now => lines.push(format!("Valid since {since}.")),
        None => lines.push(format!("Valid since {since}; no later change concerns it.")),
    }
    let begun = from.not_before_ts_ms.map(|ts_ms| format!(", which happened after {}", display::time(ts_ms)));
    lines.push(format!(
        "It began with revision {}{}.",
        display::grouped(from.revision),
        begun.unwrap_or_default()
    ));
    lines
}

fn forms(asked: &Asked, scope: &Scope, address: &Address) -> Forms {
    Forms {
        q: text(asked.parameters.q.as_ref()).unwrap_or_default().to_owned(),
        hidden: scope.address("/access").parameters(),
        json: address.clone().without("page").with("format", "json").to_string(),
        csv: address.clone().without("page").with("format", "csv").to_string(),
    }
}

fn table(
    paths: &[&answer::Path<'_>],
    page: usize,
    address: &Address,
    link: &dyn Fn(NamedType, &str) -> String,
) -> Table {
    let groups = grouped(paths);
    let pages = groups.len().div_ceil(ROWS).max(1);
    let page = page.min(pages);
    let rows = groups.iter().skip((page - 1) * ROWS).take(ROWS).map(|paths| row(paths, link)).collect();
    Table { rows, total: groups.len(), pager: pager(page, pages, groups.len(), address) }
}

fn pager(page: usize, pages: usize, total: usize, address: &Address) -> Pager {
    let first = (page - 1) * ROWS + 1;
    let last = (page * ROWS).min(total);
    Pager {
        text: format!(
            "{} to {} of {}",
            display::count_of(first),
            display::count_of(last),
            display::count_of(total)
        ),
        previous: (page > 1).then(|| address.clone().with("page", page - 1).to_string()),
        next: (page < pages).then(|| address.clone().with("page", page + 1).to_string()),
    }
}

/// Paths through a key that differ in nothing but their workspace, in the order of the first.
fn grouped<'a, 'p>(paths: &[&'a answer::Path<'p>]) -> Vec<Vec<&'a answer::Path<'p>>> {
    let mut groups: Vec<Vec<&answer::Path<'_>>> = Vec::new();
    let mut places = BTreeMap::new();
    for path in paths {
        let person = path.user.map(|user| user.id);
        // A membership has a row of its own: its workspace is what the row is about.
        let identity = path.api_key.map(|key| (person, key.id, &path.because, path.usable, &path.flags));
        let place = identity.and_then(|identity| places.get(&identity).copied());
        if let Some(place) = place {
            let group: &mut Vec<_> = &mut groups[place];
            group.push(*path);
        } else {
            places.extend(identity.map(|identity| (identity, groups.len())));
            groups.push(vec![*path]);
        }
    }
    groups
}

fn row(paths: &[&answer::Path<'_>], link: &dyn Fn(NamedType, &str) -> String) -> Row {
    let path = paths[0];
    let person = path.user.map(|user| {
        let name = user.name.unwrap_or(user.id);
        Cell {
            name: display::name(name),
            detail: user.email.filter(|email| *email != name).map(display::name).unwrap_or_default(),
            href: Some(link(NamedType::User, user.id)),
        }
    });
    let all: Vec<answer::Workspace<'_>> = paths.iter().filter_map(|path| path.workspace).collect();
    let workspaces = all.iter().take(NAMED).map(|place| Cell {
        name: display::name(place.name.unwrap_or(place.id)),
        detail: String::new(),
        href: Some(link(NamedType::Workspace, place.id)),
    });
    let key = path.api_key.map(|key| Cell {
        name: display::name(key.name),
        detail: display::hint(key.hint),
        href: Some(link(NamedType::ApiKey, key.id)),
    });
    Row {
        person,
        workspaces: workspaces.collect(),
        more: all.len().saturating_sub(NAMED),
        key,
        status: display::name(path.api_key.and_then(|key| key.status).unwrap_or("unknown")),
        role: display::role(path.role),
        because: display::name(&path.because),
        kind: path.kind,
        usable: path.usable,
        flags: path.flags.iter().map(|flag| (flag.replace('_', " "), explained(flag))).collect(),
    }
}

/// What a flag means, as in docs/who-can.md.
fn explained(flag: &str) -> &'static str {
    match flag {
        "acts_for_other" => "The key acts as someone other than its creator",
        "creator_left" => "The key's creator is no longer a member of the organization",
        "creator_unknown" => "The API does not say who created the key",
        "deletion_held" => "The API no longer lists it, and a person has not decided about the deletion",
        "expired" => "The key has expired",
        "organization_wide" => "The key belongs to the organization, not to a workspace",
        "outlives_creator" => "The key is usable although its creator left",
        "principal_left" => "The user that the key acts as is no longer a member of the organization",
        "reach_unknown" => "Which workspaces the key reaches is not known: it is taken to reach all",
        "uncertain" => "A later change, which may have happened before this moment, changes it",
        "workspace_archived" => "The workspace is archived",
        "workspace_not_listed" => "The key names a workspace that is not listed",
        "workspace_unknown" => "The API does not say which workspace the key belongs to",
        _ => "",
    }
}

/// The page without a center.
fn start(view: &View<'_>, asked: &Asked, scope: &Scope, searched: Option<&str>) -> Result<Answer, Refusal> {
    let hits = searched.map(|searched| view.search(&scope.organization, searched, scope.moment, MATCHES));
    let hits = hits.transpose()?.unwrap_or_default();
    let address = scope.address("/access").with_some("q", searched);
    let hit = |named: &Named| Hit {
        kind: match named.kind {
            NamedType::Workspace => "workspace",
            NamedType::User => "person",
            NamedType::ApiKey => "API key",
        }
        .to_owned(),
        name: display::name(&named.name),
        detail: display::name(named.detail.as_deref().unwrap_or(&named.id)),
        state: named.state.as_deref().map(|state| display::role(Some(state))).unwrap_or_default(),
        href: scope.address("/access").with(named.kind.parameter(), &named.id).to_string(),
        is_there: named.is_there,
    };
    let mut workspaces = view.list(&scope.organization, NamedType::Workspace, scope.moment)?;
    // Those that are used come first.
    workspaces.sort_by_key(|it| it.state.is_some());
    let pages = workspaces.len().div_ceil(ROWS).max(1);
    let page = asked.parameters.page()?.min(pages);
    let mut counts = Vec::new();
    for kind in TYPES {
        counts.push(view.count(&scope.organization, kind, scope.moment)?);
    }
    let timeline = view.timeline(&scope.organization, &Question::default(), scope.moment)?;
    let nothing = Question { api_key: Some(String::new()), ..Question::default() };
    let snapshot = view.snapshot(&scope.organization, &nothing, scope.moment)?;
    let as_of = as_of(scope, &snapshot)?;
    html(&StartPage {
        chrome: chrome(asked, scope, "Access"),
        searched: searched.map(display::name),
        hits: hits.iter().map(hit).collect(),
        workspaces: workspaces
            .iter()
            .skip((page - 1) * ROWS)
            .take(ROWS)
            .map(|named| {
                let (members, keys) = view.inhabitants(&scope.organization, &named.id, scope.moment)?;
                let kind = format!(
                    "{}, {} of the workspace",
                    display::count(members, "listed member"),
                    display::count(keys, "key")
                );
                Ok(Hit { kind, ..hit(named) })
            })
            .collect::<Result<_, Refusal>>()?,
        total: format!(
            "{}, {} and {}",
            display::count(counts[0], "workspace"),
            people(counts[1]),
            display::count(counts[2], "API key")
        ),
        pager: pager(page, pages, workspaces.len(), &address),
        moment: moment_bar(scope, &address, snapshot.revision, as_of, Some(&timeline)),
        forms: forms(asked, scope, &scope.address("/access")),
    })
}

fn people(number: usize) -> String {
    if number == 1 { "1 person".to_owned() } else { format!("{} people", display::count_of(number)) }
}
