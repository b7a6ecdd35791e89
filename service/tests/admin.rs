//! The admin endpoint over HTTP.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use service::admin::{self, Admin, Health, MAX_CONNECTIONS, MAX_LIFE};
use service::http::{self, Settings, check_url};
use service::metrics::Metrics;

async fn served(health: &Arc<Health>) -> Admin {
    let (metrics, registry) = Metrics::new("sink");
    metrics.count_sync_job("nimbus", "finished");
    let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    admin::serve(listen, Arc::clone(health), Arc::new(registry)).await.expect("a free port")
}

async fn get(admin: &Admin, path: &str) -> (u16, String) {
    let base_url =
        check_url(&format!("http://{}", admin.address().expect("bound")), false).expect("loopback");
    let request_timeout = Duration::from_secs(10);
    let settings = Settings { base_url: &base_url, root_certificate: None, request_timeout, what: "test" };
    let answer = http::client(settings).expect("a client").get(format!("{base_url}{path}")).send().await;
    let answer = answer.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

#[tokio::test]
async fn readiness_is_503_with_the_reasons_as_lines_until_every_check_holds() {
    let health = Arc::new(Health::default());
    let admin = served(&health).await;
    assert_eq!(get(&admin, "/readyz").await, (503, "starting\n".to_owned()));
    health.set("kafka", Ok(()));
    health.set("nimbus", Err("the Admin key was refused".to_owned()));
    health.set("stratus", Err("has never been whole".to_owned()));
    let reasons = "nimbus: the Admin key was refused\nstratus: has never been whole\n";
    assert_eq!(get(&admin, "/readyz").await, (503, reasons.to_owned()));
    health.set("nimbus", Ok(()));
    health.set("stratus", Ok(()));
    assert_eq!(get(&admin, "/readyz").await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn a_loop_without_a_sign_of_life_is_not_hidden() {
    let health = Arc::new(Health::default());
    let admin = served(&health).await;
    assert_eq!(get(&admin, "/livez").await, (200, "ok\n".to_owned()));
    let heartbeat = health.heartbeat("poll", Duration::ZERO);
    let dead = "poll: no sign of life for 0 s (bound: 0 s)\n";
    assert_eq!(get(&admin, "/livez").await, (503, dead.to_owned()));
    drop(heartbeat);
    assert_eq!(get(&admin, "/livez").await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let admin = served(&Arc::new(Health::default())).await;
    let (status, text) = get(&admin, "/metrics").await;
    assert_eq!(status, 200);
    assert!(text.contains("anthropic_graph_sync_jobs_total{organization=\"nimbus\",outcome=\"finished\"} 1"));
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn a_taken_port_says_which_setting_to_change() {
    let health = Arc::new(Health::default());
    let admin = served(&health).await;
    let (_, registry) = Metrics::new("sink");
    let address = admin.address().expect("bound");
    let error = admin::serve(Some(address), health, Arc::new(registry)).await.expect_err("taken");
    assert_eq!(
        error.to_string(),
        format!(
            "another process listens on {address}, where admin_listen wants the admin endpoint; set admin_listen of \
             this service to another address, or to \"none\""
        )
    );
}

#[tokio::test]
async fn an_empty_setting_serves_nothing() {
    let (_, registry) = Metrics::new("sink");
    let admin = admin::serve(None, Arc::default(), Arc::new(registry)).await.expect("nothing to fail");
    assert_eq!(admin.address(), None);
}

/// Sends these bytes, and reads until the endpoint closes the connection; longer than it lets one live.
fn answer_to(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(4 * MAX_LIFE)).expect("a timeout");
    stream.write_all(bytes.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "not closed: {error}"),
    }
    String::from_utf8(answer).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_holds_a_connection_for_a_bounded_time() {
    let health = Arc::new(Health::default());
    let admin = served(&health).await;
    let address = admin.address().expect("bound");
    // Before the first connection: its time begins when it is accepted, which may be long before the question.
    let began = std::time::Instant::now();
    let slow: Vec<_> = (0..MAX_CONNECTIONS)
        .map(|_| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: loc").expect("the system takes it");
            stream
        })
        .collect();
    let asking = move || answer_to(address, "GET /readyz HTTP/1.0\r\n\r\n");
    let answer = tokio::task::spawn_blocking(asking).await.expect("no panic");
    assert!(answer.starts_with("HTTP/1.0 503"), "{answer}");
    assert!(began.elapsed() >= MAX_LIFE, "the connections are not bounded");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_answers_only_where_it_is_asked_for_by_its_own_name() {
    let health = Arc::new(Health::default());
    health.set("kafka", Ok(()));
    let admin = served(&health).await;
    let address = admin.address().expect("bound");
    for (host, status) in [
        ("localhost", "200"),
        ("LOCALHOST:9101", "200"),
        ("127.0.0.1:9101", "200"),
        ("[::1]:9101", "200"),
        ("10.1.2.3", "200"),
        ("attacker.example", "421"),
        ("attacker.example:9101", "421"),
        ("127.0.0.1.attacker.example", "421"),
        ("localhost.attacker.example:9101", "421"),
        ("", "421"),
    ] {
        for path in ["/readyz", "/metrics"] {
            let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\nHost: {host}\r\n\r\n");
            let asking = move || answer_to(address, &request);
            let answer = tokio::task::spawn_blocking(asking).await.expect("no panic");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
        }
    }
}
