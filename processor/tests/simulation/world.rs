//! An Anthropic organization that lives, and what the Admin API answers about it in each of its generations.

use std::collections::BTreeMap;

use schemas::{
    collection::Collection,
    raw::{self, Actor, Configuration, Resource, Scope},
};

/// Id of the workspace that every organization has.
pub(crate) const DEFAULT_WORKSPACE: &str = "w0";
/// How generation 1 names the creator of a key that has none: someone who has left.
const LEGACY_CREATOR: &str = "legacy";

/// The truth about an organization.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct World {
    pub(crate) organization_id: String,
    pub(crate) users: BTreeMap<u8, u8>,
    /// Whether it is archived, by workspace; 0 is the default one.
    pub(crate) workspaces: BTreeMap<u8, bool>,
    pub(crate) api_keys: BTreeMap<u8, ApiKey>,
    /// Role by workspace and user.
    pub(crate) members: BTreeMap<(u8, u8), u8>,
    /// Generation of the Admin API, 1 to 4; 5 is one that the API might become, which names actors and scopes otherwise.
    pub(crate) generation: u8,
    /// Whether generations 3 and 4 honour `include_default`.
    pub(crate) honors_default: bool,
    pub(crate) configuration: Configuration,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiKey {
    creator: Option<u8>,
    /// `None`: the whole organization.
    workspace: Option<u8>,
    status: u8,
}

/// What happens to an organization.
#[derive(Debug, Clone)]
pub(crate) enum Mutation {
    Join(u8, u8),
    Leave(u8),
    /// Everyone leaves but those below.
    Exodus(u8),
    Open(u8),
    Archive(u8),
    Remove(u8),
    Mint(u8, Option<u8>, Option<u8>),
    Scope(u8, Option<u8>),
    Status(u8, u8),
    Delete(u8),
    DeleteAll,
    Assign(u8, u8, u8),
    Unassign(u8, u8),
    UnassignAll(u8),
    Generation(u8, bool),
    Tag(bool),
    /// The guard's limits: a count, and a fraction in tenths.
    Limits(u8, u8),
}

impl World {
    /// Two users and the default workspace, with a guard that never refuses.
    pub(crate) fn new(organization_id: &str) -> Self {
        Self {
            organization_id: organization_id.to_owned(),
            users: BTreeMap::from([(0, 0), (1, 1)]),
            workspaces: BTreeMap::from([(0, false), (1, false)]),
            api_keys: BTreeMap::from([(0, ApiKey { creator: Some(0), workspace: Some(1), status: 0 })]),
            members: BTreeMap::from([((1, 0), 0), ((1, 1), 1)]),
            generation: 4,
            honors_default: true,
            configuration: Configuration {
                account_name: Some("Nimbus Labs".to_owned()),
                tag_account_name: false,
                max_deleted_fraction: 1.0,
                max_deleted_count: 100,
            },
        }
    }

    pub(crate) fn mutate(&mut self, mutation: &Mutation) {
        match *mutation {
            Mutation::Join(user, role) => drop(self.users.insert(user, role)),
            Mutation::Leave(user) => self.leave(|it| it == user),
            Mutation::Exodus(first) => self.leave(|it| it >= first),
            Mutation::Open(workspace) => drop(self.workspaces.entry(workspace).or_insert(false)),
            Mutation::Archive(0) | Mutation::Remove(0) => {}
            Mutation::Archive(workspace) => {
                self.workspaces.entry(workspace).and_modify(|archived| *archived = true);
            }
            Mutation::Remove(workspace) => {
                self.workspaces.remove(&workspace);
                self.members.retain(|(within, _), _| *within != workspace);
            }
            Mutation::Mint(id, creator, workspace) => {
                self.api_keys.insert(id, ApiKey { creator, workspace, status: 0 });
            }
            Mutation::Scope(id, workspace) => {
                self.api_keys.entry(id).and_modify(|key| key.workspace = workspace);
            }
            Mutation::Status(id, status) => {
                self.api_keys.entry(id).and_modify(|key| key.status = status);
            }
            Mutation::Delete(id) => drop(self.api_keys.remove(&id)),
            Mutation::DeleteAll => self.api_keys.clear(),
            Mutation::Assign(workspace, user, role) => {
                if self.workspaces.contains_key(&workspace) {
                    self.members.insert((workspace, user), role);
                }
            }
            Mutation::Unassign(workspace, user) => drop(self.members.remove(&(workspace, user))),
            Mutation::UnassignAll(workspace) => self.members.retain(|(within, _), _| *within != workspace),
            Mutation::Generation(generation, honors) => {
                (self.generation, self.honors_default) = (generation, honors);
            }
            Mutation::Tag(tag) => self.configuration.tag_account_name = tag,
            Mutation::Limits(count, tenths) => {
                self.configuration.max_deleted_count = count.into();
                self.configuration.max_deleted_fraction = f64::from(tenths) / 10.0;
            }
        }
    }

