//! From a resource to its elements: the auditor's own mapping, written from `docs/mapping.md`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemas::{
    codec::digest,
    element::{Account, ApiKey, Content, Element, Ends, User, UserAssignedWorkspace, Workspace},
    raw::{self, Resource},
};

/// The version of the mapping that this is: elements of another one are none of its business.
const VERSION: u32 = 2;

/// Whose resource it is, and which collection has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) organization_id: &'a str,
    pub(super) collection: &'a str,
    /// What every entity is tagged with.
    pub(super) account_name: Option<&'a str>,
}

/// The elements; their digests are empty. None for a resource of another kind than its collection has.
pub(super) fn elements(place: Place<'_>, resource: &Resource) -> Vec<Element> {
    match (place.collection, resource) {
        ("organization", Resource::Organization(it)) => vec![account(place, it)],
        ("users", Resource::User(it)) => of_user(place, it).into(),
        ("workspaces", Resource::Workspace(it)) => of_workspace(place, it).into(),
        ("api_keys", Resource::ApiKey(it)) => of_api_key(place, it),
        (other, Resource::Member(it)) => {
            let workspace_id = other.strip_prefix("members/");
            workspace_id.map(|workspace_id| assigned(place, it, workspace_id)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// What the second half of an element's digest says: of which version and under which configuration it was mapped.
pub(super) fn origin(account_name: Option<&str>) -> String {
    let tag = account_name.map_or_else(String::new, |name| format!("tag:{name}"));
    digest([VERSION.to_string().as_bytes(), tag.as_bytes()])
}

/// The key of an entity: an id may be anything, so the sign that parts a relationship's key is escaped in it.
pub(super) fn entity_key(kind: &str, id: &str) -> String {
    let mut key = format!("{kind}:");
    for character in id.chars() {
        match character {
            '%' => key.push_str("%25"),
            '|' => key.push_str("%7C"),
            other => key.push(other),
        }
    }
    key
}

fn entity(place: Place<'_>, key: String, name: String, content: Content) -> Element {
    element(place, key, name, place.account_name, content)
}

fn relationship(place: Place<'_>, class: &str, ends: Ends, content: impl FnOnce(Ends) -> Content) -> Element {
    let key = format!("{}|{}|{}", ends.from_key, class.to_ascii_lowercase(), ends.to_key);
    element(place, key, class.to_owned(), None, content(ends))
}

fn element(place: Place<'_>, key: String, name: String, tag: Option<&str>, content: Content) -> Element {
    Element {
        key,
        display_name: name,
        organization_id: place.organization_id.to_owned(),
        collection: place.collection.to_owned(),
        digest: String::new(),
        account_name: tag.map(str::to_owned),
        content,
    }
}

fn account(place: Place<'_>, organization: &raw::Organization) -> Element {
    let name = named(organization.name.as_ref(), &organization.id);
    let columns = Account { id: organization.id.clone(), name: name.clone(), vendor: "Anthropic".to_owned() };
    entity(place, entity_key("anthropic_account", &organization.id), name, Content::Account(columns))
}

fn of_user(place: Place<'_>, user: &raw::User) -> [Element; 2] {
    let fallback = user.email.as_ref().filter(|email| !email.is_empty()).unwrap_or(&user.id);
    let name = named(user.name.as_ref(), fallback);
    let address = user.email.as_ref().map(|email| email.trim().to_lowercase()).unwrap_or_default();
    let at = address.rfind('@').filter(|at| *at > 0 && at + 1 < address.len());
    let part = |text: Option<&str>| text.map(str::to_owned).into_iter().collect::<Vec<_>>();
    let email = part(at.map(|_| address.as_str()));
    let (first_name, last_name) = person(user.name.as_deref().unwrap_or_default());
    let columns = User {
        id: user.id.clone(),
        name: name.clone(),
        username: email.clone(),
        email,
        short_login_id: part(at.map(|at| &address[..at])),
        email_domain: part(at.map(|at| &address[at + 1..])),
        first_name,
        last_name,
        is_admin: matches!(user.role.as_deref(), Some("admin" | "owner" | "primary_owner")),
        role: user.role.clone(),
        is_active: true,
        created_on: milliseconds(user.added_at.as_ref()),
    };
    let key = entity_key("anthropic_user", &user.id);
    let account = entity_key("anthropic_account", place.organization_id);
    let ends = Ends { from_key: account, to_key: key.clone() };
    let has = relationship(place, "HAS", ends, Content::AccountHasUser);
    [entity(place, key, name, Content::User(Box::new(columns))), has]
}

fn person(name: &str) -> (Option<String>, Option<String>) {
    if name.contains('@') {
        return (None, None);
    }
    let folded = name.split_whitespace().collect::<Vec<_>>().join(" ");
    match folded.rsplit_once(' ') {
        Some((first, last)) => (Some(first.to_owned()), Some(last.to_owned())),
        None if folded.is_empty() => (None, None),
        None => (Some(folded), None),
    }
}

fn of_workspace(place: Place<'_>, workspace: &raw::Workspace) -> [Element; 2] {
    let name = named(workspace.name.as_ref(), &workspace.id);
    let residency = workspace.data_residency.as_ref();
    let columns = Workspace {
        id: workspace.id.clone(),
        name: name.clone(),
        display_color: workspace.display_color.clone(),
        created_on: milliseconds(workspace.created_at.as_ref()),
        archived_on: milliseconds(workspace.archived_at.as_ref()),
        active: workspace.archived_at.as_ref().or(workspace.extra.get("archived_at")).is_none(),
        workspace_geo: residency.and_then(|it| it.workspace_geo.clone()),
        default_inference_geo: residency.and_then(|it| it.default_inference_geo.clone()),
        allowed_inference_geos: residency.map(|it| it.allowed_inference_geos.clone()).unwrap_or_default(),
        compartment_id: workspace.compartment_id.clone(),
        external_key_id: workspace.external_key_id.clone(),
        inference_data_retention: workspace.inference_data_retention.clone(),
        user_profile_id: workspace.user_profile_id.clone(),
        tags: tags(&workspace.tags),
    };
    let key = entity_key("anthropic_workspace", &workspace.id);
    let account = entity_key("anthropic_account", place.organization_id);
    let ends = Ends { from_key: account, to_key: key.clone() };
    let has = relationship(place, "HAS", ends, Content::AccountHasWorkspace);
    [entity(place, key, name, Content::Workspace(Box::new(columns))), has]
}

/// The later ones win: those that needed a change in the reverse of byte order, then those that needed none.
fn tags(tags: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_accepted = |sign: char| sign.is_ascii_alphanumeric() || sign == '.' || sign == '-' || sign == ' ';
    let accepted =
        |name: &str| name.chars().map(|sign| if is_accepted(sign) { sign } else { '-' }).collect::<String>();
    let (kept, changed): (Vec<_>, Vec<_>) = tags.iter().partition(|(name, _)| accepted(name) == **name);
    let ordered = changed.into_iter().rev().chain(kept);
    ordered.map(|(name, value)| (accepted(name), value.clone())).collect()
}

fn of_api_key(place: Place<'_>, api_key: &raw::ApiKey) -> Vec<Element> {
    let name = named(api_key.name.as_ref(), &api_key.id);
    let (created_by, creator_type) = who(api_key, "created_by", api_key.created_by.as_ref());
    let (principal_id, principal_type) = who(api_key, "principal", api_key.principal.as_ref());
    let workspace_id = workspace_of(api_key).cloned();
    let given = api_key.scope.as_ref().and_then(|scope| scope.kind.clone());
    let scope = if given.is_none() && workspace_id.is_some() { Some("workspace".to_owned()) } else { given };
    let columns = ApiKey {
        id: api_key.id.clone(),
        name: name.clone(),
        partial_key_hint: api_key.partial_key_hint.clone(),
        status: api_key.status.clone(),
        active: api_key.status.as_deref() == Some("active"),
        created_on: milliseconds(api_key.created_at.as_ref()),
        expires_on: milliseconds(api_key.expires_at.as_ref()),
        created_by,
        creator_type,
        principal_id,
        principal_type,
        scope,
        workspace_id: workspace_id.clone(),
    };
    let is_by_user = columns.creator_type.as_deref() == Some("user");
    let user = columns.created_by.clone().filter(|_| is_by_user);
    let key = entity_key("anthropic_api_key", &api_key.id);
    let ends = |kind: &str, id: &str| Ends { from_key: entity_key(kind, id), to_key: key.clone() };
    let mut elements = vec![entity(place, key.clone(), name, Content::ApiKey(Box::new(columns)))];
    elements.extend(
        user.map(|id| {
            relationship(place, "CREATED", ends("anthropic_user", &id), Content::UserCreatedApiKey)
        }),
    );
    elements.extend(
        workspace_id.map(|id| {
            relationship(place, "HAS", ends("anthropic_workspace", &id), Content::WorkspaceHasApiKey)
        }),
    );
    elements
}

/// The workspace to which a key belongs, if the resource names one.
fn workspace_of(api_key: &raw::ApiKey) -> Option<&String> {
    match &api_key.scope {
        Some(raw::Scope { workspace_id: Some(id), .. }) => Some(id),
        Some(scope) if scope.kind.as_deref() == Some("organization") => None,
        _ => api_key.workspace_id.as_ref(),
    }
}

/// Whether the resource does not say where the key belongs.
pub(super) fn is_placeless(api_key: &raw::ApiKey) -> bool {
    let kind = api_key.scope.as_ref().and_then(|scope| scope.kind.as_deref());
    kind != Some("organization") && workspace_of(api_key).is_none()
}

/// ID and type of an actor. The API sends it as an object, or as a string that `extra` has.
fn who(api_key: &raw::ApiKey, field: &str, object: Option<&raw::Actor>) -> (Option<String>, Option<String>) {
    let text: Option<String> = api_key.extra.get(field).and_then(|json| serde_json::from_str(json).ok());
    let (id, kind) = match (object, text) {
        (Some(object), _) => (object.id.clone(), object.kind.clone()),
        (None, Some(text)) if text.starts_with("user_") || text.starts_with("svac_") => (Some(text), None),
        (None, _) => return (None, None),
    };
    let kind = match kind.as_deref() {
        Some("user_actor") => Some("user".to_owned()),
        Some("service_account_actor") => Some("service_account".to_owned()),
        Some(_) => kind,
        None if api_key.extra.contains_key(&format!("{field}.type")) => None,
        None => match id.as_deref().and_then(|id| id.split_once('_')) {
            Some(("user", _)) => Some("user".to_owned()),
            Some(("svac", _)) => Some("service_account".to_owned()),
            _ => None,
        },
    };
    (id, kind)
}

fn assigned(place: Place<'_>, member: &raw::Member, workspace_id: &str) -> Element {
    let user = entity_key("anthropic_user", &member.user_id);
    let ends = Ends { from_key: user, to_key: entity_key("anthropic_workspace", workspace_id) };
    let columns = UserAssignedWorkspace { role: member.workspace_role.clone() };
    relationship(place, "ASSIGNED", ends, |ends| Content::UserAssignedWorkspace(ends, columns))
}

fn named(name: Option<&String>, otherwise: &str) -> String {
    name.filter(|name| !name.is_empty()).map_or_else(|| otherwise.to_owned(), Clone::clone)
}

/// Digits beyond the millisecond are cut off before the time is read.
fn milliseconds(text: Option<&String>) -> Option<i64> {
    let text = text?;
    let cut = match text.find('.') {
        Some(point) => {
            let digits = text[point + 1..].bytes().take_while(u8::is_ascii_digit).count();
            format!("{}{}", &text[..point + 1 + digits.min(3)], &text[point + 1 + digits..])
        }
        None => text.clone(),
    };
    let time: Timestamp = cut.parse().ok()?;
    i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok()
}

#[cfg(test)]
mod tests {
    use schemas::element::ElementType;

    /// The names come with the content, which the auditor has in common with what it audits.
    #[test]
    fn types_and_classes_are_those_of_the_documentation() {
        let found = ElementType::ALL.map(|kind| (kind.name(), kind.class()));
        let expected = [
            ("anthropic_account", "Account"),
            ("anthropic_user", "User"),
            ("anthropic_workspace", "Group"),
            ("anthropic_api_key", "AccessKey"),
            ("anthropic_account_has_user", "HAS"),
            ("anthropic_account_has_workspace", "HAS"),
            ("anthropic_user_assigned_workspace", "ASSIGNED"),
            ("anthropic_user_created_api_key", "CREATED"),
            ("anthropic_workspace_has_api_key", "HAS"),
        ];
        assert_eq!(found, expected);
    }
}
