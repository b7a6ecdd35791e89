//! A request as it arrived: headers that matter, and its body, inflated and parsed.

use std::io::Read;

use axum::http::HeaderMap;
use axum::http::request::Parts;
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::refusal::Refusal;

/// The largest body that is read, and the largest that a compressed one may become, in bytes: ten times
/// JupiterOne's own limit, so that a limit raised for a test still holds.
pub(crate) const RECEIVE_LIMIT: usize = 64 * 1024 * 1024;

/// A request of the persister.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) account: Option<String>,
    pub(crate) bearer: Option<String>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) sent_bytes: usize,
    pub(crate) inflated_bytes: usize,
    /// Of the inflated body; distinguishes a batch sent again from another under the same correlation id.
    pub(crate) digest: [u8; 32],
    /// The parsed body; `None` where it is empty.
    pub(crate) json: Result<Option<Value>, Refusal>,
}

impl Received {
    pub(crate) fn new(parts: &Parts, body: &[u8]) -> Self {
        let text = |name: &str| header(&parts.headers, name).map(str::to_owned);
        let mut received = Self {
            method: parts.method.to_string(),
            path: parts.uri.path().into(),
            query: parts.uri.query().unwrap_or_default().into(),
            account: text("jupiterone-account").or_else(|| text("lifeomic-account")),
            bearer: bearer(&parts.headers),
            correlation_id: text("jupiterone-correlation-id"),
            sent_bytes: body.len(),
            inflated_bytes: body.len(),
            digest: [0; 32],
            json: Ok(None),
        };
        received.json = inflate(&parts.headers, body).and_then(|inflated| {
            let plain = inflated.as_deref().unwrap_or(body);
            received.inflated_bytes = plain.len();
            received.digest = Sha256::digest(plain).into();
            parse(&parts.headers, plain)
        });
        received
    }

    /// Whether the query has `name=true`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.query.split('&').any(|pair| pair.split_once('=') == Some((name, "true")))
    }

    pub(crate) fn path_and_query(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<String> {
    let (scheme, key) = header(headers, "authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim().to_owned())
}

/// `None` where the body is not compressed.
fn inflate(headers: &HeaderMap, body: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    match header(headers, "content-encoding").unwrap_or("identity") {
        "identity" => return Ok(None),
        "gzip" => {}
        _ => return Err(Refusal::new(415, "UNSUPPORTED_ENCODING", "Content-Encoding must be gzip.")),
    }
    let mut inflated = Vec::new();
    GzDecoder::new(body)
        .take(RECEIVE_LIMIT as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|_| Refusal::bad("INVALID_ENCODING", "The body is not gzip."))?;
    if inflated.len() > RECEIVE_LIMIT {
        return Err(Refusal::too_large(RECEIVE_LIMIT));
    }
    Ok(Some(inflated))
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Option<Value>, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let media_type = header(headers, "content-type").unwrap_or("application/json");
    if !media_type.to_ascii_lowercase().starts_with("application/json") {
        return Err(Refusal::new(415, "NOT_SIMULATED", "Only application/json is simulated."));
    }
    serde_json::from_slice(body).map(Some).map_err(|_| Refusal::bad("INVALID_JSON", "The body is not JSON."))
}
