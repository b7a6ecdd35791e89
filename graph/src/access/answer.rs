//! The answers in JSON: flat and stable. Absent values are null. docs/who-can.md explains each field.

use schemas::coverage;
use serde::Serialize;

use super::path::{self, Flag};

/// The answer to `who-can`.
#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub organization: Organization<'a>,
    /// The moment that it is about.
    pub as_of: AsOf,
    /// What is known of the collections that it depends on, sorted.
    pub coverage: Vec<Coverage>,
    /// People first, then keys.
    pub paths: Vec<Path<'a>>,
}

/// The answer to `access --between`, each list sorted as paths are.
#[derive(Debug, Serialize)]
pub struct Difference<'a> {
    pub organization: Organization<'a>,
    pub from: AsOf,
    pub to: AsOf,
    pub coverage: Vec<Coverage>,
    pub gained: Vec<Path<'a>>,
    pub lost: Vec<Path<'a>>,
    pub changed: Vec<Changed<'a>>,
}

/// A path that goes on with another role, state or reason.
#[derive(Debug, Serialize)]
pub struct Changed<'a> {
    pub before: Path<'a>,
    pub after: Path<'a>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Organization<'a> {
    pub id: &'a str,
    pub name: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AsOf {
    /// Of the last change up to it.
    pub revision: i64,
    /// The time that was asked for, or when the revision was observed (ms since 1970).
    pub ts_ms: i64,
}

/// What is known of a collection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Coverage {
    pub collection: String,
    /// When it was last listed whole, as far as known (ms since 1970).
    pub whole_ts_ms: Option<i64>,
    /// Since when listing it whole has failed; null if it has not, or if that is not known (ms since 1970).
    pub not_whole_since_ts_ms: Option<i64>,
}

impl From<&coverage::Coverage> for Coverage {
    fn from(coverage: &coverage::Coverage) -> Self {
        Self {
            collection: coverage.collection.clone(),
            whole_ts_ms: coverage.whole.as_ref().map(|whole| whole.ended_ts_ms),
            not_whole_since_ts_ms: coverage.not_whole_since_ts_ms,
        }
    }
}

/// One way in which a person, or a key without a known person, reaches a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Path<'a> {
    pub kind: &'static str,
    pub user: Option<User<'a>>,
    pub workspace: Option<Workspace<'a>>,
    pub role: Option<&'a str>,
    pub because: String,
    pub api_key: Option<ApiKey<'a>>,
    pub usable: bool,
    pub flags: Vec<&'static str>,
}

/// A person. For someone who left, what was last known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct User<'a> {
    pub id: &'a str,
    pub name: Option<&'a str>,
    pub email: Option<&'a str>,
    pub role: Option<&'a str>,
}

/// A workspace; its name is null if it is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Workspace<'a> {
    pub id: &'a str,
    pub name: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ApiKey<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub hint: Option<&'a str>,
    pub status: Option<&'a str>,
}

/// Paths as the answer shows them.
pub fn paths<'a>(paths: &[path::Path<'a>]) -> Vec<Path<'a>> {
    paths.iter().map(Path::from).collect()
}

impl<'a> From<&path::Path<'a>> for Path<'a> {
    fn from(path: &path::Path<'a>) -> Self {
        Self {
            kind: path.kind.name(),
            user: path.user.map(|user| User {
                id: user.id,
                name: user.name(),
                email: user.email(),
                role: user.role(),
            }),
            workspace: path.workspace.map(|place| Workspace { id: place.id, name: place.name() }),
            role: path.role,
            because: path.because.to_string(),
            api_key: path.api_key.map(|key| ApiKey {
                id: &key.id,
                name: &key.name,
                hint: key.partial_key_hint.as_deref(),
                status: key.status.as_deref(),
            }),
            usable: path.usable,
            flags: path.flags.iter().map(Flag::name).collect(),
        }
    }
}
