//! The HTTP client and the URLs that it may be given.

use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use service::http::{BaseUrl, ClientError, Settings, check_url, client};
use tokio::net::TcpListener;

fn settings<'a>(base_url: &'a BaseUrl, root_certificate: Option<&'a Path>) -> Settings<'a> {
    Settings { base_url, root_certificate, request_timeout: Duration::from_millis(300), what: "producer" }
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
        ("ftp://gateway", true, Err("is no https URL; write https://")),
        ("api.anthropic.com", true, Err("is no URL; write one such as \"https://api.anthropic.com\"")),
        ("https://", true, Err("is no URL; write one such as \"https://api.anthropic.com\"")),
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
    let answer = client(settings(&base_url, None)).expect("a client").get(base_url.as_str()).send().await;
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
    fs::write(&path, include_str!("root.pem")).unwrap();
    made().expect("a client that trusts it");
}
