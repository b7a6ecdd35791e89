//! Reads a resource from the API's JSON, in every generation of the wire format. Pure.
//!
//! A known field gets a column if its JSON type is the expected one. All other fields go to `extra`. Enum values are
//! strings and pass through unchanged.

use std::collections::BTreeMap;

use schemas::collection::Collection;
use schemas::raw::{
    Actor, ApiKey, DataResidency, Extra, Member, Organization, Resource, Scope, User, Workspace,
};
use thiserror::Error;

use crate::extra::Fields;
use crate::json::Json;

/// Why a row is not a resource. It cannot be kept without an ID, so its listing is not whole.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ResourceError {
    /// The row is not a JSON object.
    #[error("a row is not a JSON object")]
    NoObject,
    /// Its ID is missing, empty or not a string.
    #[error("a row has no {0}")]
    NoId(&'static str),
    /// Every key begins with the organization's ID, up to the first slash.
    #[error("the organization's ID contains a slash, which separates the ID from the rest of each key")]
    SlashInOrganization,
    /// A member of a workspace that was not requested.
    #[error("a row belongs to a workspace that was not requested")]
    OtherWorkspace,
}

/// Reads a row of the collection as a resource.
pub fn read(collection: &Collection, row: Json) -> Result<Resource, ResourceError> {
    let Json::Object(fields) = row else { return Err(ResourceError::NoObject) };
    let mut extra = Extra::new();
    let mut fields = Fields::new(fields, "", &mut extra);
    let mut resource = match collection {
        Collection::Organization => Resource::Organization(organization(&mut fields)?.into()),
        Collection::Users => Resource::User(user(&mut fields)?.into()),
        Collection::Workspaces => Resource::Workspace(workspace(&mut fields)?.into()),
        Collection::ApiKeys => Resource::ApiKey(api_key(&mut fields)?.into()),
        Collection::Members(workspace_id) => Resource::Member(member(workspace_id, &mut fields)?.into()),
    };
    fields.finish();
    *extra_of(&mut resource) = extra;
    Ok(resource)
}

fn organization(fields: &mut Fields<'_>) -> Result<Organization, ResourceError> {
    let id = id(fields, "id")?;
    if id.contains('/') {
        return Err(ResourceError::SlashInOrganization);
    }
    Ok(Organization { id, kind: fields.text("type"), name: fields.text("name"), extra: Extra::new() })
}

fn user(fields: &mut Fields<'_>) -> Result<User, ResourceError> {
    Ok(User {
        id: id(fields, "id")?,
        kind: fields.text("type"),
        email: fields.text("email"),
        name: fields.text("name"),
        role: fields.text("role"),
        added_at: fields.text("added_at"),
        extra: Extra::new(),
    })
}

fn workspace(fields: &mut Fields<'_>) -> Result<Workspace, ResourceError> {
    Ok(Workspace {
        id: id(fields, "id")?,
        kind: fields.text("type"),
        name: fields.text("name"),
        display_color: fields.text("display_color"),
        created_at: fields.text("created_at"),
        archived_at: fields.text("archived_at"),
        compartment_id: fields.text("compartment_id"),
        external_key_id: fields.text("external_key_id"),
        data_residency: fields.object("data_residency", |fields| DataResidency {
            workspace_geo: fields.text("workspace_geo"),
            default_inference_geo: fields.text("default_inference_geo"),
            allowed_inference_geos: fields.texts("allowed_inference_geos"),
        }),
        tags: fields.object("tags", tags).unwrap_or_default(),
        inference_data_retention: fields
            .object("inference_data_retention", |fields| fields.text("type"))
            .flatten(),
        user_profile_id: fields.text("user_profile_id"),
        extra: Extra::new(),
    })
}

fn tags(fields: &mut Fields<'_>) -> BTreeMap<String, String> {
    let names = fields.names();
    let tag = |name: String| fields.text(&name).map(|value| (name, value));
    names.into_iter().filter_map(tag).collect()
}

