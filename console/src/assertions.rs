//! The assertion that a proxy adds to each request: a JSON Web Token about who asks, checked with the proxy's public keys.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::http::HeaderMap;
use jsonwebtoken::{
    DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet, PublicKeyUse},
};
use reqwest::Client;
use serde_json::{Map, Value};
use service::{config::Auth, http};
use thiserror::Error;
use tokio::{sync::Mutex, time::Instant};

use crate::signatures::{self, ALGORITHMS};

/// How long the public keys are used before they are fetched again.
const FRESH: Duration = Duration::from_hours(1);
/// How long they are used if they cannot be fetched again: a proxy that rotates publishes the next key days before.
const USABLE: Duration = Duration::from_hours(24);
/// Shortest time between two fetches: an assertion that names an unknown key is cheap to send.
const FETCH_PAUSE: Duration = Duration::from_secs(10);
/// How long a fetch may take.
const FETCH_BOUND: Duration = Duration::from_secs(5);
/// Largest document of public keys (bytes); Google's has two kilobytes.
const MOST_KEYS: usize = 256 * 1_024;
/// Longest assertion (bytes): the headers of a request have 64 KiB at most.
const MOST_ASSERTION: usize = 16 * 1_024;
/// Longest name of who asks (bytes): it is a decision's `by`.
const MOST_SUBJECT: usize = 1_024;
/// How far the two clocks may be apart (s).
const LEEWAY_S: u64 = 60;

/// Who asks, as the proxy has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The claim that names them.
    pub subject: String,
    /// Whether they may decide.
    pub is_decider: bool,
}

/// Why somebody is not let in.
#[derive(Debug, Error)]
pub(crate) enum NotLetIn {
    #[error("the request has no {0} header")]
    Absent(String),
    #[error("the assertion is not valid ({0})")]
    Invalid(String),
    #[error("the proxy's public keys are not known: {0}")]
    NoKeys(String),
    #[error("{0} has neither role")]
    NoRole(String),
}

#[derive(Debug)]
pub struct Assertions {
    auth: Auth,
    client: Client,
    /// Apart from the fetch: a known key does not wait for a fetch that an unknown one has caused.
    keys: RwLock<Option<(JwkSet, Instant)>>,
    fetches: Mutex<Fetches>,
}

#[derive(Debug, Default)]
struct Fetches {
    last: Option<Instant>,
    /// Why the last one failed.
    trouble: Option<String>,
}

impl Assertions {
    /// For this proxy. Nothing is fetched yet.
    pub fn new(auth: Auth, root_certificate: Option<&std::path::Path>) -> Result<Self, http::ClientError> {
        signatures::install();
        let client = http::client(http::Settings {
            base_url: &auth.jwks_url,
            root_certificate,
            request_timeout: FETCH_BOUND,
            what: "console",
        })?;
        Ok(Self { auth, client, keys: RwLock::default(), fetches: Mutex::default() })
    }

    pub(crate) async fn visitor(self: &Arc<Self>, headers: &HeaderMap) -> Result<Visitor, NotLetIn> {
        let mut all = headers.get_all(&self.auth.header).iter();
        let absent = || NotLetIn::Absent(self.auth.header.clone());
        let (Some(only), None) = (all.next(), all.next()) else { return Err(absent()) };
        let token = only.to_str().map_err(|_| NotLetIn::Invalid("it is not ASCII".to_owned()))?;
        let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
        if token.is_empty() {
            return Err(absent());
        }
        if token.len() > MOST_ASSERTION {
            return Err(NotLetIn::Invalid("it is too long".to_owned()));
        }
        let claims = self.claims(token).await?;
        let subject = claims.get(&self.auth.subject_claim).and_then(Value::as_str).unwrap_or_default();
        if subject.trim().is_empty() || subject.len() > MOST_SUBJECT {
            return Err(NotLetIn::Invalid(format!("{} has no subject", self.auth.subject_claim)));
        }
        let roles = texts(claims.get(&self.auth.roles_claim));
        let has_one_of = |names: &[String]| roles.iter().any(|role| names.iter().any(|name| name == role));
        let is_decider = has_one_of(&self.auth.deciders);
        let subject = graph::text::clean(subject);
        if is_decider || self.auth.viewers.is_empty() || has_one_of(&self.auth.viewers) {
            Ok(Visitor { subject, is_decider })
        } else {
            Err(NotLetIn::NoRole(subject))
        }
    }

    /// What the assertion says, if its signature, its times, its issuer and its audience are right.
    async fn claims(self: &Arc<Self>, token: &str) -> Result<Map<String, Value>, NotLetIn> {
        let invalid = |error: jsonwebtoken::errors::Error| NotLetIn::Invalid(error.to_string());
        let header = decode_header(token).map_err(invalid)?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(NotLetIn::Invalid("its algorithm does not use public keys".to_owned()));
        }
        let key = self.key(header.kid.as_deref()).await?;
        let key = DecodingKey::from_jwk(&key).map_err(invalid)?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&self.auth.issuer]);
        validation.set_audience(&[&self.auth.audience]);
        Ok(decode::<Map<String, Value>>(token, &key, &validation).map_err(invalid)?.claims)
    }

    /// The public key of that ID. Keys that are old, or do not have it, are fetched again.
    async fn key(self: &Arc<Self>, id: Option<&str>) -> Result<Jwk, NotLetIn> {
        if let Some(key) = self.known(id, FRESH) {
            return Ok(key);
        }
        // A task of its own: who hangs up does not end the fetch, which would use up the pause.
        let this = Arc::clone(self);
        let trouble = tokio::spawn(async move { this.refresh().await }).await;
        let trouble = trouble.unwrap_or_else(|error| Some(error.to_string()));
        match (self.known(id, USABLE), trouble) {
            (Some(key), _) => Ok(key),
            (None, Some(trouble)) => Err(NotLetIn::NoKeys(trouble)),
            (None, None) => Err(NotLetIn::Invalid("no public key of the proxy has its ID".to_owned())),
        }
    }

    fn known(&self, id: Option<&str>, youngest: Duration) -> Option<Jwk> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let (set, fetched) = keys.as_ref()?;
        let key = match id {
            Some(id) => set.find(id),
            None => set.keys.first().filter(|_| set.keys.len() == 1),
        };
        let signs = |key: &&Jwk| matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
        key.filter(|_| fetched.elapsed() < youngest).filter(signs).cloned()
    }

    /// Fetches the keys unless that was tried a moment ago, and says why the last try failed.
    async fn refresh(&self) -> Option<String> {
        let mut fetches = self.fetches.lock().await;
        if fetches.last.is_none_or(|last| last.elapsed() >= FETCH_PAUSE) {
            fetches.last = Some(Instant::now());
            fetches.trouble = match self.fetch().await {
                Ok(set) => {
                    *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some((set, Instant::now()));
                    None
                }
                Err(trouble) => {
                    tracing::warn!("the proxy's public keys cannot be fetched: {trouble}");
                    Some(trouble)
                }
            };
        }
        fetches.trouble.clone()
    }

    async fn fetch(&self) -> Result<JwkSet, String> {
        let url = self.auth.jwks_url.as_str();
        let lost = |lost: http::Lost| format!("{url} {lost}");
        let answer = http::exchange(self.client.get(url), MOST_KEYS, "").await.map_err(lost)?;
        if !answer.status.is_success() {
            return Err(format!("{url} responded with {}", answer.status));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| format!("the response of {url} is not a JSON Web Key Set: {error}"))
    }
}

/// A string, or a list of them.
fn texts(claim: Option<&Value>) -> Vec<&str> {
    match claim {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
