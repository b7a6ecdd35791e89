//! What a schema registry is asked, and what is made of its answers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rdkafka::config::ClientConfig;
use schemas::topics::Topic;
use service::admin::Health;
use service::config::Config;
use service::schema_registry::{Error, check, register, register_unless};
use service::shutdown::CancellationToken;
use tokio::net::TcpListener;

/// A registry in memory.
#[derive(Default)]
struct Registry {
    /// Schema strings by subject.
    subjects: BTreeMap<String, String>,
    compatibility: BTreeMap<String, String>,
    /// The requests so far: method and path.
    asked: Vec<String>,
    /// What the `Authorization` headers were.
    authorizations: Vec<Option<String>>,
    /// What the next requests are answered, whatever they ask.
    answers: Vec<(u16, &'static str)>,
    /// Whether every change is refused.
    is_read_only: bool,
}

type Shared = Arc<Mutex<Registry>>;

async fn answer(
    State(registry): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut registry = registry.lock().expect("no test panics while it holds the lock");
    registry.asked.push(format!("{method} {}", uri.path()));
    let authorization = headers.get(header::AUTHORIZATION).map(|it| it.to_str().expect("ASCII").to_owned());
    registry.authorizations.push(authorization);
    if let Some((status, text)) = registry.answers.pop() {
        return (StatusCode::from_u16(status).expect("a status"), text).into_response();
    }
    assert_eq!(headers[header::CONTENT_TYPE], "application/vnd.schemaregistry.v1+json");
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let path: Vec<&str> = uri.path().split('/').skip(1).collect();
    let not_allowed =
        |text| (StatusCode::FORBIDDEN, format!("{{\"error_code\":40301,\"message\":\"{text}\"}}"));
    match (method.as_str(), path.as_slice()) {
        ("POST", ["subjects", subject]) => {
            let schema = body["schema"].as_str().expect("a schema");
            match registry.subjects.iter().position(|(name, text)| name == subject && text == schema) {
                Some(place) => format!("{{\"subject\":\"{subject}\",\"version\":1,\"id\":{}}}", place + 41)
                    .into_response(),
                None => {
                    (StatusCode::NOT_FOUND, "{\"error_code\":40401,\"message\":\"none\"}").into_response()
                }
            }
        }
        ("POST" | "PUT", _) if registry.is_read_only => not_allowed("read only").into_response(),
        ("POST", ["subjects", subject, "versions"]) => {
            assert_eq!(body["schemaType"], "AVRO");
            let schema = body["schema"].as_str().expect("a schema").to_owned();
            assert!(schema.contains("\"confluent:tags\": [\"PII\"]") == schema.contains("\"pii\": true"));
            registry.subjects.insert((*subject).to_owned(), schema);
            format!("{{\"id\":{}}}", registry.subjects.len()).into_response()
        }
        ("PUT", ["config", subject]) => {
            let level = body["compatibility"].as_str().expect("a level").to_owned();
            registry.compatibility.insert((*subject).to_owned(), level);
            "{\"compatibility\":\"FULL_TRANSITIVE\"}".into_response()
        }
        _ => panic!("{method} {uri}"),
    }
}

/// A registry on loopback for as long as the test's runtime lives, with its URL.
async fn serve() -> (Shared, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let registry = Shared::default();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&registry));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (registry, url)
}

fn config(url: &str, lines: &str) -> Config {
    let text = format!("kafka.bootstrap_servers = \"b:9092\"\n[schema_registry]\nurl = \"{url}\"\n{lines}");
    Config::from_toml(&text, Path::new(""), &BTreeMap::new()).expect("a configuration")
}

fn environment() -> BTreeMap<String, String> {
    BTreeMap::from([("SECRET".to_owned(), "correct-horse-battery".to_owned())])
}

/// How many of the client's values would be framed with an ID.
fn ids(client: &ClientConfig) -> usize {
    client.config_map().keys().filter(|name| name.starts_with("anthropic-graph.schema-id.")).count()
}