fn api_key(fields: &mut Fields<'_>) -> Result<ApiKey, ResourceError> {
    Ok(ApiKey {
        id: id(fields, "id")?,
        kind: fields.text("type"),
        name: fields.text("name"),
        status: fields.text("status"),
        created_at: fields.text("created_at"),
        expires_at: fields.text("expires_at"),
        created_by: fields.object("created_by", actor),
        partial_key_hint: fields.text("partial_key_hint"),
        principal: fields.object("principal", actor),
        scope: fields.object("scope", |fields| Scope {
            kind: fields.text("type"),
            workspace_id: fields.text("workspace_id"),
        }),
        workspace_id: fields.text("workspace_id"),
        extra: Extra::new(),
    })
}

/// `id` in generation 2, `user_id` or `service_account_id` since then. If several are sent, the first identifies the
/// actor and the others are kept in `extra`.
fn actor(fields: &mut Fields<'_>) -> Actor {
    let kind = fields.text("type");
    let id = ["id", "user_id", "service_account_id"].into_iter().find_map(|name| fields.text(name));
    Actor { id, kind }
}

fn member(workspace_id: &str, fields: &mut Fields<'_>) -> Result<Member, ResourceError> {
    let user_id = id(fields, "user_id")?;
    match fields.text("workspace_id") {
        Some(sent) if sent != workspace_id => return Err(ResourceError::OtherWorkspace),
        _ => {}
    }
    Ok(Member {
        user_id,
        workspace_id: workspace_id.to_owned(),
        kind: fields.text("type"),
        workspace_role: fields.text("workspace_role"),
        extra: Extra::new(),
    })
}

fn id(fields: &mut Fields<'_>, name: &'static str) -> Result<String, ResourceError> {
    fields.text(name).filter(|id| !id.is_empty()).ok_or(ResourceError::NoId(name))
}

/// Where the fields without a column go.
fn extra_of(resource: &mut Resource) -> &mut Extra {
    match resource {
        Resource::Organization(organization) => &mut organization.extra,
        Resource::User(user) => &mut user.extra,
        Resource::Workspace(workspace) => &mut workspace.extra,
        Resource::ApiKey(api_key) => &mut api_key.extra,
        Resource::Member(member) => &mut member.extra,
    }
}

#[cfg(test)]
mod tests {
    use schemas::collection::Collection;
    use schemas::raw::{Actor, ApiKey, Resource, Workspace};
    use serde_json::{Value, json};

    use super::ResourceError;
    use crate::json::Json;

    fn read(collection: &Collection, row: &Value) -> Result<Resource, ResourceError> {
        super::read(collection, Json::parse(row.to_string().as_bytes()).expect("JSON"))
    }

