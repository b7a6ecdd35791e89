//! Who is let in, and who decides, where a proxy says who asks.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{Request, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use console::access_control::{AccessControl, Assertions, Write};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use schemas::raw::{DecisionKind, RawBody, RawRecord};
use serde_json::{Value, json};
use service::{config::Auth, http::check_document_url, kafka::decision::Written};

use crate::{
    life::ORGANIZATION,
    world::{HOSTILE, Page, World},
};

const HEADER: &str = "x-proxy-assertion";
const ISSUER: &str = "https://proxy.example";
const AUDIENCE: &str = "console";

#[derive(Debug, Default)]
struct Published {
    /// `None`: the proxy is down.
    keys: Mutex<Option<Value>>,
    fetches: AtomicUsize,
    hangs: AtomicBool,
}

/// A proxy that publishes its keys on loopback.
struct Proxy {
    address: SocketAddr,
    published: Arc<Published>,
    key: EcdsaKeyPair,
    id: String,
}

impl Proxy {
    async fn start() -> Self {
        let published = Arc::<Published>::default();
        let app = Router::new().route("/keys", get(keys)).with_state(Arc::clone(&published));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let mut proxy = Self { address, published, key: new_key(), id: String::new() };
        proxy.rotate("one");
        proxy
    }

    fn rotate(&mut self, id: &str) {
        (self.key, self.id) = (new_key(), id.to_owned());
        self.publish(&[self.public_key()]);
    }

    fn public_key(&self) -> Value {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "x": text(x), "y": text(y) })
    }

    fn publish(&self, keys: &[Value]) {
        *self.published.keys.lock().expect("not poisoned") = Some(json!({ "keys": keys }));
    }

    fn fetches(&self) -> usize {
        self.published.fetches.load(Ordering::Relaxed)
    }

    fn access_control(&self, written: &Arc<Mutex<Vec<RawRecord>>>) -> AccessControl {
        let auth = Auth {
            header: HEADER.to_owned(),
            jwks_url: check_document_url(&format!("http://{}/keys", self.address)).expect("a URL"),
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            subject_claim: "sub".to_owned(),
            roles_claim: "groups".to_owned(),
            viewers: vec!["staff".to_owned()],
            deciders: vec!["security".to_owned()],
        };
        let written = Arc::clone(written);
        let write: Arc<Write> = Arc::new(move |record| {
            written.lock().expect("not poisoned").push(record.clone());
            Ok(Written { topic: "raw".to_owned(), partition: 0, offset: 77 })
        });
        AccessControl {
            assertions: Some(Arc::new(Assertions::new(auth, None).expect("a client"))),
            write: Arc::new(OnceLock::from(write)),
        }
    }

    fn assertion(&self, claims: &Value) -> String {
        self.signed(&json!({ "alg": "ES256", "typ": "JWT", "kid": self.id }), claims)
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", text(header.to_string()), text(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).expect("it signs");
        format!("{message}.{}", text(signature))
    }
}

