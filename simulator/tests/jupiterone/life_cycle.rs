//! The life cycle of a job and its counters.

use serde_json::{Value, json};
use simulator::jupiterone::{Finalize, Settings};

use crate::client::{Account, INSTANCE, JOBS, SCOPE, account, has_user, set, user};

#[tokio::test]
async fn a_started_api_job_looks_as_documented() {
    let server = Account::open().await;
    let answer = server.post(JOBS, &json!({"source": "api", "scope": SCOPE})).await;
    let job = &answer.body["job"];
    assert_eq!(answer.status, 200);
    assert_eq!(job["source"], "api");
    assert_eq!(job["scope"], SCOPE);
    assert_eq!(job["accountId"], "nimbus");
    assert_eq!(job["status"], "AWAITING_UPLOADS");
    assert_eq!(job["done"], false);
    assert_eq!(job["syncMode"], "DIFF");
    assert!(job["startTimestamp"].is_u64());
    assert_eq!(job["numEntitiesUploaded"], 0);
    assert_eq!(job["numRelationshipCreateErrors"], 0);
    assert!(job.get("integrationJobId").is_none());
    let id = job["id"].as_str().expect("an id");
    assert!(id.chars().all(|c| c.is_ascii_hexdigit() || c == '-'), "the SDK's gzip needs hex and dashes");
}

#[tokio::test]
async fn an_instance_job_takes_its_id_from_the_integration_job() {
    let server = Account::open().await;
    let id = "9b2f0d34-57c1-4f6e-8a55-1d2c7e60b4aa";
    let mut start = json!({"source": "integration-external", "integrationInstanceId": INSTANCE});
    let first = server.post(JOBS, &start).await.body["job"].clone();
    assert_eq!(first["integrationInstanceId"], INSTANCE);
    assert_eq!(first["integrationJobId"], first["id"]);
    assert!(first.get("scope").is_none());
    start["integrationJobId"] = json!(id);
    assert_eq!(server.post(JOBS, &start).await.body["job"]["id"], id);
    let again = server.post(JOBS, &start).await;
    assert_eq!((again.status, again.body["error"]["code"].as_str()), (409, Some("JOB_ALREADY_EXISTS")));
}

#[tokio::test]
async fn uploads_count_and_reach_the_graph_only_at_finalize() {
    let server = Account::open().await;
    let job = server.start_diff().await;
    // Relationships first: their ends are looked at only at finalize.
    let edges = json!({"relationships": [has_user("ada"), has_user("bob")]});
    let answer = server.post(&format!("{job}/relationships"), &edges).await;
    assert_eq!(answer.body["job"]["numRelationshipsUploaded"], 2);
    server.post(&format!("{job}/entities"), &json!({"entities": [account()]})).await;
    let answer = server.post(&format!("{job}/entities"), &json!({"entities": [user("ada")]})).await;
    assert_eq!(answer.body["job"]["numEntitiesUploaded"], 2);
    assert!(server.graph().entities.is_empty());
    let answer = server.post(&format!("{job}/finalize"), &json!({})).await;
    let done = &answer.body["job"];
    assert_eq!((done["status"].as_str(), &done["done"]), (Some("FINISHED"), &json!(true)));
    assert_eq!(done["numEntitiesCreated"], 2);
    assert_eq!(done["numRelationshipsCreated"], 1);
    assert_eq!(done["numRelationshipCreateErrors"], 1, "bob is missing");
    assert_eq!(done["numMutationsCompleted"], 3);
    assert!(done["durationMs"].is_u64());
    assert_eq!(server.get(&job).await.body["job"], *done);
}

