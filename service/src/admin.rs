//! The admin endpoint: `/livez`, `/readyz`, `/metrics`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing::{error, info};

pub use crate::health::{Health, Heartbeat};

/// The content type of what `prometheus_client` encodes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why the endpoint cannot be served.
#[derive(Debug, Error)]
pub enum AdminError {
    /// Another process has the port.
    #[error(
        "another process listens on {0}, where admin_listen wants the admin endpoint; set admin_listen of this \
         service to another address, or to \"none\""
    )]
    Taken(SocketAddr),
    /// Any other reason.
    #[error("cannot listen on {address}, where admin_listen wants the admin endpoint")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The served endpoint; it ends when this is dropped.
#[derive(Debug)]
pub struct Admin {
    bound: Option<(SocketAddr, JoinHandle<()>)>,
}

impl Admin {
    /// Where it listens, with the port that was taken for port 0.
    pub fn address(&self) -> Option<SocketAddr> {
        self.bound.as_ref().map(|(address, _)| *address)
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some((_, server)) = &self.bound {
            server.abort();
        }
    }
}

/// Serves the endpoint, or nothing where `listen` is `None`; logs the address at INFO once it answers.
pub async fn serve(
    listen: Option<SocketAddr>,
    health: Arc<Health>,
    registry: Arc<Registry>,
) -> Result<Admin, AdminError> {
    let Some(address) = listen else { return Ok(Admin { bound: None }) };
    let bind = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => AdminError::Taken(address),
        _ => AdminError::Bind { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    info!(%address, "admin endpoint listens");
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router(health, registry)).await {
            error!("admin endpoint ended: {error}");
        }
    });
    Ok(Admin { bound: Some((address, server)) })
}

fn router(health: Arc<Health>, registry: Arc<Registry>) -> Router {
    Router::new()
        .route(
            "/livez",
            get(async |State(health): State<Arc<Health>>| answer(health.liveness(Instant::now()))),
        )
        .route("/readyz", get(async |State(health): State<Arc<Health>>| answer(health.readiness())))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(metrics)).with_state(registry))
}

fn answer(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()).into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
