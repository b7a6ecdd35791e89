//! The sync modes other than DIFF.

use serde_json::{Value, json};

use crate::client::{Account, SCOPE, account, has_user, set, user};

fn start(mode: &str) -> Value {
    json!({"source": "api", "scope": SCOPE, "syncMode": mode})
}

#[tokio::test]
async fn patch_merges_properties_and_deletes_nothing() {
    let server = Account::open().await;
    server.diff(SCOPE, &[account(), user("ada")], &[has_user("ada")]).await;
    let id = server.graph().entities[0]["_id"].clone();
    let upload = json!({"entities": [
        {"_key": "anthropic_user:ada", "risk": 3},
        {"_id": id, "risk": 4},
        user("bob"),
        {"_key": "anthropic_user:nobody", "risk": 5},
    ]});
    let job = server.sync(&start("PATCH"), &upload, &json!({})).await;
    assert_eq!((&job["numEntitiesUpdated"], &job["numEntitiesCreated"]), (&json!(2), &json!(1)));
    assert_eq!((&job["numEntityUpdateErrors"], &job["numEntitiesDeleted"]), (&json!(1), &json!(0)));
    let graph = server.graph();
    assert_eq!((&graph.entities[0]["risk"], &graph.entities[0]["vendor"]), (&json!(4), &json!("Anthropic")));
    assert_eq!((&graph.entities[1]["risk"], &graph.entities[1]["role"]), (&json!(3), &json!("user")));
    assert_eq!((graph.entities.len(), graph.relationships.len()), (3, 1));
    server.diff(SCOPE, &[account(), user("ada")], &[has_user("ada")]).await;
    assert!(!server.graph().entities[1].contains_key("risk"), "the next DIFF resets it");
}

#[tokio::test]
async fn override_pins_values_across_later_jobs() {
    let server = Account::open().await;
    server.diff(SCOPE, &[user("ada")], &[]).await;
    let upload = json!({"entities": [{"_key": "anthropic_user:ada", "role": "pinned"}, {"_key": "none", "role": "x"}]});
    let job = server.sync(&start("OVERRIDE"), &upload, &json!({})).await;
    assert_eq!((&job["numEntitiesUpdated"], &job["numEntityUpdateErrors"]), (&json!(1), &json!(1)));
    server.diff(SCOPE, &[set(user("ada"), "role", json!("admin"))], &[]).await;
    assert_eq!(server.graph().entities[0]["role"], "pinned");
}

#[tokio::test]
async fn cross_scope_joins_entities_of_two_scopes() {
    let server = Account::open().await;
    server.diff("one", &[account()], &[]).await;
    server.diff("two", &[user("ada")], &[]).await;
    let edge = set(has_user("ada"), "_fromEntityScope", json!("one"));
    let edge = set(edge, "_toEntityScope", json!("two"));
    let job = server.sync(&start("CROSS_SCOPE"), &json!({"relationships": [edge]}), &json!({})).await;
    assert_eq!((&job["numRelationshipsCreated"], &job["numEntitiesDeleted"]), (&json!(1), &json!(0)));
    assert_eq!(server.graph().relationships.len(), 1);
    assert_eq!(server.server.graph("one").entities.len(), 1);
}

#[tokio::test]
async fn explicit_deletions_go_by_key_and_by_id() {
    let server = Account::open().await;
    let entities = [account(), user("ada"), user("bob")];
    server.diff(SCOPE, &entities, &[has_user("ada"), has_user("bob")]).await;
    let graph = server.graph();
    let edge = graph.relationships[1]["_id"].clone();
    let upload = json!({
        "entities": [account(), user("ada"), user("bob")],
        "relationships": [has_user("ada"), has_user("bob")],
        "deleteEntities": [{"_key": "anthropic_user:ada"}, {"_key": "anthropic_user:nobody"}],
        "deleteRelationships": [{"_id": edge}],
    });
    let job = server.sync(&start("DIFF"), &upload, &json!({})).await;
    assert_eq!((&job["numEntitiesDeleted"], &job["numEntityDeleteErrors"]), (&json!(1), &json!(1)));
    assert_eq!(job["numRelationshipsDeleted"], 2);
    assert_eq!(server.graph().entities.len(), 2);
    assert!(server.graph().relationships.is_empty());
}
