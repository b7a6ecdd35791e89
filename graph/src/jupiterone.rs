//! An element as JupiterOne takes it: the properties that `docs/mapping.md` lists.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use schemas::{
    element::{
        Account, ApiKey, Columns, Content, Element, ElementType, User, UserAssignedWorkspace, Workspace,
    },
    encoded::EncodedElement,
};

use crate::mapping::References;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property<'a> {
    Null,
    Text(&'a str),
    /// At least one.
    Texts(&'a [String]),
    Number(i64),
    Flag(bool),
}

/// The element's properties, `_key`, `_type` and `_class` included, as one object of an upload.
pub fn properties(element: &Element) -> Map<String, Value> {
    let mut properties = Map::new();
    each(element, None, |name, value| {
        properties.insert(name.to_owned(), value.into());
    });
    properties
}

/// Appends the same as JSON, with those properties only whose name `is_wanted`. With an owner, it has the class NHI too.
pub fn write(element: &Element, owner: Option<&Owner>, is_wanted: impl Fn(&str) -> bool, json: &mut Vec<u8>) {
    let mut before = b'{';
    each(element, owner, |name, value| {
        if is_wanted(name) {
            json.push(std::mem::replace(&mut before, b','));
            write_text(json, name);
            json.push(b':');
            write_value(json, value);
        }
    });
    json.push(b'}');
}

fn write_value(json: &mut Vec<u8>, value: Property<'_>) {
    match value {
        Property::Text(text) => write_text(json, text),
        Property::Texts(texts) => {
            let mut before = b'[';
            for text in texts {
                json.push(std::mem::replace(&mut before, b','));
                write_text(json, text);
            }
            json.push(b']');
        }
        Property::Null => json.extend_from_slice(b"null"),
        Property::Number(number) => json.extend_from_slice(number.to_string().as_bytes()),
        Property::Flag(flag) => json.extend_from_slice(flag.to_string().as_bytes()),
    }
}

fn write_text(json: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(json, text).expect("a Vec takes all that is written");
}

/// Who answers for an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This member of the organization: an email address, or a name where there is none.
    Member(String),
    /// Someone who has left.
    Former,
    /// No person that is known.
    Nobody,
}

/// The members of an organization, who may own API keys, by the key of their element.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Members(BTreeMap<String, String>);

impl Members {
    /// Those among these elements.
    pub fn of<'a>(elements: impl Iterator<Item = &'a EncodedElement>) -> Self {
        let users = elements.filter(|element| element.kind() == ElementType::User.name());
        let member = |element: &EncodedElement| {
            let Content::User(user) = element.decode().content else { return None };
            let User { name, email, .. } = *user;
            Some((element.key().to_owned(), email.into_iter().next().unwrap_or(name)))
        };
        Self(users.filter_map(member).collect())
    }

    /// Who answers for an API key: the person that it acts as, else the person who created it. `None` for other elements.
    pub fn owner(&self, element: &EncodedElement) -> Option<Owner> {
        if element.kind() != ElementType::ApiKey.name() {
            return None;
        }
        let user = References::of(element)?.user();
        Some(match user.map(|id| self.0.get(&ElementType::User.entity_key(id))) {
            Some(Some(member)) => Owner::Member(member.clone()),
            Some(None) => Owner::Former,
            None => Owner::Nobody,
        })
    }
}

/// Hands over each property once, in no order.
fn each(element: &Element, owner: Option<&Owner>, set: impl Set) {
    let mut properties = Properties(set);
    properties.set("_key", element.key.as_str());
    properties.set("_type", element.kind());
    properties.set("displayName", element.display_name.as_str());
    let class = element.content.class();
    if let [Some(from_key), Some(to_key)] = element.content.ends() {
        properties.set("_class", class);
        properties.set("_fromEntityKey", from_key);
        properties.set("_toEntityKey", to_key);
    } else {
        let second = owner.map(|_| NHI.to_owned());
        let classes: Vec<String> = [class.to_owned()].into_iter().chain(second).collect();
        properties.set("_class", &classes[..]);
    }
    if let Some(owner) = owner {
        nhi_properties(&mut properties, owner);
    }
    for columns in element.content.columns() {
        match columns {
            Columns::Account(account) => account_properties(&mut properties, account),
            Columns::User(user) => user_properties(&mut properties, user),
            Columns::Workspace(workspace) => {
                // The organization's tag wins over one of its name.
                let is_own = |name: &str| element.account_name.is_none() || name != ACCOUNT_NAME;
                workspace_properties(&mut properties, workspace, is_own);
            }
            Columns::ApiKey(api_key) => api_key_properties(&mut properties, api_key),
            Columns::UserAssignedWorkspace(UserAssignedWorkspace { role }) => {
                properties.set_some("role", role.as_deref());
            }
        }
    }
    properties.set_some(&tag(ACCOUNT_NAME), element.account_name.as_deref());
}

