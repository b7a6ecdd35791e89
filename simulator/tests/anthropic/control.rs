use reqwest::Method;
use serde_json::json;
use simulator::anthropic::{Event, Settings, Truth};

use crate::client::client;

#[tokio::test]
async fn the_truth_is_shown_with_its_switches() {
    let client = client(Settings { generation: 2, ..Settings::default() }).await;
    let organization = client.control(Method::GET, "organization", "").await.body;
    assert_eq!(organization["switches"]["generation"], 2);
    let organization: Truth = serde_json::from_value(organization).expect("the truth");
    assert_eq!(organization, client.anthropic.truth());
}

#[tokio::test]
async fn the_log_shows_requests_and_no_credential() {
    let client = client(Settings::default()).await;
    client.get("users?limit=5&email=a%40b").await;
    client.get("me").await;
    let log = client.control(Method::GET, "requests", "").await.body;
    assert_eq!(log[0]["path"], "/v1/organizations/users");
    assert_eq!(log[0]["query"], "limit=5&email=a%40b");
    assert_eq!((&log[1]["method"], &log[1]["status"]), (&json!("GET"), &json!(200)));
    assert_eq!(log.as_array().map(Vec::len), Some(2), "control requests are not logged");
    assert!(!log.to_string().contains("sk-ant"));
}

#[tokio::test]
async fn a_mistyped_control_address_is_not_a_request_to_the_api() {
    let client = client(Settings::default()).await;
    assert_eq!(client.control(Method::GET, "organisation", "").await.status, 404);
    assert_eq!(client.anthropic.requests(), []);
}

#[tokio::test]
async fn life_and_mutations_go_over_http() {
    let client = client(Settings::default()).await;
    let lived: Vec<Event> =
        serde_json::from_value(client.control(Method::POST, "live?steps=5", "").await.body).expect("events");
    assert!(lived.len() >= 5);
    let id = client.anthropic.truth().users.keys().next().expect("a user").clone();
    let rename = json!({ "mutation": "rename_user", "id": id, "name": "Ada Oz" });
    let join = json!({ "mutation": "add_user", "name": "Raj" });
    let happened = client.control(Method::POST, "mutations", &json!([rename, join]).to_string()).await;
    let happened: Vec<Event> = serde_json::from_value(happened.body).expect("events");
    assert_eq!(client.anthropic.truth().users[&id].name, "Ada Oz");
    assert!(client.anthropic.truth().users.contains_key(&happened[1].effects[0].id));
    let unknown = json!({ "mutation": "remove_user", "id": "user_nobody" });
    let refused = client.control(Method::POST, "mutations", &unknown.to_string()).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.body["error"]),
        (422, &json!("there is no user user_nobody"))
    );
    for bad in ["{", r#"{"mutation": "dance"}"#, r#"{"mutation": "remove_user", "id": "x", "why": "?"}"#] {
        assert_eq!(client.control(Method::POST, "mutations", bad).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn switches_are_changed_by_name_over_http() {
    let client = client(Settings::default()).await;
    let change = json!({ "generation": 1, "archived_members": "not_found", "order": "id" });
    let all = client.control(Method::POST, "settings", &change.to_string()).await.body;
    assert_eq!((&all["generation"], &all["unknown_cursor"]), (&json!(1), &json!("bad_request")));
    assert_eq!(client.anthropic.truth().switches.generation, 1);
    for bad in [r#"{"generation": 5}"#, r#"{"colour": "red"}"#, r#"{"order": "random"}"#, "[]"] {
        assert_eq!(client.control(Method::POST, "settings", bad).await.status, 400, "{bad}");
    }
    assert_eq!(client.anthropic.truth().switches.generation, 1);
}

#[tokio::test]
async fn a_stopped_organization_answers_no_more() {
    let client = client(Settings::default()).await;
    let url = client.anthropic.url();
    client.anthropic.shutdown().await;
    assert!(client.http.get(url).send().await.is_err());
}
