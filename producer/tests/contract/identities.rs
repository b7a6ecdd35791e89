//! Whose key it is: nothing of one organization is written under the id or the name of another.

use std::sync::Mutex;

use producer::organization_claims::Claims;
use producer::poll::Error;
use schemas::raw::{Outcome, RawBody};
use simulator::anthropic::Settings;

use crate::end::written;
use crate::polls::{Bench, lines, source};

/// An Admin API behind a gateway that drops `anthropic-organization-id`: `/me` names these, one after the other, the
/// last of them forever.
fn answers(ids: Vec<String>) -> impl Fn(&str) -> String + Send + 'static {
    let ids = Mutex::new(ids);
    move |path| {
        let page = |rows: &str| format!(r#"{{"data":[{rows}],"has_more":false}}"#);
        match path.trim_start_matches("/v1/organizations/") {
            "me" => {
                let mut ids = ids.lock().expect("not poisoned");
                let id = if ids.len() > 1 { ids.remove(0) } else { ids[0].clone() };
                format!(r#"{{"id":"{id}","type":"organization","name":"Nimbus"}}"#)
            }
            "users" => page(r#"{"id":"user_ada","role":"admin"}"#),
            "workspaces" => page(r#"{"id":"w-1","name":"Production"},{"id":"w-2","name":"Research"}"#),
            "api_keys" => page(r#"{"id":"k-1","name":"ci"}"#),
            "workspaces/w-1/members" => page(r#"{"user_id":"user_ada","workspace_id":"w-1"}"#),
            "workspaces/w-2/members" => page(""),
            _ => "{}".to_owned(),
        }
    }
}

#[tokio::test]
async fn a_key_exchanged_during_a_poll_writes_nothing_of_the_other_organization() {
    let bench = Bench::start(Settings::default()).await;
    let own = bench.end.anthropic.organization_id();
    for named in 1..4 {
        let mut ids = vec![own.clone(); named];
        ids.push("11111111-2222-4333-8444-555555555555".to_owned());
        let (url, _) = written(answers(ids)).await;
        let before = bench.records().await.len();
        let report = bench.poll_of(&mut source(&url, "sk-ant-admin01-own", "nimbus")).await.expect("a poll");
        let stopped = report.stopped.as_deref().unwrap_or_default();
        assert!(stopped.contains("11111111-2222-4333-8444-555555555555"), "{stopped}");
        let whole = lines(&report).into_iter().filter(|(_, outcome)| *outcome == Outcome::Whole);
        let expected = ["organization", "users", "workspaces", "api_keys"];
        let whole: Vec<&str> = whole.map(|(collection, _)| collection).collect();
        assert_eq!(whole, expected[..named], "nothing behind the exchange is written");
        let records = bench.records().await;
        let listed = records[before..].iter().filter(|record| matches!(record.body, RawBody::Manifest(_)));
        let listed: Vec<&str> = listed.map(|record| record.collection.as_str()).collect();
        assert_eq!(listed, expected[..named]);
    }
}

#[tokio::test]
async fn a_gateway_that_drops_the_header_costs_a_request_for_each_listing_that_does_not_name_its_organization()
 {
    let bench = Bench::start(Settings::default()).await;
    let (url, asked) = written(answers(vec![bench.end.anthropic.organization_id()])).await;
    let report = bench.poll_of(&mut source(&url, "sk-ant-admin01-own", "nimbus")).await.expect("a poll");
    assert!(report.is_complete(), "{:?}", lines(&report));
    let asked = asked.lock().expect("not poisoned").clone();
    let me = asked.iter().filter(|path| path.ends_with("/me")).count();
    // At first; after users, workspaces and API keys; after the workspace without members.
    assert_eq!((me, asked.len()), (5, 10), "{asked:?}");
}

#[tokio::test]
async fn one_organization_under_two_names_is_polled_under_one_of_them() {
    let mut bench = Bench::start(Settings::default()).await;
    let claims = Claims::default();
    let (url, key) = (bench.end.anthropic.url(), bench.end.anthropic.admin_key().to_owned());
    bench.source = source(&url, &key, "nimbus").claiming(&claims);
    let mut other = source(&url, &key, "cumulus").claiming(&claims);
    bench.poll().await.expect("a poll");
    let before = bench.records().await.len();
    let error = bench.poll_of(&mut other).await.expect_err("it is polled already");
    assert!(matches!(&error, Error::Shared { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("configured twice, as nimbus and as cumulus"), "{text}");
    assert_eq!(bench.records().await.len(), before, "nothing is written");
    bench.poll().await.expect("the first name goes on");
}
