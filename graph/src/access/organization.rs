//! One organization at a moment, as far as access depends on it.

use std::collections::{BTreeMap, BTreeSet};

use schemas::element::{ApiKey, Content, Element, ElementType, Ends, User, Workspace};

/// Anthropic names the default workspace so, and it cannot be renamed (guide "Workspaces").
pub const DEFAULT_WORKSPACE: &str = "Default";

/// What is known of an organization at a moment. Every map is by element key.
#[derive(Debug, Clone, Default)]
pub struct Organization {
    users: BTreeMap<String, Box<User>>,
    /// Those who left, as they were known last.
    former: BTreeMap<String, Box<User>>,
    workspaces: BTreeMap<String, Box<Workspace>>,
    api_keys: BTreeMap<String, Box<ApiKey>>,
    /// Role by workspace and user.
    members: BTreeMap<(String, String), Option<String>>,
    memberships: BTreeMap<String, BTreeSet<String>>,
    /// Workspace by API key, of the relationship between them.
    places: BTreeMap<String, String>,
    /// Elements that later changes may already have changed.
    uncertain: BTreeSet<String>,
    /// What the API no longer lists, while a person has not decided about its deletion.
    held: BTreeSet<String>,
}

impl Organization {
    /// Puts an element in the place of the one with its key. What access does not depend on is left out.
    pub fn put(&mut self, element: Element) {
        let Element { key, content, .. } = element;
        match content {
            Content::User(user) => {
                self.former.remove(&key);
                self.users.insert(key, user);
            }
            Content::Workspace(workspace) => drop(self.workspaces.insert(key, workspace)),
            Content::ApiKey(api_key) => drop(self.api_keys.insert(key, api_key)),
            Content::UserAssignedWorkspace(Ends { from_key: user_key, to_key: workspace_key }, columns) => {
                self.memberships.entry(user_key.clone()).or_default().insert(workspace_key.clone());
                self.members.insert((workspace_key, user_key), columns.role);
            }
            Content::WorkspaceHasApiKey(Ends { from_key: workspace_key, to_key: api_key }) => {
                self.places.insert(api_key, workspace_key);
            }
            // A key names its creator itself, also one who left. A type of a newer version says nothing about access yet.
            Content::Account(_)
            | Content::AccountHasUser(_)
            | Content::AccountHasWorkspace(_)
            | Content::UserCreatedApiKey(_)
            | Content::Other(_) => {}
        }
    }

    /// Takes an element away, given as it was. `is_forgotten`: nothing is to be remembered of it.
    pub fn remove(&mut self, element: &Element, is_forgotten: bool) {
        let key = &element.key;
        match &element.content {
            Content::User(_) => {
                let user = self.users.remove(key);
                self.former.extend(user.filter(|_| !is_forgotten).map(|user| (key.clone(), user)));
            }
            Content::Workspace(_) => drop(self.workspaces.remove(key)),
            Content::ApiKey(_) => drop(self.api_keys.remove(key)),
            Content::UserAssignedWorkspace(Ends { from_key: user_key, to_key: workspace_key }, _) => {
                if let Some(workspaces) = self.memberships.get_mut(user_key) {
                    workspaces.remove(workspace_key);
                }
                self.members.remove(&(workspace_key.clone(), user_key.clone()));
            }
            Content::WorkspaceHasApiKey(Ends { from_key: workspace_key, to_key: api_key }) => {
                // The relationship with another workspace may be there already.
                if self.places.get(api_key) == Some(workspace_key) {
                    self.places.remove(api_key);
                }
            }
            Content::Account(_)
            | Content::AccountHasUser(_)
            | Content::AccountHasWorkspace(_)
            | Content::UserCreatedApiKey(_)
            | Content::Other(_) => {}
        }
        if is_forgotten {
            self.former.clear();
        }
    }

    /// Marks an element that a later change may already have changed.
    pub fn doubt(&mut self, key: &str) {
        self.uncertain.insert(key.to_owned());
    }

    /// Marks an element that the API no longer lists, while its deletion waits for a person.
    pub fn hold(&mut self, key: &str) {
        self.held.insert(key.to_owned());
    }

    pub fn users(&self) -> &BTreeMap<String, Box<User>> {
        &self.users
    }

    /// The workspaces, archived ones too.
    pub fn workspaces(&self) -> &BTreeMap<String, Box<Workspace>> {
        &self.workspaces
    }

    /// The API keys, of every status.
    pub fn api_keys(&self) -> &BTreeMap<String, Box<ApiKey>> {
        &self.api_keys
    }

    /// The member of that ID.
    pub fn user(&self, id: &str) -> Option<&User> {
        self.users.get(&ElementType::User.entity_key(id)).map(AsRef::as_ref)
    }

    /// Somebody of that ID who left, as they were known last.
    pub fn former_user(&self, id: &str) -> Option<&User> {
        self.former.get(&ElementType::User.entity_key(id)).map(AsRef::as_ref)
    }

    /// Those who left, as they were known last.
    pub fn former_users(&self) -> impl Iterator<Item = &User> {
        self.former.values().map(AsRef::as_ref)
    }

    /// The default workspace, with its key. The API does not mark it: it is the oldest of those with its name, since it is
    /// as old as the organization, and it has no members.
    pub fn default_workspace(&self) -> Option<(&str, &Workspace)> {
        let named = self.workspaces.iter().filter(|(_, workspace)| workspace.name == DEFAULT_WORKSPACE);
        let oldest = named.min_by_key(|(key, workspace)| (workspace.created_on.unwrap_or(i64::MAX), *key));
        oldest
            .filter(|(key, workspace)| workspace.active && !self.has_members(key))
            .map(|(key, workspace)| (key.as_str(), workspace.as_ref()))
    }

    fn has_members(&self, workspace_key: &str) -> bool {
        let from = (workspace_key.to_owned(), String::new());
        self.members.range(from..).next().is_some_and(|((key, _), _)| key == workspace_key)
    }

    pub(super) fn members(&self) -> &BTreeMap<(String, String), Option<String>> {
        &self.members
    }

    /// Keys of the workspaces that list this user as a member.
    pub(super) fn workspaces_with(&self, user_key: &str) -> impl Iterator<Item = &str> {
        self.memberships.get(user_key).into_iter().flatten().map(String::as_str)
    }

    /// Key of the workspace that has this API key, by the relationship between them.
    pub(super) fn workspace_of(&self, api_key: &str) -> Option<&str> {
        self.places.get(api_key).map(String::as_str)
    }

    pub(super) fn has_doubts(&self) -> bool {
        !self.uncertain.is_empty() || !self.held.is_empty()
    }

    pub(super) fn is_uncertain(&self, key: &str) -> bool {
        self.uncertain.contains(key)
    }

    pub(super) fn is_held(&self, key: &str) -> bool {
        self.held.contains(key)
    }
}

impl FromIterator<Element> for Organization {
    fn from_iter<I: IntoIterator<Item = Element>>(elements: I) -> Self {
        let mut organization = Self::default();
        for element in elements {
            organization.put(element);
        }
        organization
    }
}
