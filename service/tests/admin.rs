//! The admin endpoint over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use service::admin::{self, Admin, Health};
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
