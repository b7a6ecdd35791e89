//! DIFF: what is uploaded replaces the scope.

use serde_json::{Value, json};

use crate::client::{Account, INSTANCE, SCOPE, account, has_user, keys, set, user, without};

#[tokio::test]
async fn an_object_is_replaced_property_by_property_and_counted_only_when_it_changed() {
    let server = Account::open().await;
    let first = set(user("ada"), "nickname", json!("countess"));
    let job = server.diff(SCOPE, &[account(), first], &[has_user("ada")]).await;
    assert_eq!(job["numEntitiesCreated"], 2);
    let before = server.graph();

    let job =
        server.diff(SCOPE, &[account(), set(user("ada"), "role", json!("admin"))], &[has_user("ada")]).await;
    assert_eq!((&job["numEntitiesCreated"], &job["numEntitiesUpdated"]), (&json!(0), &json!(1)));
    assert_eq!((&job["numRelationshipsCreated"], &job["numRelationshipsUpdated"]), (&json!(0), &json!(0)));
    let after = server.graph();
    let ada = &after.entities[1];
    assert_eq!(ada["role"], "admin");
    assert!(!ada.contains_key("nickname"), "a property that was not uploaded is gone");
    assert_eq!((&ada["_version"], &ada["_id"]), (&json!(2), &before.entities[1]["_id"]));
    assert_eq!(ada["_createdOn"], before.entities[1]["_createdOn"]);
    assert_eq!(after.entities[0], before.entities[0], "unchanged");
}

#[tokio::test]
async fn what_is_absent_is_deleted() {
    let server = Account::open().await;
    let edges = [has_user("ada"), has_user("bob")];
    server.diff(SCOPE, &[account(), user("ada"), user("bob")], &edges).await;
    let job = server.diff(SCOPE, &[account(), user("ada"), user("bob")], &edges[..1]).await;
    assert_eq!((&job["numEntitiesDeleted"], &job["numRelationshipsDeleted"]), (&json!(0), &json!(1)));
    let job = server.diff(SCOPE, &[account(), user("ada")], &edges[..1]).await;
    assert_eq!((&job["numEntitiesDeleted"], &job["numRelationshipsDeleted"]), (&json!(1), &json!(0)));
    assert_eq!(keys(&server.graph().entities), ["anthropic_account:org-1", "anthropic_user:ada"]);
    let job = server.diff(SCOPE, &[], &[]).await;
    assert_eq!((&job["numEntitiesDeleted"], &job["numRelationshipsDeleted"]), (&json!(2), &json!(1)));
    assert!(server.graph().entities.is_empty() && server.graph().relationships.is_empty());
}

#[tokio::test]
async fn a_deleted_entity_takes_its_relationships_with_it_even_if_they_are_uploaded() {
    let server = Account::open().await;
    server.diff(SCOPE, &[account(), user("ada")], &[has_user("ada")]).await;
    let job = server.diff(SCOPE, &[account()], &[has_user("ada")]).await;
    assert_eq!(job["numEntitiesDeleted"], 1);
    assert_eq!(job["numRelationshipsDeleted"], 1);
    assert_eq!(job["numRelationshipCreateErrors"], 1);
    assert!(server.graph().relationships.is_empty());
}

#[tokio::test]
async fn partial_datasets_keep_what_is_absent_and_still_take_what_is_uploaded() {
    let server = Account::open().await;
    let edges = [has_user("ada"), has_user("bob")];
    server.diff(SCOPE, &[account(), user("ada"), user("bob")], &edges).await;
    let start = json!({"source": "api", "scope": SCOPE});
    let upload = json!({"entities": [set(user("ada"), "role", json!("admin")), user("eve")]});
    let types = json!({"partialDatasets": {"types": ["anthropic_user", "anthropic_account"]}});
    let job = server.sync(&start, &upload, &types).await;
    assert_eq!(job["numEntitiesDeleted"], 0);
    assert_eq!((&job["numEntitiesCreated"], &job["numEntitiesUpdated"]), (&json!(1), &json!(1)));
    assert_eq!(job["numRelationshipsDeleted"], 2, "their type was not named");
    assert_eq!(server.graph().entities.len(), 4);

    server.diff(SCOPE, &[account(), user("ada"), user("bob")], &edges).await;
    let types = json!({"partialDatasets": {"types": ["anthropic_account_has_user"]}});
    let upload = json!({"entities": [account(), user("ada")]});
    let job = server.sync(&start, &upload, &types).await;
    assert_eq!((&job["numEntitiesDeleted"], &job["numRelationshipsDeleted"]), (&json!(1), &json!(1)));
    assert_eq!(keys(&server.graph().relationships), [has_user("ada")["_key"].as_str().expect("a key")]);
}

