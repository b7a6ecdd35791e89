//! What a mutation changed in what the API shows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One object created, updated or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Which kind of change.
    pub op: Op,
    /// Which kind of object.
    pub object: Object,
    /// Its id; a membership's is `<workspace id>/<user id>`.
    pub id: String,
    /// The fields that an update wrote, by the Admin API's names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// It is new, or back.
    Created,
    /// It has other fields.
    Updated,
    Deleted,
}

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    Organization,
    /// A member of it.
    User,
    Workspace,
    ApiKey,
    /// A user's membership of a workspace.
    Membership,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Organization => "organization",
            Self::User => "user",
            Self::Workspace => "workspace",
            Self::ApiKey => "API key",
            Self::Membership => "membership",
        })
    }
}

impl Effect {
    pub(super) fn created(object: Object, id: &str) -> Self {
        Self { op: Op::Created, object, id: id.to_owned(), fields: Vec::new() }
    }

    pub(super) fn updated(object: Object, id: &str, fields: &[&str]) -> Self {
        let fields = fields.iter().map(|&field| field.to_owned()).collect();
        Self { op: Op::Updated, object, id: id.to_owned(), fields }
    }

    pub(super) fn deleted(object: Object, id: &str) -> Self {
        Self { op: Op::Deleted, object, id: id.to_owned(), fields: Vec::new() }
    }
}
