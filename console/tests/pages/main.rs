//! The pages over HTTP, of an organization that lives and has hostile names.

mod access_control;
#[expect(dead_code, reason = "the tests of the crate graph use more of it")]
#[path = "../../../graph/tests/access/elements.rs"]
mod elements;
#[path = "../store/life.rs"]
mod life;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use graph::access::{Fold, Moment, Question, access, answer};
use schemas::{
    change::{Kind, Op},
    element::Element,
    encoded::EncodedChange,
};
use serde_json::Value;

use world::{HOSTILE, NOW_MS, World};

/// Largest page (bytes).
const LARGEST: usize = 200_000;

#[tokio::test]
async fn every_page_answers_is_bounded_and_carries_nothing_inline() {
    let world = World::new();
    for address in world.addresses() {
        let page = world.get(&address).await;
        assert_eq!(page.status, StatusCode::OK, "{address}");
        assert!(page.text.len() <= LARGEST, "{address} has {} bytes", page.text.len());
        assert_eq!(page.header("content-security-policy").split(';').next(), Some("default-src 'self'"));
        assert_eq!(page.header("cache-control"), "no-store", "{address}");
        assert_eq!(page.header("referrer-policy"), "no-referrer", "{address}");
        for inline in [" style=", "<style", "<script>", " onclick", " onload", "javascript:"] {
            assert!(!page.text.contains(inline), "{inline} in {address}");
        }
        assert_eq!(page.text.matches("<h1>").count(), 1, "{address}");
    }
}

#[tokio::test]
async fn a_hostile_name_is_text_on_every_page() {
    let world = World::new();
    let mut seen = 0;
    for address in world.addresses() {
        let page = world.get(&address).await.text;
        for name in HOSTILE.iter().filter(|name| name.contains('<')) {
            assert!(!page.contains(name), "{name} in {address}");
        }
        assert!(!page.contains('\u{202e}'), "a mark that reorders text is in {address}");
        seen += usize::from(page.contains("&#60;script&#62;") || page.contains("&lt;script&gt;"));
        let csv = world.get(&format!("{address}{}format=csv", joint(&address))).await;
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8", "{address}");
        for value in csv.text.split(['\n', ',']) {
            assert!(!value.trim_start_matches('"').starts_with(['=', '+', '@']), "{value} in {address}");
        }
    }
    assert!(seen >= 4, "the name is on {seen} pages");
}

#[tokio::test]
async fn an_answer_in_json_is_that_of_who_can() {
    let world = World::new();
    let newest = world.changes.last().expect("some").revision;
    for (workspace, revision) in world.workspaces().into_iter().zip([newest / 3, newest / 2, newest]) {
        let address = format!("/access?workspace={workspace}&at={revision}");
        let found: Value = world.get_as(&address, "application/json").await.json();
        let mut fold = Fold::new(Moment::Revision(revision));
        world.changes.iter().for_each(|change| fold.take(&EncodedChange::from(change.clone())));
        let snapshot = fold.finish();
        let question = Question { workspace: Some(workspace), ..Question::default() };
        let at_ms = snapshot.observed_ts_ms.expect("it was observed");
        let paths = access(&snapshot.organization, at_ms, &question);
        let paths: Vec<answer::Path<'_>> = paths.iter().map(answer::Path::from).collect();
        assert_eq!(found["paths"], serde_json::to_value(&paths).expect("JSON"), "{address}");
        assert_eq!(found["as_of"], serde_json::json!({ "revision": revision, "ts_ms": at_ms }), "{address}");
    }
}

#[tokio::test]
async fn a_name_is_as_good_as_an_id_if_it_means_one_thing() {
    let world = World::new();
    let default = world.get("/access?workspace=default").await;
    assert_eq!(default.status, StatusCode::OK);
    assert!(default.text.contains("Who can reach</span> Default"), "the name in the heading");
    let unknown = world.get("/access?workspace=no+such+thing").await;
    assert!(unknown.text.contains("No name, email address, hint or ID contains that."));
    let searched = world.get("/access?q=example").await;
    assert!(searched.text.matches("class=\"hit-name\"").count() > 10, "email addresses are found");
}

#[tokio::test]
async fn what_cannot_be_understood_is_said() {
    let world = World::new();
    let cases = [
        ("/access?at=yesterday", StatusCode::BAD_REQUEST, "neither now, nor a revision"),
        ("/access?workspace=default&at=999999", StatusCode::BAD_REQUEST, "the newest revision of nimbus is"),
        ("/access?at=2020-01-01", StatusCode::BAD_REQUEST, "has nothing about nimbus before"),
        ("/access?at=2999-01-01", StatusCode::BAD_REQUEST, "is in the future"),
        ("/access?organization=other", StatusCode::NOT_FOUND, "There is no organization"),
        ("/changes?type=zebra", StatusCode::BAD_REQUEST, "is not a type of the graph"),
        ("/changes?before=x", StatusCode::BAD_REQUEST, "write a revision and an offset"),
        ("/access?page=0", StatusCode::BAD_REQUEST, "write a number from 1"),
        ("/access?format=xml", StatusCode::BAD_REQUEST, "is not html, json or csv"),
        ("/nowhere", StatusCode::NOT_FOUND, "There is no such page."),
    ];
    for (address, status, text) in cases {
        let page = world.get(address).await;
        assert_eq!(page.status, status, "{address}");
        assert!(page.text.contains(text), "{address} says {}", page.text);
    }
    let error: Value = world.get("/access?at=yesterday&format=json").await.json();
    assert_eq!(error["error"], "This address cannot be understood");
}