async fn registered(config: &Config) -> Result<usize, Error> {
    let mut client = ClientConfig::new();
    register(config, &environment(), &Topic::ALL, &mut client).await.map(|()| ids(&client))
}

#[tokio::test]
async fn each_record_of_each_topic_is_registered_once_and_keeps_its_readers() {
    let (registry, url) = serve().await;
    let config = config(&url, "");
    assert_eq!(registered(&config).await.expect("IDs"), 7);
    let subjects = [
        "anthropic.changes-anthropic_graph.changes.Envelope",
        "anthropic.graph-anthropic_graph.graph.Coverage",
        "anthropic.graph-anthropic_graph.graph.Element",
        "anthropic.graph-anthropic_graph.graph.Hold",
        "anthropic.graph-anthropic_graph.graph.Withheld",
        "anthropic.raw-anthropic_graph.raw.RawRecord",
        "anthropic.sync-anthropic_graph.sync.Sync",
    ];
    {
        let mut registry = registry.lock().expect("nothing panicked");
        assert!(registry.subjects.keys().eq(subjects), "{:?}", registry.subjects.keys());
        assert!(registry.compatibility.keys().eq(subjects));
        assert!(registry.compatibility.values().all(|level| level == "FULL_TRANSITIVE"));
        // Who comes later asks only, and may be someone who may do no more.
        registry.asked.clear();
        registry.is_read_only = true;
    }
    assert_eq!(registered(&config).await.expect("IDs"), 7);
    let registry = registry.lock().expect("nothing panicked");
    assert!(
        registry
            .asked
            .iter()
            .all(|asked| asked.starts_with("POST /subjects/") && !asked.ends_with("/versions"))
    );
}

#[tokio::test]
async fn a_registry_gets_the_configured_credentials() {
    let (registry, url) = serve().await;
    for (lines, expected) in [
        ("", None),
        ("token = { env = \"SECRET\" }", Some("Bearer correct-horse-battery")),
        (
            "username = \"graph\"\npassword = { env = \"SECRET\" }",
            Some("Basic Z3JhcGg6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"),
        ),
    ] {
        registered(&config(&url, lines)).await.expect("IDs");
        let authorizations = std::mem::take(&mut registry.lock().expect("nothing panicked").authorizations);
        assert!(authorizations.iter().all(|it| it.as_deref() == expected), "{lines}: {authorizations:?}");
    }
    let error =
        registered(&config(&url, "token = { env = \"ABSENT\" }")).await.expect_err("there is no such token");
    assert!(matches!(error, Error::Secret { key: "token", .. }), "{error}");
}

#[tokio::test]
async fn a_refusal_names_the_subject_the_reason_and_what_to_do() {
    let (registry, url) = serve().await;
    let config = config(&url, "token = { env = \"SECRET\" }");
    let incompatible =
        r#"{"error_code":409,"message":"incompatible\nwith an earlier correct-horse-battery"}"#;
    for (answers, parts) in [
        (
            vec![(409, incompatible), (404, "{}")],
            ["HTTP 409", "incompatible", "another schema is registered there"],
        ),
        (
            vec![(401, "no JSON")],
            ["HTTP 401", "subject anthropic.raw-", "schema_registry's url and credentials"],
        ),
        (vec![(200, "{}"), (404, "")], ["HTTP 200", "subject anthropic.raw-", "register the schema there"]),
    ] {
        registry.lock().expect("nothing panicked").answers = answers;
        let text = registered(&config).await.expect_err("a refusal").to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        assert!(!text.contains("correct-horse") && !text.contains('\n'), "{text}");
    }
    registry.lock().expect("nothing panicked").is_read_only = true;
    let text = registered(&config).await.expect_err("nothing is registered").to_string();
    assert!(
        text.contains("HTTP 403: read only") && text.contains("allow schema_registry's credentials"),
        "{text}"
    );
}