#[tokio::test]
async fn a_job_finalized_by_polls_passes_through_every_state() {
    let settings = Settings { finalize: Finalize::AfterPolls(4), ..Settings::default() };
    let server = Account::with(settings).await;
    let job = server.start_diff().await;
    let upload = json!({"entities": [account(), user("ada")], "relationships": [has_user("ada")]});
    server.post(&format!("{job}/upload"), &upload).await;
    let answer = server.post(&format!("{job}/finalize"), &json!({})).await;
    let mut seen = vec![(answer.body["job"]["status"].clone(), 0, 0)];
    for _ in 0..5 {
        let status = server.get(&job).await.body["job"]["status"].clone();
        let graph = server.graph();
        seen.push((status, graph.entities.len(), graph.relationships.len()));
    }
    let expected = [
        ("FINALIZE_PENDING", 0, 0),
        ("FINALIZING_ENTITIES", 0, 0),
        ("FINALIZING_RELATIONSHIPS", 2, 0),
        ("FINALIZING_RELATIONSHIPS", 2, 0),
        ("FINISHED", 2, 1),
        ("FINISHED", 2, 1),
    ];
    assert_eq!(seen, expected.map(|(status, e, r)| (json!(status), e, r)));
}

#[tokio::test]
async fn an_aborted_job_changes_nothing_and_keeps_its_reason() {
    let server = Account::open().await;
    for (body, status) in [
        (json!({}), "ABORTED"),
        (json!({"reason": "fenced", "terminalStatus": "ABORTED"}), "ABORTED"),
        (
            json!({"reason": "no key", "terminalStatus": "ABORTED_DUE_TO_INVALID_CONFIGURATION"}),
            "ABORTED_DUE_TO_INVALID_CONFIGURATION",
        ),
    ] {
        let job = server.start_diff().await;
        server.post(&format!("{job}/entities"), &json!({"entities": [account()]})).await;
        let answer = server.post(&format!("{job}/abort"), &body).await;
        assert_eq!(answer.body["job"]["status"], status);
        assert_eq!(answer.body["job"]["done"], true);
        let last = server.server.jobs().pop().expect("a job");
        assert_eq!(last["_simulator"]["reason"], body.get("reason").cloned().unwrap_or(Value::Null));
    }
    assert!(server.graph().entities.is_empty());
}

#[tokio::test]
async fn events_of_an_instance_job_are_kept_and_errors_are_marked() {
    let server = Account::open().await;
    let job =
        server.start(&json!({"source": "integration-external", "integrationInstanceId": INSTANCE})).await;
    let event =
        |name: &str| json!({"events": [{"name": name, "description": "Starting step \"Fetch Users\"..."}]});
    let answer = server.post(&format!("{job}/events"), &event("step_start")).await;
    let published = &answer.body["events"][0];
    assert_eq!(published["name"], "step_start");
    assert!(published["id"].is_string() && published["createDate"].is_u64());
    assert_eq!(server.server.jobs()[0]["_simulator"]["errorsOccurred"], false);
    server.post(&format!("{job}/events"), &event("error_unexpected_error")).await;
    assert_eq!(server.server.jobs()[0]["_simulator"]["errorsOccurred"], true);
    for bad in [json!({}), json!({"events": [{"name": "info"}]}), json!({"events": [{"description": "x"}]})] {
        assert_eq!(server.post(&format!("{job}/events"), &bad).await.status, 400);
    }
}

#[tokio::test]
async fn raw_data_is_counted_and_does_not_appear_in_the_graph() {
    let server = Account::open().await;
    let array = set(user("ada"), "_rawData", json!([{"name": "default", "rawData": {"id": 1}}]));
    let map =
        set(user("ada"), "_rawData", json!({"default": {"contentType": "application/json", "body": "{}"}}));
    let first = server.diff(SCOPE, &[array], &[]).await;
    assert_eq!(first["numEntityRawDataEntriesUploaded"], 1);
    assert_eq!(first["numEntityRawDataEntriesCreated"], 1);
    let second = server.diff(SCOPE, &[map], &[]).await;
    assert_eq!(second["numEntityRawDataEntriesUpdated"], 1);
    let third = server.diff(SCOPE, &[user("ada")], &[]).await;
    assert_eq!(third["numEntityRawDataEntriesDeleted"], 1);
    assert!(!server.graph().entities[0].contains_key("_rawData"));
}