/// JupiterOne's class of identities that are not people.
const NHI: &str = "NHI";

/// The tag that JupiterOne shows as the account of an entity.
const ACCOUNT_NAME: &str = "AccountName";

fn tag(name: &str) -> String {
    ["tag.", name].concat()
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

impl<'a> From<&'a str> for Property<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [String]> for Property<'a> {
    fn from(texts: &'a [String]) -> Self {
        Self::Texts(texts)
    }
}

impl From<i64> for Property<'_> {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Property<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Property<'_>> for Value {
    fn from(property: Property<'_>) -> Self {
        match property {
            Property::Null => Self::Null,
            Property::Text(text) => text.into(),
            Property::Texts(texts) => texts.into(),
            Property::Number(number) => number.into(),
            Property::Flag(flag) => flag.into(),
        }
    }
}

trait Set: FnMut(&str, Property<'_>) {}

impl<F: FnMut(&str, Property<'_>)> Set for F {}

struct Properties<F>(F);

impl<F: Set> Properties<F> {
    fn set<'a>(&mut self, name: &str, value: impl Into<Property<'a>>) {
        (self.0)(name, value.into());
    }

    /// An absent value is omitted.
    fn set_some<'a>(&mut self, name: &str, value: Option<impl Into<Property<'a>>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// An empty array is omitted.
    fn set_array(&mut self, name: &str, values: &[String]) {
        self.set_some(name, some(values));
    }

    /// The class wants the property: null where there is no value.
    fn set_or_null<'a>(&mut self, name: &str, value: Option<impl Into<Property<'a>>>) {
        self.set(name, value.map_or(Property::Null, Into::into));
    }

    fn set_array_or_null(&mut self, name: &str, values: &[String]) {
        self.set_or_null(name, some(values));
    }

    fn set_id_and_name(&mut self, id: &str, name: &str) {
        self.set("id", id);
        self.set("name", name);
    }
}

fn some(values: &[String]) -> Option<&[String]> {
    Some(values).filter(|values| !values.is_empty())
}

fn account_properties<F: Set>(properties: &mut Properties<F>, account: &Account) {
    let Account { id, name, vendor } = account;
    properties.set_id_and_name(id, name);
    properties.set("vendor", vendor.as_str());
}

fn user_properties<F: Set>(properties: &mut Properties<F>, user: &User) {
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

fn workspace_properties<F: Set>(
    properties: &mut Properties<F>,
    workspace: &Workspace,
    is_own: impl Fn(&str) -> bool,
) {
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
    for (name, value) in workspace.tags.iter().filter(|(name, _)| is_own(name)) {
        properties.set(&tag(name), value.as_str());
    }
}

fn api_key_properties<F: Set>(properties: &mut Properties<F>, api_key: &ApiKey) {
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

/// As data-model 0.64.2 has the class `NHI`.
fn nhi_properties<F: Set>(properties: &mut Properties<F>, owner: &Owner) {
    properties.set("nhiType", "api_key");
    properties.set("isAi", true);
    properties.set("aiConfidence", "confirmed");
    properties.set("aiPlatform", "anthropic");
    let (status, member) = match owner {
        Owner::Member(member) => ("assigned", Some(member.as_str())),
        Owner::Former => ("orphaned", None),
        Owner::Nobody => ("unassigned", None),
    };
    properties.set("nhiOwnerStatus", status);
    properties.set_some("owner", member);
}
