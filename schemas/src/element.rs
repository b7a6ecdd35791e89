//! An element: an entity or a relationship (`avro/element.avsc`, where each field is explained).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::collection::Family;

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

/// What all elements of a type have in common (`docs/mapping.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// JupiterOne's `_type`.
    pub name: &'static str,
    /// JupiterOne's `_class`.
    pub class: &'static str,
    /// The collections that own them: only a whole listing of its collection can delete an element.
    pub family: Family,
    /// Of relationships: types of the entities they start from and lead to, with which they are deleted.
    pub ends: Option<[ElementType; 2]>,
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

    /// What all elements of the type have in common.
    pub const fn description(self) -> &'static Description {
        use ElementType as T;
        match self {
            T::Account => &Description {
                name: "anthropic_account",
                class: "Account",
                family: Family::Organization,
                ends: None,
            },
            T::User => {
                &Description { name: "anthropic_user", class: "User", family: Family::Users, ends: None }
            }
            T::Workspace => &Description {
                name: "anthropic_workspace",
                class: "Group",
                family: Family::Workspaces,
                ends: None,
            },
            T::ApiKey => &Description {
                name: "anthropic_api_key",
                class: "AccessKey",
                family: Family::ApiKeys,
                ends: None,
            },
            T::AccountHasUser => &Description {
                name: "anthropic_account_has_user",
                class: "HAS",
                family: Family::Users,
                ends: Some([T::Account, T::User]),
            },
            T::AccountHasWorkspace => &Description {
                name: "anthropic_account_has_workspace",
                class: "HAS",
                family: Family::Workspaces,
                ends: Some([T::Account, T::Workspace]),
            },
            T::UserAssignedWorkspace => &Description {
                name: "anthropic_user_assigned_workspace",
                class: "ASSIGNED",
                family: Family::Members,
                ends: Some([T::User, T::Workspace]),
            },
            T::UserCreatedApiKey => &Description {
                name: "anthropic_user_created_api_key",
                class: "CREATED",
                family: Family::ApiKeys,
                ends: Some([T::User, T::ApiKey]),
            },
            T::WorkspaceHasApiKey => &Description {
                name: "anthropic_workspace_has_api_key",
                class: "HAS",
                family: Family::ApiKeys,
                ends: Some([T::Workspace, T::ApiKey]),
            },
        }
    }

    /// JupiterOne's `_type`.
    pub const fn name(self) -> &'static str {
        self.description().name
    }

    /// JupiterOne's `_class`.
    pub const fn class(self) -> &'static str {
        self.description().class
    }

    /// The types of the elements that collections of that kind own.
    pub fn owned_by(family: Family) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |kind| kind.description().family == family)
    }

    /// The types of the relationships that end at elements of this type.
    pub fn relationships(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |kind| kind.description().ends.is_some_and(|it| it.contains(&self)))
    }

    /// The type of that name; `None` where there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|candidate| candidate.name() == name)
    }

    /// Whether it is a relationship.
    pub fn is_relationship(self) -> bool {
        self.description().ends.is_some()
    }

    /// The key of an entity of this type: `<type>:<the Admin API's id>`. An id may be anything, so a `|` in it becomes
    /// `%7C`, and a `%` becomes `%25`: else an entity could have a relationship's key.
    pub fn entity_key(self, id: &str) -> String {
        let name = self.name();
        if id.contains(['%', '|']) {
            return format!("{name}:{}", id.replace('%', "%25").replace('|', "%7C"));
        }
        [name, ":", id].concat()
    }

    /// The key of a relationship of this type: `<from key>|<class in lower case>|<to key>`.
    pub fn relationship_key(self, from_key: &str, to_key: &str) -> String {
        format!("{from_key}|{}|{to_key}", self.class().to_lowercase())
    }
}

/// An entity or a relationship.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Element {
    pub key: String,
    pub display_name: String,
    pub organization_id: String,
    pub collection: String,
    pub digest: String,
    pub account_name: Option<String>,
    pub content: Content,
}

impl Element {
    /// The element that says this, without a digest and a tag. Key and display name follow from the content; those of an
    /// [`Other`] do not, and are empty.
    pub fn new(organization_id: &str, collection: &str, content: Content) -> Self {
        let display_name = match content.parts() {
            Parts::Entity { name, .. } => name,
            Parts::Relationship { kind, .. } => kind.class(),
            Parts::Other(_) => "",
        };
        Self {
            key: content.key(),
            display_name: display_name.to_owned(),
            organization_id: organization_id.to_owned(),
            collection: collection.to_owned(),
            digest: String::new(),
            account_name: None,
            content,
        }
    }

    /// JupiterOne's `_type`.
    pub fn kind(&self) -> &str {
        self.content.kind()
    }

    /// Whether it has ends.
    pub fn is_relationship(&self) -> bool {
        self.content.ends()[0].is_some()
    }

    /// Keys of its ends; none for an entity.
    pub fn ends(&self) -> impl Iterator<Item = &str> {
        self.content.ends().into_iter().flatten()
    }
}

