//! The truth: what the simulated organization really is, whatever its API returns.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::settings::Switches;

/// One Anthropic organization, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    pub organization: Organization,
    /// How its API behaves.
    pub switches: Switches,
    /// The simulated clock, RFC 3339.
    pub now: String,
    /// The id of the default workspace, which is also in `workspaces`.
    pub default_workspace_id: String,
    /// The former member whom generation 1 names as creator of keys that have none: it knew no null there.
    pub legacy_creator_id: String,
    pub users: BTreeMap<String, User>,
    /// Workspaces by id, archived ones and the default one among them.
    pub workspaces: BTreeMap<String, Workspace>,
    /// API keys by id.
    pub api_keys: BTreeMap<String, ApiKey>,
    /// Workspace id → user id → workspace role.
    pub members: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Organization {
    pub id: String,
    pub name: String,
}

impl Organization {
    /// Its name as a configuration takes it: small letters, digits and single hyphens.
    pub fn slug(&self) -> String {
        let letters = self.name.to_lowercase();
        let words =
            letters.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-")
    }
}

/// A member of the organization.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// `user_…`.
    pub id: String,
    /// One address, as typed.
    pub email: String,
    /// May be empty, or an address.
    pub name: String,
    /// One of [`ROLES`], or whatever a mutation said.
    pub role: String,
    /// RFC 3339.
    pub added_at: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// `wrkspc_…`.
    pub id: String,
    /// Not unique.
    pub name: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; `None`: active.
    pub archived_at: Option<String>,
    /// `#RRGGBB`.
    pub display_color: String,
    pub compartment_id: String,
    /// `ekey_…`.
    pub external_key_id: Option<String>,
    /// Where its data stays.
    pub data_residency: DataResidency,
    pub tags: BTreeMap<String, String>,
    /// The undocumented `inference_data_retention.type`.
    pub inference_data_retention: Option<String>,
    /// The profile of a user that it belongs to.
    pub user_profile_id: Option<String>,
}

/// Where a workspace's data stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataResidency {
    /// Such as `us`.
    pub workspace_geo: String,
    /// Such as `global`.
    pub default_inference_geo: String,
    /// `None`: unrestricted.
    pub allowed_inference_geos: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    /// `apikey_…`.
    pub id: String,
    /// Not unique.
    pub name: String,
    /// `active`, `inactive`, `archived` or `expired`.
    pub status: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; `None`: never.
    pub expires_at: Option<String>,
    /// Who made it, maybe someone who has left; `None`: not recorded.
    pub created_by: Option<Actor>,
    /// First and last characters of the secret.
    pub partial_key_hint: Option<String>,
    /// Whom the key acts as.
    pub principal: Option<Actor>,
    /// The workspace it is scoped to, by its real id even for the default one; `None`: the whole organization.
    pub workspace_id: Option<String>,
}

/// A user or a service account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Actor {
    /// `user_…` or `svac_…`.
    pub id: String,
    /// `user` or `service_account`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Actor {
    pub(super) fn user(id: &str) -> Self {
        Self { id: id.to_owned(), kind: "user".to_owned() }
    }

    pub(super) fn service_account(id: &str) -> Self {
        Self { id: id.to_owned(), kind: "service_account".to_owned() }
    }
}

/// The nine roles of an organization (reference of the Admin API, users).
pub const ROLES: [&str; 9] = [
    "primary_owner",
    "owner",
    "admin",
    "billing",
    "claude_code_user",
    "developer",
    "managed",
    "membership_admin",
    "user",
];

/// The workspace roles that can be given; `workspace_billing` is only ever inherited.
pub const WORKSPACE_ROLES: [&str; 4] =
    ["workspace_user", "workspace_developer", "workspace_restricted_developer", "workspace_admin"];

impl Truth {
    /// Whether the workspace is an ordinary one that takes members and keys.
    pub(super) fn takes_members(&self, workspace_id: &str) -> bool {
        workspace_id != self.default_workspace_id
            && self.workspaces.get(workspace_id).is_some_and(|workspace| workspace.archived_at.is_none())
    }

    pub(super) fn clock(&self) -> Timestamp {
        instant(&self.now)
    }
}

/// The instant of a time in the truth, which only ever holds RFC 3339 times.
pub(super) fn instant(text: &str) -> Timestamp {
    text.parse().unwrap_or(Timestamp::UNIX_EPOCH)
}