/// An assertion signed with a secret, as [`Proxy::signed`] signs with a private key.
fn symmetric(secret: &[u8], id: &str, claims: &Value) -> String {
    let header = json!({ "alg": "HS256", "typ": "JWT", "kid": id });
    let message = format!("{}.{}", text(header.to_string()), text(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", text(tag))
}

async fn keys(State(published): State<Arc<Published>>) -> Response {
    published.fetches.fetch_add(1, Ordering::Relaxed);
    if published.hangs.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    let keys = published.keys.lock().expect("not poisoned").clone();
    keys.map_or_else(|| StatusCode::BAD_GATEWAY.into_response(), |keys| Json(keys).into_response())
}

fn new_key() -> EcdsaKeyPair {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("a key");
    EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("a key")
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn claims(subject: &str, groups: &Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    json!({ "iss": ISSUER, "aud": [AUDIENCE], "sub": subject, "groups": groups, "iat": now, "exp": now + 600 })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

async fn get_as(world: &World, address: &str, assertion: Option<&str>) -> Page {
    let mut request = Request::builder().uri(address).header("host", "console.example");
    if let Some(assertion) = assertion {
        request = request.header(HEADER, assertion);
    }
    world.send(request.body(Body::empty()).expect("a request")).await
}

async fn post(world: &World, assertion: &str, from: &[(&str, &str)], form: &str) -> Page {
    let mut request = Request::builder().method("POST").uri("/holds").header("host", "console.example");
    for (name, value) in from {
        request = request.header(*name, *value);
    }
    let request =
        request.header(HEADER, assertion).header("content-type", "application/x-www-form-urlencoded");
    world.send(request.body(Body::from(form.to_owned())).expect("a request")).await
}

/// A decision about the users that are held.
fn form(kind: &str, why: &str) -> String {
    let encoded = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    let (listing, why) = (encoded(HOSTILE[0]), encoded(why));
    format!("organization={ORGANIZATION}&collection=users&listing={listing}&kind={kind}&why={why}")
}

/// Asks for each kind of page, and checks that the answer says nothing of why.
async fn answered(world: &World, what: &str, assertion: Option<&str>, status: StatusCode) {
    for address in ["/", "/access", "/changes?format=json", "/holds", "/assets/icon.svg"] {
        let page = get_as(world, address, assertion).await;
        assert_eq!(page.status, status, "{what}: {address}");
        let expected = match status {
            StatusCode::UNAUTHORIZED => "the proxy's assertion is missing or not valid\n",
            StatusCode::FORBIDDEN => "you have no role here\n",
            _ => continue,
        };
        assert_eq!(page.text, expected, "{what}: {address}");
    }
}

#[tokio::test]
async fn a_forged_assertion_opens_nothing() {
    let (proxy, other) = (Proxy::start().await, Proxy::start().await);
    let world = World::behind(proxy.access_control(&Arc::default()));
    let good = claims("ada@example.com", &json!(["staff"]));
    answered(&world, "nothing", None, StatusCode::UNAUTHORIZED).await;
    answered(&world, "the proxy's", Some(&proxy.assertion(&good)), StatusCode::OK).await;
    let signed = |header: Value| proxy.signed(&header, &good);
    let (unsigned, _) =
        signed(json!({ "alg": "ES256", "kid": "one" })).rsplit_once('.').map(owned).expect("three");
    let (_, signature) = proxy.assertion(&good).rsplit_once('.').map(owned).expect("three");
    let more = claims("ada@example.com", &json!(["staff", "security"]));
    let (changed, _) = proxy.assertion(&more).rsplit_once('.').map(owned).expect("three");
    let none =
        format!("{}.{}.", text(json!({ "alg": "none", "kid": "one" }).to_string()), text(good.to_string()));
    for (what, assertion) in [
        ("no token", "ada@example.com".to_owned()),
        ("an empty one", String::new()),
        ("no signature", format!("{unsigned}.")),
        ("two parts", unsigned),
        ("other claims", format!("{changed}.{signature}")),
        ("no algorithm", none),
        ("an algorithm whose key signs", signed(json!({ "alg": "HS256", "kid": "one" }))),
        ("the public key as a secret", symmetric(proxy.key.public_key().as_ref(), "one", &good)),
        ("another family", signed(json!({ "alg": "RS256", "kid": "one" }))),
        ("another curve", signed(json!({ "alg": "ES384", "kid": "one" }))),
        ("an unknown algorithm", signed(json!({ "alg": "x\n\u{1b}[31m", "kid": "one" }))),
        ("what must be understood", signed(json!({ "alg": "ES256", "kid": "one", "crit": ["x"], "x": 1 }))),
        ("a key of its own", signed(json!({ "alg": "ES256", "kid": "two", "jwk": proxy.public_key() }))),
        ("another's signature", other.assertion(&good)),
        ("too long", proxy.assertion(&with(good.clone(), "more", json!("x".repeat(20_000))))),
    ] {
        answered(&world, what, Some(&assertion), StatusCode::UNAUTHORIZED).await;
    }
    let twice = Request::builder().uri("/").header(HEADER, proxy.assertion(&good)).header(HEADER, "x");
    let twice = world.send(twice.body(Body::empty()).expect("a request")).await;
    assert_eq!(twice.status, StatusCode::UNAUTHORIZED, "two headers: one may be the sender's own");
}

fn owned((left, right): (&str, &str)) -> (String, String) {
    (left.to_owned(), right.to_owned())
}

#[tokio::test]
async fn what_the_proxy_signs_for_another_place_time_or_person_opens_nothing() {
    let proxy = Proxy::start().await;
    let world = World::behind(proxy.access_control(&Arc::default()));
    let good = claims("ada@example.com", &json!(["staff"]));
    let now = good["iat"].as_u64().expect("a time");
    for (what, name, value, status) in [
        ("expired", "exp", json!(now - 120), StatusCode::UNAUTHORIZED),
        ("expired within a minute", "exp", json!(now - 20), StatusCode::OK),
        ("no expiry", "exp", Value::Null, StatusCode::UNAUTHORIZED),
        ("an expiry in words", "exp", json!("tomorrow"), StatusCode::UNAUTHORIZED),
        ("not yet", "nbf", json!(now + 300), StatusCode::UNAUTHORIZED),
        ("yet within a minute", "nbf", json!(now + 20), StatusCode::OK),
        ("another audience", "aud", json!("wiki"), StatusCode::UNAUTHORIZED),
        ("one of several audiences", "aud", json!(["wiki", AUDIENCE]), StatusCode::OK),
        ("an audience that begins like it", "aud", json!("console2"), StatusCode::UNAUTHORIZED),
        ("no audience", "aud", Value::Null, StatusCode::UNAUTHORIZED),
        ("another issuer", "iss", json!("https://proxy.example.org"), StatusCode::UNAUTHORIZED),
        ("no issuer", "iss", Value::Null, StatusCode::UNAUTHORIZED),
        ("a subject of spaces", "sub", json!(" "), StatusCode::UNAUTHORIZED),
        ("no subject", "sub", Value::Null, StatusCode::UNAUTHORIZED),
        ("another role", "groups", json!(["guests"]), StatusCode::FORBIDDEN),
        ("a role in other letters", "groups", json!(["Staff"]), StatusCode::FORBIDDEN),
        ("no role", "groups", Value::Null, StatusCode::FORBIDDEN),
        ("roles as an object", "groups", json!({ "staff": true }), StatusCode::FORBIDDEN),
        ("a role in a text", "groups", json!("staff"), StatusCode::OK),
        ("a decider who is no viewer", "groups", json!(["security"]), StatusCode::OK),
    ] {
        let mut without = good.clone();
        if value.is_null() {
            without.as_object_mut().expect("an object").remove(name);
            answered(&world, what, Some(&proxy.assertion(&without)), status).await;
        }
        let assertion = proxy.assertion(&with(good.clone(), name, value));
        answered(&world, what, Some(&assertion), status).await;
    }
}

#[tokio::test]
async fn a_decision_is_a_decider_s_from_our_own_page_and_carries_the_subject() {
    let proxy = Proxy::start().await;
    let written = Arc::<Mutex<Vec<RawRecord>>>::default();
    let world = World::behind(proxy.access_control(&written));
    let viewer = proxy.assertion(&claims("ada@example.com", &json!(["staff"])));
    let decider = proxy.assertion(&claims("grace@example.com", &json!(["staff", "security"])));
    let own = [("sec-fetch-site", "same-origin"), ("origin", "https://console.example")];
    assert!(!get_as(&world, "/holds", Some(&viewer)).await.text.contains("<form class=\"decide\""));
    let page = get_as(&world, "/holds", Some(&decider)).await.text;
    assert!(page.contains("<form class=\"decide\" action=\"/holds\" method=\"post\">"), "{page}");
    assert!(page.contains("anthropic-graph holds approve"), "the command stands next to it");

    for (who, from, form, status) in [
        (&viewer, &own[..], form("approve", "left"), StatusCode::FORBIDDEN),
        (&decider, &[("sec-fetch-site", "cross-site")][..], form("approve", "left"), StatusCode::FORBIDDEN),
        (&decider, &[("sec-fetch-site", "same-site")][..], form("approve", "left"), StatusCode::FORBIDDEN),
        (&decider, &[("origin", "https://evil.example")][..], form("approve", "left"), StatusCode::FORBIDDEN),
        (&decider, &[][..], form("approve", "left"), StatusCode::FORBIDDEN),
        (&decider, &own[..], form("approve", " "), StatusCode::BAD_REQUEST),
        (&decider, &own[..], form("forget", "left"), StatusCode::BAD_REQUEST),
        (&decider, &own[..], form("approve", "left").replace("=users", "=members"), StatusCode::CONFLICT),
        (&decider, &own[..], "kind=approve".to_owned(), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(post(&world, who, from, &form).await.status, status, "{from:?} {form}");
    }
    assert!(written.lock().expect("not poisoned").is_empty(), "nothing is written of what is refused");

    let hostile = proxy.assertion(&claims(HOSTILE[3], &json!(["security"])));
    for (who, kind, why) in [(&decider, "approve", "they left"), (&hostile, "reject", HOSTILE[0])] {
        let answer = post(&world, who, &own, &form(kind, why)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let address = answer.header("location");
        assert!(get_as(&world, &address, Some(who)).await.text.contains("written at offset 77"), "{address}");
    }
    let written = written.lock().expect("not poisoned");
    let decisions: Vec<_> = written
        .iter()
        .filter_map(|record| match &record.body {
            RawBody::Decision(it) => {
                Some((&it.kind, it.by.as_str(), it.why.as_deref(), it.collection.as_deref()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        decisions,
        [
            (&DecisionKind::Approve, "grace@example.com", Some("they left"), Some("users")),
            (&DecisionKind::Reject, "a\\u{202e}b", Some(HOSTILE[0]), Some("users")),
        ]
    );
    assert!(written.iter().all(|record| record.organization_id == ORGANIZATION));
}

#[tokio::test]
async fn a_hostile_name_is_text_for_a_decider_too() {
    let proxy = Proxy::start().await;
    let world = World::behind(proxy.access_control(&Arc::default()));
    let decider = proxy.assertion(&claims(HOSTILE[0], &json!(["security"])));
    for address in world.addresses() {
        let page = get_as(&world, &address, Some(&decider)).await;
        assert_eq!(page.header("content-security-policy").split(';').next(), Some("default-src 'self'"));
        for name in HOSTILE.iter().filter(|name| name.contains('<')) {
            assert!(!page.text.contains(name), "{name} in {address}");
        }
    }
}

#[tokio::test]
async fn keys_that_are_rotated_are_fetched_and_old_ones_outlive_a_proxy_that_is_down() {
    let mut proxy = Proxy::start().await;
    let world = World::behind(proxy.access_control(&Arc::default()));
    let staff = || claims("ada@example.com", &json!(["staff"]));
    let first = proxy.assertion(&staff());
    assert_eq!(get_as(&world, "/holds", Some(&first)).await.status, StatusCode::OK);
    proxy.rotate("two");
    let second = proxy.assertion(&staff());
    assert_eq!(get_as(&world, "/holds", Some(&second)).await.status, StatusCode::UNAUTHORIZED, "not at once");
    later(Duration::from_secs(10)).await;
    assert_eq!(get_as(&world, "/holds", Some(&second)).await.status, StatusCode::OK);
    assert_eq!(get_as(&world, "/holds", Some(&first)).await.status, StatusCode::UNAUTHORIZED, "withdrawn");
    *proxy.published.keys.lock().expect("not poisoned") = None;
    later(Duration::from_hours(2)).await;
    assert_eq!(get_as(&world, "/holds", Some(&second)).await.status, StatusCode::OK);
    later(Duration::from_hours(24)).await;
    assert_eq!(get_as(&world, "/holds", Some(&second)).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_key_is_taken_by_its_id_and_only_to_check() {
    let proxy = Proxy::start().await;
    let (secret, staff) = ([7_u8; 32], claims("ada@example.com", &json!(["staff"])));
    let nameless = proxy.signed(&json!({ "alg": "ES256" }), &staff);
    let oct = json!({ "kty": "oct", "kid": "secret", "k": text(secret) });
    let mut encrypts = proxy.public_key();
    (encrypts["kid"], encrypts["use"]) = (json!("encrypts"), json!("enc"));
    let unknown = json!({ "kty": "PQ", "kid": "unknown", "alg": "ML-DSA-44", "pub": "AA" });
    let other =
        json!({ "kty": "RSA", "kid": "rsa", "use": "enc", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB" });
    let only = [proxy.public_key()];
    let all = [oct, encrypts, unknown, other, proxy.public_key()];
    let as_id = |id: &str| proxy.signed(&json!({ "alg": "ES256", "kid": id }), &staff);
    for (what, published, assertion, status) in [
        ("its ID", &all[..], as_id("one"), StatusCode::OK),
        ("no ID, one key", &only[..], nameless.clone(), StatusCode::OK),
        ("no ID, several keys", &all[..], nameless, StatusCode::UNAUTHORIZED),
        ("an unknown ID", &only[..], as_id("two"), StatusCode::UNAUTHORIZED),
        ("another key's ID", &all[..], as_id("secret"), StatusCode::UNAUTHORIZED),
        ("a key that encrypts", &all[..], as_id("encrypts"), StatusCode::UNAUTHORIZED),
        ("an unknown kind", &all[..], as_id("unknown"), StatusCode::UNAUTHORIZED),
        ("a published secret", &all[..], symmetric(&secret, "secret", &staff), StatusCode::UNAUTHORIZED),
    ] {
        proxy.publish(published);
        let world = World::behind(proxy.access_control(&Arc::default()));
        assert_eq!(get_as(&world, "/holds", Some(&assertion)).await.status, status, "{what}");
    }
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_and_known_keys_do_not_wait_for_it() {
    let proxy = Proxy::start().await;
    let world = World::behind(proxy.access_control(&Arc::default()));
    let staff = claims("ada@example.com", &json!(["staff"]));
    let good = proxy.assertion(&staff);
    let stranger = |id: String| proxy.signed(&json!({ "alg": "ES256", "kid": id }), &staff);
    assert_eq!(get_as(&world, "/holds", Some(&good)).await.status, StatusCode::OK);
    later(Duration::from_secs(10)).await;
    for number in 0..50 {
        let page = get_as(&world, "/holds", Some(&stranger(number.to_string()))).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(proxy.fetches(), 2, "one at first, one for all strangers");

    proxy.published.hangs.store(true, Ordering::Relaxed);
    later(Duration::from_secs(10)).await;
    let (unknown, fetches) = (stranger("x".to_owned()), proxy.fetches());
    let fetching = async {
        while proxy.fetches() == fetches {
            tokio::task::yield_now().await;
        }
    };
    {
        let waits = get_as(&world, "/holds", Some(&unknown));
        tokio::select! {
            page = waits => panic!("{} while the keys are fetched", page.status),
            () = fetching => {}
        }
    }
    // The client of the unknown key has hung up.
    let page = tokio::time::timeout(Duration::from_secs(2), get_as(&world, "/holds", Some(&good))).await;
    assert_eq!(page.expect("no wait").status, StatusCode::OK);
}

async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
