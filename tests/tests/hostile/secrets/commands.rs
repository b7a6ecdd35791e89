//! The same through what people ask for, a redirect, and answers that quote the key where it would be kept.

use serde_json::json;
use tests::stub::Stub;
use tests::{comparison, prefix};

use super::Watched;

#[test]
fn what_people_ask_for_shows_no_key() {
    let watched = Watched::start();
    watched.round("all is well", &[]);
    let (id, into) = (watched.world.anthropic[0].organization_id(), prefix());
    let decide =
        ["--organization-id", &id, "--listing", "1d2b3a4c-5d6e-4f70-8192-a3b4c5d6e7f8", "--by", "grace"];
    let ask = |arguments: &[&str]| watched.run("all is well", "anthropic-graph", arguments, &[]);
    ask(&["holds", "list"]);
    ask(&[&["holds", "approve"], &decide[..]].concat());
    ask(&[&["holds", "reject"], &decide[..]].concat());
    ask(&["forget", "--organization-id", &id]);
    ask(&["changes", "--from", "earliest", "--until-end"]);
    ask(&["who-can"]);
    ask(&["replay", "--from", "earliest", "--into", &into]);
    ask(&["reset"]);
    ask(&["sync", "parked"]);
    ask(&["sync", "approve", "--organization", "organization-1"]);
    watched.round("it was decided about nothing", &[]);
    ask(&["verify"]);
    watched.world.ask(&["verify"]).expect(0);
    comparison::agree(&watched.world, 0);
    watched.look_into_topics();
}

#[test]
fn a_redirect_by_jupiterone_is_not_followed_and_shows_no_key() {
    let watched = Watched::start();
    watched.round("all is well", &[]);
    let elsewhere = Stub::start(|_| (200, Vec::new(), "{}".to_owned()));
    let to = elsewhere.url();
    let stub = Stub::start(move |_| (307, vec![("location", to.clone())], String::new()));
    let url = stub.url();
    let jupiterone = [("ANTHROPIC_GRAPH__JUPITERONE__BASE_URL", url.as_str())];
    watched.run("a redirect", "anthropic-graph", &["sync", "resync"], &jupiterone);
    watched.run("a redirect", "sink", &["check"], &jupiterone);
    assert!(!stub.requests().is_empty(), "it was asked");
    assert_eq!(elsewhere.requests(), Vec::<String>::new(), "no redirect is followed");
    watched.look_into_topics();
}

#[test]
fn a_listing_that_quotes_the_key_is_kept_nowhere() {
    let watched = Watched::start();
    let end = &watched.world.anthropic[0];
    let (id, key) = (end.organization_id(), end.admin_key().to_owned());
    let escaped = key.replace('-', "\\u002d");
    for row in [
        json!({ "id": "user_ada", "name": format!("Ada {key}") }).to_string(),
        json!({ "id": "user_ada", "note": { "headers": [key.clone()] } }).to_string(),
        format!(r#"{{"id":"user_ada","note":"{escaped}"}}"#),
    ] {
        let id = id.clone();
        let stub = Stub::start(move |request| {
            let path = request.split([' ', '?']).nth(1).unwrap_or_default();
            let rows = if path.ends_with("/users") { row.as_str() } else { "" };
            let body = if path.ends_with("/me") {
                json!({ "id": id, "type": "organization", "name": "Nimbus" }).to_string()
            } else {
                format!(r#"{{"data":[{rows}],"has_more":false}}"#)
            };
            (200, Vec::new(), body)
        });
        let url = stub.url();
        let admin = [("ANTHROPIC_GRAPH__ORGANIZATIONS__ORGANIZATION_1__BASE_URL", url.as_str())];
        let polled = watched.run("a quoted key", "producer", &["poll"], &admin);
        assert!(polled.contains("users failed (the response contains the Admin API key"), "{polled}");
        watched.run("a quoted key", "producer", &["check"], &admin);
        watched.run("a quoted key", "processor", &["run", "--until-end"], &[]);
    }
    watched.look_into_topics();
}