#[tokio::test]
async fn a_level_that_may_not_be_set_keeps_nothing_from_being_written() {
    let (registry, url) = serve().await;
    let mut client = ClientConfig::new();
    // In reverse: looked up, registered, level.
    registry.lock().expect("nothing panicked").answers = vec![(403, "{}"), (200, "{\"id\":9}"), (404, "{}")];
    register(&config(&url, ""), &environment(), &[Topic::Raw], &mut client).await.expect("an ID");
    assert_eq!(ids(&client), 1);
}

#[tokio::test]
async fn a_command_fails_where_a_registry_does_not_answer_and_a_service_waits() {
    let (registry, url) = serve().await;
    let here = config(&url, "");
    registry.lock().expect("nothing panicked").answers = vec![(503, "{\"message\":\"starting\"}")];
    let error = registered(&here).await.expect_err("it is starting");
    assert!(matches!(&error, Error::Unreachable { reason, .. } if reason == "HTTP 503: starting"), "{error}");
    let nowhere = registered(&config("http://127.0.0.1:1", "")).await.expect_err("the port is closed");
    assert!(matches!(nowhere, Error::Unreachable { .. }), "{nowhere}");

    let (health, patient) = (Health::default(), CancellationToken::new());
    registry.lock().expect("nothing panicked").answers = vec![(503, "")];
    let mut client = ClientConfig::new();
    let is_logged = async {
        while !health.readiness().is_err_and(|reason| reason.contains("schema registry: ")) {
            tokio::task::yield_now().await;
        }
    };
    let nothing = BTreeMap::new();
    let waits = register_unless(&here, &nothing, &Topic::ALL, &mut client, Some((&health, &patient)));
    let (registered, ()) = tokio::join!(waits, is_logged);
    assert!(registered.expect("IDs"));
    assert_eq!(ids(&client), 7);
    assert_eq!(health.readiness(), Err("starting".to_owned()), "nothing is the matter with the registry");
}

#[tokio::test]
async fn a_service_that_waits_for_a_registry_ends_when_it_is_asked_to() {
    let (health, patient) = (Health::default(), CancellationToken::new());
    patient.cancel();
    let mut client = ClientConfig::new();
    let waiting: Option<(&Health, &CancellationToken)> = Some((&health, &patient));
    let nowhere = config("http://127.0.0.1:1", "");
    assert!(
        !register_unless(&nowhere, &BTreeMap::new(), &Topic::ALL, &mut client, waiting)
            .await
            .expect("it ends")
    );
}

#[tokio::test]
async fn a_check_registers_nothing_and_says_which_schemas_are_there() {
    let (registry, url) = serve().await;
    let config = config(&url, "");
    let plain = |line: &service::check::Line| anstream::adapter::strip_str(&line.to_string()).to_string();
    let printed = |lines: Vec<service::check::Line>| lines.iter().map(plain).collect::<Vec<_>>();
    let subject = "schema registry: subject anthropic.raw-anthropic_graph.raw.RawRecord";
    assert_eq!(
        printed(check(&config, &environment(), &[Topic::Raw], "producer").await),
        [format!("note    {subject} does not have the schema yet; `producer run` registers it")]
    );
    assert!(registry.lock().expect("nothing panicked").subjects.is_empty());
    registered(&config).await.expect("IDs");
    let [line] =
        printed(check(&config, &environment(), &[Topic::Raw], "producer").await).try_into().expect("a line");
    assert!(line.starts_with(&format!("ok      {subject} has the schema, ID ")), "{line}");
}

#[tokio::test]
async fn without_a_registry_nothing_is_asked() {
    let config = Config::from_toml("kafka.bootstrap_servers = \"b:9092\"", Path::new(""), &BTreeMap::new());
    let config = config.expect("a configuration");
    assert_eq!(registered(&config).await.expect("nothing to ask"), 0);
    assert!(check(&config, &environment(), &Topic::ALL, "producer").await.is_empty());
}
