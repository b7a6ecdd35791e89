//! `/_simulator/…`, the handle, and the validation of queries.

use reqwest::Method;
use serde_json::{Value, json};
use simulator::jupiterone::{Settings, Tamper, TamperError};

use crate::client::{Account, JOBS, SCOPE, account, has_user, send, set, user, without};

async fn look(server: &Account, path: &str) -> Value {
    let answer = send(server.bare(Method::GET, &format!("/_simulator{path}"))).await.expect("an answer");
    assert_eq!(answer.status, 200);
    answer.body
}

async fn control(server: &Account, path: &str, body: &Value) -> u16 {
    let request = server.bare(Method::POST, &format!("/_simulator{path}")).json(body);
    send(request).await.expect("an answer").status
}

#[tokio::test]
async fn the_graph_is_shown_by_scope_and_with_the_deleted_on_request() {
    let server = Account::open().await;
    server.diff(SCOPE, &[account(), user("ada")], &[has_user("ada")]).await;
    server.diff(SCOPE, &[account()], &[]).await;
    server.diff("another", &[user("bob")], &[]).await;
    let shown = look(&server, "/graph?scope=nimbus").await;
    assert_eq!(shown, json!(server.graph()));
    assert_eq!(shown["entities"].as_array().map(Vec::len), Some(1));
    let deleted = look(&server, "/graph?scope=nimbus&include_deleted=true").await;
    let ada = &deleted["entities"][1];
    assert_eq!(ada["_deleted"], true);
    assert!(ada["_endOn"].is_u64());
    assert_eq!(deleted["relationships"][0]["_deleted"], true);
    let all = look(&server, "/graph").await;
    assert_eq!(all[SCOPE], shown);
    assert_eq!(all["another"]["entities"][0]["_key"], "anthropic_user:bob");
}

#[tokio::test]
async fn requests_are_logged_without_credentials() {
    let server = Account::open().await;
    let job = server.start_diff().await;
    let request = server.request(Method::POST, &format!("{job}/entities?ignoreDuplicates=true"));
    let request = request.header("JupiterOne-Correlation-Id", "batch-1").json(&json!({"entities": 1}));
    send(request).await.expect("an answer");
    let log = look(&server, "/requests").await;
    let last = &log[1];
    assert_eq!(last["method"], "POST");
    assert_eq!(last["path"], format!("{job}/entities?ignoreDuplicates=true"));
    assert_eq!((&last["route"], &last["status"]), (&json!("entities"), &json!(400)));
    assert_eq!(last["error_code"], "ENTITY_IS_NOT_ARRAY");
    assert_eq!((&last["body_bytes"], &last["inflated_bytes"]), (&json!(14), &json!(14)));
    assert_eq!((&last["correlation_id"], &last["scope"]), (&json!("batch-1"), &json!(SCOPE)));
    assert_eq!(format!("{JOBS}/{}", last["job_id"].as_str().expect("an id")), job);
    assert_eq!(log[0]["job_id"], last["job_id"], "a start is logged with the job that it made");
    assert!(!log.to_string().contains(server.server.api_key()));
    assert_eq!(look(&server, "/jobs").await, json!(server.server.jobs()));
}

#[tokio::test]
async fn faults_and_settings_are_switched_over_http() {
    let server = Account::open().await;
    let fault =
        json!({"route": "start", "when": {"first": 1}, "effect": {"rate_limited": {"retry_after": 1}}});
    assert_eq!(control(&server, "/faults", &fault).await, 200);
    assert_eq!(control(&server, "/faults", &json!({"route": "start", "effect": "unauthorized"})).await, 200);
    assert_eq!(control(&server, "/faults", &json!({"route": "nowhere", "effect": "cut"})).await, 400);
    let start = json!({"source": "api", "scope": SCOPE});
    assert_eq!(server.post(JOBS, &start).await.status, 429);
    assert_eq!(server.post(JOBS, &start).await.status, 401);
    send(server.bare(Method::DELETE, "/_simulator/faults")).await.expect("an answer");
    assert_eq!(server.post(JOBS, &start).await.status, 200);
    assert_eq!(control(&server, "/settings", &json!({"finalize": {"after_polls": 3}})).await, 200);
    assert_eq!(control(&server, "/settings", &json!({"no_such_switch": true})).await, 400);
    let expected = serde_json::from_value(json!({"finalize": {"after_polls": 3}})).expect("settings");
    assert_eq!(server.server.settings(), expected);
    server.server.set_settings(Settings { api_key: "another-key-0".into(), ..Settings::default() });
    assert_eq!(server.post(JOBS, &start).await.status, 401, "a rotated key");
}

