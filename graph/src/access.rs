//! Who can reach which workspace, and with which API key: paths from a person to a workspace, and from a person through
//! an API key to a workspace. Pure.
//!
//! An [`Organization`] is what is known at a moment. [`Fold`] makes one of an organization's changes. A [`Question`] names
//! what the paths go through. The rules are those of Anthropic's guides "Workspaces" and "Admin API":
//!
//! - A listed member has the role of the membership.
//! - Admins and owners of the organization are workspace admins everywhere, and billing members are workspace billing
//!   everywhere. No list names them, so these paths are derived.
//! - The default workspace has no list of members: access to it follows the role in the organization. This is derived too.
//! - A key reaches its workspace. Who created it may know its secret, and it may act as somebody else.
//! - A key of the whole organization reaches each workspace that its principal reaches: none, if the principal left and the
//!   key is no longer active. Where that is not known, it is taken to reach every one.
//!
//! Derived paths never enter the graph.
//!
//! [`answer`] writes paths as JSON, [`csv`] for spreadsheets; [`certainty`] states the moment and how certain the
//! answer is.

pub mod answer;
mod at;
pub mod certainty;
pub mod csv;
mod difference;
mod fold;
mod organization;
mod path;
mod question;

use std::collections::BTreeSet;

use schemas::element::{ApiKey, ElementType, User, Workspace};

pub use at::At;
pub use difference::{Difference, difference};
pub use fold::{Fold, Moment, Snapshot, is_about_access, proved_whole};
pub use organization::{DEFAULT_WORKSPACE, Organization};
pub use path::{Because, Flag, Flags, Kind, Path, Person, Place};
pub use question::{Candidate, NotOne, Question};

/// Values of a user's role in the organization.
const ADMINS: [&str; 3] = ["admin", "owner", "primary_owner"];
const BILLING: &str = "billing";
/// Roles in a workspace that follow from the role in the organization.
const WORKSPACE_ADMIN: &str = "workspace_admin";
const WORKSPACE_BILLING: &str = "workspace_billing";
/// The type of an actor, the scope and the status of a key.
const USER: &str = "user";
const ORGANIZATION: &str = "organization";
const EXPIRED: &str = "expired";

/// All paths that the question asks for, sorted: people first, then keys; what works first. `at_ms` is the moment of the organization (ms
/// since 1970): a key that expires by then is not usable.
pub fn access<'a>(organization: &'a Organization, at_ms: i64, question: &Question) -> Vec<Path<'a>> {
    let default = organization.default_workspace().map(|(key, _)| key);
    let workspaces = organization.workspaces().values().map(AsRef::as_ref);
    let workspaces = workspaces.filter(|workspace| question.asks_for_workspace(&workspace.id)).collect();
    let mut rule = Rule { organization, at_ms, question, default, workspaces, paths: Vec::new() };
    if question.api_key.is_none() {
        rule.members();
        rule.implicit();
    }
    rule.keys();
    rule.paths.sort_by_cached_key(Path::reading_order);
    rule.paths
}

struct Rule<'a, 'q> {
    organization: &'a Organization,
    at_ms: i64,
    question: &'q Question,
    /// Key of the default workspace.
    default: Option<&'a str>,
    /// Those in question.
    workspaces: Vec<&'a Workspace>,
    paths: Vec<Path<'a>>,
}

