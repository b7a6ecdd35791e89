//! The HTTP server and the handle on it.

mod control;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::connection::{Connections, Line};
use super::fault::Fault;
use super::graph::GraphView;
use super::persister::{Persister, Verdict};
use super::received::{RECEIVE_LIMIT, Received};
use super::refusal::Refusal;
use super::request_log::LoggedRequest;
use super::settings::Settings;
use super::tamper::{Tamper, TamperError, tamper};

/// The state of the server. Poisoning is ignored: a panic in one request must not fail all others.
pub(crate) struct Shared(Mutex<Persister>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Persister> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running JupiterOne account. Dropping it stops the server.
pub struct JupiterOne {
    address: SocketAddr,
    account_id: String,
    api_key: String,
    shared: Arc<Shared>,
    stopped: Arc<AtomicBool>,
    stop: Option<oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<()>,
}

/// Starts the server on the current runtime.
pub async fn start(settings: Settings, listen: SocketAddr) -> anyhow::Result<JupiterOne> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let address = listener.local_addr().context("the listening socket has no address")?;
    let (account_id, api_key) = (settings.account_id.clone(), settings.api_key.clone());
    let shared = Arc::new(Shared(Mutex::new(Persister::new(settings))));
    let stopped = Arc::<AtomicBool>::default();
    let service = control::router()
        .fallback(answer)
        .with_state(Arc::clone(&shared))
        .into_make_service_with_connect_info::<Line>();
    let (stop, stopping) = oneshot::channel();
    let connections = Connections { listener, stopped: Arc::clone(&stopped) };
    let server = tokio::spawn(async move {
        let serve = axum::serve(connections, service).with_graceful_shutdown(async {
            let _ = stopping.await;
        });
        if let Err(error) = serve.await {
            tracing::error!(%error, "the JupiterOne server ended");
        }
    });
    Ok(JupiterOne { address, account_id, api_key, shared, stopped, stop: Some(stop), server })
}

impl JupiterOne {
    /// The base URL, without a trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The account id that it was started with.
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// The API key that it was started with.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// The living objects of a scope (of an integration instance: its id).
    pub fn graph(&self, scope: &str) -> GraphView {
        self.shared.lock().graph.view(scope, &self.account_id, false)
    }

    /// The jobs in the order of their starts, as the API shows them; events, partial types and the reason of an
    /// abort are under `_simulator`.
    pub fn jobs(&self) -> Vec<Value> {
        self.shared.lock().jobs()
    }

    /// The newest requests of the persister.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        self.shared.lock().log.all()
    }

    /// What the objects that DIFF jobs took violate of JupiterOne's data-model (see
    /// [`data_model`](super::data_model)), each with its `_key`. The service takes them anyway.
    pub fn violations(&self) -> Vec<String> {
        self.shared.lock().violations.clone()
    }

    /// Switches another fault on.
    pub fn fault(&self, fault: Fault) {
        self.shared.lock().faults.add(fault);
    }

    /// Switches every fault off.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    /// Changes one object without anyone's knowledge.
    pub fn tamper(&self, change: Tamper) -> Result<(), TamperError> {
        tamper(&mut self.shared.lock().graph, change, now())
    }

    /// The settings as they are.
    pub fn settings(&self) -> Settings {
        self.shared.lock().settings.clone()
    }

    /// Changes the settings; jobs that are being finalized follow the new ones.
    pub fn set_settings(&self, settings: Settings) {
        self.shared.lock().settings = settings;
    }

    /// Stops the server and waits until its port is free.
    pub async fn shutdown(mut self) {
        self.stop();
        // Requests in flight were cut; one that sleeps in a fault may outlast this and harms no one.
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.server).await;
        self.server.abort();
    }

    fn stop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

impl Drop for JupiterOne {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Epoch milliseconds.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, RECEIVE_LIMIT).await else {
        let refusal = Refusal::too_large(RECEIVE_LIMIT);
        return respond(refusal.status, &refusal.envelope(), None);
    };
    let received = Received::new(&parts, &body);
    drop(body);
    let verdict = shared.lock().handle(&received, now());
    let Verdict { status, body, retry_after, delay_ms, cut } = verdict;
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    if cut {
        line.cut();
    }
    respond(status, &body, retry_after)
}

pub(crate) fn respond(status: u16, body: &Value, retry_after: Option<u32>) -> Response {
    let mut response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry_after {
        response = response.header(RETRY_AFTER, seconds);
    }
    response.body(Body::from(body.to_string())).unwrap_or_else(|_| Response::new(Body::empty()))
}
