//! The organization as each generation of the API wrote it.

use serde_json::{Map, Value, json};

use super::settings::ApiVersion;
use super::truth::{Actor, ApiKey, Truth, User, Workspace};

/// The status of a key past its end, unknown to generation 1.
const EXPIRED: &str = "expired";

/// `GET /v1/organizations/me`.
pub(super) fn organization(truth: &Truth) -> Value {
    json!({ "id": truth.organization.id, "type": "organization", "name": truth.organization.name })
}

/// A user: the same in all generations.
pub(super) fn user(user: &User) -> Value {
    json!({
        "id": user.id,
        "type": "user",
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "added_at": user.added_at,
    })
}

/// A workspace: six fields in generation 1, ten in generation 2, later with what Anthropic did not document.
pub(super) fn workspace(truth: &Truth, workspace: &Workspace) -> Value {
    let mut fields = Map::new();
    fields.insert("id".to_owned(), json!(workspace.id));
    fields.insert("type".to_owned(), json!("workspace"));
    fields.insert("name".to_owned(), json!(workspace.name));
    fields.insert("display_color".to_owned(), json!(workspace.display_color));
    fields.insert("created_at".to_owned(), json!(workspace.created_at));
    fields.insert("archived_at".to_owned(), json!(workspace.archived_at));
    if truth.switches.generation >= 2 {
        let residency = &workspace.data_residency;
        let allowed =
            residency.allowed_inference_geos.as_ref().map_or(json!("unrestricted"), |geos| json!(geos));
        fields.insert("compartment_id".to_owned(), json!(workspace.compartment_id));
        fields.insert("external_key_id".to_owned(), json!(workspace.external_key_id));
        fields.insert("tags".to_owned(), json!(workspace.tags));
        fields.insert(
            "data_residency".to_owned(),
            json!({
                "workspace_geo": residency.workspace_geo,
                "default_inference_geo": residency.default_inference_geo,
                "allowed_inference_geos": allowed,
            }),
        );
    }
    if truth.switches.generation >= 3 {
        fields.insert("user_profile_id".to_owned(), json!(workspace.user_profile_id));
        if let Some(kind) = &workspace.inference_data_retention {
            fields.insert("inference_data_retention".to_owned(), json!({ "type": kind }));
        }
    }
    Value::Object(fields)
}

/// A member of a workspace: the same in all generations.
pub(super) fn member(workspace_id: &str, user_id: &str, role: &str) -> Value {
    json!({
        "type": "workspace_member",
        "user_id": user_id,
        "workspace_id": workspace_id,
        "workspace_role": role,
    })
}

/// An API key: 8 fields in generation 1, 10 in 2, 11 in 3. Since generation 4 the version decides: `2023-06-01` has 11,
/// `2026-10-21` has 10, with `scope` in place of `workspace_id`.
pub(super) fn api_key(truth: &Truth, version: ApiVersion, key: &ApiKey) -> Value {
    let generation = truth.switches.generation;
    let mut fields = Map::new();
    fields.insert("id".to_owned(), json!(key.id));
    fields.insert("type".to_owned(), json!("api_key"));
    fields.insert("name".to_owned(), json!(key.name));
    fields.insert("created_at".to_owned(), json!(key.created_at));
    fields.insert("partial_key_hint".to_owned(), json!(key.partial_key_hint));
    fields.insert("created_by".to_owned(), created_by(truth, key));
    let status = if generation == 1 && key.status == EXPIRED { "inactive" } else { &key.status };
    fields.insert("status".to_owned(), json!(status));
    if generation >= 2 {
        fields.insert("expires_at".to_owned(), json!(key.expires_at));
        fields.insert(
            "principal".to_owned(),
            json!(key.principal.as_ref().map(|actor| principal(generation, actor))),
        );
    }
    if version == ApiVersion::V20230601 {
        let ordinary = key.workspace_id.as_ref().filter(|id| **id != truth.default_workspace_id);
        fields.insert("workspace_id".to_owned(), json!(ordinary));
    }
    if generation >= 3 {
        let scope = match &key.workspace_id {
            Some(id) => json!({ "type": "workspace", "workspace_id": id }),
            None => json!({ "type": "organization" }),
        };
        fields.insert("scope".to_owned(), scope);
    }
    Value::Object(fields)
}

/// Generation 1 knew no null here and named someone who has left.
fn created_by(truth: &Truth, key: &ApiKey) -> Value {
    match &key.created_by {
        None if truth.switches.generation == 1 => json!(Actor::user(&truth.legacy_creator_id)),
        creator => json!(creator),
    }
}

fn principal(generation: u8, actor: &Actor) -> Value {
    match (generation, actor.kind.as_str()) {
        (2, _) => json!(actor),
        (_, "user") => json!({ "type": "user_actor", "user_id": actor.id }),
        _ => json!({ "type": "service_account_actor", "service_account_id": actor.id }),
    }
}
