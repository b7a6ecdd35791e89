//! The HTTP client of both ends, and the URLs it may be given.

use std::error::Error as _;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Url};
use thiserror::Error;
use tracing::warn;

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
    /// `http.root_certificate`: a PEM file of certificates that are trusted beside the system's.
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
        /// The file.
        path: PathBuf,
        /// Why.
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

/// What to do where [`is_untrusted`].
pub const TRUST_ADVICE: &str = "if a proxy or a certificate authority of your own signed it, name the authority's \
                                certificate in http.root_certificate";

/// Whether the server's certificate was not taken.
pub fn is_untrusted(error: &reqwest::Error) -> bool {
    // rustls' own words (`Error::InvalidCertificate`); no type of its is reachable from here.
    let cause = root_cause(error).map(ToString::to_string);
    error.is_connect() && cause.is_some_and(|cause| cause.contains("invalid peer certificate"))
}

/// The innermost cause, which tells a proxy, a name or a certificate.
pub fn root_cause(error: &reqwest::Error) -> Option<&(dyn std::error::Error + 'static)> {
    let mut cause = error.source()?;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    Some(cause)
}

/// A bare machine has no certificates at all; plain http on loopback needs none.
fn without_certificates(builder: ClientBuilder) -> reqwest::Result<Client> {
    let client = builder.tls_certs_only([]).build()?;
    warn!(
        "this machine has no CA certificates, so https will fail; install ca-certificates or set http.root_certificate"
    );
    Ok(client)
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

/// Where an API begins: https, or http on loopback; shown without a slash at its end, so that a path that begins
/// with one can follow.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why a URL is no base URL; says what to write instead.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UrlError {
    /// Not a URL at all.
    #[error("is no URL; write one such as \"https://api.anthropic.com\"")]
    Invalid,
    /// Neither http nor https.
    #[error("is no https URL; write https://")]
    Scheme,
    /// Plain http to another machine.
    #[error(
        "would send the key over plain http to another machine; write https://, or set allow_http = true"
    )]
    PlainHttp,
    /// A user name or password in it.
    #[error("has a user name or password in it; remove them")]
    Credentials,
    /// A query or fragment.
    #[error("has a ? or # part; remove it")]
    Query,
    /// The API's version, which the client adds itself.
    #[error("has the API's version in it; write \"{0}\"")]
    Version(String),
}

impl BaseUrl {
    /// As text, without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Whether requests stay on this machine.
    pub fn is_loopback(&self) -> bool {
        self.0.host_str().is_some_and(is_loopback)
    }

    /// The Admin API's own.
    pub(crate) fn anthropic() -> Self {
        Self(Url::parse("https://api.anthropic.com").expect("a URL"))
    }

    /// JupiterOne's in a region; `None` where the region cannot be a part of a host's name. Letters, digits and `-` are
    /// not enough: `xn--a` is an invalid internationalized name.
    pub(crate) fn of_region(region: &str) -> Option<Self> {
        let is_legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let url = region.bytes().all(is_legal).then(|| format!("https://api.{region}.jupiterone.io"))?;
        Url::parse(&url).ok().map(Self)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BaseUrl({self})")
    }
}

/// Checks that a URL may be sent a key: https, or http to loopback or with `allow_http`.
pub fn check_url(text: &str, allow_http: bool) -> Result<BaseUrl, UrlError> {
    let url = Url::parse(text.trim()).map_err(|_| UrlError::Invalid)?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(UrlError::Invalid)?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http || is_loopback(host) => {}
        "http" => return Err(UrlError::PlainHttp),
        _ => return Err(UrlError::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(UrlError::Query);
    }
    let segments: Vec<&str> = url.path().split('/').collect();
    if let Some(position) = segments.iter().position(|segment| *segment == "v1") {
        let mut without = url.clone();
        without.set_path(&segments[..position].join("/"));
        return Err(UrlError::Version(BaseUrl(without).to_string()));
    }
    Ok(BaseUrl(url))
}

/// Whether requests to the host stay on this machine.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
