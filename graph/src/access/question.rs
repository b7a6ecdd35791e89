//! What is asked, and which workspace, person or key a name means.

use schemas::element::{ApiKey, User};

use super::{
    organization::Organization,
    path::{Person, Place},
};

/// What the paths go through. Everything that is named must be in a path; nothing named asks for all paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// ID of a workspace.
    pub workspace: Option<String>,
    /// ID of a user, maybe one who left.
    pub user: Option<String>,
    /// ID of an API key.
    pub api_key: Option<String>,
}

impl Question {
    pub(super) fn asks_for_user(&self, id: &str) -> bool {
        self.user.as_ref().is_none_or(|asked| asked == id)
    }

    pub(super) fn asks_for_person(&self, person: Option<Person<'_>>) -> bool {
        self.user.is_none() || person.is_some_and(|person| self.asks_for_user(person.id))
    }

    pub(super) fn asks_for_workspace(&self, id: &str) -> bool {
        self.workspace.as_ref().is_none_or(|asked| asked == id)
    }

    pub(super) fn asks_for_place(&self, place: Option<Place<'_>>) -> bool {
        self.workspace.is_none() || place.is_some_and(|place| self.asks_for_workspace(place.id))
    }
}

/// Something that a name may mean.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Its ID, which always means it alone.
    pub id: String,
    /// What distinguishes it from others: name, e-mail address, hint, status.
    pub label: String,
}

/// A name that does not mean one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotOne {
    /// It means nothing; these have names that contain it, without case.
    Unknown(Vec<Candidate>),
    /// It means all of these.
    Several(Vec<Candidate>),
}

/// Something with the strings that may name it, the best first.
struct Named {
    candidate: Candidate,
    names: Vec<String>,
}

impl Organization {
    /// ID of the workspace with that ID or name.
    pub fn find_workspace(&self, text: &str) -> Result<String, NotOne> {
        let workspaces = self.workspaces().values().map(|workspace| {
            let archived = if workspace.active { "" } else { ", archived" };
            let label = format!("{}{archived}", workspace.name);
            Named::new(&workspace.id, label, [workspace.name.clone()])
        });
        one(workspaces, text)
    }

    /// ID of the user with that ID, e-mail address or name, also of one who left.
    pub fn find_user(&self, text: &str) -> Result<String, NotOne> {
        let named = |user: &User, state: &str| {
            let email = user.email.first();
            let address = email.filter(|email| **email != user.name);
            let address = address.map_or_else(String::new, |email| format!(" <{email}>"));
            let names = email.cloned().into_iter().chain([user.name.clone()]);
            Named::new(&user.id, format!("{}{address}{state}", user.name), names)
        };
        let listed = self.users().values().map(|user| named(user, ""));
        let former = self.former_users().map(|user| named(user, ", left"));
        let is_unknown = |id: &&String| {
            self.user(id).is_none() && self.former_user(id).is_none() && id.starts_with("user_")
        };
        let actors = self.api_keys().values().flat_map(|key| [&key.created_by, &key.principal_id]);
        let mut unknown: Vec<&String> = actors.flatten().filter(is_unknown).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let unknown = unknown.into_iter().map(|id| Named::new(id, "left".to_owned(), []));
        one(listed.chain(former).chain(unknown), text)
    }

    /// ID of the API key with that ID, hint or name, or whose hint ends so.
    pub fn find_api_key(&self, text: &str) -> Result<String, NotOne> {
        let keys = self.api_keys().values().map(|key| {
            let ending =
                key.partial_key_hint.as_deref().and_then(|hint| hint.rsplit_once("...")).map(|it| it.1);
            let names = key.partial_key_hint.clone().into_iter().chain([key.name.clone()]);
            let names = names.chain(ending.map(str::to_owned));
            Named::new(&key.id, label(key), names)
        });
        one(keys, text)
    }
}

impl Named {
    fn new(id: &str, label: String, names: impl IntoIterator<Item = String>) -> Self {
        let names = names.into_iter().filter(|name| !name.is_empty()).collect();
        Self { candidate: Candidate { id: id.to_owned(), label }, names }
    }
}

fn label(key: &ApiKey) -> String {
    let details = [key.partial_key_hint.as_deref(), key.status.as_deref()];
    let details: Vec<&str> = details.into_iter().flatten().collect();
    format!("{} ({})", key.name, details.join(", "))
}

/// The one of that ID, else of that name, else of that name without case.
fn one(all: impl Iterator<Item = Named>, text: &str) -> Result<String, NotOne> {
    let text = text.trim();
    let folded = text.to_lowercase();
    let (mut exact, mut without_case, mut similar) = (Vec::new(), Vec::new(), Vec::new());
    for Named { candidate, names } in all {
        if candidate.id == text {
            return Ok(candidate.id);
        }
        if names.iter().any(|name| name == text) {
            exact.push(candidate);
        } else if names.iter().any(|name| name.to_lowercase() == folded) {
            without_case.push(candidate);
        } else if !folded.is_empty() && names.iter().any(|name| name.to_lowercase().contains(&folded)) {
            similar.push(candidate);
        }
    }
    let mut meant = if exact.is_empty() { without_case } else { exact };
    if meant.len() < 2 {
        similar.sort();
        return meant.pop().map(|candidate| candidate.id).ok_or(NotOne::Unknown(similar));
    }
    meant.sort();
    Err(NotOne::Several(meant))
}
