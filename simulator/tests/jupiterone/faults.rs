//! Each fault.

use std::time::{Duration, Instant};

use serde_json::json;
use simulator::jupiterone::{Effect, Fault, Finalize, Route, Settings, Status};

use crate::client::{Account, JOBS, SCOPE, account, has_user, set, user, without};

#[tokio::test]
async fn a_fault_strikes_always_the_first_or_the_nth_request_of_its_route() {
    let server = Account::open().await;
    let start = json!({"source": "api", "scope": SCOPE});
    let fault = || Fault::new(Route::Start, Effect::Status(503));
    let cases =
        [(fault(), [503, 503, 503]), (fault().first(2), [503, 503, 200]), (fault().nth(2), [200, 503, 200])];
    for (fault, expected) in cases {
        server.server.fault(fault);
        for status in expected {
            assert_eq!(server.post(JOBS, &start).await.status, status);
        }
        server.server.clear_faults();
        assert_eq!(server.post(JOBS, &start).await.status, 200);
    }
}

#[tokio::test]
async fn a_fault_strikes_its_own_route_and_scope_alone() {
    let server = Account::open().await;
    server.server.fault(Fault::new(Route::Entities, Effect::Status(500)).of_scope(SCOPE));
    let (hit, other) =
        (server.start_diff().await, server.start(&json!({"source": "api", "scope": "another"})).await);
    let body = json!({"entities": []});
    assert_eq!(server.post(&format!("{hit}/entities"), &body).await.status, 500);
    assert_eq!(server.post(&format!("{other}/entities"), &body).await.status, 200);
    assert_eq!(server.post(&format!("{hit}/upload"), &body).await.status, 200);
}

#[tokio::test]
async fn every_route_can_answer_every_status() {
    let server = Account::open().await;
    let effects = [
        (Effect::Unauthorized, 401),
        (Effect::Forbidden, 403),
        (Effect::RateLimited { retry_after: None }, 429),
        (Effect::TooLarge, 413),
        (Effect::Status(500), 500),
        (Effect::Status(502), 502),
        (Effect::Status(503), 503),
        (Effect::Status(504), 504),
    ];
    let routes = [
        (Route::Start, ""),
        (Route::Entities, "/entities"),
        (Route::Relationships, "/relationships"),
        (Route::Upload, "/upload"),
        (Route::Finalize, "/finalize"),
        (Route::Abort, "/abort"),
        (Route::Events, "/events"),
    ];
    let job = server.start_diff().await;
    for (effect, status) in effects {
        for (route, path) in routes {
            server.server.fault(Fault::new(route, effect.clone()).first(1));
            let path = if path.is_empty() { JOBS.to_owned() } else { format!("{job}{path}") };
            let answer = server.post(&path, &json!({})).await;
            assert_eq!((answer.status, answer.retry_after), (status, None), "{route:?}");
        }
        server.server.fault(Fault::new(Route::Status, effect).first(1));
        assert_eq!(server.get(&job).await.status, status);
    }
    assert_eq!(server.get(&job).await.body["job"]["status"], "AWAITING_UPLOADS");
}

#[tokio::test]
async fn a_rate_limit_can_say_when_to_come_back() {
    let server = Account::open().await;
    server.server.fault(Fault::new(Route::Any, Effect::RateLimited { retry_after: Some(7) }));
    let answer = server.post(JOBS, &json!({})).await;
    assert_eq!((answer.status, answer.retry_after.as_deref()), (429, Some("7")));
}

#[tokio::test]
async fn a_lowered_body_limit_refuses_what_is_larger() {
    let server = Account::open().await;
    server.server.fault(Fault::new(Route::Entities, Effect::BodyLimit(1_000)));
    let job = server.start_diff().await;
    let path = format!("{job}/entities");
    let large = set(user("ada"), "padding", json!("x".repeat(1_000)));
    let answer = server.post(&path, &json!({"entities": [large]})).await;
    assert_eq!(
        (answer.status, answer.body["error"]["code"].as_str()),
        (413, Some("RequestEntityTooLargeException"))
    );
    assert_eq!(server.post(&path, &json!({"entities": [user("ada")]})).await.status, 200);
}

