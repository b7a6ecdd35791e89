//! The admin endpoint: `/livez`, `/readyz`, `/metrics`.
//!
//! Every client that reaches it may ask, so connections and the time of each are bounded. On loopback it
//! answers only where it is asked for by an IP address or as `localhost`: a web page may have its own name resolve to
//! 127.0.0.1 and read what the browser gets there (DNS rebinding).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Sleep;
use tracing::{error, info};

pub use crate::health::{Health, Heartbeat};

/// The content type of what `prometheus_client` encodes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Longest life of a connection (s): an answer takes milliseconds. A client that sends slowly, or keeps a connection for its
/// next question, connects again.
pub const MAX_LIFE: Duration = Duration::from_secs(10);
/// Connections at once (count): few probers ask, and Kafka and HTTP need the process's file descriptors. One more waits
/// until another has ended.
pub const MAX_CONNECTIONS: usize = 64;
/// What a request is answered that asks loopback by another name.
const FOREIGN_NAME: &str =
    "this endpoint listens on loopback and answers for localhost and IP addresses only\n";

/// Why the endpoint cannot be served.
#[derive(Debug, Error)]
pub enum AdminError {
    /// Another process has the port.
    #[error(
        "another process listens on {0}, where admin_listen wants the admin endpoint; set admin_listen of this \
         service to another address, or to \"none\""
    )]
    Taken(SocketAddr),
    #[error("cannot listen on {address}, where admin_listen wants the admin endpoint")]
    Bind {
        address: SocketAddr,
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
    let mut router = router(health, registry);
    if address.ip().is_loopback() {
        router = router.layer(middleware::from_fn(refuse_foreign_names));
    }
    let listener = Bounded { listener, places: Arc::new(Semaphore::new(MAX_CONNECTIONS)) };
    let server = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            error!("admin endpoint ended: {error}");
        }
    });
    Ok(Admin { bound: Some((address, server)) })
}

fn router(health: Arc<Health>, registry: Arc<Registry>) -> Router {
    Router::new()
        .route(
            "/livez",
            get(async |State(health): State<Arc<Health>>| answer(health.liveness(Instant::now()), "")),
        )
        .route(
            "/readyz",
            get(async |State(health): State<Arc<Health>>| answer(health.readiness(), &health.reports())),
        )
        .with_state(health)
        .merge(Router::new().route("/metrics", get(metrics)).with_state(registry))
}

fn answer(result: Result<(), String>, reports: &str) -> Response {
    match result {
        Ok(()) => (StatusCode::OK, format!("ok\n{reports}")).into_response(),
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

async fn refuse_foreign_names(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    // A request of HTTP/1.0 need not have one, and no browser sends such.
    if host.is_none_or(is_local_name) {
        next.run(request).await
    } else {
        (StatusCode::MISDIRECTED_REQUEST, FOREIGN_NAME).into_response()
    }
}

fn is_local_name(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// A listener whose connections are few and short.
struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("it is never closed");
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let end = Box::pin(tokio::time::sleep(MAX_LIFE));
        (Connection { stream, end, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that breaks at its end.
struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn check_end(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_end(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_end(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_end(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
