//! The HTTP client and the URLs that it may be given.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener as BlockingListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use secrecy::ExposeSecret;
use service::api::{Api, Failed, Retry};
use service::config::SecretSource;
use service::http::{BaseUrl, ClientError, Lost, Settings, check_url, client, exchange};
use tokio::net::TcpListener;

/// A root made for these tests, whose key is gone; it signed `tls/server.pem` for `localhost` until 2126.
const ROOT: &str = include_str!("tls/root.pem");

fn settings<'a>(base_url: &'a BaseUrl, root_certificate: Option<&'a Path>) -> Settings<'a> {
    Settings { base_url, root_certificate, request_timeout: Duration::from_secs(10), what: "producer" }
}

/// Serves the routes on loopback for as long as the test's runtime lives.
async fn serve(router: Router) -> BaseUrl {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    check_url(&format!("http://{address}"), false).expect("loopback")
}

#[test]
fn a_base_url_is_https_or_on_loopback() {
    let table = [
        ("https://api.anthropic.com", false, Ok("https://api.anthropic.com")),
        (" https://gateway.example/anthropic// ", false, Ok("https://gateway.example/anthropic")),
        ("http://localhost:8080", false, Ok("http://localhost:8080")),
        ("http://127.1.2.3:8080/", false, Ok("http://127.1.2.3:8080")),
        ("http://[::1]:8080", false, Ok("http://[::1]:8080")),
        ("http://gateway:8080", true, Ok("http://gateway:8080")),
        (
            "http://127.0.0.1.example.com",
            false,
            Err(
                "would send the key over plain http to another machine; write https://, or set allow_http = true",
            ),
        ),
        ("ftp://gateway", true, Err("must be an https:// URL")),
        ("api.anthropic.com", true, Err("must be a URL such as \"https://api.anthropic.com\"")),
        ("https://", true, Err("must be a URL such as \"https://api.anthropic.com\"")),
        ("https://me:secret@gateway", false, Err("has a user name or password in it; remove them")),
        ("https://gateway/?key=secret", false, Err("has a ? or # part; remove it")),
        (
            "https://gateway/anthropic/v1/organizations",
            false,
            Err("has the API's version in it; write \"https://gateway/anthropic\""),
        ),
    ];
    for (text, allow_http, expected) in table {
        let result = check_url(text, allow_http);
        let shown = result.as_ref().map(BaseUrl::as_str).map_err(ToString::to_string);
        assert_eq!(shown, expected.map_err(str::to_owned), "{text}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let away = async || (StatusCode::FOUND, [(header::LOCATION, "/elsewhere")]);
    let base_url = serve(Router::new().route("/", get(away))).await;
    let answer = client(settings(&base_url, None)).expect("a client").get(base_url.as_str()).send().await;
    assert_eq!(answer.expect("an answer").status(), 302);
}

#[tokio::test]
async fn the_client_names_itself_and_takes_gzip() {
    let echo = async |headers: HeaderMap| {
        let text =
            |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        format!("{} {}", text(header::USER_AGENT), text(header::ACCEPT_ENCODING))
    };
    let base_url = serve(Router::new().route("/", get(echo))).await;
    let answer = client(settings(&base_url, None)).expect("a client").get(base_url.as_str()).send().await;
    let text = answer.expect("an answer").text().await.expect("a text");
    assert_eq!(text, format!("anthropic-graph/{} (+producer) gzip", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let never = async || std::future::pending::<String>().await;
    let base_url = serve(Router::new().route("/", get(never))).await;
    let settings = Settings { request_timeout: Duration::from_millis(200), ..settings(&base_url, None) };
    let answer = client(settings).expect("a client").get(base_url.as_str()).send().await;
    assert!(answer.expect_err("no answer").is_timeout());
}

#[test]
fn a_root_certificate_is_a_pem_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.pem");
    let base_url = check_url("https://gateway", false).unwrap();
    let made = || client(settings(&base_url, Some(&path)));
    assert!(matches!(made(), Err(ClientError::Unreadable { .. })));
    fs::write(&path, "not a certificate").unwrap();
    assert!(matches!(made(), Err(ClientError::NoCertificate(_))));
    fs::write(&path, ROOT).unwrap();
    made().expect("a client that trusts it");
}

#[tokio::test]
async fn https_trusts_the_root_certificate_and_refuses_a_stranger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root.pem");
    fs::write(&path, ROOT).unwrap();
    for (root_certificate, expected) in [(Some(path.as_path()), Some(200)), (None, None)] {
        let base_url = serve_tls();
        let client = client(settings(&base_url, root_certificate)).expect("a client");
        let status = client.get(base_url.as_str()).send().await.map(|answer| answer.status().as_u16());
        assert_eq!(status.ok(), expected);
    }
}

/// Answers one connection over TLS, from a thread that ends with it.
fn serve_tls() -> BaseUrl {
    let chain =
        vec![CertificateDer::from_pem_slice(include_bytes!("tls/server.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/server.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of ring's")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key of the certificate");
    let listener = BlockingListener::bind("127.0.0.1:0").expect("a free port");
    let base_url = format!("https://localhost:{}", listener.local_addr().expect("bound").port());
    thread::spawn(move || {
        let (socket, _) = listener.accept().expect("a connection");
        let connection = ServerConnection::new(Arc::new(config)).expect("a connection");
        let mut stream = StreamOwned::new(connection, socket);
        // A client that refuses the certificate ends the connection here.
        if stream.read(&mut [0; 4096]).is_ok() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.flush();
        }
    });
    check_url(&base_url, false).expect("https")
}

#[tokio::test]
async fn a_response_is_read_up_to_the_bound() {
    let page = async || "x".repeat(1000);
    let base_url = serve(Router::new().route("/", get(page))).await;
    let client = client(settings(&base_url, None)).expect("a client");
    let read = async |bound| exchange(client.get(base_url.as_str()), bound, "").await;
    assert_eq!(read(1000).await.expect("a response").body.len(), 1000);
    let Err(Lost::TooLarge(head, 999)) = read(999).await else {
        panic!("more was read than the bound allows")
    };
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn a_request_that_was_not_sent_says_where_it_should_have_gone() {
    let base_url = check_url("http://127.0.0.1:1", false).expect("loopback");
    let client = client(settings(&base_url, None)).expect("a client");
    let lost = exchange(client.get(base_url.as_str()), 1, "").await.expect_err("the port is closed");
    assert!(lost.is_unsent());
    assert!(lost.to_string().starts_with("cannot be reached at 127.0.0.1:1: Connection refused"), "{lost}");
    let request = client.get(base_url.as_str()).bearer_auth("a\nkey");
    let lost = exchange(request, 1, "a\nkey").await.expect_err("no header");
    assert!(matches!(lost, Lost::InvalidKey), "{lost}");
}

/// An API whose requests are tried three times.
fn api(source: SecretSource) -> Api {
    let retry = Retry { tries: 3, first: Duration::from_millis(1), longest: Duration::from_millis(20) };
    let key = source.resolve(&BTreeMap::new()).expect("a key");
    Api::new("nimbus", key, source, Arc::default(), retry)
}

#[tokio::test]
async fn a_request_is_retried_within_the_bounds() {
    let api = api(SecretSource::Text("a key".into()));
    let again = |after| Failed::Again { error: "busy", after, request_id: None };
    let mut tries = api.tries("/users");
    let started = Instant::now();
    assert_eq!(tries.next(again(Some(Duration::MAX))).await, Ok(()), "a pause is cut to the longest");
    assert!(started.elapsed() >= Duration::from_millis(20));
    assert_eq!(tries.next(again(None)).await, Ok(()));
    assert_eq!(tries.next(again(None)).await, Err("busy"));
    assert_eq!(tries.tried(), 3);
    assert_eq!(api.tries("/users").next(Failed::Final("refused")).await, Err("refused"));
}

#[tokio::test]
async fn a_refused_key_is_read_again_once_if_it_has_a_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    fs::write(&file, "first").expect("written");
    let rotated = api(SecretSource::File(file.clone()));
    fs::write(&file, "second").expect("written");
    let mut tries = rotated.tries("/users");
    assert_eq!(rotated.key().expose_secret(), "first");
    assert_eq!(tries.next(Failed::Key("401")).await, Ok(()));
    assert_eq!(rotated.key().expose_secret(), "second");
    assert_eq!(tries.next(Failed::Key("401")).await, Err("401"));
    fs::remove_file(&file).expect("removed");
    assert_eq!(rotated.tries("/users").next(Failed::Key("401")).await, Err("401"));
    let given = api(SecretSource::Text("a key".into()));
    assert_eq!(given.tries("/users").next(Failed::Key("401")).await, Err("401"));
}
