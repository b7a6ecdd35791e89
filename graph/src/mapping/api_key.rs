//! An API key: the entity, user CREATED API key and workspace HAS API key.

use schemas::{
    codec::Raw,
    element::{ApiKey, Element, ElementType},
    raw::{self, Actor, Extra},
};

use super::{Context, epoch_ms, first_filled};

/// An actor's type.
const USER: &str = "user";
const SERVICE_ACCOUNT: &str = "service_account";
/// `scope.type` of a key that belongs to no workspace.
const ORGANIZATION: &str = "organization";

pub(super) fn elements(context: &Context, raw: &Raw, api_key: &raw::ApiKey) -> Vec<Element> {
    let name = first_filled([api_key.name.as_deref(), Some(&api_key.id)]);
    let columns = columns(api_key, &name);
    let key = ElementType::ApiKey.entity_key(&api_key.id);
    let created = columns.created_by.as_ref().filter(|_| columns.creator_type.as_deref() == Some(USER));
    let created = created.map(|user_id| {
        let user_key = ElementType::User.entity_key(user_id);
        context.relationship(ElementType::UserCreatedApiKey, &user_key, &key, raw)
    });
    let has = columns.workspace_id.as_ref().map(|workspace_id| {
        let workspace_key = ElementType::Workspace.entity_key(workspace_id);
        context.relationship(ElementType::WorkspaceHasApiKey, &workspace_key, &key, raw)
    });
    let entity = Element {
        api_key: Some(Box::new(columns)),
        ..context.entity(ElementType::ApiKey, &api_key.id, &name, raw)
    };
    std::iter::once(entity).chain(created).chain(has).collect()
}

/// Whether the resource says where the key belongs: to a workspace with an ID, or to the whole organization. If it does
/// not, the listing is silent about the key's HAS relationship.
pub(crate) fn tells_place(api_key: &raw::ApiKey) -> bool {
    let scope = api_key.scope.as_ref();
    scope.is_some_and(|scope| scope.kind.as_deref() == Some(ORGANIZATION)) || place(api_key).1.is_some()
}

fn columns(api_key: &raw::ApiKey, name: &str) -> ApiKey {
    let creator = actor(api_key.created_by.as_ref(), &api_key.extra, "created_by");
    let principal = actor(api_key.principal.as_ref(), &api_key.extra, "principal");
    let (scope, workspace_id) = place(api_key);
    ApiKey {
        id: api_key.id.clone(),
        name: name.to_owned(),
        partial_key_hint: api_key.partial_key_hint.clone(),
        active: api_key.status.as_deref() == Some("active"),
        status: api_key.status.clone(),
        created_on: api_key.created_at.as_deref().and_then(epoch_ms),
        expires_on: api_key.expires_at.as_deref().and_then(epoch_ms),
        created_by: creator.id,
        creator_type: creator.kind,
        principal_id: principal.id,
        principal_type: principal.kind,
        scope,
        workspace_id,
    }
}

/// Who made a key, or as whom it acts, in the words of all generations. The API has sent an object with `id` and `type`,
/// and one with `user_id` or `service_account_id`. A text has no column, so it is in `extra`.
fn actor(sent: Option<&Actor>, extra: &Extra, name: &str) -> Actor {
    let as_text = || {
        let text = extra.get(name)?.strip_prefix('"')?.strip_suffix('"')?;
        kind_of_id(text).map(|_| Actor { id: Some(text.to_owned()), kind: None })
    };
    let Some(Actor { id, kind }) = sent.cloned().or_else(as_text) else { return Actor::default() };
    // A type that is not a text says something else than the ID's prefix.
    let is_untyped = !extra.contains_key(&format!("{name}.type"));
    let by_id = || id.as_deref().filter(|_| is_untyped).and_then(kind_of_id).map(str::to_owned);
    Actor { kind: kind.map(actor_kind).or_else(by_id), id }
}

/// Generation 2 sends `user` where later ones send `user_actor`: one word, so that a new generation does not look like a
/// change.
fn actor_kind(kind: String) -> String {
    match kind.as_str() {
        "user_actor" => USER.to_owned(),
        "service_account_actor" => SERVICE_ACCOUNT.to_owned(),
        _ => kind,
    }
}

/// What an actor's ID says of its type.
fn kind_of_id(id: &str) -> Option<&'static str> {
    let prefixes = [("user_", USER), ("svac_", SERVICE_ACCOUNT)];
    prefixes.into_iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, kind)| kind)
}

/// Scope and workspace. Generations 1 and 2 have no scope, and a null `workspace_id` of theirs may be the default
/// workspace or the whole organization.
fn place(api_key: &raw::ApiKey) -> (Option<String>, Option<String>) {
    let raw::Scope { kind, workspace_id } = api_key.scope.clone().unwrap_or_default();
    let is_organization = kind.as_deref() == Some(ORGANIZATION);
    let fallback = api_key.workspace_id.as_ref().filter(|_| !is_organization);
    let workspace_id = workspace_id.or_else(|| fallback.cloned());
    (kind.or_else(|| workspace_id.as_ref().map(|_| "workspace".to_owned())), workspace_id)
}
