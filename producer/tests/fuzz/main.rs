//! Malformed answers of the Admin API (`fuzz/src/lib.rs` says how to run it longer). A file of the
//! corpus is one answer.

use std::path::Path;

use fuzz::Corpus;
use producer::json::{Json, JsonError};
use producer::{page, resource};
use schemas::codec::{decode, encode};
use schemas::collection::Collection;
use schemas::raw::{RawBody, RawRecord, Resource};

/// Words of the API's, and of JSON's dark corners.
const TOKENS: [&[u8]; 20] = [
    br#""id":"#,
    br#""data":["#,
    br#""has_more":true,"#,
    br#""user_id":"#,
    br#""extra":{"#,
    br#""created_by":{"#,
    b"null",
    b"[]",
    b"{}",
    b"[[[[[[[[[[[[[[[[",
    b"-0",
    b"1e999",
    b"18446744073709551616",
    b"9999-99-99T99:99:99Z",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\"a.b\":1,",
    b"\xe2\x80\xae",
    b"\xf0\x9f\x92\xa5",
];

/// Every string and number of a row, at any depth.
fn scalars<'a>(value: &'a Json, found: &mut Vec<&'a str>) {
    match value {
        Json::Text(text) | Json::Number(text) => found.push(text),
        Json::Array(values) => values.iter().for_each(|value| scalars(value, found)),
        Json::Object(fields) => fields.values().for_each(|value| scalars(value, found)),
        Json::Null | Json::Bool(_) => {}
    }
}

/// All strings of a resource, as its own JSON: what is in `extra` is JSON within it.
fn kept(resource: &Resource) -> String {
    let whole = serde_json::to_string(resource).expect("a resource is JSON");
    let unescaped = whole.replace("\\\\", "\\").replace("\\\"", "\"");
    format!("{whole}{unescaped}")
}

/// A row's scalars are all in the resource, and the resource in its raw record.
fn row_is_kept(collection: &Collection, row: &Json) -> Result<(), String> {
    let Ok(resource) = resource::read(collection, row.clone()) else { return Ok(()) };
    let kept = kept(&resource);
    let mut all = Vec::new();
    scalars(row, &mut all);
    for scalar in all {
        let text = serde_json::to_string(scalar).expect("a text is JSON");
        let text = &text[1..text.len() - 1];
        if !kept.contains(text) && !kept.contains(scalar) {
            return Err(format!("{scalar:?} is lost"));
        }
    }
    let record = RawRecord {
        organization_id: "o".to_owned(),
        organization_name: "n".to_owned(),
        collection: collection.to_string(),
        poll_id: None,
        listing_id: Some("l".to_owned()),
        observed_ts_ms: 0,
        body: RawBody::Resource(resource),
    };
    let again = decode::<RawRecord>(&encode(&record)).map_err(|error| error.to_string())?;
    if again == record { Ok(()) } else { Err("the raw record does not read back".to_owned()) }
}

fn body_holds(collection: &Collection, body: &[u8]) -> Result<(), String> {
    if let Ok(value) = Json::parse(body) {
        let text = value.canonical();
        if Json::parse(text.as_bytes()) != Ok(value) {
            return Err(format!("{text} is another value"));
        }
    }
    if *collection == Collection::Organization {
        return Json::parse(body).map_or(Ok(()), |row| row_is_kept(collection, &row));
    }
    match page::read(body) {
        Ok(page) => page.data.iter().try_for_each(|row| row_is_kept(collection, row)),
        Err(refusal) if refusal.to_string().len() > 200 => Err(format!("{refusal} shows too much")),
        Err(_) => Ok(()),
    }
}

fn check(name: &str, collection: &Collection) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    fuzz::check(&Corpus::read(&folder).with_tokens(&TOKENS), |body| body_holds(collection, body));
}

#[test]
fn the_organization_panics_at_nothing_and_loses_nothing() {
    check("organization", &Collection::Organization);
}

#[test]
fn users_panic_at_nothing_and_lose_nothing() {
    check("users", &Collection::Users);
}

#[test]
fn workspaces_panic_at_nothing_and_lose_nothing() {
    check("workspaces", &Collection::Workspaces);
}

#[test]
fn api_keys_panic_at_nothing_and_lose_nothing() {
    check("api_keys", &Collection::ApiKeys);
}

#[test]
fn members_panic_at_nothing_and_lose_nothing() {
    check("members", &Collection::Members("wrkspc_01".to_owned()));
}

#[test]
fn a_bomb_of_depth_is_refused_without_a_stack_to_climb() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let bomb = format!("{}1{}", open.repeat(500_000), close.repeat(500_000));
        assert_eq!(Json::parse(bomb.as_bytes()), Err(JsonError::TooDeep));
    }
}
