use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use simulator::anthropic::{Answer, Fault, Settings};

use crate::client::{Client, client, ids_of};

/// A fresh organization with this fault.
async fn faulty(on: &str, answer: Answer) -> Client {
    let client = client(Settings::default()).await;
    client.anthropic.fault(Fault::on(on, answer));
    client
}

#[tokio::test]
async fn statuses_come_with_their_envelope_and_headers() {
    let limited = Answer::RateLimited {
        retry_after: Some("2".to_owned()),
        retry_after_ms: Some("2000".to_owned()),
        reset: Some("2020-01-01T00:00:00Z".to_owned()),
    };
    let silent = Answer::RateLimited { retry_after: None, retry_after_ms: None, reset: None };
    let deterministic = Answer::ServerError { should_retry: Some(false) };
    let transient = Answer::ServerError { should_retry: None };
    let headers = ["retry-after", "retry-after-ms", "anthropic-ratelimit-requests-reset", "x-should-retry"];
    for (answer, status, kind, values) in [
        (Answer::Unauthorized, 401, "authentication_error", [None; 4]),
        (Answer::Forbidden, 403, "permission_error", [None; 4]),
        (Answer::NotFound, 404, "not_found_error", [None; 4]),
        (Answer::Status(409), 409, "conflict_error", [None; 4]),
        (limited, 429, "rate_limit_error", [Some("2"), Some("2000"), Some("2020-01-01T00:00:00Z"), None]),
        (silent, 429, "rate_limit_error", [None; 4]),
        (deterministic, 500, "api_error", [None, None, None, Some("false")]),
        (transient, 500, "api_error", [None; 4]),
        (Answer::Overloaded, 529, "overloaded_error", [None; 4]),
    ] {
        let client = faulty("users", answer).await;
        let answer = client.get("users").await;
        assert_eq!((answer.status.as_u16(), &answer.body["error"]["type"]), (status, &json!(kind)));
        assert_eq!(answer.body["request_id"], answer.headers["request-id"].to_str().expect("text"));
        let sent = headers.map(|name| answer.headers.get(name).map(|value| value.to_str().expect("text")));
        assert_eq!(sent, values);
        assert_eq!(client.get("me").await.status, 200, "another collection is well");
    }
}

#[tokio::test]
async fn a_fault_strikes_one_workspaces_members_alone() {
    let client = client(Settings::default()).await;
    let truth = client.anthropic.truth();
    let mut ids = truth.members.keys();
    let (struck, well) = (ids.next().expect("a workspace"), ids.next().expect("another"));
    client.anthropic.fault(Fault::on(&format!("members/{struck}"), Answer::Forbidden));
    assert_eq!(client.get(&format!("workspaces/{struck}/members")).await.status, 403);
    assert_eq!(client.get(&format!("workspaces/{struck}")).await.status, 200);
    assert_eq!(client.get(&format!("workspaces/{well}/members")).await.status, 200);
    client.anthropic.fault(Fault::on("members", Answer::NotFound));
    assert_eq!(client.get(&format!("workspaces/{well}/members")).await.status, 404);
    assert_eq!(
        client.get(&format!("workspaces/{struck}/members")).await.status,
        403,
        "the first set decides"
    );
    client.anthropic.clear_faults();
    assert_eq!(client.get(&format!("workspaces/{struck}/members")).await.status, 200);
}

#[tokio::test]
async fn faults_are_counted_by_collection_or_path() {
    let client = client(Settings::default()).await;
    client.anthropic.fault(Fault::on("users", Answer::Overloaded).first(2));
    client.anthropic.fault(Fault::on("/v1/organizations/api_keys", Answer::NotFound).nth(2));
    let statuses = async |path: &str| {
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(client.get(path).await.status.as_u16());
        }
        statuses
    };
    assert_eq!(statuses("users").await, [529, 529, 200, 200]);
    assert_eq!(statuses("api_keys").await, [200, 404, 200, 200]);
    client.anthropic.fault(Fault::on("", Answer::Unauthorized));
    assert_eq!(statuses("me").await, [401; 4]);
    let log = client.anthropic.requests();
    assert_eq!(log[0].fault.as_deref(), Some("overloaded"));
    assert_eq!((log[2].fault.as_deref(), log[2].collection.as_deref()), (None, Some("users")));
}

