//! An element as JupiterOne takes it: the properties that `docs/mapping.md` lists.

use serde_json::{Map, Value};

use schemas::element::{Account, ApiKey, Element, User, UserAssignedWorkspace, Workspace};

/// The element's properties, `_key`, `_type` and `_class` included, as one object of an upload.
pub fn properties(element: &Element) -> Map<String, Value> {
    let mut properties = Properties(Map::new());
    properties.set("_key", element.key.as_str());
    properties.set("_type", element.kind.as_str());
    properties.set("displayName", element.display_name.as_str());
    if let (Some(from_key), Some(to_key)) = (&element.from_key, &element.to_key) {
        properties.set("_class", element.class.as_str());
        properties.set("_fromEntityKey", from_key.as_str());
        properties.set("_toEntityKey", to_key.as_str());
    } else {
        properties.set("_class", vec![element.class.as_str()]);
    }
    if let Some(account) = &element.account {
        account_properties(&mut properties, account);
    }
    if let Some(user) = &element.user {
        user_properties(&mut properties, user);
    }
    if let Some(workspace) = &element.workspace {
        workspace_properties(&mut properties, workspace);
    }
    if let Some(api_key) = &element.api_key {
        api_key_properties(&mut properties, api_key);
    }
    if let Some(UserAssignedWorkspace { role }) = &element.user_assigned_workspace {
        properties.set_some("role", role.as_deref());
    }
    // After a workspace's own tags: the organization's tag wins over one of its name.
    properties.set_some("tag.AccountName", element.account_name.as_deref());
    properties.0
}

/// Names of the properties that differ, sorted.
pub fn changed(before: &Element, after: &Element) -> Vec<String> {
    let (before, after) = (properties(before), properties(after));
    let mut names: Vec<String> = before
        .iter()
        .filter(|(name, value)| after.get(*name) != Some(*value))
        .map(|(name, _)| name)
        .chain(after.keys().filter(|name| !before.contains_key(*name)))
        .cloned()
        .collect();
    names.sort();
    names
}

struct Properties(Map<String, Value>);

impl Properties {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// An absent value is omitted.
    fn set_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// An empty array is omitted.
    fn set_array(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            self.set(name, values.to_vec());
        }
    }

    /// The class wants the property: null where there is no value.
    fn set_or_null(&mut self, name: &str, value: Option<impl Into<Value>>) {
        self.set(name, value.map_or(Value::Null, Into::into));
    }

    fn set_array_or_null(&mut self, name: &str, values: &[String]) {
        self.set_or_null(name, (!values.is_empty()).then(|| values.to_vec()));
    }

    fn set_id_and_name(&mut self, id: &str, name: &str) {
        self.set("id", id);
        self.set("name", name);
    }
}

fn account_properties(properties: &mut Properties, account: &Account) {
    let Account { id, name, vendor } = account;
    properties.set_id_and_name(id, name);
    properties.set("vendor", vendor.as_str());
}

fn user_properties(properties: &mut Properties, user: &User) {
    properties.set_id_and_name(&user.id, &user.name);
    properties.set_array_or_null("email", &user.email);
    properties.set_array_or_null("username", &user.username);
    properties.set_array_or_null("shortLoginId", &user.short_login_id);
    properties.set_array("emailDomain", &user.email_domain);
    properties.set_or_null("firstName", user.first_name.as_deref());
    properties.set_or_null("lastName", user.last_name.as_deref());
    properties.set_some("role", user.role.as_deref());
    properties.set("isAdmin", user.is_admin);
    properties.set("isActive", user.is_active);
    properties.set_some("createdOn", user.created_on);
    properties.set_some("addedOn", user.created_on);
}

fn workspace_properties(properties: &mut Properties, workspace: &Workspace) {
    properties.set_id_and_name(&workspace.id, &workspace.name);
    properties.set_some("displayColor", workspace.display_color.as_deref());
    properties.set_some("createdOn", workspace.created_on);
    properties.set_some("archivedOn", workspace.archived_on);
    properties.set("active", workspace.active);
    properties.set_some("workspaceGeo", workspace.workspace_geo.as_deref());
    properties.set_some("defaultInferenceGeo", workspace.default_inference_geo.as_deref());
    properties.set_array("allowedInferenceGeos", &workspace.allowed_inference_geos);
    properties.set_some("compartmentId", workspace.compartment_id.as_deref());
    properties.set_some("externalKeyId", workspace.external_key_id.as_deref());
    properties.set_some("inferenceDataRetention", workspace.inference_data_retention.as_deref());
    properties.set_some("userProfileId", workspace.user_profile_id.as_deref());
    for (name, value) in &workspace.tags {
        properties.set(&format!("tag.{name}"), value.as_str());
    }
}

fn api_key_properties(properties: &mut Properties, api_key: &ApiKey) {
    properties.set_id_and_name(&api_key.id, &api_key.name);
    properties.set_some("partialKeyHint", api_key.partial_key_hint.as_deref());
    properties.set_some("status", api_key.status.as_deref());
    properties.set("active", api_key.active);
    properties.set_some("createdOn", api_key.created_on);
    properties.set_some("expiresOn", api_key.expires_on);
    properties.set_some("createdBy", api_key.created_by.as_deref());
    properties.set_some("creatorType", api_key.creator_type.as_deref());
    properties.set_some("principalId", api_key.principal_id.as_deref());
    properties.set_some("principalType", api_key.principal_type.as_deref());
    properties.set_some("scope", api_key.scope.as_deref());
    properties.set_some("workspaceId", api_key.workspace_id.as_deref());
}