impl<'a> Rule<'a, '_> {
    fn members(&mut self) {
        let organization = self.organization;
        for ((workspace_key, user_key), role) in organization.members() {
            let ends = (organization.users().get(user_key), organization.workspaces().get(workspace_key));
            // A relationship is known only where both ends are.
            let (Some(user), Some(workspace)) = ends else { continue };
            self.reach(Kind::Member, user, workspace, role.as_deref(), Because::Member);
        }
    }

    fn implicit(&mut self) {
        let (organization, question) = (self.organization, self.question);
        for user in organization.users().values().filter(|user| question.asks_for_user(&user.id)) {
            if let Some(inherited) = inherited_role(user) {
                let because = Because::OrganizationRole(user.role.as_deref().unwrap_or_default());
                for index in 0..self.workspaces.len() {
                    self.reach(Kind::Implicit, user, self.workspaces[index], Some(inherited), because);
                }
            } else if let Some((_, workspace)) = organization.default_workspace() {
                let role = user.role.as_deref();
                self.reach(Kind::Implicit, user, workspace, role, Because::DefaultWorkspace);
            }
        }
    }

    fn reach(
        &mut self,
        kind: Kind,
        user: &'a User,
        workspace: &'a Workspace,
        role: Option<&'a str>,
        because: Because<'a>,
    ) {
        let question = self.question;
        if !question.asks_for_user(&user.id) || !question.asks_for_workspace(&workspace.id) {
            return;
        }
        let mut path = Path {
            kind,
            user: Some(Person::listed(user)),
            workspace: Some(Place::listed(workspace)),
            role,
            because,
            api_key: None,
            usable: workspace.active,
            flags: Flags::default(),
        };
        path.flags.set(Flag::WorkspaceArchived, !workspace.active);
        self.push(path);
    }

    fn keys(&mut self) {
        let (organization, question) = (self.organization, self.question);
        let asked = |key: &&ApiKey| question.api_key.as_ref().is_none_or(|id| *id == key.id);
        for key in organization.api_keys().values().map(AsRef::as_ref).filter(asked) {
            let people = self.people(key);
            if !people.iter().any(|(person, _)| question.asks_for_person(*person)) {
                continue;
            }
            let (places, flags) = self.places(key);
            for place in places {
                if !question.asks_for_place(place) {
                    continue;
                }
                for (person, because) in people.iter().filter(|(person, _)| question.asks_for_person(*person))
                {
                    self.push(self.through(key, flags, place, *person, *because));
                }
            }
        }
    }

    fn through(
        &self,
        key: &'a ApiKey,
        mut flags: Flags,
        place: Option<Place<'a>>,
        user: Option<Person<'a>>,
        because: Because<'a>,
    ) -> Path<'a> {
        let is_archived = place.and_then(|place| place.workspace).is_some_and(|it| !it.active);
        let is_expired = key.status.as_deref() == Some(EXPIRED)
            || key.expires_on.is_some_and(|expires_on| expires_on <= self.at_ms);
        let usable = key.active && !is_expired && !is_archived;
        let has_left = |id: Option<&String>, kind: Option<&String>| {
            kind.is_some_and(|kind| kind == USER) && id.is_some_and(|id| self.organization.user(id).is_none())
        };
        let creator_left = has_left(key.created_by.as_ref(), key.creator_type.as_ref());
        let is_other = key.created_by.is_some()
            && key.principal_id.as_ref().is_some_and(|id| key.created_by.as_ref() != Some(id));
        flags.set(Flag::WorkspaceArchived, is_archived);
        flags.set(Flag::WorkspaceNotListed, place.is_some_and(|place| place.workspace.is_none()));
        flags.set(Flag::Expired, is_expired);
        flags.set(Flag::CreatorLeft, creator_left);
        flags.set(Flag::OutlivesCreator, creator_left && usable);
        flags.set(Flag::CreatorUnknown, key.created_by.is_none());
        flags.set(Flag::PrincipalLeft, has_left(key.principal_id.as_ref(), key.principal_type.as_ref()));
        flags.set(Flag::ActsForOther, is_other);
        Path {
            kind: Kind::Key,
            user,
            workspace: place,
            role: None,
            because,
            api_key: Some(key),
            usable,
            flags,
        }
    }

    /// The people who can use a key, and why. A key without any has one entry without a person.
    fn people(&self, key: &'a ApiKey) -> Vec<(Option<Person<'a>>, Because<'a>)> {
        let as_user = |id: &'a Option<String>, kind: &Option<String>| {
            id.as_deref().filter(|_| kind.as_deref() == Some(USER))
        };
        let creator = as_user(&key.created_by, &key.creator_type);
        let principal = as_user(&key.principal_id, &key.principal_type);
        let acts_as = key.principal_id.as_deref().filter(|id| key.created_by.as_deref() != Some(*id));
        let mut people = Vec::new();
        if let Some(id) = creator {
            people.push((Some(self.person(id)), Because::CreatedKey { acts_as }));
        }
        if let Some(id) = principal.filter(|id| creator != Some(*id)) {
            people.push((Some(self.person(id)), Because::KeyActsAsThem));
        }
        if people.is_empty() {
            let because = match (key.principal_id.as_deref(), key.created_by.as_deref()) {
                (Some(id), _) => Because::KeyActsAs(id),
                (None, Some(id)) => Because::KeyCreatedBy(id),
                (None, None) => Because::CreatorUnknown,
            };
            people.push((None, because));
        }
        people
    }

    fn person(&self, id: &'a str) -> Person<'a> {
        match (self.organization.user(id), self.organization.former_user(id)) {
            (Some(user), _) => Person::listed(user),
            (None, Some(user)) => Person::former(user),
            (None, None) => Person::unknown(id),
        }
    }

    /// The workspaces in question that a key reaches, and what is unusual about how. At least one entry, which is empty
    /// if there is none.
    fn places(&self, key: &'a ApiKey) -> (Vec<Option<Place<'a>>>, Flags) {
        let mut flags = Flags::default();
        if key.scope.as_deref() != Some(ORGANIZATION) {
            if let Some(place) = self.own_place(key) {
                return (vec![Some(place)], flags);
            }
            flags.set(Flag::WorkspaceUnknown, true);
        }
        flags.set(Flag::OrganizationWide, key.scope.as_deref() == Some(ORGANIZATION));
        let principal = key.principal_id.as_deref().and_then(|id| self.organization.user(id));
        let is_own = flags.has(Flag::OrganizationWide) && key.principal_type.as_deref() == Some(USER);
        let mut places: Vec<Option<Place<'a>>> = if let Some(user) = principal.filter(|_| is_own) {
            self.reached_by(user).into_iter().map(|workspace| Some(Place::listed(workspace))).collect()
        } else if is_own && !key.active {
            // Who left reaches nothing, and the API archives their own keys. One that is still active is not trusted to.
            Vec::new()
        } else {
            flags.set(Flag::ReachUnknown, true);
            self.workspaces.iter().map(|workspace| Some(Place::listed(workspace))).collect()
        };
        if places.is_empty() {
            places.push(None);
        }
        (places, flags)
    }

    /// The one workspace that a key belongs to.
    fn own_place(&self, key: &'a ApiKey) -> Option<Place<'a>> {
        let workspaces = self.organization.workspaces();
        if let Some(id) = key.workspace_id.as_deref() {
            let workspace = workspaces.get(&ElementType::Workspace.entity_key(id));
            return Some(workspace.map_or(Place::unlisted(id), |workspace| Place::listed(workspace)));
        }
        // A listing that does not say where a key belongs leaves the relationship of an earlier one.
        let kept = self.organization.workspace_of(&ElementType::ApiKey.entity_key(&key.id))?;
        workspaces.get(kept).map(|workspace| Place::listed(workspace))
    }

    /// The workspaces in question that a user reaches.
    fn reached_by(&self, user: &User) -> Vec<&'a Workspace> {
        let organization = self.organization;
        if inherited_role(user).is_some() {
            return self.workspaces.clone();
        }
        let user_key = ElementType::User.entity_key(&user.id);
        let keys: BTreeSet<&str> = organization.workspaces_with(&user_key).chain(self.default).collect();
        let reached =
            keys.into_iter().filter_map(|key| organization.workspaces().get(key)).map(AsRef::as_ref);
        reached.filter(|workspace| self.question.asks_for_workspace(&workspace.id)).collect()
    }

    fn push(&mut self, mut path: Path<'a>) {
        if self.organization.has_doubts() {
            let evidence = path.evidence();
            path.flags.set(Flag::Uncertain, evidence.iter().any(|key| self.organization.is_uncertain(key)));
            path.flags.set(Flag::DeletionHeld, evidence.iter().any(|key| self.organization.is_held(key)));
        }
        self.paths.push(path);
    }
}

/// The role that somebody has in every workspace because of the role in the organization.
pub fn inherited_role(user: &User) -> Option<&'static str> {
    match user.role.as_deref() {
        Some(role) if ADMINS.contains(&role) => Some(WORKSPACE_ADMIN),
        Some(BILLING) => Some(WORKSPACE_BILLING),
        _ => None,
    }
}