#[tokio::test]
async fn a_redirect_names_the_other_address() {
    let client = faulty("users", Answer::Redirect { to: "http://127.0.0.1:9/v1/x".to_owned() }).await;
    let answer = client.get("users").await;
    assert_eq!(answer.status, 307);
    assert_eq!(answer.headers["location"], "http://127.0.0.1:9/v1/x");
}

#[tokio::test]
async fn a_cut_connection_gives_no_answer_and_the_next_one_works() {
    let client = client(Settings::default()).await;
    client.anthropic.fault(Fault::on("users", Answer::Cut).first(1));
    let error = client.try_get("users").await.err().expect("no answer");
    assert!(error.is_request(), "{error:?}");
    assert_eq!(client.get("users").await.status, 200);
    assert_eq!(client.anthropic.requests()[0].status, None);
}

#[tokio::test]
async fn bodies_that_break_off_or_are_no_json_cannot_be_read() {
    for answer in [Answer::CutBody, Answer::TruncatedJson, Answer::InvalidJson] {
        let client = faulty("users", answer.clone()).await;
        let error = client.try_get("users").await.err().expect("nothing to read");
        assert!(error.is_decode() || error.is_body(), "{answer:?}: {error:?}");
        assert_eq!(client.anthropic.requests()[0].status, Some(200));
    }
}

#[tokio::test]
async fn a_bad_gateway_speaks_html() {
    let client = faulty("users", Answer::HtmlBadGateway).await;
    let url = format!("{}/v1/organizations/users", client.anthropic.url());
    let request = client.http.get(url).header("x-api-key", client.anthropic.admin_key());
    let response = request.header("anthropic-version", "2023-06-01").send().await.expect("answered");
    assert_eq!(response.status(), 502);
    assert_eq!(response.headers()["content-type"], "text/html");
    assert!(response.text().await.expect("text").starts_with("<html>"));
}

