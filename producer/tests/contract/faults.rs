//! Answers of status 200 that make no whole listing.

use std::path::Path;
use std::sync::atomic::Ordering;

use producer::admin::{Error, MAX_PAGE_BYTES};
use producer::listing::list;
use schemas::collection::Collection;
use schemas::raw::Resource;
use simulator::anthropic::{Answer, Fault, Settings, UnknownCursor};

use crate::end::{End, admin, spaces, users_fail};

fn paged() -> Settings {
    Settings { users: 2500, ..Settings::default() }
}

#[tokio::test]
async fn pages_that_do_not_add_up_fail_the_listing() {
    for (answer, reason) in [
        (Answer::RepeatedCursor, "a page repeats the last_id of an earlier page"),
        (Answer::MissingLastId, "a page says that more follows but has no last_id"),
        (Answer::EmptyPage, "a page said that more follows, and the next page is empty"),
    ] {
        let mut end = End::start(paged()).await;
        end.anthropic.fault(Fault::on("users", answer).nth(2));
        let failure = end.failure(&Collection::Users).await;
        assert_eq!(failure.reason, reason);
        assert!(failure.request_id.is_some());
        assert_eq!(end.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_page_that_does_not_say_whether_more_follows_is_not_the_end() {
    // A gateway that caps pages at 900 rows and drops `has_more`.
    let mut end = End::start(paged()).await;
    end.anthropic.fault(Fault::on("users", Answer::ShortPage { rows: 900 }));
    let listing = end.list(&Collection::Users).await.expect("a whole listing");
    assert_eq!(listing.resources.len(), 2500);
    assert_eq!((listing.pages, end.requests().len()), (4, 4), "only an empty page is the end");
    let last = listing.resources.iter().last().map(|(resource, _)| resource.id().to_owned());
    assert_eq!(listing.last_cursor, last);
}

#[tokio::test]
async fn an_empty_page_that_does_not_say_whether_more_follows_is_the_end() {
    let mut end = End::start(Settings { api_keys: 0, ..paged() }).await;
    end.anthropic.fault(Fault::on("api_keys", Answer::ShortPage { rows: 900 }));
    let listing = end.list(&Collection::ApiKeys).await.expect("a whole listing");
    assert_eq!((listing.resources.len(), end.requests().len()), (0, 1));
}

#[tokio::test]
async fn a_full_page_that_does_not_say_whether_more_follows_is_not_the_end() {
    let mut end = End::start(Settings { users: 1000, ..Settings::default() }).await;
    end.anthropic.fault(Fault::on("users", Answer::ShortPage { rows: 1000 }));
    let listing = end.list(&Collection::Users).await.expect("a whole listing");
    assert_eq!((listing.resources.len(), end.requests().len()), (1000, 2));
}

#[tokio::test]
async fn a_first_page_that_is_empty_and_promises_more_fails_the_listing() {
    let (failure, requests) = users_fail(Answer::EmptyPage).await;
    assert_eq!(failure.reason, "a page said that more follows, and the next page is empty");
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn answers_that_are_no_page_fail_the_listing() {
    for (answer, reason) in [
        (Answer::TruncatedJson, "page 1: the response is cut off after "),
        (Answer::InvalidJson, "page 1: the response is not valid JSON at byte 10 (row 1); "),
    ] {
        let (failure, requests) = users_fail(answer).await;
        assert!(failure.reason.starts_with(reason), "{failure}");
        assert!(failure.reason.ends_with("nothing in the collection is deleted"), "{failure}");
        assert_eq!((failure.status, requests), (Some(200), 1));
    }
}

#[tokio::test]
async fn an_answer_over_the_bound_fails_the_listing_without_a_second_try() {
    let (url, connections) = spaces(MAX_PAGE_BYTES + 1).await;
    let mut admin = admin(&url, "sk-ant-admin01-of-nobody", "env = \"KEY\"", Path::new(""));
    let Err(Error::FailListing(failure)) = list(&mut admin, &Collection::Users).await else {
        panic!("more was read than the bound allows");
    };
    assert_eq!(failure.reason, "the response is larger than 16777216 bytes");
    assert_eq!((failure.status, connections.load(Ordering::Relaxed)), (Some(200), 1));
}

#[tokio::test]
async fn a_row_that_contradicts_itself_fails_the_listing() {
    for (name, collection) in [("users", Collection::Users), ("workspaces", Collection::Workspaces)] {
        let mut end = End::with(Fault::on(name, Answer::ContradictoryDuplicate)).await;
        let failure = end.failure(&collection).await;
        assert!(failure.reason.ends_with("is listed twice and differs"), "{failure}");
    }
}

#[tokio::test]
async fn a_cursor_whose_object_went_away_never_looks_like_the_end() {
    for unknown_cursor in [UnknownCursor::BadRequest, UnknownCursor::Empty] {
        let mut end = End::start(Settings { unknown_cursor, ..paged() }).await;
        end.anthropic.fault(Fault::on("users", Answer::CursorRemoved).nth(1));
        end.failure(&Collection::Users).await;
    }
}

#[tokio::test]
async fn a_list_that_changes_while_it_is_paged_is_as_whole_as_the_api_shows_it() {
    for (answer, expected) in [(Answer::ListedRemoved, 2500), (Answer::InsertedAtHead, 2500)] {
        let mut end = End::start(paged()).await;
        end.anthropic.fault(Fault::on("users", answer).nth(1));
        let listing = end.list(&Collection::Users).await.expect("a whole listing");
        assert_eq!(listing.resources.len(), expected);
    }
}

#[tokio::test]
async fn what_was_never_listed_is_kept() {
    let mut end = End::with(Fault::on("users", Answer::ExtraFields)).await;
    end.anthropic.fault(Fault::on("api_keys", Answer::UnknownEnums));
    let users = end.list(&Collection::Users).await.expect("a whole listing");
    for (resource, _) in users.resources.iter() {
        let Resource::User(user) = resource else { panic!("no user") };
        assert_eq!(user.extra["from_the_future"], r#"{"list":[1,2.5,null,true],"text":"é"}"#);
    }
    let keys = end.list(&Collection::ApiKeys).await.expect("a whole listing");
    for (resource, _) in keys.resources.iter() {
        let Resource::ApiKey(key) = resource else { panic!("no API key") };
        assert_eq!(key.status.as_deref(), Some("from_the_future"));
    }
}
