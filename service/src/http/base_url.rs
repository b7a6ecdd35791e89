//! The URLs that the HTTP client may be given.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use thiserror::Error;

/// Where an API begins: https, or http on loopback; shown without a slash at its end, so that a path that begins
/// with one can follow.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// Why a URL cannot be a base URL; says what to write instead.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UrlError {
    /// Not a URL at all.
    #[error("must be a URL such as \"https://api.anthropic.com\"")]
    Invalid,
    /// Neither http nor https.
    #[error("must be an https:// URL")]
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
    let url = checked(text, allow_http)?;
    let segments: Vec<&str> = url.path().split('/').collect();
    if let Some(position) = segments.iter().position(|segment| *segment == "v1") {
        let mut without = url.clone();
        without.set_path(&segments[..position].join("/"));
        return Err(UrlError::Version(BaseUrl(without).to_string()));
    }
    Ok(BaseUrl(url))
}

/// Checks that what a URL answers comes from where it says: https, or http to loopback.
pub fn check_document_url(text: &str) -> Result<BaseUrl, UrlError> {
    checked(text, false).map(BaseUrl)
}

/// Checks a URL, which may have any path. Plain http is allowed: the operator of the collector chooses the scheme.
pub fn check_collector_url(text: &str) -> Result<BaseUrl, UrlError> {
    checked(text, true).map(BaseUrl)
}

fn checked(text: &str, allow_http: bool) -> Result<Url, UrlError> {
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
    Ok(url)
}

/// Whether requests to the host stay on this machine.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
