use reqwest::Method;
use serde_json::json;
use simulator::anthropic::{
    self, ArchivedMembers, DefaultMembers, Fault, IncludeDefault, Settings, UnknownCursor,
};

use crate::client::{Answer, Client, client, read};

fn check(answer: &Answer, status: u16, kind: &str, message: &str) {
    assert_eq!(answer.status, status);
    let id = answer.headers["request-id"].to_str().expect("a text");
    assert_eq!(
        answer.body,
        json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": id })
    );
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(answer.headers.get("anthropic-workspace-id").is_none());
}

async fn with(client: &Client, headers: &[(&str, &str)]) -> Answer {
    let mut request = client.http.get(format!("{}/v1/organizations/me", client.anthropic.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    read(request.send().await.expect("answered")).await.expect("JSON")
}

const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

#[tokio::test]
async fn a_credential_comes_first_then_the_version() {
    let client = client(Settings::default()).await;
    let key = client.anthropic.admin_key().to_owned();
    assert!(key.starts_with("sk-ant-admin01-") && key.ends_with("AA") && key.len() == 15 + 93 + 2);
    let kind = "authentication_error";
    check(&with(&client, &[]).await, 401, kind, "x-api-key header is required");
    check(&with(&client, &[VERSION]).await, 401, kind, "x-api-key header is required");
    let unknown = with(&client, &[VERSION, ("x-api-key", "sk-ant-admin01-nobody")]).await;
    check(&unknown, 401, kind, "invalid x-api-key");
    assert!(unknown.headers.get("anthropic-organization-id").is_none(), "an organization before its key");
    let workspace_key = with(&client, &[VERSION, ("x-api-key", "sk-ant-api03-any")]).await;
    check(&workspace_key, 403, "permission_error", "Workspace API keys cannot access the Admin API.");
    let no_version = with(&client, &[("x-api-key", &key)]).await;
    check(&no_version, 400, "invalid_request_error", "anthropic-version: header is required");
    let bearer = with(&client, &[VERSION, ("authorization", &format!("Bearer {key}"))]).await;
    assert_eq!(bearer.status, 200);
    assert_eq!(bearer.headers["anthropic-organization-id"], *client.anthropic.organization_id());
    assert!(bearer.headers["request-id"].to_str().expect("a text").starts_with("req_011C"));
}

#[tokio::test]
async fn a_replaced_key_is_revoked() {
    let mut client = client(Settings::default()).await;
    let old = client.anthropic.admin_key().to_owned();
    client.anthropic.replace_admin_key("sk-ant-admin01-new");
    let answer = with(&client, &[VERSION, ("x-api-key", &old)]).await;
    check(&answer, 401, "authentication_error", "invalid x-api-key");
    assert_eq!(client.get("me").await.status, 200);
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_400() {
    let client = client(Settings::default()).await;
    for (query, message) in [
        ("users?limit=0", "limit: Input should be greater than or equal to 1"),
        ("users?limit=-5", "limit: Input should be greater than or equal to 1"),
        ("users?limit=1001", "limit: Input should be less than or equal to 1000"),
        ("users?limit=many", "limit: Input should be a valid integer, unable to parse string as an integer"),
        ("users?after_id=a&before_id=b", "only one of `after_id` and `before_id` may be given"),
        ("users?after_id=user_nobody", "Invalid pagination cursor for 'after_id'"),
        ("api_keys?before_id=apikey_none", "Invalid pagination cursor for 'before_id'"),
        ("workspaces?include_archived=yes", "include_archived: Input should be a valid boolean"),
        ("api_keys?status=lost", "status: Input should be 'active', 'inactive', 'archived' or 'expired'"),
    ] {
        check(&client.get(query).await, 400, "invalid_request_error", message);
    }
    client.anthropic.switch(|switches| switches.unknown_cursor = UnknownCursor::Empty);
    assert_eq!(client.get("users?after_id=user_nobody").await.body["data"], json!([]));
}

#[tokio::test]
async fn an_error_may_have_a_code_in_its_details() {
    let client = client(Settings::default()).await;
    assert_eq!(client.get("users/user_x").await.body["error"].get("details"), None);
    client.anthropic.fault(Fault::on("users", anthropic::Answer::OnHold));
    let answer = client.get("users").await;
    assert_eq!(answer.status.as_u16(), 400);
    assert_eq!(answer.body["error"]["details"], json!({ "error_code": "organization_on_hold" }));
}

#[tokio::test]
async fn what_does_not_exist_is_404() {
    let client = client(Settings::default()).await;
    for (path, message) in [
        ("users/user_x", "User `user_x` not found."),
        ("workspaces/wrkspc_x", "Workspace `wrkspc_x` not found."),
        ("workspaces/wrkspc_x/members", "Workspace `wrkspc_x` not found."),
        ("api_keys/apikey_x", "API key `apikey_x` not found."),
        ("elsewhere", "Not found"),
    ] {
        check(&client.get(path).await, 404, "not_found_error", message);
    }
}

#[tokio::test]
async fn include_default_is_known_ignored_or_rejected() {
    let client = client(Settings { generation: 1, ..Settings::default() }).await;
    let default = client.anthropic.truth().default_workspace_id;
    let query = "workspaces?include_default=true&";
    assert!(!client.ids(query, 1_000).await.contains(&default), "generation 1 ignores it");
    client.anthropic.switch(|switches| switches.generation = 3);
    assert!(client.ids(query, 1_000).await.contains(&default), "generation 3 knows it");
    client.anthropic.switch(|switches| switches.include_default = Some(IncludeDefault::Rejected));
    let message = "include_default: Extra inputs are not permitted";
    check(&client.get(query).await, 400, "invalid_request_error", message);
    assert_eq!(client.get("workspaces").await.status, 200);
}

#[tokio::test]
async fn what_archived_and_default_workspaces_answer_to_members_is_a_switch() {
    let client = client(Settings::default()).await;
    let truth = client.anthropic.truth();
    let archived = truth.workspaces.values().find(|workspace| workspace.archived_at.is_some());
    let archived = archived.expect("an archived workspace").id.clone();
    let path = format!("workspaces/{archived}/members");
    let before = client.get(&path).await.body;
    assert_eq!(before["data"].as_array().map(Vec::len), Some(truth.members[&archived].len()));
    for (switch, status) in
        [(ArchivedMembers::Empty, 200), (ArchivedMembers::NotFound, 404), (ArchivedMembers::BadRequest, 400)]
    {
        client.anthropic.switch(|switches| switches.archived_members = switch);
        let answer = client.get(&path).await;
        assert_eq!(answer.status, status);
        assert_ne!(answer.body, before);
    }
    let path = format!("workspaces/{}/members", truth.default_workspace_id);
    assert_eq!(client.get(&path).await.body["data"], json!([]));
    client.anthropic.switch(|switches| switches.default_members = DefaultMembers::NotFound);
    assert_eq!(client.get(&path).await.status, 404);
}

#[tokio::test]
async fn requests_beyond_the_limit_are_429_with_the_time_to_wait() {
    let settings = Settings { enforce_rate_limit: true, requests_per_minute: 3, ..Settings::default() };
    let client = client(settings).await;
    let refused = with(&client, &[VERSION]).await;
    assert_eq!(refused.status, 401, "a refused credential costs nothing");
    for left in ["2", "1", "0"] {
        let answer = client.get("me").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["anthropic-ratelimit-requests-limit"], "3");
        assert_eq!(answer.headers["anthropic-ratelimit-requests-remaining"], left);
    }
    let answer = client.get("users").await;
    let message = "This request would exceed your organization's rate limit for the Admin API.";
    check(&answer, 429, "rate_limit_error", message);
    let wait: u64 = answer.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=21).contains(&wait), "{wait}");
    let reset = answer.headers["anthropic-ratelimit-requests-reset"].to_str().expect("text");
    assert!(reset.parse::<jiff::Timestamp>().is_ok());
}

#[tokio::test]
async fn nothing_is_written_through_the_api() {
    let client = client(Settings::default()).await;
    let before = client.anthropic.truth();
    let id = before.users.keys().next().expect("a user");
    let url = format!("{}/v1/organizations/users/{id}", client.anthropic.url());
    for method in [Method::DELETE, Method::POST] {
        let request = client.http.request(method, &url).header("x-api-key", client.anthropic.admin_key());
        let answer = request.header("anthropic-version", "2023-06-01").send().await.expect("answered");
        check(&read(answer).await.expect("JSON"), 405, "invalid_request_error", "Method Not Allowed");
    }
    assert_eq!(client.anthropic.truth(), before);
    let methods: Vec<String> =
        client.anthropic.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["DELETE", "POST"]);
}
