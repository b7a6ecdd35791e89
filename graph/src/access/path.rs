//! One path of access, with its evidence.

use std::fmt;

use schemas::element::{ApiKey, ElementType, User, Workspace};

/// How access is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A workspace lists the person as a member.
    Member,
    /// It follows from the role in the organization. No list has it: it is derived.
    Implicit,
    /// Through an API key.
    Key,
}

impl Kind {
    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Implicit => "implicit",
            Self::Key => "key",
        }
    }
}

/// Why the path exists. The text is stable: programs may compare its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because<'a> {
    /// The workspace lists the person as a member.
    Member,
    /// The person has this role in the organization, which holds in every workspace.
    OrganizationRole(&'a str),
    /// It is the default workspace, to which every member of the organization has access.
    DefaultWorkspace,
    /// The person created the key. `acts_as` is whom it acts as, if that is somebody else.
    CreatedKey {
        /// ID of a user or of a service account.
        acts_as: Option<&'a str>,
    },
    /// The key acts as the person, who did not create it.
    KeyActsAsThem,
    /// The key acts as a principal that is not a user, such as a service account. This is its ID.
    KeyActsAs(&'a str),
    /// The key was created by a principal that is not a user, such as a service account. This is its ID.
    KeyCreatedBy(&'a str),
    /// The API does not say who created the key.
    CreatorUnknown,
}

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member => f.write_str("member of the workspace"),
            Self::OrganizationRole(role) => write!(f, "{} of the organization", role.replace('_', " ")),
            Self::DefaultWorkspace => f.write_str("default workspace"),
            Self::CreatedKey { acts_as: None } => f.write_str("created the key"),
            Self::CreatedKey { acts_as: Some(id) } => write!(f, "created the key, which acts as {id}"),
            Self::KeyActsAsThem => f.write_str("key acts as this person"),
            Self::KeyActsAs(id) => write!(f, "key acts as {id}"),
            Self::KeyCreatedBy(id) => write!(f, "key created by {id}"),
            Self::CreatorUnknown => f.write_str("key without a recorded creator"),
        }
    }
}

/// What is unusual about a path, or uncertain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// The key acts as somebody else than its creator.
    ActsForOther,
    /// The key's creator is no longer a member of the organization.
    CreatorLeft,
    /// The API does not say who created the key.
    CreatorUnknown,
    /// The API no longer lists an element of the path, and a person has not decided about its deletion.
    DeletionHeld,
    /// The key has expired.
    Expired,
    /// The key belongs to the organization, not to a workspace.
    OrganizationWide,
    /// The key is usable although its creator left.
    OutlivesCreator,
    /// The user that the key acts as is no longer a member of the organization.
    PrincipalLeft,
    /// Which workspaces the key reaches is not known: it is taken to reach every one.
    ReachUnknown,
    /// A later change, which is not known to be later than the moment, changes what the path is made of.
    Uncertain,
    /// The workspace is archived.
    WorkspaceArchived,
    /// The key names a workspace that is not listed.
    WorkspaceNotListed,
    /// An early version of the API does not say which workspace the key belongs to.
    WorkspaceUnknown,
}

impl Flag {
    /// All, in the order of their names.
    pub const ALL: [Self; 13] = [
        Self::ActsForOther,
        Self::CreatorLeft,
        Self::CreatorUnknown,
        Self::DeletionHeld,
        Self::Expired,
        Self::OrganizationWide,
        Self::OutlivesCreator,
        Self::PrincipalLeft,
        Self::ReachUnknown,
        Self::Uncertain,
        Self::WorkspaceArchived,
        Self::WorkspaceNotListed,
        Self::WorkspaceUnknown,
    ];

    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::ActsForOther => "acts_for_other",
            Self::CreatorLeft => "creator_left",
            Self::CreatorUnknown => "creator_unknown",
            Self::DeletionHeld => "deletion_held",
            Self::Expired => "expired",
            Self::OrganizationWide => "organization_wide",
            Self::OutlivesCreator => "outlives_creator",
            Self::PrincipalLeft => "principal_left",
            Self::ReachUnknown => "reach_unknown",
            Self::Uncertain => "uncertain",
            Self::WorkspaceArchived => "workspace_archived",
            Self::WorkspaceNotListed => "workspace_not_listed",
            Self::WorkspaceUnknown => "workspace_unknown",
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flags(u16);

impl Flags {
    /// Those that are set, in the order of their names.
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.into_iter().filter(move |flag| self.has(*flag))
    }

    /// Whether a flag is set.
    pub fn has(self, flag: Flag) -> bool {
        self.0 & flag.bit() != 0
    }

