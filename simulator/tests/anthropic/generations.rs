use std::collections::BTreeSet;

use serde_json::{Value, json};
use simulator::anthropic::{Mutation, ROLES, Settings, UnknownVersion};

use crate::client::client;

fn fields(row: &Value) -> String {
    row.as_object().expect("an object").keys().cloned().collect::<Vec<_>>().join(" ")
}

const WORKSPACE: [&str; 4] = [
    "archived_at created_at display_color id name type",
    "archived_at compartment_id created_at data_residency display_color external_key_id id name tags type",
    "archived_at compartment_id created_at data_residency display_color external_key_id id \
     inference_data_retention name tags type user_profile_id",
    "archived_at compartment_id created_at data_residency display_color external_key_id id \
     inference_data_retention name tags type user_profile_id",
];

const API_KEY: [&str; 4] = [
    "created_at created_by id name partial_key_hint status type workspace_id",
    "created_at created_by expires_at id name partial_key_hint principal status type workspace_id",
    "created_at created_by expires_at id name partial_key_hint principal scope status type workspace_id",
    "created_at created_by expires_at id name partial_key_hint principal scope status type workspace_id",
];

/// In version 2026-10-21.
const NEWER_API_KEY: &str =
    "created_at created_by expires_at id name partial_key_hint principal scope status type";

#[tokio::test]
async fn each_generation_sends_exactly_its_fields() {
    let client = client(Settings { generation: 1, ..Settings::default() }).await;
    for generation in 1..=4u8 {
        client.anthropic.mutate(Mutation::SwitchGeneration { generation }).expect("a generation");
        assert_eq!(fields(&client.get("me").await.body), "id name type");
        for user in client.get("users?limit=1000").await.body["data"].as_array().expect("users") {
            assert_eq!(fields(user), "added_at email id name role type");
        }
        let index = usize::from(generation) - 1;
        let default = client.anthropic.truth().default_workspace_id;
        // The default workspace has every field; others may lack what is undocumented.
        let workspace = client.get(&format!("workspaces/{default}")).await.body;
        assert_eq!(fields(&workspace), WORKSPACE[index], "generation {generation}");
        for key in client.get("api_keys?limit=1000").await.body["data"].as_array().expect("keys") {
            assert_eq!(fields(key), API_KEY[index], "generation {generation}");
        }
    }
}

#[tokio::test]
async fn the_version_of_the_request_decides_what_an_api_key_has_and_nothing_else() {
    let client = client(Settings::default()).await;
    let default = client.anthropic.truth().default_workspace_id;
    let default = format!("workspaces/{default}");
    for path in ["me", "users?limit=1000", "workspaces?limit=1000&include_archived=true", &default] {
        let older = client.get_in("2023-06-01", path).await.body;
        assert_eq!(older, client.get_in("2026-10-21", path).await.body, "{path}");
    }
    let older = client.get_in("2023-06-01", "api_keys?limit=1000").await.body;
    let newer = client.get_in("2026-10-21", "api_keys?limit=1000").await.body;
    let rows = |page: &Value| page["data"].as_array().expect("keys").clone();
    for (older, mut newer) in rows(&older).into_iter().zip(rows(&newer)) {
        assert_eq!((fields(&older).as_str(), fields(&newer).as_str()), (API_KEY[3], NEWER_API_KEY));
        newer["workspace_id"] = older["workspace_id"].clone();
        assert_eq!(older, newer);
    }
}

#[tokio::test]
async fn an_unknown_version_is_refused_or_ignored() {
    let client = client(Settings::default()).await;
    let refused = client.get_in("2026-10-22", "me").await;
    assert_eq!(
        (refused.status.as_u16(), &refused.body["error"]["type"]),
        (400, &json!("invalid_request_error"))
    );
    client.anthropic.switch(|switches| switches.unknown_version = UnknownVersion::Ignored);
    let older = client.get("api_keys").await.body;
    assert_eq!(client.get_in("2026-10-22", "api_keys").await.body, older);
    // An API of generation 3 does not know the newer version.
    client.anthropic.switch(|switches| switches.generation = 3);
    assert_eq!(client.get_in("2026-10-21", "api_keys").await.body, older);
}