#[tokio::test]
async fn a_deleted_object_that_returns_is_created_under_its_old_id() {
    let server = Account::open().await;
    server.diff(SCOPE, &[user("ada")], &[]).await;
    let id = server.graph().entities[0]["_id"].clone();
    server.diff(SCOPE, &[], &[]).await;
    let job = server.diff(SCOPE, &[user("ada")], &[]).await;
    assert_eq!(job["numEntitiesCreated"], 1);
    let ada = server.graph().entities[0].clone();
    assert_eq!((&ada["_id"], &ada["_deleted"]), (&id, &json!(false)));
    assert!(!ada.contains_key("_endOn"));
}

#[tokio::test]
async fn two_scopes_do_not_touch_each_other() {
    let server = Account::open().await;
    server.diff("one", &[account(), user("ada")], &[has_user("ada")]).await;
    server.diff("two", &[account(), user("bob")], &[has_user("bob")]).await;
    let one = server.server.graph("one");
    let ids = |scope: &str| -> Vec<Value> {
        server.server.graph(scope).entities.iter().map(|entity| entity["_id"].clone()).collect()
    };
    assert_ne!(ids("one")[0], ids("two")[0], "one key, two scopes, two entities");
    let job = server.diff("two", &[], &[has_user("ada")]).await;
    assert_eq!(job["numRelationshipCreateErrors"], 1, "a key means the job's own scope");
    assert_eq!(server.server.graph("one"), one);
    assert!(server.server.graph("two").entities.is_empty());
    assert!(server.server.graph("three").entities.is_empty());
}

#[tokio::test]
async fn the_server_adds_its_own_fields() {
    let server = Account::open().await;
    server.diff(SCOPE, &[user("ada")], &[]).await;
    let ada = server.graph().entities[0].clone();
    assert_eq!((&ada["_scope"], &ada["_source"]), (&json!(SCOPE), &json!("api")));
    assert_eq!((&ada["_accountId"], &ada["_version"]), (&json!("nimbus"), &json!(1)));
    assert_eq!(ada["_id"].as_str().expect("an id").as_bytes()[14], b'5', "a version 5 UUID");
    assert_eq!(ada["_beginOn"], ada["_createdOn"]);
    let start = json!({"source": "integration-external", "integrationInstanceId": INSTANCE});
    server
        .sync(&start, &json!({"entities": [user("ada")]}), &json!({"partialDatasets": {"types": []}}))
        .await;
    let ada = server.server.graph(INSTANCE).entities[0].clone();
    assert_eq!(ada["_integrationInstanceId"], INSTANCE);
    assert!(!ada.contains_key("_scope"));
}

#[tokio::test]
async fn relationships_reach_other_scopes_by_scope_or_id() {
    let server = Account::open().await;
    server.diff("one", &[account()], &[]).await;
    server.diff("two", &[user("ada")], &[]).await;
    let id = server.server.graph("one").entities[0]["_id"].clone();
    let by_scope = set(has_user("ada"), "_fromEntityScope", json!("one"));
    let by_id = without(set(has_user("ada"), "_fromEntityId", id), "_fromEntityKey");
    let by_id = set(by_id, "_key", json!("by-id"));
    let job = server.diff("two", &[user("ada")], &[by_scope, by_id]).await;
    assert_eq!(job["numRelationshipsCreated"], 2);
    server.diff("one", &[], &[]).await;
    assert!(server.server.graph("two").relationships.is_empty(), "deleted with their end");
}
