//! One request and its complete response.

use std::error::Error as _;

use reqwest::header::HeaderMap;
use reqwest::{RequestBuilder, StatusCode};
use thiserror::Error;

use crate::redaction::redact;

/// What to do about a certificate that is not trusted.
const TRUST_ADVICE: &str = "if a proxy or a certificate authority of your own signed it, name the authority's \
                            certificate in http.root_certificate";

/// A complete response of any status.
#[derive(Debug)]
pub struct Received {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Its body, decompressed.
    pub body: Vec<u8>,
}

/// Why no complete response arrived. The text follows the name of the other end.
#[derive(Debug, Error)]
pub enum Lost {
    /// The server's certificate is refused.
    #[error("cannot be reached{0}: its certificate is not trusted ({1}); {TRUST_ADVICE}")]
    Untrusted(String, String),
    /// No connection.
    #[error("cannot be reached{0}: {1}; check {setting}, the network and the proxy", setting = setting(.0))]
    Unreachable(String, String),
    /// No complete response within the client's timeout.
    #[error("does not answer in time")]
    Late,
    /// The connection ended before the response did.
    #[error("broke the connection: {0}")]
    Broken(String),
    /// The response is larger than the bound; head only.
    #[error("answers more than {1} bytes")]
    TooLarge(Box<Received>, usize),
    /// The key cannot be in a header.
    #[error("cannot be sent the API key, which contains invalid characters; enter the key again")]
    InvalidKey,
}

impl Lost {
    /// Whether the request was not carried out.
    pub fn is_unsent(&self) -> bool {
        matches!(self, Self::Untrusted(..) | Self::Unreachable(..) | Self::InvalidKey)
    }

    /// A server can quote the key when it ends an HTTP/2 connection, and the cause repeats it.
    fn of(error: &reqwest::Error, secret: &str) -> Self {
        let mut cause: &dyn std::error::Error = error.source().unwrap_or(error);
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let cause = redact(&cause.to_string(), secret);
        // A wrong host shows here. The path helps no more.
        let at = error.url().and_then(|url| {
            Some(format!(" at {}:{}", url.host_str()?, url.port_or_known_default().unwrap_or_default()))
        });
        let at = at.unwrap_or_default();
        // rustls' own words (`Error::InvalidCertificate`): none of its types can be reached from here.
        if error.is_connect() && cause.contains("invalid peer certificate") {
            Self::Untrusted(at, cause)
        } else if error.is_builder() {
            Self::InvalidKey
        } else if error.is_connect() {
            Self::Unreachable(at, cause)
        } else if error.is_timeout() {
            Self::Late
        } else {
            Self::Broken(cause)
        }
    }
}

/// The setting that names the host at that address.
fn setting(at: &str) -> &'static str {
    if at.contains(".jupiterone.io:") { "jupiterone.region" } else { "the URL" }
}

/// Sends the request once, and reads the response up to the bound. `secret` is hidden in the text of a failure.
pub async fn exchange(request: RequestBuilder, max_bytes: usize, secret: &str) -> Result<Received, Lost> {
    let lost = |error: reqwest::Error| Lost::of(&error, secret);
    let mut response = request.send().await.map_err(lost)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut received = Received { status, headers, body: Vec::new() };
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if received.body.len() + chunk.len() > max_bytes {
            received.body.clear();
            return Err(Lost::TooLarge(Box::new(received), max_bytes));
        }
        received.body.extend_from_slice(&chunk);
    }
    Ok(received)
}

#[cfg(test)]
mod tests {
    use super::Lost;

    #[test]
    fn a_host_that_the_region_names_is_corrected_there() {
        let advice = |at: &str| Lost::Unreachable(at.to_owned(), "no such host".to_owned()).to_string();
        let region = advice(" at api.usa.jupiterone.io:443");
        assert!(
            region.ends_with("no such host; check jupiterone.region, the network and the proxy"),
            "{region}"
        );
        assert!(advice(" at gateway:443").ends_with("check the URL, the network and the proxy"));
    }
}