#[tokio::test]
async fn a_slow_body_comes_late_and_whole() {
    let client = client(Settings::default()).await;
    let whole = client.get("users").await.body;
    client.anthropic.fault(Fault::on("users", Answer::SlowBody { milliseconds: 150 }));
    let start = Instant::now();
    assert_eq!(client.get("users").await.body, whole);
    assert!(start.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_repeated_cursor_leads_back_to_the_same_page() {
    let client = faulty("users", Answer::RepeatedCursor).await;
    let first = client.get("users?limit=10").await.body;
    let cursor = first["last_id"].as_str().expect("a cursor");
    let second = client.get(&format!("users?limit=10&after_id={cursor}")).await.body;
    assert_eq!((&second["last_id"], &second["has_more"]), (&json!(cursor), &json!(true)));
}

#[tokio::test]
async fn more_is_promised_without_a_cursor_or_without_a_row() {
    let client = faulty("users", Answer::MissingLastId).await;
    let page = client.get("users").await.body;
    assert_eq!((&page["has_more"], &page["last_id"]), (&json!(true), &Value::Null));
    let client = faulty("users", Answer::EmptyPage).await;
    let page = client.get("users").await.body;
    assert_eq!((&page["has_more"], &page["data"]), (&json!(true), &json!([])));
}

/// Every list that has pages, with the parameter that shows all of it.
fn lists(client: &Client) -> Vec<String> {
    let truth = client.anthropic.truth();
    let with_members = truth.members.iter().find(|(id, members)| {
        members.len() > 2 && members.len() < truth.users.len() && truth.workspaces[*id].archived_at.is_none()
    });
    let (id, _) = with_members.expect("a workspace with members");
    vec!["users?".into(), "workspaces?".into(), "api_keys?".into(), format!("workspaces/{id}/members?")]
}

#[tokio::test]
async fn the_cursors_object_goes_away_while_being_paged() {
    let client = faulty("", Answer::CursorRemoved).await;
    for list in lists(&client) {
        let first = client.get(&format!("{list}limit=2")).await.body;
        let cursor = first["last_id"].as_str().expect("a cursor");
        assert_eq!(client.get(&format!("{list}limit=2&after_id={cursor}")).await.status, 400, "{list}");
    }
}

#[tokio::test]
async fn a_listed_object_goes_away_while_being_paged() {
    let client = faulty("", Answer::ListedRemoved).await;
    for list in lists(&client) {
        let rows = ids_of(&client.get(&format!("{list}limit=2")).await.body);
        client.anthropic.clear_faults();
        let next = client.get(&format!("{list}limit=2&after_id={}", rows[1])).await;
        assert_eq!(next.status, 200);
        assert!(!client.ids(&list, 1_000).await.contains(&rows[0]), "{list}");
        client.anthropic.fault(Fault::on("", Answer::ListedRemoved));
    }
}

#[tokio::test]
async fn an_object_made_while_being_paged_is_missed_and_nothing_is_listed_twice() {
    let client = client(Settings::default()).await;
    for list in lists(&client) {
        let before = client.ids(&list, 1_000).await;
        client.anthropic.fault(Fault::on("", Answer::InsertedAtHead).first(1));
        let paged = client.ids(&list, 2).await;
        let after = client.ids(&list, 1_000).await;
        assert_eq!(after.len(), before.len() + 1, "{list}");
        if !list.contains("members") {
            assert_eq!(paged, before, "{list}");
            assert_eq!(after[1..], before, "{list}");
        }
    }
}

#[tokio::test]
async fn a_row_comes_twice_and_contradicts_itself() {
    let client = faulty("", Answer::ContradictoryDuplicate).await;
    for list in lists(&client) {
        let rows = client.get(&list).await.body["data"].as_array().expect("rows").clone();
        let [.., row, again] = rows.as_slice() else { panic!("{list} has no two rows") };
        assert_eq!(
            (row["id"].as_str(), row["user_id"].as_str()),
            (again["id"].as_str(), again["user_id"].as_str())
        );
        assert_ne!(row, again);
    }
}

#[tokio::test]
async fn enums_and_fields_from_the_future() {
    let client = faulty("", Answer::UnknownEnums).await;
    for (list, field) in [("users", "role"), ("api_keys", "status")] {
        let rows = client.get(list).await.body["data"].clone();
        assert!(rows.as_array().expect("rows").iter().all(|row| row[field] == "from_the_future"));
    }
    client.anthropic.clear_faults();
    client.anthropic.fault(Fault::on("", Answer::ExtraFields));
    for path in ["me", "users", "api_keys"] {
        let body = client.get(path).await.body;
        let row = body.get("data").map_or(&body, |rows| &rows[0]);
        assert!(row["from_the_future"].is_object(), "{path}");
    }
}

#[tokio::test]
async fn faults_are_set_and_ended_over_http() {
    let client = client(Settings::default()).await;
    let faults = json!([
        { "on": "users", "when": { "first": 1 }, "answer": { "rate_limited": { "retry_after": "1" } } },
        { "on": "organization", "answer": "unauthorized" },
    ]);
    let answer = client.control(Method::POST, "faults", &faults.to_string()).await;
    assert_eq!(answer.body.as_array().map(Vec::len), Some(2), "{}", answer.body);
    assert_eq!(client.get("users").await.headers["retry-after"], "1");
    assert_eq!(client.get("users").await.status, 200);
    assert_eq!(client.get("me").await.status, 401);
    assert_eq!(client.control(Method::DELETE, "faults", "").await.status, 204);
    assert_eq!(client.get("me").await.status, 200);
    let refused = client.control(Method::POST, "faults", r#"{"answer": "explode"}"#).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body["error"].as_str().expect("a text").contains("explode"));
}
