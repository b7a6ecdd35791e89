//! An API behind a key: the key may be replaced while the process runs, and requests are retried.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::iter::Take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, StatusCode};
use secrecy::SecretString;
use tracing::warn;

use crate::backoff::{Pauses, pauses};
use crate::config::SecretSource;
use crate::http::{Lost, Received, exchange};
use crate::metrics::api_request_ended;
use crate::traces::{self, Span, SpanKind};

/// An API, as one organization uses it.
pub struct Api {
    organization: String,
    key: Mutex<SecretString>,
    source: SecretSource,
    environment: Arc<BTreeMap<String, String>>,
    retry: Retry,
}

/// Bounds of the retries of one request.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Tries of one request, including the first (count).
    pub tries: u32,
    /// Longest pause before the second try. It doubles with each further try.
    pub first: Duration,
    /// Longest pause, also where the server asks for a longer one.
    pub longest: Duration,
}

/// What a try that failed means for the next one.
#[derive(Debug)]
pub enum Failed<E> {
    /// The key is refused: read it again, and retry once.
    Key(E),
    /// The same request may succeed later.
    Again {
        error: E,
        /// The pause that the server asks for.
        after: Option<Duration>,
        /// The server's ID of the request, for the log.
        request_id: Option<String>,
    },
    /// A retry would fail in the same way.
    Final(E),
}

impl Api {
    /// For the organization of that name in the configuration, with a key that was read from the source.
    pub fn new(
        organization: &str,
        key: SecretString,
        source: SecretSource,
        environment: Arc<BTreeMap<String, String>>,
        retry: Retry,
    ) -> Self {
        Self { organization: organization.to_owned(), key: Mutex::new(key), source, environment, retry }
    }

    /// The key as it was last read.
    pub fn key(&self) -> SecretString {
        self.locked_key().clone()
    }

    /// One request and its complete response, as [`exchange`](exchange()), counted for the organization, and with a span.
    /// `template` is its path with names in place of IDs.
    pub async fn exchange(
        &self,
        template: &str,
        request: RequestBuilder,
        max_bytes: usize,
        secret: &str,
    ) -> Result<Received, Lost> {
        let (span, began) = (request_span(template, &request), Instant::now());
        let result = exchange(request, max_bytes, secret).await;
        end(&span, &result);
        let status = match &result {
            Ok(received) => Some(received.status),
            Err(Lost::TooLarge(head, _)) => Some(head.status),
            Err(_) => None,
        };
        api_request_ended(&self.organization, status.as_ref().map(StatusCode::as_str), began.elapsed());
        result
    }

    /// The tries of one request to that path.
    pub fn tries<'a>(&'a self, path: &'a str) -> Tries<'a> {
        let Retry { tries, first, longest } = self.retry;
        let pauses = pauses(first, longest).take(tries.saturating_sub(1) as usize);
        Tries { api: self, path, pauses, tried: 0, is_key_read_again: false }
    }

    /// Reads the key again, if it has another place than this process. The same key is tried again too: the server may
    /// have been slow to learn about it.
    fn read_key_again(&self) -> bool {
        if matches!(self.source, SecretSource::Text(_)) {
            return false;
        }
        match self.source.resolve(&self.environment) {
            Ok(key) => *self.locked_key() = key,
            Err(error) => {
                let error = anyhow::Error::from(error);
                warn!(
                    organization.name = self.organization,
                    "the API key was refused and cannot be read again: {error:#}"
                );
                return false;
            }
        }
        true
    }

    fn locked_key(&self) -> MutexGuard<'_, SecretString> {
        // A key is whole between any two calls.
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The span of a request, by the conventions for HTTP clients
/// (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>). It does not hold the URL, whose query has cursors.
fn request_span(template: &str, request: &RequestBuilder) -> Span {
    let built = || request.try_clone()?.build().ok();
    let Some(request) = traces::is_on().then(built).flatten() else { return Span::default() };
    let (method, url) = (request.method().as_str(), request.url());
    let span = Span::child(format!("{method} {template}"), SpanKind::Client);
    span.set("http.request.method", method);
    span.set("url.template", template);
    span.set("server.address", url.host_str().unwrap_or_default());
    span.set_number("server.port", url.port_or_known_default().unwrap_or_default());
    span
}

fn end(span: &Span, result: &Result<Received, Lost>) {
    match result {
        Ok(Received { status, .. }) => {
            span.set_number("http.response.status_code", status.as_u16());
            if status.is_client_error() || status.is_server_error() {
                span.fail(status.as_str(), format!("answered {status}"));
            }
        }
        Err(Lost::Late) => span.fail("timeout", Lost::Late),
        Err(lost) => span.fail("no_answer", lost),
    }
}

/// The tries of one request.
pub struct Tries<'a> {
    api: &'a Api,
    path: &'a str,
    pauses: Take<Pauses>,
    tried: u32,
    is_key_read_again: bool,
}

impl Tries<'_> {
    /// Tries that failed (count).
    pub fn tried(&self) -> u32 {
        self.tried
    }

    /// Returns when the next try is due, after one that failed. The error is why there is none.
    pub async fn next<E: Display>(&mut self, failed: Failed<E>) -> Result<(), E> {
        self.tried += 1;
        let (error, after, request_id) = match failed {
            Failed::Key(_) if !self.is_key_read_again && self.api.read_key_again() => {
                self.is_key_read_again = true;
                return Ok(());
            }
            Failed::Key(error) | Failed::Final(error) => return Err(error),
            Failed::Again { error, after, request_id } => (error, after, request_id),
        };
        let Some(pause) = self.pauses.next() else { return Err(error) };
        let asked = after.map_or(pause, |after| after.saturating_add(pause / 2));
        let pause = asked.min(self.api.retry.longest);
        warn!(
            organization.name = self.api.organization,
            path = self.path,
            request.id = request_id,
            tried = self.tried,
            delay_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            "retrying the request: {error}"
        );
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
