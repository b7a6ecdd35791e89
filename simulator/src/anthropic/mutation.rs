//! Everything that can happen to an organization, by name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::effect::{Effect, Object};
use super::truth::Actor;

/// One thing that happens. IDs and times that are left out are invented, and are in the [`Event`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mutation", rename_all = "snake_case", deny_unknown_fields)]
pub enum Mutation {
    /// A person joins; with the id of someone who left, a person returns.
    AddUser {
        /// Invented if absent.
        #[serde(default)]
        id: Option<String>,
        /// Invented if absent.
        #[serde(default)]
        email: Option<String>,
        /// Invented if absent.
        #[serde(default)]
        name: Option<String>,
        /// `user` if absent.
        #[serde(default)]
        role: Option<String>,
    },
    /// A person leaves: the memberships go, the personal keys are archived, all other keys stay as they are.
    RemoveUser { id: String },
    /// A person's role in the organization changes.
    ChangeRole { id: String, role: String },
    /// A person is renamed.
    RenameUser { id: String, name: String },
    /// A person's address changes.
    ChangeEmail { id: String, email: String },
    /// A user becomes a member of a workspace.
    GiveMembership {
        user_id: String,
        /// The workspace, neither archived nor the default one.
        workspace_id: String,
        role: String,
    },
    /// A user is no longer a member of a workspace.
    TakeMembership { user_id: String, workspace_id: String },
    /// A member's role in a workspace changes.
    ChangeWorkspaceRole { user_id: String, workspace_id: String, role: String },
    /// A workspace is created.
    MakeWorkspace {
        /// Invented if absent.
        #[serde(default)]
        id: Option<String>,
        /// Invented if absent.
        #[serde(default)]
        name: Option<String>,
    },
    /// A workspace is archived, and all its keys with it.
    ArchiveWorkspace { id: String },
    /// A workspace vanishes from the API, with its members but not with its keys. The real API never does that; a
    /// graph has to survive it.
    DeleteWorkspace { id: String },
    /// A workspace is renamed.
    RenameWorkspace { id: String, name: String },
    /// A workspace gets another user profile, or none.
    SetUserProfile { id: String, user_profile_id: Option<String> },
    /// A workspace's tags are replaced.
    TagWorkspace { id: String, tags: BTreeMap<String, String> },
    /// A key is created.
    MakeKey {
        /// Invented if absent.
        #[serde(default)]
        id: Option<String>,
        /// Invented if absent.
        #[serde(default)]
        name: Option<String>,
        /// Who made it; not recorded if absent.
        #[serde(default)]
        created_by: Option<Actor>,
        /// Whom it acts as.
        #[serde(default)]
        principal: Option<Actor>,
        /// Its workspace; if absent, the whole organization.
        #[serde(default)]
        workspace_id: Option<String>,
        /// RFC 3339; never if absent.
        #[serde(default)]
        expires_at: Option<String>,
    },
    /// A key is disabled, enabled or archived.
    SetKeyStatus { id: String, status: String },
    /// A key expires, now at the latest.
    ExpireKey { id: String },
    /// A key vanishes from the API. The real one never does that.
    DeleteKey { id: String },
    /// A key is renamed.
    RenameKey { id: String, name: String },
    /// The organization is renamed.
    RenameOrganization { name: String },
    /// The API moves to another generation.
    SwitchGeneration {
        /// 1 to 4.
        generation: u8,
    },
}

/// A mutation that happened, with all that it changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, RFC 3339 on the simulated clock.
    pub at: String,
    /// What happened, no id missing.
    pub what: Mutation,
    /// What the API shows differently since, in order.
    pub effects: Vec<Effect>,
}

/// Why a mutation cannot happen. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MutationError {
    /// It names something that does not exist.
    #[error("there is no {0} {1}")]
    Unknown(Object, String),
    /// It makes something that exists.
    #[error("{0} {1} exists already")]
    Exists(Object, String),
    /// Anthropic would refuse it.
    #[error("{0}")]
    Refused(String),
}
