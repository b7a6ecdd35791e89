//! An API key: the entity, user CREATED API key and workspace HAS API key.

use schemas::{
    codec::Raw,
    element::{ApiKey, Element, ElementType},
    raw,
};

use super::{Context, epoch_ms, first_filled};

pub(super) fn elements(context: &Context, raw: &Raw, api_key: &raw::ApiKey) -> Vec<Element> {
    let name = first_filled([api_key.name.as_deref(), Some(&api_key.id)]);
    let columns = columns(api_key, &name);
    let key = ElementType::ApiKey.entity_key(&api_key.id);
    let created = columns.created_by.as_ref().filter(|_| columns.creator_type.as_deref() == Some("user"));
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

fn columns(api_key: &raw::ApiKey, name: &str) -> ApiKey {
    let creator = api_key.created_by.clone().unwrap_or_default();
    let principal = api_key.principal.clone().unwrap_or_default();
    let (scope, workspace_id) = scope(api_key);
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
        principal_type: principal.kind.map(principal_type),
        scope,
        workspace_id,
    }
}

/// Generation 2 says `user` where later ones say `user_actor`: one word, lest a new generation looks like a change.
fn principal_type(kind: String) -> String {
    match kind.as_str() {
        "user_actor" => "user".to_owned(),
        "service_account_actor" => "service_account".to_owned(),
        _ => kind,
    }
}

/// Scope and workspace. Generations 1 and 2 have no scope, and a null `workspace_id` of theirs may be the default
/// workspace or the whole organization.
fn scope(api_key: &raw::ApiKey) -> (Option<String>, Option<String>) {
    match &api_key.scope {
        Some(scope) => (scope.kind.clone(), scope.workspace_id.clone()),
        None => (api_key.workspace_id.as_ref().map(|_| "workspace".to_owned()), api_key.workspace_id.clone()),
    }
}