#[tokio::test]
async fn a_cut_connection_did_nothing_or_everything() {
    let server = Account::open().await;
    for (effect, uploaded) in [(Effect::Cut, 0), (Effect::CommitThenCut, 1)] {
        let job = server.start_diff().await;
        server.server.fault(Fault::new(Route::Entities, effect).first(1));
        let body = json!({"entities": [user("ada")]});
        server.try_post(&format!("{job}/entities"), &body).await.expect_err("no answer");
        assert_eq!(server.server.requests().pop().expect("a request").status, None);
        assert_eq!(server.get(&job).await.body["job"]["numEntitiesUploaded"], uploaded);
    }
}

#[tokio::test]
async fn a_finalize_whose_answer_is_lost_was_carried_out() {
    let server = Account::open().await;
    let job = server.start_diff().await;
    server.post(&format!("{job}/entities"), &json!({"entities": [user("ada")]})).await;
    server.server.fault(Fault::new(Route::Finalize, Effect::CommitThenCut).first(1));
    server.try_post(&format!("{job}/finalize"), &json!({})).await.expect_err("no answer");
    let again = server.post(&format!("{job}/finalize"), &json!({})).await;
    assert_eq!(again.body["error"]["code"], "JOB_NOT_AWAITING_UPLOADS");
    assert_eq!(server.get(&job).await.body["job"]["status"], "FINISHED");
}