    #[must_use]
    pub fn without(self, flag: Flag) -> Self {
        Self(self.0 & !flag.bit())
    }

    /// Sets a flag if the condition holds.
    pub fn set(&mut self, flag: Flag, condition: bool) {
        if condition {
            self.0 |= flag.bit();
        }
    }
}

/// A user, a former one, or one of whom only the ID is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person<'a> {
    /// `user_…`
    pub id: &'a str,
    /// As known now, or last.
    pub user: Option<&'a User>,
    /// Whether they are a member of the organization.
    pub is_listed: bool,
}

impl<'a> Person<'a> {
    pub(super) fn listed(user: &'a User) -> Self {
        Self { id: &user.id, user: Some(user), is_listed: true }
    }

    pub(super) fn former(user: &'a User) -> Self {
        Self { id: &user.id, user: Some(user), is_listed: false }
    }

    pub(super) fn unknown(id: &'a str) -> Self {
        Self { id, user: None, is_listed: false }
    }

    /// Name, else e-mail address, else ID.
    pub fn name(self) -> Option<&'a str> {
        self.user.map(|user| user.name.as_str())
    }

    pub fn email(self) -> Option<&'a str> {
        self.user.and_then(|user| user.email.first()).map(String::as_str)
    }

    /// The role in the organization; none of somebody who left.
    pub fn role(self) -> Option<&'a str> {
        self.user.filter(|_| self.is_listed).and_then(|user| user.role.as_deref())
    }
}

/// A workspace, or one of which only the ID is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// `wrkspc_…`
    pub id: &'a str,
    /// If it is listed.
    pub workspace: Option<&'a Workspace>,
}

impl<'a> Place<'a> {
    pub(super) fn listed(workspace: &'a Workspace) -> Self {
        Self { id: &workspace.id, workspace: Some(workspace) }
    }

    pub(super) fn unlisted(id: &'a str) -> Self {
        Self { id, workspace: None }
    }

    /// Its name, if it is listed.
    pub fn name(self) -> Option<&'a str> {
        self.workspace.map(|workspace| workspace.name.as_str())
    }
}

/// One way in which a person, or a key without a known person, reaches a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<'a> {
    /// How access is granted.
    pub kind: Kind,
    /// Who has it; `None`: the key has no known user.
    pub user: Option<Person<'a>>,
    /// What is reached; `None`: the key reaches no workspace that is known.
    pub workspace: Option<Place<'a>>,
    /// The role in the workspace; `None` for a key.
    pub role: Option<&'a str>,
    pub because: Because<'a>,
    pub api_key: Option<&'a ApiKey>,
    /// Whether it works: the workspace is not archived, and the key is active and has not expired.
    pub usable: bool,
    /// What is unusual or uncertain.
    pub flags: Flags,
}

impl<'a> Path<'a> {
    /// Keys of the elements that the path is made of.
    pub fn evidence(&self) -> Vec<String> {
        let user = self.user.map(|user| ElementType::User.entity_key(user.id));
        let workspace = self.workspace.map(|workspace| ElementType::Workspace.entity_key(workspace.id));
        let api_key = self.api_key.map(|api_key| ElementType::ApiKey.entity_key(&api_key.id));
        let ends = user.as_deref().zip(workspace.as_deref()).filter(|_| self.kind == Kind::Member);
        let assigned = ends
            .map(|(user, workspace)| ElementType::UserAssignedWorkspace.relationship_key(user, workspace));
        user.into_iter().chain(workspace).chain(api_key).chain(assigned).collect()
    }

    /// The identity of the path: its kind and the IDs of user, workspace and key. Roles, flags and reasons may
    /// change.
    pub fn identity(&self) -> (Kind, Option<&'a str>, Option<&'a str>, Option<&'a str>) {
        let user = self.user.map(|user| user.id);
        let workspace = self.workspace.map(|workspace| workspace.id);
        (self.kind, user, workspace, self.api_key.map(|api_key| api_key.id.as_str()))
    }

    /// People before keys, of each what works before what does not, by names without case, then by IDs.
    pub(super) fn reading_order(&self) -> impl Ord + use<> {
        let fold = |name: Option<&str>| name.map(str::to_lowercase);
        // Keys without a person come last.
        let user = self.user.map(|user| fold(user.name()).unwrap_or_default());
        let key = self.api_key.map(|key| key.name.to_lowercase());
        let names = (user.is_none(), user, fold(self.workspace.and_then(Place::name)), key);
        let owned = |id: Option<&str>| id.map(str::to_owned);
        let (kind, user_id, workspace_id, api_key_id) = self.identity();
        (kind == Kind::Key, !self.usable, names, kind, owned(user_id), owned(workspace_id), owned(api_key_id))
    }
}
