//! Bad requests, each with the answer that is expected and where that answer comes from.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};
use simulator::jupiterone::Settings;

use crate::client::{Account, INSTANCE, JOBS, SCOPE, account, has_user, send, set, user, without};
use Origin::{Documented, Invented};

/// Where the expected code comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// JupiterOne's documentation or its clients name this code or status.
    Documented,
    /// JupiterOne refuses it, or may; how it says so is not public.
    Invented,
}

/// One bad request: what, path and body, expected status and code.
type Case = (&'static str, &'static str, Value, u16, &'static str, Origin);

async fn check(account: &Account, job: &str, cases: Vec<Case>) -> usize {
    let count = cases.len();
    for (what, path, body, status, code, origin) in cases {
        let path = path.replace("JOB", job);
        let answer = account.post(&path, &body).await;
        let got = (answer.status, answer.body["error"]["code"].as_str());
        assert_eq!(got, (status, Some(code)), "{what} ({origin:?})");
        assert!(answer.body["error"]["message"].is_string(), "{what}: a message");
    }
    count
}

fn start_cases() -> Vec<Case> {
    let start = |what, body, code, origin| (what, JOBS, body, 400, code, origin);
    let external = json!({"source": "integration-external", "integrationInstanceId": INSTANCE});
    let unknown = "99999999-8f7e-4d0c-9b1a-6f0f3c2b7a10";
    vec![
        start("a start that is an array", json!([]), "INVALID_REQUEST", Invented),
        start("no source", json!({"scope": SCOPE}), "INVALID_SOURCE", Invented),
        start("an unknown source", json!({"source": "csv", "scope": SCOPE}), "INVALID_SOURCE", Invented),
        start("the internal source", json!({"source": "system-internal"}), "INVALID_SOURCE", Invented),
        start("api without scope", json!({"source": "api"}), "SCOPE_REQUIRED", Invented),
        start("api with an empty scope", json!({"source": "api", "scope": ""}), "SCOPE_REQUIRED", Invented),
        start("a scope that is a number", json!({"source": "api", "scope": 7}), "INVALID_REQUEST", Invented),
        start(
            "api with an instance",
            json!({"source": "api", "scope": SCOPE, "integrationInstanceId": INSTANCE}),
            "INVALID_REQUEST",
            Invented,
        ),
        start(
            "an instance with a scope",
            set(external.clone(), "scope", json!(SCOPE)),
            "INVALID_REQUEST",
            Invented,
        ),
        start(
            "an integration without instance",
            json!({"source": "integration-external"}),
            "INVALID_REQUEST",
            Invented,
        ),
        start(
            "an unknown instance",
            set(external.clone(), "integrationInstanceId", json!(unknown)),
            "SYNC_JOB_INVALID_INTEGRATION_INSTANCE",
            Documented,
        ),
        start(
            "a job id that is no UUID",
            set(external, "integrationJobId", json!("job-1")),
            "INVALID_REQUEST",
            Invented,
        ),
        start(
            "an unknown sync mode",
            json!({"source": "api", "scope": SCOPE, "syncMode": "MERGE"}),
            "INVALID_SYNC_MODE",
            Invented,
        ),
        start(
            "the retired sync mode",
            json!({"source": "api", "scope": SCOPE, "syncMode": "CREATE_OR_UPDATE"}),
            "INVALID_SYNC_MODE",
            Invented,
        ),
    ]
}

fn entity_cases() -> Vec<Case> {
    let whole = |what, body, code, origin| (what, "JOB/entities", body, 400, code, origin);
    let one = |what, object: Value, code| whole(what, json!({ "entities": [object] }), code, Invented);
    vec![
        whole("entities that are an object", json!({"entities": {}}), "ENTITY_IS_NOT_ARRAY", Documented),
        whole("no entities", json!({}), "ENTITY_IS_NOT_ARRAY", Documented),
        whole("a body that is an array", json!([user("a")]), "INVALID_REQUEST", Invented),
        one("an entity that is a string", json!("user"), "INVALID_GRAPH_OBJECT"),
        one("an entity without _key", without(user("a"), "_key"), "MISSING_PROPERTY"),
        one("an entity with an empty _key", set(user("a"), "_key", json!("")), "INVALID_PROPERTY"),
        one("an entity with a number as _key", set(user("a"), "_key", json!(1)), "MISSING_PROPERTY"),
        one("an entity without _type", without(user("a"), "_type"), "MISSING_PROPERTY"),
        one("an entity with an array as _type", set(user("a"), "_type", json!(["x"])), "INVALID_PROPERTY"),
        one("an entity without _class", without(user("a"), "_class"), "MISSING_PROPERTY"),
        one("an entity with an empty _class", set(user("a"), "_class", json!([])), "INVALID_PROPERTY"),
        one("an entity with a number in _class", set(user("a"), "_class", json!([1])), "INVALID_PROPERTY"),
        one("a custom name with _", set(user("a"), "_custom", json!(1)), "INVALID_PROPERTY"),
        one("the server's _id", set(user("a"), "_id", json!("x")), "INVALID_PROPERTY"),
        one("the server's _createdOn", set(user("a"), "_createdOn", json!(1)), "INVALID_PROPERTY"),
        one("an empty name", set(user("a"), "", json!(1)), "INVALID_PROPERTY"),
        one("a nested object", set(user("a"), "profile", json!({"x": 1})), "INVALID_PROPERTY"),
        one("an array of objects", set(user("a"), "roles", json!([{"x": 1}])), "INVALID_PROPERTY"),
        one("an array of arrays", set(user("a"), "roles", json!([["x"]])), "INVALID_PROPERTY"),
        one("a mixed array", set(user("a"), "roles", json!(["x", 1])), "INVALID_PROPERTY"),
        one("raw data that is a string", set(user("a"), "_rawData", json!("x")), "INVALID_PROPERTY"),
        one("raw data without name", set(user("a"), "_rawData", json!([{}])), "INVALID_PROPERTY"),
        one(
            "raw data with one name twice",
            set(user("a"), "_rawData", json!([{"name": "x"}, {"name": "x"}])),
            "INVALID_PROPERTY",
        ),
        whole("one key twice", json!({"entities": [user("a"), user("a")]}), "DUPLICATE_KEY", Invented),
        whole("a key uploaded before", json!({"entities": [account()]}), "DUPLICATE_KEY", Invented),
    ]
}

fn relationship_cases() -> Vec<Case> {
    let whole = |what, body, code| (what, "JOB/relationships", body, 400, code, Invented);
    let one = |what, object: Value, code| whole(what, json!({ "relationships": [object] }), code);
    let mapped =
        set(without(without(has_user("a"), "_fromEntityKey"), "_toEntityKey"), "_mapping", json!({}));
    vec![
        whole("relationships that are a string", json!({"relationships": "x"}), "RELATIONSHIP_IS_NOT_ARRAY"),
        one("a relationship without _key", without(has_user("a"), "_key"), "MISSING_PROPERTY"),
        one("a relationship without _type", without(has_user("a"), "_type"), "MISSING_PROPERTY"),
        one(
            "a relationship of two classes",
            set(has_user("a"), "_class", json!(["HAS"])),
            "INVALID_PROPERTY",
        ),
        one("a relationship without from", without(has_user("a"), "_fromEntityKey"), "MISSING_PROPERTY"),
        one("a relationship without to", without(has_user("a"), "_toEntityKey"), "MISSING_PROPERTY"),
        one("a relationship with an object", set(has_user("a"), "x", json!({})), "INVALID_PROPERTY"),
        whole("one key twice", json!({"relationships": [has_user("a"), has_user("a")]}), "DUPLICATE_KEY"),
        (
            "a mapped relationship",
            "JOB/relationships",
            json!({"relationships": [mapped]}),
            501,
            "NOT_SIMULATED",
            Invented,
        ),
    ]
}

fn other_cases() -> Vec<Case> {
    let bad = |what, path, body, code| (what, path, body, 400, code, Invented);
    vec![
        bad(
            "deletions that are no array",
            "JOB/upload",
            json!({"deleteEntities": 1}),
            "DELETIONS_ARE_NOT_ARRAY",
        ),
        bad("a deletion of nothing", "JOB/upload", json!({"deleteEntities": [{}]}), "MISSING_PROPERTY"),
        bad("types that are no array", "JOB/finalize", json!({"partialDatasets": {}}), "INVALID_REQUEST"),
        bad(
            "a type that is a number",
            "JOB/finalize",
            json!({"partialDatasets": {"types": ["x", 1]}}),
            "INVALID_REQUEST",
        ),
        bad(
            "an unknown terminal status",
            "JOB/abort",
            json!({"terminalStatus": "FINISHED"}),
            "INVALID_REQUEST",
        ),
        bad("events of an api job", "JOB/events", json!({"events": []}), "JOB_HAS_NO_INTEGRATION"),
        ("a bulk file", "JOB/uploadUrl", json!({}), 501, "NOT_SIMULATED", Invented),
        ("an unknown operation", "JOB/pause", json!({}), 404, "NOT_FOUND", Invented),
        ("an unknown path", "/persister/jobs", json!({}), 404, "NOT_FOUND", Invented),
        ("POST on a job", "JOB", json!({}), 405, "METHOD_NOT_ALLOWED", Invented),
        (
            "an unknown job",
            "/persister/synchronization/jobs/0b2f0d34-57c1-4f6e-8a55-1d2c7e60b4aa/entities",
            json!({"entities": []}),
            404,
            "JOB_NOT_FOUND",
            Invented,
        ),
    ]
}

#[tokio::test]
async fn each_bad_request_gets_its_answer_and_stages_nothing() {
    let known = Some([INSTANCE.to_owned()].into());
    let server = Account::with(Settings { integration_instances: known, ..Settings::default() }).await;
    let job = server.start_diff().await;
    server.post(&format!("{job}/entities"), &json!({"entities": [account()]})).await;
    let mut count = check(&server, &job, start_cases()).await;
    count += check(&server, &job, entity_cases()).await;
    count += check(&server, &job, relationship_cases()).await;
    count += check(&server, &job, other_cases()).await;
    assert!(count >= 40, "{count} bad requests");
    let still = server.get(&job).await.body;
    assert_eq!(still["job"]["status"], "AWAITING_UPLOADS");
    assert_eq!(still["job"]["numEntitiesUploaded"], 1);
    assert_eq!(still["job"]["numRelationshipsUploaded"], 0);
}

#[tokio::test]
async fn a_job_that_is_done_takes_no_more() {
    let server = Account::open().await;
    for end in ["finalize", "abort"] {
        let job = server.start_diff().await;
        server.post(&format!("{job}/{end}"), &json!({})).await;
        let cases = vec![
            (
                "late entities",
                "JOB/entities",
                json!({"entities": []}),
                400,
                "JOB_NOT_AWAITING_UPLOADS",
                Documented,
            ),
            ("late upload", "JOB/upload", json!({}), 400, "JOB_NOT_AWAITING_UPLOADS", Documented),
            ("a second finalize", "JOB/finalize", json!({}), 400, "JOB_NOT_AWAITING_UPLOADS", Invented),
            ("a late abort", "JOB/abort", json!({}), 400, "JOB_NOT_AWAITING_UPLOADS", Invented),
        ];
        check(&server, &job, cases).await;
    }
}

#[tokio::test]
async fn sync_modes_refuse_what_they_do_not_take() {
    let server = Account::open().await;
    let start = |mode: &str| json!({"source": "api", "scope": SCOPE, "syncMode": mode});
    let refused = |what, path, body, code, origin| (what, path, body, 400, code, origin);
    for mode in ["PATCH", "OVERRIDE"] {
        let job = server.start(&start(mode)).await;
        let edges = json!({"relationships": [has_user("a")]});
        let deletions = json!({"deleteEntities": [{"_key": "x"}]});
        let cases = vec![
            refused("relationships", "JOB/relationships", edges.clone(), "SYNC_MODE_MISMATCH", Invented),
            refused("relationships by upload", "JOB/upload", edges, "SYNC_MODE_MISMATCH", Invented),
            refused("deletions", "JOB/upload", deletions, "DELETES_NOT_SUPPORTED", Invented),
        ];
        check(&server, &job, cases).await;
    }
    let job = server.start(&start("CROSS_SCOPE")).await;
    let entities = json!({"entities": [user("a")]});
    let local = json!({"relationships": [has_user("a")]});
    let cases = vec![
        refused("entities", "JOB/entities", entities, "SYNC_MODE_MISMATCH", Invented),
        refused("a relationship without scopes", "JOB/relationships", local, "MISSING_PROPERTY", Invented),
    ];
    check(&server, &job, cases).await;
    let job = server.start(&start("OVERRIDE")).await;
    let many: Vec<Value> = (0..10_001).map(|n| json!({"_key": format!("k{n}"), "risk": 1})).collect();
    let too_many = refused(
        "10,001 entities",
        "JOB/entities",
        json!({ "entities": many }),
        "TOO_MANY_ENTITIES",
        Invented,
    );
    check(&server, &job, vec![too_many]).await;
}

#[tokio::test]
async fn without_the_right_account_and_key_every_answer_is_401() {
    let server = Account::open().await;
    let key = server.server.api_key().to_owned();
    let post = || server.bare(Method::POST, JOBS).json(&json!({"source": "api", "scope": SCOPE}));
    let requests = [
        post(),
        post().bearer_auth(&key),
        post().header("JupiterOne-Account", "nimbus"),
        post().header("JupiterOne-Account", "nimbus").bearer_auth("wrong-key-0000"),
        post().header("JupiterOne-Account", "stratus").bearer_auth(&key),
        post().header("JupiterOne-Account", "nimbus").header("Authorization", key.clone()),
        post().header("JupiterOne-Account", "nimbus").basic_auth(&key, None::<&str>),
    ];
    for request in requests {
        let answer = send(request).await.expect("an answer");
        assert_eq!((answer.status, answer.body["error"]["code"].as_str()), (401, Some("UNAUTHORIZED")));
    }
    for header in ["JupiterOne-Account", "jupiterone-account", "LifeOmic-Account", "LIFEOMIC-ACCOUNT"] {
        let answer = send(post().header(header, "nimbus").bearer_auth(&key)).await.expect("an answer");
        assert_eq!(answer.status, 200, "{header}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused() {
    let server = Account::open().await;
    let job = server.start_diff().await;
    let entities = format!("{job}/entities");
    let post = |body: Vec<u8>| server.request(Method::POST, &entities).body(body);
    let whole = json!({"entities": [user("a")]}).to_string().into_bytes();
    let cut_short = gzip(&whole)[..20].to_vec();
    let cases = [
        (post(b"{\"entities\":[".to_vec()), 400, "INVALID_JSON"),
        (post(whole.clone()).header("Content-Encoding", "gzip"), 400, "INVALID_ENCODING"),
        (post(cut_short).header("Content-Encoding", "gzip"), 400, "INVALID_ENCODING"),
        (post(whole.clone()).header("Content-Encoding", "br"), 415, "UNSUPPORTED_ENCODING"),
        (post(whole.clone()).header("Content-Type", "text/csv"), 415, "NOT_SIMULATED"),
    ];
    for (request, status, code) in cases {
        let answer = send(request).await.expect("an answer");
        assert_eq!((answer.status, answer.body["error"]["code"].as_str()), (status, Some(code)));
    }
    let answer = send(post(gzip(&whole)).header("Content-Encoding", "gzip")).await.expect("an answer");
    assert_eq!((answer.status, &answer.body["job"]["numEntitiesUploaded"]), (200, &json!(1)));
    let logged = server.server.requests().pop().expect("a request");
    assert_eq!(logged.inflated_bytes, whole.len());
    assert_eq!(logged.body_bytes, gzip(&whole).len());
}

#[tokio::test]
async fn a_body_of_one_byte_too_many_is_413_however_it_is_sent() {
    let server = Account::open().await;
    let job = server.start_diff().await;
    let entities = format!("{job}/entities");
    let padded = |size: usize| {
        let mut body = json!({"entities": []}).to_string().into_bytes();
        body.resize(size, b' ');
        body
    };
    let plain = |size| server.request(Method::POST, &entities).body(padded(size));
    let zipped = |size| {
        let request = server.request(Method::POST, &entities).header("Content-Encoding", "gzip");
        request.body(gzip(&padded(size)))
    };
    for (request, status) in
        [(plain(6_291_456), 200), (plain(6_291_457), 413), (zipped(6_291_456), 200), (zipped(6_291_457), 413)]
    {
        let answer = send(request).await.expect("an answer");
        assert_eq!(answer.status, status);
        if status == 413 {
            assert_eq!(answer.body["error"]["code"], "RequestEntityTooLargeException");
        }
    }
}