#[tokio::test]
async fn only_loopback_is_answered_and_only_get() {
    let world = World::new();
    for (host, status) in [
        ("127.0.0.1:9104", StatusCode::OK),
        ("localhost:9104", StatusCode::OK),
        ("[::1]:9104", StatusCode::OK),
        ("evil.example", StatusCode::MISDIRECTED_REQUEST),
        ("localhost.evil.example:9104", StatusCode::MISDIRECTED_REQUEST),
    ] {
        assert_eq!(world.ask("GET", "/", host, "text/html").await.status, status, "{host}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let answer = world.ask(method, "/access", "localhost", "text/html").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
}

#[tokio::test]
async fn changes_are_paged_without_a_gap_and_filtered() {
    let world = World::new();
    let (mut address, mut seen) = ("/changes?op=c".to_owned(), Vec::new());
    loop {
        let page = world.get(&address).await.text;
        seen.extend(
            page.split("offset ").skip(1).filter_map(|rest| rest.split('<').next()?.parse::<usize>().ok()),
        );
        let Some(older) =
            page.split("<a class=\"button\" href=\"").find(|it| it.contains("rel=\"next\">Older"))
        else {
            break;
        };
        address = older.split('"').next().expect("an address").replace("&#38;", "&").replace("&amp;", "&");
    }
    let created = world.changes.iter().enumerate().filter(|(_, change)| change.op == Op::Create);
    let expected: Vec<usize> = created.map(|(index, _)| index).rev().collect();
    assert!(expected.len() > 100, "enough for several pages");
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_change_comes_to_a_live_page_and_a_lost_one_is_sent_again() {
    let mut world = World::new();
    let mut events = world.events("/changes/events", None).await;
    let mut newest = String::new();
    for _ in 0..world.changes.len().min(60) {
        newest = events.next().await;
    }
    assert!(newest.contains("class=\"change\""), "{newest}");
    let mut latest = world.events("/changes/events", Some(&world.newest_place())).await;
    world.one_more();
    let event = latest.next().await;
    assert!(event.starts_with("id: "), "{event}");
    assert!(event.contains("op-c"), "{event}");
}

fn joint(address: &str) -> char {
    if address.contains('?') { '&' } else { '?' }
}

#[tokio::test]
async fn a_hold_says_which_relationships_go_with_it() {
    let world = World::new();
    let mut relationships: BTreeMap<&str, &Element> = BTreeMap::new();
    for change in world.changes.iter().filter(|change| change.kind == Kind::Relationship) {
        match &change.after {
            Some(after) => drop(relationships.insert(&change.element_key, after)),
            None => drop(relationships.remove(change.element_key.as_str())),
        }
    }
    let holds = world.get("/holds?format=json").await.json();
    let holds = holds.as_array().expect("a list");
    let (mut total, mut named) = (0, BTreeSet::new());
    for hold in holds {
        let key = hold["element_key"].as_str().expect("text");
        let of_hold = relationships.iter().filter(|(_, it)| it.ends().any(|end| end == key));
        let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
        for (relationship, it) in of_hold {
            *expected.entry(it.kind()).or_default() += 1;
            total += 1;
            named.insert(relationship);
        }
        assert_eq!(hold["relationships"], serde_json::json!(expected), "{key}");
    }
    assert!(named.len() > 3 && named.len() < total, "{named:?}: one of them is between two holds");
    let page = world.get("/holds").await.text;
    let count = page.matches("Approving them also deletes ").count();
    assert!(count >= 2, "{count} of the collections: {page}");
}

#[tokio::test]
async fn a_held_relationship_comes_after_the_entities_and_names_its_ends() {
    let page = World::new().get("/holds").await.text;
    let (_, users) = page.split_once(">users <span").expect("the collection has holds");
    let (users, _) = users.split_once("</section>").expect("a section ends");
    let first = users.find("<td>relationship</td>").expect("a relationship is held");
    let last = users.rfind("<td>user</td>").expect("a user is held");
    assert!(last < first, "{users}");
    assert!(users.contains(">nimbus has ") && !users.contains("|has|"), "{users}");
}

#[tokio::test]
async fn an_organization_says_when_it_is_polled_and_counts_its_dead_letters() {
    let world = World::new();
    let rows = world.get("/?format=json").await.json();
    assert_eq!(rows[0]["next_poll_ts_ms"], NOW_MS + 3_000_000);
    assert_eq!(rows[0]["dead_letters"], 1);
    let page = world.get("/").await.text;
    for text in ["next in 50 min", "anthropic-graph dead-letters list"] {
        assert!(page.contains(text), "{text}: {page}");
    }
}