    /// A person who leaves the organization also leaves its workspaces, whose lists may show that later.
    fn leave(&mut self, leaves: impl Fn(u8) -> bool) {
        self.users.retain(|user, _| !leaves(*user));
        self.members.retain(|(_, user), _| !leaves(*user));
    }

    /// What a poll lists after the workspaces, of which it saw these.
    pub(crate) fn members_of(&self, with_archived: bool) -> impl Iterator<Item = Collection> {
        self.listed_workspaces(with_archived).map(|id| Collection::Members(workspace_id(id)))
    }

    /// The parameters that the API honors for this collection.
    pub(crate) fn parameters(
        &self,
        collection: &Collection,
        with_archived: bool,
    ) -> BTreeMap<String, String> {
        let is_on = |name: &str| (name.to_owned(), "true".to_owned());
        match collection {
            Collection::Workspaces => {
                let archived = with_archived.then(|| is_on("include_archived"));
                archived.into_iter().chain(self.lists_default().then(|| is_on("include_default"))).collect()
            }
            _ => BTreeMap::new(),
        }
    }

    /// What the API answers.
    pub(crate) fn resources(&self, collection: &Collection, with_archived: bool) -> Vec<Resource> {
        match collection {
            Collection::Organization => vec![self.organization()],
            Collection::Users => self.users.iter().map(|(id, role)| user(*id, *role)).collect(),
            Collection::Workspaces => {
                self.listed_workspaces(with_archived).map(|id| workspace(id, self.workspaces[&id])).collect()
            }
            Collection::ApiKeys => self.api_keys.iter().map(|(id, key)| self.api_key(*id, key)).collect(),
            Collection::Members(workspace) => {
                let members =
                    self.members.iter().filter(|((within, _), _)| workspace_id(*within) == *workspace);
                members.map(|((_, user), role)| member(*user, workspace, *role)).collect()
            }
        }
    }

    /// The same organization under the newest API, which lists everything.
    pub(crate) fn told_whole(&self) -> Self {
        Self { generation: 4, honors_default: true, ..self.clone() }
    }

    fn lists_default(&self) -> bool {
        self.generation >= 3 && self.honors_default
    }

    fn listed_workspaces(&self, with_archived: bool) -> impl Iterator<Item = u8> {
        let is_listed = move |(id, archived): &(&u8, &bool)| {
            (with_archived || !**archived) && (**id != 0 || self.lists_default())
        };
        self.workspaces.iter().filter(is_listed).map(|(id, _)| *id)
    }

    fn organization(&self) -> Resource {
        let organization = raw::Organization {
            id: self.organization_id.clone(),
            name: Some("Nimbus Labs".to_owned()),
            ..raw::Organization::default()
        };
        Resource::Organization(organization.into())
    }

    fn api_key(&self, id: u8, key: &ApiKey) -> Resource {
        let generation = self.generation;
        let creator = match key.creator {
            Some(user) => Some(user_id(user)),
            None => (generation == 1).then(|| LEGACY_CREATOR.to_owned()),
        };
        let belongs = key.workspace.map(workspace_id);
        let api_key = raw::ApiKey {
            id: format!("k{id}"),
            name: Some(format!("key {id}")),
            status: Some(["active", "inactive", "archived"][usize::from(key.status % 3)].to_owned()),
            created_by: creator
                .map(|id| Actor { id: Some(id), kind: Some(user_type(generation).to_owned()) }),
            workspace_id: belongs.clone().filter(|id| generation != 4 && id != DEFAULT_WORKSPACE),
            scope: (generation >= 3).then(|| Scope {
                kind: Some(if belongs.is_some() { "workspace" } else { "organization" }.to_owned())
                    .filter(|_| generation < 5),
                workspace_id: belongs.filter(|_| generation < 5),
            }),
            ..raw::ApiKey::default()
        };
        Resource::ApiKey(api_key.into())
    }
}

pub(crate) fn workspace_id(id: u8) -> String {
    format!("w{id}")
}

fn user_type(generation: u8) -> &'static str {
    if generation < 5 { "user" } else { "user_actor" }
}

fn user_id(id: u8) -> String {
    format!("u{id}")
}

fn user(id: u8, role: u8) -> Resource {
    let user = raw::User {
        id: user_id(id),
        email: Some(format!("u{id}@nimbus.example")),
        role: Some(format!("role {role}")),
        ..raw::User::default()
    };
    Resource::User(user.into())
}

fn workspace(id: u8, archived: bool) -> Resource {
    let workspace = raw::Workspace {
        id: workspace_id(id),
        name: Some(if id == 0 { "Default".to_owned() } else { format!("workspace {id}") }),
        archived_at: archived.then(|| "2026-01-02T03:04:05Z".to_owned()),
        ..raw::Workspace::default()
    };
    Resource::Workspace(workspace.into())
}

fn member(user: u8, workspace_id: &str, role: u8) -> Resource {
    let member = raw::Member {
        user_id: user_id(user),
        workspace_id: workspace_id.to_owned(),
        workspace_role: Some(format!("role {role}")),
        ..raw::Member::default()
    };
    Resource::Member(member.into())
}