#[tokio::test]
async fn tampering_shows_and_the_next_diff_heals_it() {
    let server = Account::open().await;
    let (entities, edges) = ([account(), user("ada")], [has_user("ada")]);
    server.diff(SCOPE, &entities, &edges).await;
    let scope = || SCOPE.to_owned();
    let key = "anthropic_user:ada".to_owned();
    let change = json!({"set_property":
        {"scope": SCOPE, "key": key, "property": "role", "value": "owner"}});
    assert_eq!(control(&server, "/tamper", &change).await, 200);
    assert_eq!(server.graph().entities[1]["role"], "owner");
    let Value::Object(object) = user("eve") else { panic!("an object") };
    server.server.tamper(Tamper::Add { scope: scope(), object }).expect("added");
    let Value::Object(object) = has_user("eve") else { panic!("an object") };
    server.server.tamper(Tamper::Add { scope: scope(), object }).expect("added");
    assert_eq!((server.graph().entities.len(), server.graph().relationships.len()), (3, 2));
    server.server.tamper(Tamper::Delete { scope: scope(), key: key.clone() }).expect("deleted");
    assert_eq!((server.graph().entities.len(), server.graph().relationships.len()), (2, 1));
    let gone = server.server.tamper(Tamper::Delete { scope: scope(), key: key.clone() });
    assert_eq!(gone, Err(TamperError::NotFound { scope: scope(), key }));
    server.diff(SCOPE, &entities, &edges).await;
    assert_eq!((server.graph().entities.len(), server.graph().relationships.len()), (2, 1));
    assert_eq!(server.graph().entities[1]["role"], "user");
}

#[tokio::test]
async fn queries_that_are_not_empty_are_valid() {
    let server = Account::open().await;
    let queries = json!({"queries": ["FIND anthropic_user", " "]});
    let answer = server.post("/j1ql/validate", &queries).await;
    assert_eq!(answer.body[0], json!({"valid": true, "query": "FIND anthropic_user"}));
    assert_eq!(
        (&answer.body[1]["valid"], &answer.body[1]["error"]["code"]),
        (&json!(false), &json!("PARSER_ERROR"))
    );
    let many = json!({"queries": vec!["FIND User"; 251]});
    assert_eq!(server.post("/j1ql/validate", &many).await.status, 400);
}

#[tokio::test]
async fn a_server_that_is_stopped_or_dropped_answers_no_more() {
    let server = Account::open().await;
    let idle = server.start_diff().await;
    let request = server.request(Method::GET, &idle);
    let Account { server: handle, .. } = server;
    handle.shutdown().await;
    send(request).await.expect_err("stopped");
    let server = Account::open().await;
    let idle = server.start_diff().await;
    let request = server.request(Method::GET, &idle);
    drop(server);
    send(request).await.expect_err("dropped");
}

#[tokio::test]
async fn thousands_of_objects_arrive_in_one_request() {
    let server = Account::open().await;
    let entities: Vec<Value> = (0..10_000).map(|n| set(user(&n.to_string()), "number", json!(n))).collect();
    let job = server.diff(SCOPE, &entities, &[]).await;
    assert_eq!(job["numEntitiesCreated"], 10_000);
}

#[tokio::test]
async fn uploads_that_violate_the_data_model_are_taken_and_noted() {
    let server = Account::open().await;
    server.diff(SCOPE, &[account()], &[]).await;
    assert_eq!(server.server.violations(), Vec::<String>::new());
    server.diff(SCOPE, &[without(account(), "vendor")], &[]).await;
    assert_eq!(server.server.violations(), ["\"anthropic_account:org-1\": vendor is required"]);
    assert_eq!(look(&server, "/violations").await, json!(server.server.violations()));
    assert_eq!(server.graph().entities.len(), 1);
}