#[tokio::test]
async fn one_key_in_four_generations() {
    let client = client(Settings { generation: 1, ..Settings::default() }).await;
    let truth = client.anthropic.truth();
    let service = |key: &&simulator::anthropic::ApiKey| {
        key.principal.as_ref().is_some_and(|actor| actor.kind == "service_account")
            && key.workspace_id.is_some()
    };
    let key = truth.api_keys.values().find(service).expect("a service account's key");
    let account = &key.principal.as_ref().expect("just found by it").id;
    let path = format!("api_keys/{}", key.id);
    let of = async |generation| {
        client.anthropic.switch(|switches| switches.generation = generation);
        client.get(&path).await.body
    };
    assert_eq!(of(1).await["workspace_id"], json!(key.workspace_id));
    assert_eq!(of(2).await["principal"], json!({ "id": account, "type": "service_account" }));
    let third = of(3).await;
    let union = json!({ "type": "service_account_actor", "service_account_id": account });
    let scope = json!({ "type": "workspace", "workspace_id": key.workspace_id });
    assert_eq!((&third["principal"], &third["scope"]), (&union, &scope));
    let fourth = of(4).await;
    assert_eq!((&fourth["principal"], &fourth["scope"]), (&union, &scope));
}

#[tokio::test]
async fn keys_of_the_default_workspace_and_of_the_organization_differ_by_scope_alone() {
    let client = client(Settings { generation: 3, ..Settings::default() }).await;
    let truth = client.anthropic.truth();
    let default = Some(truth.default_workspace_id.clone());
    for key in truth.api_keys.values().filter(|key| key.workspace_id.is_none() || key.workspace_id == default)
    {
        let row = client.get(&format!("api_keys/{}", key.id)).await.body;
        assert_eq!(row["workspace_id"], Value::Null);
        let scope = match &key.workspace_id {
            Some(id) => json!({ "type": "workspace", "workspace_id": id }),
            None => json!({ "type": "organization" }),
        };
        assert_eq!(row["scope"], scope);
    }
}

#[tokio::test]
async fn generation_one_knows_no_null_creator_and_no_expired_key() {
    let client = client(Settings { generation: 1, ..Settings::default() }).await;
    let truth = client.anthropic.truth();
    let keys = client.get("api_keys?limit=1000").await.body["data"].clone();
    let keys = keys.as_array().expect("keys").clone();
    assert!(keys.iter().all(|key| key["created_by"]["id"].is_string() && key["status"] != "expired"));
    let expired = truth.api_keys.values().find(|key| key.status == "expired").expect("an expired key");
    let unrecorded = truth.api_keys.values().find(|key| key.created_by.is_none()).expect("a key of nobody");
    let of = |id: &str| keys.iter().find(|key| key["id"] == id).expect("listed").clone();
    assert_eq!(of(&expired.id)["status"], "inactive");
    assert_eq!(of(&unrecorded.id)["created_by"]["id"], json!(truth.legacy_creator_id));
}

#[tokio::test]
async fn an_organization_has_every_oddity_from_the_start() {
    let client = client(Settings::default()).await;
    let truth = client.anthropic.truth();
    let roles: BTreeSet<&str> = truth.users.values().map(|user| user.role.as_str()).collect();
    assert_eq!(roles, BTreeSet::from(ROLES));
    let times: Vec<&String> = truth.users.values().map(|user| &user.added_at).collect();
    assert!(times.iter().any(|time| time.len() == 20) && times.iter().any(|time| time.len() == 27));
    assert!(truth.users.values().any(|user| !user.name.is_ascii()));
    assert!(truth.users.values().any(|user| user.name.is_empty()));
    assert!(truth.users.values().any(|user| !user.email.contains('@')));
    let workspaces = || truth.workspaces.values();
    assert!(workspaces().any(|workspace| workspace.archived_at.is_some()));
    assert!(workspaces().any(|workspace| workspace.tags.keys().any(|name| name.contains('_'))));
    assert!(workspaces().any(|workspace| workspace.user_profile_id.is_some()));
    assert!(workspaces().any(|workspace| workspace.data_residency.allowed_inference_geos.is_some()));
    let keys = || truth.api_keys.values();
    for status in ["active", "inactive", "archived", "expired"] {
        assert!(keys().any(|key| key.status == status), "no key is {status}");
    }
    let creators = || keys().filter_map(|key| key.created_by.as_ref());
    assert!(creators().any(|actor| actor.kind == "user" && !truth.users.contains_key(&actor.id)));
    assert!(creators().any(|actor| actor.kind == "service_account"));
    assert!(keys().any(|key| key.created_by.is_none() && key.partial_key_hint.is_none()));
    assert!(keys().any(|key| key.principal.as_ref().is_some_and(|actor| actor.kind == "user")));
    assert!(keys().any(|key| key.workspace_id.is_none()));
    assert!(keys().any(|key| key.workspace_id.as_ref() == Some(&truth.default_workspace_id)));
}