    fn extra(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
        pairs.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    fn api_key(row: &Value) -> ApiKey {
        let Ok(Resource::ApiKey(api_key)) = read(&Collection::ApiKeys, row) else { panic!("no API key") };
        *api_key
    }

    fn workspace(row: &Value) -> Workspace {
        let Ok(Resource::Workspace(workspace)) = read(&Collection::Workspaces, row) else {
            panic!("no workspace")
        };
        *workspace
    }

    #[test]
    fn a_row_without_an_id_is_not_a_resource() {
        let members = Collection::Members("wrkspc_1".to_owned());
        let table = [
            (&Collection::Users, json!([]), ResourceError::NoObject),
            (&Collection::Users, json!({}), ResourceError::NoId("id")),
            (&Collection::Users, json!({ "id": "" }), ResourceError::NoId("id")),
            (&Collection::Users, json!({ "id": 7 }), ResourceError::NoId("id")),
            (&Collection::Organization, json!({ "id": "a/coverage" }), ResourceError::SlashInOrganization),
            (&members, json!({ "id": "user_1" }), ResourceError::NoId("user_id")),
            (
                &members,
                json!({ "user_id": "user_1", "workspace_id": "wrkspc_2" }),
                ResourceError::OtherWorkspace,
            ),
        ];
        for (collection, row, expected) in table {
            assert_eq!(read(collection, &row), Err(expected), "{row}");
        }
    }

    #[test]
    fn an_actor_is_read_in_each_generation_s_form() {
        let table = [
            (json!({ "id": "svac_1", "type": "service_account" }), Some("svac_1"), "service_account"),
            (json!({ "type": "user_actor", "user_id": "user_1" }), Some("user_1"), "user_actor"),
            (
                json!({ "type": "service_account_actor", "service_account_id": "svac_1" }),
                Some("svac_1"),
                "service_account_actor",
            ),
            (json!({ "type": "robot", "robot_id": "r" }), None, "robot"),
        ];
        for (principal, id, kind) in table {
            let key = api_key(&json!({ "id": "apikey_1", "principal": principal }));
            let expected = Actor { id: id.map(str::to_owned), kind: Some(kind.to_owned()) };
            assert_eq!(key.principal, Some(expected));
        }
    }

    #[test]
    fn a_known_field_of_another_type_is_kept_under_its_name() {
        let key = api_key(&json!({
            "id": "apikey_1", "name": 7, "status": null, "created_by": "system",
            "principal": { "type": ["a"], "id": "user_1", "user_id": "user_2", "robot": null },
            "scope": [],
        }));
        assert_eq!((key.name, key.status, key.created_by, key.scope), (None, None, None, None));
        assert_eq!(key.principal, Some(Actor { id: Some("user_1".to_owned()), kind: None }));
        assert_eq!(
            key.extra,
            extra(&[
                ("created_by", r#""system""#),
                ("name", "7"),
                ("principal.robot", "null"),
                ("principal.type", r#"["a"]"#),
                ("principal.user_id", r#""user_2""#),
                ("scope", "[]"),
            ])
        );
    }

    #[test]
    fn geos_are_an_array_whether_sent_as_one_word_or_as_several() {
        let geos = |value: Value| {
            let row = json!({ "id": "wrkspc_1", "data_residency": { "allowed_inference_geos": value } });
            let workspace = workspace(&row);
            (workspace.data_residency.expect("residency").allowed_inference_geos, workspace.extra)
        };
        assert_eq!(geos(json!("unrestricted")), (vec!["unrestricted".to_owned()], extra(&[])));
        assert_eq!(geos(json!(["us", "eu"])), (vec!["us".to_owned(), "eu".to_owned()], extra(&[])));
        let name = "data_residency.allowed_inference_geos";
        assert_eq!(geos(json!(["us", 1])), (Vec::new(), extra(&[(name, r#"["us",1]"#)])));
    }

    #[test]
    fn tags_that_are_not_strings_and_unknown_nested_fields_are_kept_with_a_dot() {
        let workspace = workspace(&json!({
            "id": "wrkspc_1", "tags": { "env": "prod", "cost": 7 },
            "inference_data_retention": { "type": "disabled", "days": 30 },
            "new": { "b": 1, "a": 2 },
        }));
        assert_eq!(workspace.tags, extra(&[("env", "prod")]));
        assert_eq!(workspace.inference_data_retention.as_deref(), Some("disabled"));
        let kept = [("inference_data_retention.days", "30"), ("new", r#"{"a":2,"b":1}"#), ("tags.cost", "7")];
        assert_eq!(workspace.extra, extra(&kept));
    }

    #[test]
    fn a_field_with_a_dot_in_its_name_and_a_nested_one_are_both_kept() {
        let workspace = workspace(&json!({
            "id": "wrkspc_1", "tags": { "cost": 7 }, "tags.cost": 8, "tags.cost'": 9,
        }));
        assert_eq!(workspace.extra, extra(&[("tags.cost", "7"), ("tags.cost'", "8"), ("tags.cost''", "9")]));
    }

    #[test]
    fn the_order_of_the_fields_does_not_matter() {
        let parse = |text: &str| -> Resource {
            super::read(&Collection::Users, Json::parse(text.as_bytes()).expect("JSON")).expect("a resource")
        };
        let one = parse(r#"{"id":"user_1","name":"Ada","x":{"a":1,"b":2}}"#);
        assert_eq!(one, parse(r#"{"x":{"b":2,"a":1},"name":"Ada","id":"user_1"}"#));
    }
}
