//! Which organization a question is about, and which objects its names mean.

use console::store::NamedType;
use graph::{
    access::{Candidate, NotOne, Organization, Question, Snapshot, certainty},
    text::clean,
};
use service::exit::UsageError;

/// Candidates that an error lists (count); the rest are counted.
const LISTED: usize = 10;
/// Lowest similarity (0 to 1, Jaro-Winkler) at which a name is suggested for an unknown one.
const SIMILAR: f64 = 0.85;

/// What a question is about. Each option takes an ID or an unambiguous name.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Names {
    /// A workspace: its ID or name.
    #[arg(long, value_name = "WORKSPACE")]
    pub(crate) workspace: Option<String>,
    /// A person: ID, email address or name; may have left.
    #[arg(long, value_name = "PERSON")]
    pub(crate) user: Option<String>,
    /// An API key: its ID, name or hint, or the last four characters of the hint.
    #[arg(long, value_name = "KEY")]
    pub(crate) api_key: Option<String>,
}

impl Names {
    fn all(&self) -> impl Iterator<Item = (NamedType, &str)> {
        let all = [
            (NamedType::Workspace, self.workspace.as_deref()),
            (NamedType::User, self.user.as_deref()),
            (NamedType::ApiKey, self.api_key.as_deref()),
        ];
        all.into_iter().filter_map(|(thing, name)| Some((thing, name?)))
    }
}

/// Names of an organization.
pub(crate) trait Named {
    /// Name and ID: two organizations may have had the same name.
    fn called(&self) -> String;

    /// What a name means at each moment, the last moment first.
    fn find(&self, thing: NamedType, name: &str) -> anyhow::Result<Vec<Result<String, NotOne>>>;
}

/// Snapshots, one for each moment.
impl Named for Vec<Snapshot> {
    fn called(&self) -> String {
        self.last().map_or_else(String::new, |last| called(&last.name, &last.organization_id))
    }

    fn find(&self, thing: NamedType, name: &str) -> anyhow::Result<Vec<Result<String, NotOne>>> {
        let at = |snapshot: &Snapshot| match thing.find(&snapshot.organization, name) {
            Err(NotOne::Unknown(similar)) if similar.is_empty() => {
                Err(NotOne::Unknown(nearest(&snapshot.organization, thing, name)))
            }
            found => found,
        };
        Ok(self.iter().rev().map(at).collect())
    }
}

/// What a mistyped name may mean.
fn nearest(organization: &Organization, thing: NamedType, name: &str) -> Vec<Candidate> {
    let users = || organization.users().values().map(AsRef::as_ref).chain(organization.former_users());
    let all: Vec<(&String, &String)> = match thing {
        NamedType::Workspace => organization.workspaces().values().map(|it| (&it.id, &it.name)).collect(),
        NamedType::User => users().map(|it| (&it.id, &it.name)).collect(),
        NamedType::ApiKey => organization.api_keys().values().map(|it| (&it.id, &it.name)).collect(),
    };
    let folded = name.trim().to_lowercase();
    let is_near =
        |(_, other): &(&String, &String)| strsim::jaro_winkler(&other.to_lowercase(), &folded) >= SIMILAR;
    let near = all.into_iter().filter(is_near);
    let mut near: Vec<_> = near.map(|(id, name)| Candidate { id: id.clone(), label: name.clone() }).collect();
    near.sort();
    near
}

pub(crate) fn called(name: &str, id: &str) -> String {
    format!("{} ({})", clean(name), clean(id))
}

/// The error of a moment before the first change, whose revision and time (ms since 1970) are given.
pub(crate) fn nothing_known(name: &str, (revision, ts_ms): (i64, i64), option: &str) -> UsageError {
    let now = if option == "--between" { " now" } else { "" };
    UsageError(format!(
        "{option}: nothing is known about {} before {}: the first change in the topic is revision {revision}, observed \
         then; ask from there: {option} {revision}{now}",
        clean(name),
        certainty::time(ts_ms)
    ))
}

