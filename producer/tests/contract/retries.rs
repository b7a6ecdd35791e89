//! What is tried again, and for how long.

use std::time::{Duration, Instant};

use schemas::collection::Collection;
use simulator::anthropic::{Answer, Fault};

use crate::end::{End, QUICK, REQUEST_TIMEOUT, users_fail};

fn passing() -> Vec<Answer> {
    vec![
        Answer::RateLimited { retry_after: None, retry_after_ms: None, reset: None },
        Answer::RateLimited { retry_after: Some("0".to_owned()), retry_after_ms: None, reset: None },
        Answer::RateLimited { retry_after: None, retry_after_ms: Some("5".to_owned()), reset: None },
        Answer::RateLimited {
            retry_after: None,
            retry_after_ms: None,
            reset: Some("2020-01-01T00:00:00Z".to_owned()),
        },
        Answer::ServerError { should_retry: None },
        Answer::ServerError { should_retry: Some(true) },
        Answer::Overloaded,
        Answer::HtmlBadGateway,
        Answer::Status(408),
        Answer::Status(409),
        Answer::Status(503),
        Answer::Cut,
        Answer::CutBody,
    ]
}

#[tokio::test]
async fn what_passes_is_tried_again_and_the_listing_is_whole() {
    for answer in passing() {
        let mut end = End::with(Fault::on("users", answer.clone()).first(2)).await;
        let listing =
            end.list(&Collection::Users).await.unwrap_or_else(|error| panic!("{answer:?}: {error}"));
        assert_eq!(listing.resources.len(), end.anthropic.truth().users.len());
        // hyper may repeat a request if the connection was cut before any answer.
        assert!(end.requests().len() >= 3, "{answer:?}");
    }
}

#[tokio::test]
async fn what_does_not_pass_fails_after_the_last_try() {
    for answer in passing() {
        let (failure, requests) = users_fail(answer.clone()).await;
        assert!(failure.reason.ends_with("(3 tries)"), "{answer:?}: {failure}");
        assert!(requests >= usize::try_from(QUICK.tries).expect("few"), "{answer:?}: {requests}");
    }
}

#[tokio::test]
async fn a_wait_that_the_server_asks_for_is_bounded() {
    let answer =
        Answer::RateLimited { retry_after: Some("3600".to_owned()), retry_after_ms: None, reset: None };
    let started = Instant::now();
    let (failure, _) = users_fail(answer).await;
    assert_eq!(failure.status, Some(429));
    assert!(started.elapsed() < Duration::from_mins(1));
}

#[tokio::test]
async fn a_body_that_arrives_too_late_is_a_failure() {
    let late = u64::try_from(REQUEST_TIMEOUT.as_millis()).expect("short") * 30;
    let mut end = End::with(Fault::on("users", Answer::SlowBody { milliseconds: late }).first(1)).await;
    end.list(&Collection::Users).await.expect("the second try is whole");
    assert_eq!(end.requests().len(), 2);
}