#[tokio::test]
async fn a_slow_answer_takes_its_time() {
    let server = Account::open().await;
    server.server.fault(Fault::new(Route::Start, Effect::Slow(200)));
    let begin = Instant::now();
    server.start_diff().await;
    assert!(begin.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn an_offender_is_refused_by_key_named_or_not_while_it_has_a_property() {
    let server = Account::open().await;
    let job = server.start_diff().await;
    let path = format!("{job}/entities");
    let refuse = |named, while_property: Option<&str>| {
        let key = "anthropic_user:ada".to_owned();
        let while_property = while_property.map(str::to_owned);
        Fault::new(Route::Entities, Effect::RefuseObject { key, named, while_property })
    };
    for named in [true, false] {
        server.server.fault(refuse(named, Some("role")));
        let both = json!({"entities": [account(), user("ada")]});
        let answer = server.post(&path, &both).await;
        assert_eq!(
            (answer.status, answer.body["error"]["code"].as_str()),
            (400, Some("INVALID_GRAPH_OBJECT"))
        );
        let message = answer.body["error"]["message"].as_str().expect("a message");
        assert_eq!(message.contains("anthropic_user:ada"), named);
        server.server.clear_faults();
    }
    server.server.fault(refuse(false, Some("role")));
    assert_eq!(server.post(&path, &json!({"entities": [account()]})).await.status, 200);
    let bare = without(user("ada"), "role");
    assert_eq!(server.post(&path, &json!({"entities": [bare]})).await.status, 200);
}

#[tokio::test]
async fn a_job_can_end_badly_and_changes_nothing() {
    for finalize in [Finalize::AtOnce, Finalize::AfterPolls(2)] {
        for end in [Status::ErrorBadData, Status::ErrorUnexpectedFailure, Status::Aborted] {
            let server = Account::with(Settings { finalize, ..Settings::default() }).await;
            server.server.fault(Fault::new(Route::Finalize, Effect::EndJob(end)));
            let job = server.start_diff().await;
            server.post(&format!("{job}/entities"), &json!({"entities": [user("ada")]})).await;
            assert_eq!(server.post(&format!("{job}/finalize"), &json!({})).await.status, 200);
            server.get(&job).await;
            let shown = server.get(&job).await.body["job"].clone();
            assert_eq!((&shown["status"], &shown["done"]), (&json!(end), &json!(true)));
            assert!(server.graph().entities.is_empty());
        }
    }
}

#[tokio::test]
async fn a_job_can_hang_in_a_state_for_ever() {
    let server = Account::open().await;
    server.server.fault(Fault::new(Route::Finalize, Effect::EndJob(Status::FinalizePending)));
    let job = server.start_diff().await;
    server.post(&format!("{job}/finalize"), &json!({})).await;
    for _ in 0..5 {
        let shown = server.get(&job).await.body["job"].clone();
        assert_eq!((&shown["status"], &shown["done"]), (&json!("FINALIZE_PENDING"), &json!(false)));
    }
}

#[tokio::test]
async fn a_job_can_fail_half_way_and_the_next_diff_heals_it() {
    for finalize in [Finalize::AtOnce, Finalize::AfterPolls(2)] {
        let server = Account::with(Settings { finalize, ..Settings::default() }).await;
        let effect = Effect::EndJobAfterEntities(Status::ErrorUnexpectedFailure);
        server.server.fault(Fault::new(Route::Finalize, effect).first(1));
        let mut ends = Vec::new();
        for _ in 0..2 {
            server.diff(SCOPE, &[account(), user("ada")], &[has_user("ada")]).await;
            for _ in 0..2 {
                let last = server.server.jobs().pop().expect("a job");
                server.get(&format!("{JOBS}/{}", last["id"].as_str().expect("an id"))).await;
            }
            let status = server.server.jobs().pop().expect("a job")["status"].clone();
            ends.push((status, server.graph().entities.len(), server.graph().relationships.len()));
        }
        assert_eq!(ends, [(json!("ERROR_UNEXPECTED_FAILURE"), 2, 0), (json!("FINISHED"), 2, 1)]);
    }
}

#[tokio::test]
async fn a_job_can_finish_without_an_object_and_count_it() {
    let server = Account::open().await;
    let effect = Effect::LoseObject { key: "anthropic_user:ada".to_owned() };
    server.server.fault(Fault::new(Route::Finalize, effect).first(1));
    for (entities, errors) in [(1, 1), (2, 0)] {
        server.diff(SCOPE, &[account(), user("ada")], &[]).await;
        let job = server.server.jobs().pop().expect("a job");
        assert_eq!((&job["status"], &job["numEntityCreateErrors"]), (&json!("FINISHED"), &json!(errors)));
        assert_eq!(server.graph().entities.len(), entities);
    }
}

#[tokio::test]
async fn an_internal_error_at_finalize_can_be_retried_whatever_its_status() {
    for (effect, status) in [
        (Effect::FinalizeInternalError, 500),
        (Effect::InternalError(400), 400),
        (Effect::InternalError(200), 200),
    ] {
        let server = Account::open().await;
        server.server.fault(Fault::new(Route::Finalize, effect).first(1));
        let job = server.start_diff().await;
        let path = format!("{job}/finalize");
        let answer = server.post(&path, &json!({})).await;
        assert_eq!((answer.status, answer.body["error"]["code"].as_str()), (status, Some("INTERNAL_ERROR")));
        assert_eq!(server.post(&path, &json!({})).await.body["job"]["status"], "FINISHED");
    }
}

#[tokio::test]
async fn an_upload_can_leave_an_object_out_without_a_word() {
    let server = Account::open().await;
    let effect = Effect::DropObject { key: "anthropic_user:ada".to_owned() };
    server.server.fault(Fault::new(Route::Any, effect));
    server.diff(SCOPE, &[account(), user("ada")], &[]).await;
    let job = server.server.jobs().pop().expect("a job");
    let shown = [&job["status"], &job["numEntitiesUploaded"], &job["numEntityCreateErrors"]];
    assert_eq!(shown, [&json!("FINISHED"), &json!(1), &json!(0)]);
    assert_eq!(server.graph().entities.len(), 1);
}

#[tokio::test]
async fn an_answer_can_have_other_fields_than_its_job() {
    let server = Account::open().await;
    let fields = json!({"numEntityCreateErrors": null, "status": "FINISHED"});
    let effect = Effect::AnswerWith(fields.as_object().expect("an object").clone());
    server.server.fault(Fault::new(Route::Start, effect));
    let answer = server.post(JOBS, &json!({"source": "api", "scope": SCOPE})).await;
    assert_eq!((&answer.body["job"]["status"], answer.status), (&json!("FINISHED"), 200));
    assert!(answer.body["job"]["numEntityCreateErrors"].is_null());
    assert_eq!(server.server.jobs()[0]["status"], "AWAITING_UPLOADS");
}
