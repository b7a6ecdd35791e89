//! The HTTP client of both ends, and the URLs it may be given.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;
use thiserror::Error;

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

    /// The Admin API's own.
    pub(crate) fn anthropic() -> Self {
        Self(Url::parse("https://api.anthropic.com").expect("a URL"))
    }

    /// JupiterOne's in a region, whose name is of letters, digits and `-`.
    pub(crate) fn of_region(region: &str) -> Self {
        Self(
            Url::parse(&format!("https://api.{region}.jupiterone.io"))
                .expect("a label of letters and digits"),
        )
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
