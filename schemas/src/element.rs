//! An element: an entity or a relationship (`avro/element.avsc`, where each field is explained).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The nine element types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named after its JupiterOne `_type`")]
pub enum ElementType {
    Account,
    User,
    Workspace,
    ApiKey,
    AccountHasUser,
    AccountHasWorkspace,
    UserAssignedWorkspace,
    UserCreatedApiKey,
    WorkspaceHasApiKey,
}

impl ElementType {
    /// All nine, entities first.
    pub const ALL: [Self; 9] = [
        Self::Account,
        Self::User,
        Self::Workspace,
        Self::ApiKey,
        Self::AccountHasUser,
        Self::AccountHasWorkspace,
        Self::UserAssignedWorkspace,
        Self::UserCreatedApiKey,
        Self::WorkspaceHasApiKey,
    ];

    /// JupiterOne's `_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "anthropic_account",
            Self::User => "anthropic_user",
            Self::Workspace => "anthropic_workspace",
            Self::ApiKey => "anthropic_api_key",
            Self::AccountHasUser => "anthropic_account_has_user",
            Self::AccountHasWorkspace => "anthropic_account_has_workspace",
            Self::UserAssignedWorkspace => "anthropic_user_assigned_workspace",
            Self::UserCreatedApiKey => "anthropic_user_created_api_key",
            Self::WorkspaceHasApiKey => "anthropic_workspace_has_api_key",
        }
    }

    /// JupiterOne's `_class`.
    pub fn class(self) -> &'static str {
        match self {
            Self::Account => "Account",
            Self::User => "User",
            Self::Workspace => "Group",
            Self::ApiKey => "AccessKey",
            Self::AccountHasUser | Self::AccountHasWorkspace | Self::WorkspaceHasApiKey => "HAS",
            Self::UserAssignedWorkspace => "ASSIGNED",
            Self::UserCreatedApiKey => "CREATED",
        }
    }

    /// The type of that name; `None` where there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|candidate| candidate.name() == name)
    }

    /// Whether it is a relationship.
    pub fn is_relationship(self) -> bool {
        !matches!(self, Self::Account | Self::User | Self::Workspace | Self::ApiKey)
    }

    /// The key of an entity of this type: `<type>:<the Admin API's id>`. An id may be anything, so a `|` in it becomes
    /// `%7C`, and a `%` becomes `%25`: else an entity could have a relationship's key.
    pub fn entity_key(self, id: &str) -> String {
        format!("{}:{}", self.name(), id.replace('%', "%25").replace('|', "%7C"))
    }

    /// The key of a relationship of this type: `<from key>|<class in lower case>|<to key>`.
    pub fn relationship_key(self, from_key: &str, to_key: &str) -> String {
        format!("{from_key}|{}|{to_key}", self.class().to_lowercase())
    }
}

/// An entity or a relationship. The larger records are boxed: most elements are relationships and have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Element {
    pub key: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub class: String,
    pub display_name: String,
    pub organization_id: String,
    pub collection: String,
    pub digest: String,
    pub from_key: Option<String>,
    pub to_key: Option<String>,
    pub account_name: Option<String>,
    pub account: Option<Account>,
    pub user: Option<Box<User>>,
    pub workspace: Option<Box<Workspace>>,
    pub api_key: Option<Box<ApiKey>>,
    pub user_assigned_workspace: Option<UserAssignedWorkspace>,
}

impl Element {
    /// Whether it has ends.
    pub fn is_relationship(&self) -> bool {
        self.from_key.is_some()
    }

    /// Keys of its ends; none for an entity.
    pub fn ends(&self) -> impl Iterator<Item = &str> {
        self.from_key.as_deref().into_iter().chain(self.to_key.as_deref())
    }

    /// Whether the other says the same to a reader: all but the digest, which only says what it came from.
    pub fn same_as(&self, other: &Self) -> bool {
        let Self { digest: _, key, kind, class, display_name, organization_id, collection, .. } = self;
        *key == other.key
            && *kind == other.kind
            && *class == other.class
            && *display_name == other.display_name
            && *organization_id == other.organization_id
            && *collection == other.collection
            && self.from_key == other.from_key
            && self.to_key == other.to_key
            && self.account_name == other.account_name
            && self.account == other.account
            && self.user == other.user
            && self.workspace == other.workspace
            && self.api_key == other.api_key
            && self.user_assigned_workspace == other.user_assigned_workspace
    }
}

/// Columns of an `anthropic_account`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Account {
    pub id: String,
    pub name: String,
    pub vendor: String,
}

/// Columns of an `anthropic_user`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct User {
    pub id: String,
    pub name: String,
    pub email: Vec<String>,
    pub username: Vec<String>,
    pub short_login_id: Vec<String>,
    pub email_domain: Vec<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub role: Option<String>,
    pub is_admin: bool,
    pub is_active: bool,
    pub created_on: Option<i64>,
}

/// Columns of an `anthropic_workspace`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Workspace {
    pub id: String,
    pub name: String,
    pub display_color: Option<String>,
    pub created_on: Option<i64>,
    pub archived_on: Option<i64>,
    pub active: bool,
    pub workspace_geo: Option<String>,
    pub default_inference_geo: Option<String>,
    pub allowed_inference_geos: Vec<String>,
    pub compartment_id: Option<String>,
    pub external_key_id: Option<String>,
    pub inference_data_retention: Option<String>,
    pub user_profile_id: Option<String>,
    pub tags: BTreeMap<String, String>,
}

/// Columns of an `anthropic_api_key`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct ApiKey {
    pub id: String,
    pub name: String,
    pub partial_key_hint: Option<String>,
    pub status: Option<String>,
    pub active: bool,
    pub created_on: Option<i64>,
    pub expires_on: Option<i64>,
    pub created_by: Option<String>,
    pub creator_type: Option<String>,
    pub principal_id: Option<String>,
    pub principal_type: Option<String>,
    pub scope: Option<String>,
    pub workspace_id: Option<String>,
}

/// Columns of an `anthropic_user_assigned_workspace`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct UserAssignedWorkspace {
    pub role: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::ElementType::{User, UserAssignedWorkspace, Workspace};

    #[test]
    fn no_two_elements_have_one_key_whatever_their_ids() {
        let assigned = |user: &str, workspace: &str| {
            UserAssignedWorkspace.relationship_key(&User.entity_key(user), &Workspace.entity_key(workspace))
        };
        let keys = [
            User.entity_key("user_01"),
            User.entity_key("u|assigned|anthropic_workspace:w"),
            User.entity_key("u%7Cassigned%7Canthropic_workspace:w"),
            assigned("u", "w"),
            assigned("u|assigned|anthropic_workspace:w", "v"),
            assigned("u", "w|assigned|anthropic_workspace:v"),
        ];
        assert_eq!(keys[0], "anthropic_user:user_01");
        assert_eq!(keys[1], "anthropic_user:u%7Cassigned%7Canthropic_workspace:w");
        assert_eq!(keys[2], "anthropic_user:u%257Cassigned%257Canthropic_workspace:w");
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len());
    }
}