/// The organization that is meant, and the question with IDs instead of names. A name is looked up at the last moment
/// first, then at earlier ones, which have objects that no longer exist. `asked` is `--organization`, to which the
/// organizations are limited already; `source` is where they are from.
pub(crate) fn resolve<O: Named>(
    organizations: Vec<O>,
    asked: Option<&str>,
    names: &Names,
    source: &str,
) -> anyhow::Result<(O, Question)> {
    if organizations.is_empty() {
        let error = asked.map_or_else(
            || format!("{source} has no changes yet; run the producer and the processor first"),
            |name| {
                format!("--organization: {source} has no changes of {name:?}; use the name in the configuration, or the ID")
            },
        );
        return Err(UsageError(error).into());
    }
    let mut found: Vec<(O, Question)> = Vec::new();
    let mut failures: Vec<(String, NamedType, String, NotOne)> = Vec::new();
    let all: Vec<String> = organizations.iter().map(Named::called).collect();
    for organization in organizations {
        match question(&organization, names)? {
            Ok(question) => found.push((organization, question)),
            Err((thing, name, reason)) => failures.push((organization.called(), thing, name, reason)),
        }
    }
    if found.len() > 1 {
        let found: Vec<String> = found.iter().map(|(organization, _)| organization.called()).collect();
        let error = format!("--organization: choose one of the organizations {}", found.join(", "));
        return Err(UsageError(error).into());
    }
    Ok(found.pop().ok_or_else(|| UsageError(explain(&failures, &all)))?)
}

type Unclear = (NamedType, String, NotOne);

fn question(organization: &impl Named, names: &Names) -> anyhow::Result<Result<Question, Unclear>> {
    let mut question = Question::default();
    for (thing, name) in names.all() {
        let mut found = Err(NotOne::Unknown(Vec::new()));
        for then in organization.find(thing, id_of_key(thing, name))? {
            if !matches!(then, Err(NotOne::Unknown(_))) {
                found = then;
                break;
            }
            if matches!(&found, Err(NotOne::Unknown(similar)) if similar.is_empty()) {
                found = then;
            }
        }
        let id = match found {
            Ok(id) => Some(id),
            Err(reason) => return Ok(Err((thing, name.to_owned(), reason))),
        };
        match thing {
            NamedType::Workspace => question.workspace = id,
            NamedType::User => question.user = id,
            NamedType::ApiKey => question.api_key = id,
        }
    }
    Ok(Ok(question))
}

/// The ID in an element's key, which other commands print; anything else stays as it is.
fn id_of_key(thing: NamedType, name: &str) -> &str {
    name.trim().strip_prefix(&thing.element_type().entity_key("")).unwrap_or(name)
}

/// Why a name is unknown or ambiguous, with candidates.
fn explain(failures: &[(String, NamedType, String, NotOne)], organizations: &[String]) -> String {
    let several = failures.iter().find(|(_, _, _, reason)| matches!(reason, NotOne::Several(_)));
    if let Some((organization, thing, name, NotOne::Several(candidates))) = several {
        let head = format!(
            "{}: {name:?} matches {} objects in {organization}; use an ID",
            option(*thing),
            candidates.len()
        );
        return format!("{head}:{}", listed(candidates));
    }
    let Some((_, thing, name, _)) = failures.first() else { return "the question is empty".to_owned() };
    let similar: Vec<Candidate> = failures
        .iter()
        .filter_map(|(_, _, _, reason)| match reason {
            NotOne::Unknown(similar) => Some(similar.clone()),
            NotOne::Several(_) => None,
        })
        .flatten()
        .collect();
    let head = format!("{}: {name:?} is not known in {}", option(*thing), organizations.join(", "));
    if similar.is_empty() {
        format!("{head}; if it was deleted, ask about an earlier moment")
    } else {
        format!("{head}; similar names:{}", listed(&similar))
    }
}

fn option(thing: NamedType) -> &'static str {
    match thing {
        NamedType::Workspace => "--workspace",
        NamedType::User => "--user",
        NamedType::ApiKey => "--api-key",
    }
}

fn listed(candidates: &[Candidate]) -> String {
    let mut lines: Vec<String> = candidates
        .iter()
        .take(LISTED)
        .map(|candidate| format!("\n  {}  {}", clean(&candidate.id), clean(&candidate.label)))
        .collect();
    if candidates.len() > LISTED {
        lines.push(format!("\n  and {} more", candidates.len() - LISTED));
    }
    lines.concat()
}
