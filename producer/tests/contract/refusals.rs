//! Refusals of the key, of one collection, and answers from elsewhere.

use producer::admin::Error;
use producer::listing::list;
use schemas::collection::Collection;
use simulator::anthropic::{Answer, Fault, Settings};

use crate::end::{End, admin, start, users_fail, written};

const ADMIN_KEY: &str = "sk-ant-admin01-another";

#[tokio::test]
async fn a_refused_key_is_read_again_once_and_then_stops_the_organization() {
    let mut end = End::with(Fault::on("", Answer::Unauthorized)).await;
    let failure = end.stop(&Collection::Users).await;
    assert_eq!(failure.status, Some(401));
    assert!(failure.reason.starts_with("401 authentication_error: "), "{failure}");
    assert!(failure.reason.contains("https://platform.claude.com/settings/admin-keys"), "{failure}");
    assert!(failure.request_id.is_some());
    assert_eq!(end.requests().len(), 2);
}

#[tokio::test]
async fn a_key_file_that_was_replaced_is_taken_without_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    let mut anthropic = start(Settings::default()).await;
    std::fs::write(&file, format!("{}\n", anthropic.admin_key())).expect("a file");
    let admin = admin(&anthropic.url(), "", "file = \"key\"", folder.path());
    anthropic.replace_admin_key(ADMIN_KEY);
    let mut end = End { anthropic, admin };
    end.stop(&Collection::Users).await;
    std::fs::write(&file, format!("{ADMIN_KEY}\n")).expect("a file");
    end.list(&Collection::Users).await.expect("a whole listing");
}

#[tokio::test]
async fn a_key_that_is_not_an_admin_key_is_explained_by_its_kind() {
    let anthropic = start(Settings::default()).await;
    let mut admin = admin(&anthropic.url(), "sk-ant-api03-workspace", "env = \"KEY\"", "".as_ref());
    let error = admin.get(&["me"], &[]).await.expect_err("a refusal").to_string();
    for kind in ["a workspace key", "a personal or service account key", "a Claude Enterprise key"] {
        assert!(error.contains(kind), "{error}");
    }
    assert!(!error.contains("sk-ant-api03-workspace"), "{error}");
}

#[tokio::test]
async fn a_key_that_the_server_accepts_is_used_whatever_it_begins_with() {
    let mut end = End::start(Settings::default()).await;
    let key = "sk-ant-api03-of-a-person";
    end.anthropic.replace_admin_key(key);
    end.admin = admin(&end.anthropic.url(), key, "env = \"KEY\"", "".as_ref());
    end.list(&Collection::Users).await.expect("a whole listing");
}

#[tokio::test]
async fn another_organization_behind_the_key_stops_this_one() {
    let mut end = End::start(Settings::default()).await;
    end.admin.expect("11111111-2222-4333-8444-555555555555");
    let failure = end.stop(&Collection::Users).await;
    assert!(failure.reason.contains(&end.anthropic.organization_id()), "{failure}");
    assert!(failure.reason.contains("11111111-2222-4333-8444-555555555555"), "{failure}");
}

#[tokio::test]
async fn a_collection_that_is_refused_fails_alone_without_a_second_try() {
    for (answer, status, kind) in [
        (Answer::Forbidden, 403, "permission_error"),
        (Answer::NotFound, 404, "not_found_error"),
        (Answer::Status(400), 400, "invalid_request_error"),
        (Answer::ServerError { should_retry: Some(false) }, 500, "api_error"),
    ] {
        let (failure, requests) = users_fail(answer).await;
        assert_eq!(failure.status, Some(status));
        assert!(failure.reason.starts_with(&format!("{status} {kind}: ")), "{failure}");
        assert!(failure.request_id.is_some_and(|id| id.starts_with("req_")));
        assert_eq!(requests, 1, "{status}");
    }
    let mut end = End::with(Fault::on("users", Answer::Forbidden)).await;
    end.failure(&Collection::Users).await;
    end.list(&Collection::ApiKeys).await.expect("a whole listing");
}

#[tokio::test]
async fn an_error_of_status_200_is_tried_again_as_what_it_is() {
    let body = |_: &str| r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#.to_owned();
    let (url, asked) = written(body).await;
    let mut admin = admin(&url, ADMIN_KEY, "env = \"KEY\"", "".as_ref());
    let Err(Error::FailListing(failure)) = list(&mut admin, &Collection::Users).await else {
        panic!("an error is no listing");
    };
    assert_eq!(failure.reason, "200 overloaded_error: the Admin API failed (3 tries)");
    assert_eq!((failure.status, asked.lock().expect("not poisoned").len()), (Some(200), 3));
}

#[tokio::test]
async fn a_redirect_is_not_followed_so_the_key_goes_nowhere_else() {
    let elsewhere = start(Settings::default()).await;
    let to = format!("{}/v1/organizations/users", elsewhere.url());
    let (failure, requests) = users_fail(Answer::Redirect { to: to.clone() }).await;
    assert_eq!((failure.status, requests), (Some(307), 1));
    assert!(failure.reason.contains("redirect") && !failure.reason.contains(&to), "{failure}");
    assert_eq!(elsewhere.requests(), []);
}

#[tokio::test]
async fn nothing_shows_the_key() {
    let mut end = End::with(Fault::on("users", Answer::Cut)).await;
    let key = end.anthropic.admin_key().to_owned();
    let failure = end.failure(&Collection::Users).await;
    assert!(!format!("{failure:?} {failure}").contains(&key));
}

#[tokio::test]
async fn an_id_that_a_url_would_change_asks_for_nothing() {
    let mut end = End::start(Settings::default()).await;
    for id in ["..", ".", "wrkspc_\n1", "wrkspc\t1"] {
        let failure = end.failure(&Collection::Members(id.to_owned())).await;
        assert_eq!(failure.reason, "its ID cannot be part of a URL", "{id:?}");
    }
    assert!(end.requests().is_empty());
    let failure = end.failure(&Collection::Members("a/../b?c#d%2F\0é".to_owned())).await;
    assert_eq!(failure.status, Some(404));
    assert_eq!(
        end.requests()[0].path,
        "/v1/organizations/workspaces/a%2F..%2Fb%3Fc%23d%252F%00%C3%A9/members"
    );
}