/// What an element says, by its type. The larger columns are boxed: most elements are relationships and have none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after its type")]
pub enum Content {
    Account(Account),
    User(Box<User>),
    Workspace(Box<Workspace>),
    ApiKey(Box<ApiKey>),
    AccountHasUser(Ends),
    AccountHasWorkspace(Ends),
    UserAssignedWorkspace(Ends, UserAssignedWorkspace),
    UserCreatedApiKey(Ends),
    WorkspaceHasApiKey(Ends),
    /// None of these: kept as it is.
    Other(Box<Other>),
}

/// Where a relationship starts from and leads to: keys of entities.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Ends {
    pub from_key: String,
    pub to_key: String,
}

/// An element of a type that this version does not know, or one that has not exactly what its type has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Other {
    pub kind: String,
    pub class: String,
    pub from_key: Option<String>,
    pub to_key: Option<String>,
    pub account: Option<Account>,
    pub user: Option<Box<User>>,
    pub workspace: Option<Box<Workspace>>,
    pub api_key: Option<Box<ApiKey>>,
    pub user_assigned_workspace: Option<UserAssignedWorkspace>,
}

/// Columns of a type that has some.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "each is named after its type")]
pub enum Columns<'a> {
    Account(&'a Account),
    User(&'a User),
    Workspace(&'a Workspace),
    ApiKey(&'a ApiKey),
    UserAssignedWorkspace(&'a UserAssignedWorkspace),
}

/// What a content is made of.
enum Parts<'a> {
    Entity { kind: ElementType, id: &'a str, name: &'a str, columns: Columns<'a> },
    Relationship { kind: ElementType, ends: &'a Ends, columns: Option<Columns<'a>> },
    Other(&'a Other),
}

impl Content {
    /// JupiterOne's `_type`.
    pub fn kind(&self) -> &str {
        match self.parts() {
            Parts::Entity { kind, .. } | Parts::Relationship { kind, .. } => kind.name(),
            Parts::Other(other) => &other.kind,
        }
    }

    /// JupiterOne's `_class`.
    pub fn class(&self) -> &str {
        match self.parts() {
            Parts::Entity { kind, .. } | Parts::Relationship { kind, .. } => kind.class(),
            Parts::Other(other) => &other.class,
        }
    }

    /// The key of an element that says this; the empty string for an [`Other`].
    pub fn key(&self) -> String {
        match self.parts() {
            Parts::Entity { kind, id, .. } => kind.entity_key(id),
            Parts::Relationship { kind, ends, .. } => kind.relationship_key(&ends.from_key, &ends.to_key),
            Parts::Other(_) => String::new(),
        }
    }

    /// Keys of the entities that it starts from and leads to; none for an entity.
    pub fn ends(&self) -> [Option<&str>; 2] {
        match self.parts() {
            Parts::Entity { .. } => [None; 2],
            Parts::Relationship { ends, .. } => [Some(&ends.from_key), Some(&ends.to_key)],
            Parts::Other(other) => [other.from_key.as_deref(), other.to_key.as_deref()],
        }
    }

    /// The columns that its type has. Only an [`Other`] may have several.
    pub fn columns(&self) -> impl Iterator<Item = Columns<'_>> {
        let columns = match self.parts() {
            Parts::Entity { columns, .. } => [Some(columns), None, None, None, None],
            Parts::Relationship { columns, .. } => [columns, None, None, None, None],
            Parts::Other(other) => [
                other.account.as_ref().map(Columns::Account),
                other.user.as_deref().map(Columns::User),
                other.workspace.as_deref().map(Columns::Workspace),
                other.api_key.as_deref().map(Columns::ApiKey),
                other.user_assigned_workspace.as_ref().map(Columns::UserAssignedWorkspace),
            ],
        };
        columns.into_iter().flatten()
    }

    /// The columns, if it is a workspace.
    pub fn workspace(self) -> Option<Box<Workspace>> {
        if let Self::Workspace(workspace) = self { Some(workspace) } else { None }
    }

    fn parts(&self) -> Parts<'_> {
        use ElementType as T;
        let relationship = |kind, ends| Parts::Relationship { kind, ends, columns: None };
        match self {
            Self::Account(it) => {
                Parts::Entity { kind: T::Account, id: &it.id, name: &it.name, columns: Columns::Account(it) }
            }
            Self::User(it) => {
                Parts::Entity { kind: T::User, id: &it.id, name: &it.name, columns: Columns::User(it) }
            }
            Self::Workspace(it) => {
                let columns = Columns::Workspace(it);
                Parts::Entity { kind: T::Workspace, id: &it.id, name: &it.name, columns }
            }
            Self::ApiKey(it) => {
                Parts::Entity { kind: T::ApiKey, id: &it.id, name: &it.name, columns: Columns::ApiKey(it) }
            }
            Self::AccountHasUser(ends) => relationship(T::AccountHasUser, ends),
            Self::AccountHasWorkspace(ends) => relationship(T::AccountHasWorkspace, ends),
            Self::UserAssignedWorkspace(ends, it) => {
                let columns = Some(Columns::UserAssignedWorkspace(it));
                Parts::Relationship { kind: T::UserAssignedWorkspace, ends, columns }
            }
            Self::UserCreatedApiKey(ends) => relationship(T::UserCreatedApiKey, ends),
            Self::WorkspaceHasApiKey(ends) => relationship(T::WorkspaceHasApiKey, ends),
            Self::Other(other) => Parts::Other(other),
        }
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
