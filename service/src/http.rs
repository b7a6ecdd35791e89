//! The HTTP client of both ends.
//!
//! - [`client`]: proxy, certificates, timeouts, no redirects
//! - [`exchange()`]: one request, its response bounded, the key hidden in the text of a failure
//! - [`crate::api`]: the key, read again after a 401, and the retries
//!
//! An end says what its requests are and what each response means.

mod base_url;
mod exchange;
mod retry_after;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};
use thiserror::Error;
use tracing::warn;

pub use self::base_url::{BaseUrl, UrlError, check_collector_url, check_document_url, check_url};
pub use self::exchange::{Lost, Received, exchange};
pub use self::retry_after::retry_after;
use crate::redaction::looks_like_key;

/// Longest wait for a connection, TLS included (s): both ends are close to a network's edge everywhere.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept (s): a load balancer closes its side after 60 s or more.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// What a client is made for.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The only API that the client talks to; on loopback no proxy is used, which would carry the key elsewhere.
    pub base_url: &'a BaseUrl,
    /// `http.root_certificate`: a PEM file of certificates that are trusted in addition to the system's.
    pub root_certificate: Option<&'a Path>,
    /// Longest time for a request, its answer read whole.
    pub request_timeout: Duration,
    /// What it is to the other end, such as `producer`: the comment in the user agent.
    pub what: &'a str,
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The PEM file cannot be read.
    #[error("cannot read http.root_certificate {}", shown(path))]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The PEM file holds no certificate.
    #[error("http.root_certificate {} holds no PEM certificate; it begins with -----BEGIN CERTIFICATE-----", shown(.0))]
    NoCertificate(PathBuf),
    /// TLS or the proxy's settings.
    #[error("cannot set up HTTP; check http.root_certificate and the proxy variables")]
    Setup(#[source] reqwest::Error),
}

/// A client for one API: no redirects, which would carry the key to another host; bounded times; the system's
/// proxy and certificates.
pub fn client(settings: Settings<'_>) -> Result<Client, ClientError> {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates = settings.root_certificate.map(certificates).transpose()?;
    let builder = || {
        let builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(settings.request_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .user_agent(format!("anthropic-graph/{} (+{})", env!("CARGO_PKG_VERSION"), settings.what));
        if settings.base_url.is_loopback() { builder.no_proxy() } else { builder }
    };
    match certificates {
        Some(certificates) => builder().tls_certs_merge(certificates).build(),
        None => builder().build().or_else(|_| without_certificates(builder())),
    }
    .map_err(ClientError::Setup)
}

/// A bare machine has no certificates at all; plain http on loopback needs none.
fn without_certificates(builder: ClientBuilder) -> reqwest::Result<Client> {
    let client = builder.tls_certs_only([]).build()?;
    warn!(
        "this machine has no CA certificates, so https will fail; install ca-certificates or set http.root_certificate"
    );
    Ok(client)
}

/// A process's clients by base URL: each has connections and threads of its own.
#[derive(Debug, Default)]
pub struct Clients(BTreeMap<String, Client>);

impl Clients {
    /// The client of that URL, made by the first who asks for it.
    pub fn of(&mut self, settings: Settings<'_>) -> Result<Client, ClientError> {
        let url = settings.base_url.as_str();
        if let Some(client) = self.0.get(url) {
            return Ok(client.clone());
        }
        let client = client(settings)?;
        self.0.insert(url.to_owned(), client.clone());
        Ok(client)
    }
}

/// The path, unless it is likelier a key that was pasted there.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    if looks_like_key(&text) { "(not shown: it looks like a key; write a path)".to_owned() } else { text }
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let pem =
        std::fs::read(path).map_err(|source| ClientError::Unreadable { path: path.to_owned(), source })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ClientError::NoCertificate(path.to_owned())),
    }
}
