//! Each switch, both ways.

use reqwest::Method;
use serde_json::{Value, json};
use simulator::jupiterone::{
    BodyLimitCounts, ExplicitDeletes, Finalize, IllegalProperties, ResentBatches, SecondOpenJob, Settings,
};

use crate::client::{Account, Answer, INSTANCE, JOBS, SCOPE, account, has_user, keys, send, set, user};

/// The same batch twice, then another one under the same correlation id.
async fn resend(settings: Settings) -> (Answer, Answer) {
    let server = Account::with(settings).await;
    let job = server.start_diff().await;
    let post = |who: &str| {
        let request = server.request(Method::POST, &format!("{job}/entities"));
        let request = request.header("JupiterOne-Correlation-Id", "5f0e2d1c-0000-4000-8000-000000000001");
        request.json(&json!({"entities": [user(who)]}))
    };
    assert_eq!(send(post("ada")).await.expect("an answer").status, 200);
    let again = send(post("ada")).await.expect("an answer");
    (again, send(post("bob")).await.expect("an answer"))
}

#[tokio::test]
async fn a_batch_sent_again_changes_nothing_or_is_a_duplicate() {
    let (again, other) = resend(Settings::default()).await;
    assert_eq!((again.status, &again.body["job"]["numEntitiesUploaded"]), (200, &json!(1)));
    assert_eq!(other.body["job"]["numEntitiesUploaded"], 2, "other content is no copy");
    let settings = Settings { resent_batches: ResentBatches::TreatAsDuplicates, ..Settings::default() };
    let (again, other) = resend(settings).await;
    assert_eq!((again.status, again.body["error"]["code"].as_str()), (400, Some("DUPLICATE_KEY")));
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn with_ignore_duplicates_the_latest_object_wins() {
    let server = Account::open().await;
    let job = server.start_diff().await;
    let entities = [user("ada"), set(user("ada"), "role", json!("admin"))];
    let path = format!("{job}/entities?ignoreDuplicates=true");
    assert_eq!(server.post(&path, &json!({ "entities": entities })).await.status, 200);
    server.post(&format!("{job}/finalize"), &json!({})).await;
    assert_eq!(server.graph().entities[0]["role"], "admin");
    let start = json!({"source": "api", "scope": SCOPE, "ignoreDuplicates": true});
    let job = server.start(&start).await;
    let answer = server.post(&format!("{job}/entities"), &json!({ "entities": entities })).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn of_two_open_jobs_the_last_finalized_wins() {
    let server = Account::open().await;
    let (first, second) = (server.start_diff().await, server.start_diff().await);
    server.post(&format!("{first}/entities"), &json!({"entities": [user("ada")]})).await;
    server.post(&format!("{second}/entities"), &json!({"entities": [user("bob")]})).await;
    server.post(&format!("{second}/finalize"), &json!({})).await;
    server.post(&format!("{first}/finalize"), &json!({})).await;
    assert_eq!(keys(&server.graph().entities), ["anthropic_user:ada"]);
}

#[tokio::test]
async fn a_second_open_job_of_a_scope_can_be_refused() {
    for (second_open_job, status) in [(SecondOpenJob::Reject, 409), (SecondOpenJob::RejectAsBad, 400)] {
        let server = Account::with(Settings { second_open_job, ..Settings::default() }).await;
        let start = json!({"source": "api", "scope": SCOPE});
        let first = server.start(&start).await;
        let refused = server.post(JOBS, &start).await;
        let answer = (refused.status, refused.body["error"]["code"].as_str());
        assert_eq!(answer, (status, Some("JOB_ALREADY_OPEN")));
        server.start(&json!({"source": "api", "scope": "another"})).await;
        server.post(&format!("{first}/abort"), &json!({})).await;
        server.start(&start).await;
    }
}

#[tokio::test]
async fn explicit_deletions_are_taken_or_refused() {
    for (explicit_deletes, status) in [(ExplicitDeletes::Accept, 200), (ExplicitDeletes::Reject, 400)] {
        let server = Account::with(Settings { explicit_deletes, ..Settings::default() }).await;
        let job = server.start_diff().await;
        let body = json!({"deleteEntities": [{"_key": "anthropic_user:ada"}]});
        assert_eq!(server.post(&format!("{job}/upload"), &body).await.status, status);
    }
}

#[tokio::test]
async fn the_retired_mode_works_only_where_switched_on() {
    let start = json!({"source": "api", "scope": SCOPE, "syncMode": "CREATE_OR_UPDATE"});
    assert_eq!(Account::open().await.post(JOBS, &start).await.status, 400);
    let server = Account::with(Settings { legacy_create_or_update: true, ..Settings::default() }).await;
    server.diff(SCOPE, &[account(), user("ada")], &[has_user("ada")]).await;
    let upload = json!({"entities": [user("bob")], "deleteEntities": [{"_key": "anthropic_user:ada"}]});
    let job = server.sync(&start, &upload, &json!({})).await;
    assert_eq!((&job["numEntitiesCreated"], &job["numEntitiesDeleted"]), (&json!(1), &json!(1)));
    assert_eq!(keys(&server.graph().entities), ["anthropic_account:org-1", "anthropic_user:bob"]);
}

#[tokio::test]
async fn illegal_properties_are_refused_or_dropped() {
    let bad = set(set(set(user("ada"), "_x", json!(1)), "nested", json!({})), "mixed", json!([1, "x"]));
    let upload = json!({"entities": [bad]});
    for (illegal_properties, query, taken) in [
        (IllegalProperties::Reject, "", false),
        (IllegalProperties::Reject, "?ignoreIllegalProperties=true", true),
        (IllegalProperties::Ignore, "", true),
    ] {
        let server = Account::with(Settings { illegal_properties, ..Settings::default() }).await;
        let job = server.start_diff().await;
        let answer = server.post(&format!("{job}/entities{query}"), &upload).await;
        assert_eq!(answer.status == 200, taken);
        if taken {
            server.post(&format!("{job}/finalize"), &json!({})).await;
            let ada = server.graph().entities[0].clone();
            assert!(["_x", "nested", "mixed"].iter().all(|name| !ada.contains_key(*name)));
        }
    }
}

#[tokio::test]
async fn patch_creates_entities_or_only_updates_them() {
    for (patch_creates, count) in [(true, 1), (false, 0)] {
        let server = Account::with(Settings { patch_creates, ..Settings::default() }).await;
        let start = json!({"source": "api", "scope": SCOPE, "syncMode": "PATCH"});
        server.sync(&start, &json!({"entities": [user("ada")]}), &json!({})).await;
        assert_eq!(server.graph().entities.len(), count);
    }
}

#[tokio::test]
async fn cross_scope_keeps_or_deletes_what_is_absent() {
    for (cross_scope_deletes, count) in [(false, 1), (true, 0)] {
        let server = Account::with(Settings { cross_scope_deletes, ..Settings::default() }).await;
        server.diff("one", &[account(), user("ada")], &[]).await;
        let edge = set(has_user("ada"), "_fromEntityScope", json!("one"));
        let edge = set(edge, "_toEntityScope", json!("one"));
        let start = json!({"source": "api", "scope": SCOPE, "syncMode": "CROSS_SCOPE"});
        server.sync(&start, &json!({"relationships": [edge]}), &json!({})).await;
        server.sync(&start, &json!({"relationships": []}), &json!({})).await;
        assert_eq!(server.graph().relationships.len(), count);
    }
}

#[tokio::test]
async fn instances_are_any_uuid_or_the_known_ones() {
    let start = |instance: &str| json!({"source": "integration-external", "integrationInstanceId": instance});
    let any = Account::open().await;
    assert_eq!(any.post(JOBS, &start(INSTANCE)).await.status, 200);
    assert_eq!(any.post(JOBS, &start("instance-1")).await.status, 400);
    let known = Some(["instance-1".to_owned()].into());
    let known = Account::with(Settings { integration_instances: known, ..Settings::default() }).await;
    assert_eq!(known.post(JOBS, &start(INSTANCE)).await.status, 400);
    assert_eq!(known.post(JOBS, &start("instance-1")).await.status, 200);
}

#[tokio::test]
async fn an_integration_key_reaches_its_own_instance_alone() {
    let bound = Some(INSTANCE.to_owned());
    let server = Account::with(Settings { key_bound_to_instance: bound, ..Settings::default() }).await;
    let own = json!({"source": "integration-external", "integrationInstanceId": INSTANCE});
    assert_eq!(server.post(JOBS, &own).await.status, 200);
    assert_eq!(server.post(JOBS, &json!({"source": "api", "scope": SCOPE})).await.status, 403);
}

#[tokio::test]
async fn the_platform_tags_entities_of_instances_where_switched_on() {
    for account_name_tag in [None, Some("nimbus-prod".to_owned())] {
        let server =
            Account::with(Settings { account_name_tag: account_name_tag.clone(), ..Settings::default() })
                .await;
        let start = json!({"source": "integration-external", "integrationInstanceId": INSTANCE});
        server.sync(&start, &json!({"entities": [user("ada")]}), &json!({})).await;
        server.diff(SCOPE, &[user("ada")], &[]).await;
        let tag = |scope: &str| server.server.graph(scope).entities[0].get("tag.AccountName").cloned();
        assert_eq!(tag(INSTANCE), account_name_tag.map(Value::from));
        assert_eq!(tag(SCOPE), None);
    }
}

#[tokio::test]
async fn the_body_limit_counts_inflated_bytes_or_those_on_the_wire() {
    let body = json!({"entities": [set(user("ada"), "padding", json!("x".repeat(5_000)))]}).to_string();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, body.as_bytes()).expect("memory");
    let zipped = encoder.finish().expect("memory");
    for (body_limit_counts, status) in [(BodyLimitCounts::Inflated, 413), (BodyLimitCounts::AsSent, 200)] {
        let settings = Settings { body_limit: 2_000, body_limit_counts, ..Settings::default() };
        let server = Account::with(settings).await;
        let job = server.start_diff().await;
        let request = server.request(Method::POST, &format!("{job}/entities"));
        let request = request.header("Content-Encoding", "gzip").body(zipped.clone());
        assert_eq!(send(request).await.expect("an answer").status, status);
    }
}

#[tokio::test]
async fn finalize_ends_at_once_or_after_polls() {
    for (finalize, status) in [(Finalize::AtOnce, "FINISHED"), (Finalize::AfterPolls(1), "FINALIZE_PENDING")]
    {
        let server = Account::with(Settings { finalize, ..Settings::default() }).await;
        let job = server.start_diff().await;
        let answer = server.post(&format!("{job}/finalize"), &json!({})).await;
        assert_eq!(answer.body["job"]["status"], status);
        assert_eq!(server.get(&job).await.body["job"]["status"], "FINISHED");
    }
}
