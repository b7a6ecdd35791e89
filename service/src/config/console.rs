//! `[console]`: the pages of `anthropic-graph console`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::table_reader::TableReader;
use crate::http::{BaseUrl, UrlError, check_document_url};

const KEYS: [&str; 3] = ["listen", "store", "auth"];
const AUTH_KEYS: [&str; 8] =
    ["header", "jwks_url", "issuer", "audience", "subject_claim", "roles_claim", "viewers", "deciders"];
/// Next to the ports of the services' admin endpoints.
const DEFAULT_LISTEN: ([u8; 4], u16) = ([127, 0, 0, 1], 9104);

/// The pages of `anthropic-graph console`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    /// Where the pages are served: on loopback, unless there is [`Console::auth`].
    pub listen: SocketAddr,
    /// The file that the history is kept in; `None`: one in the user's cache folder.
    pub store: Option<PathBuf>,
    /// The proxy that says who asks.
    pub auth: Option<Auth>,
}

/// A proxy that adds a signed assertion to each request: a JSON Web Token about who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// The request's header that has it, in lower case.
    pub header: String,
    /// Where the proxy publishes its public keys (RFC 7517).
    pub jwks_url: BaseUrl,
    /// What the claim `iss` must be.
    pub issuer: String,
    /// What the claim `aud` must have.
    pub audience: String,
    /// The claim that names who asks: a decision's `by`.
    pub subject_claim: String,
    /// The claim that has the roles: a string, or a list of them.
    pub roles_claim: String,
    /// Its values that may see the pages; none: everyone whom the proxy lets through.
    pub viewers: Vec<String>,
    /// Its values that may decide too. If it is empty, no visitor may.
    pub deciders: Vec<String>,
}

impl Console {
    pub(super) fn read(root: &mut TableReader<'_>) -> Self {
        let mut section = root.section("console", &KEYS);
        let (listen, store) = (section.parsed("listen", parse_listen), section.path("store"));
        let listen = listen.unwrap_or_else(|| DEFAULT_LISTEN.into());
        let has_auth = section.table.contains_key("auth");
        let auth = if has_auth { Auth::read(&mut section) } else { None };
        if !listen.ip().is_loopback() && !has_auth {
            let port = listen.port();
            section.report(
                "listen",
                format!(
                    "{listen} is not on loopback, so it needs console.auth, a proxy that authenticates \
                     people; without one, use \"127.0.0.1:{port}\", and reach it from another computer \
                     through `ssh -L {port}:127.0.0.1:{port} HOST`"
                ),
            );
        }
        Self { listen, store, auth }
    }
}

impl Auth {
    fn read(console: &mut TableReader<'_>) -> Option<Self> {
        let mut section = console.section("auth", &AUTH_KEYS);
        let header = section.header("header").map(|name| name.to_ascii_lowercase());
        let jwks_url = section.parsed("jwks_url", |text| {
            check_document_url(text).map_err(|error| match error {
                UrlError::PlainHttp => {
                    "would read the proxy's keys over plain http from another machine; write https://"
                        .to_owned()
                }
                other => other.to_string(),
            })
        });
        let (issuer, audience) = (section.text("issuer"), section.text("audience"));
        for (key, is_there, what) in [
            (
                "header",
                header.is_some(),
                "the header that has the assertion, such as \"cf-access-jwt-assertion\"",
            ),
            ("jwks_url", jwks_url.is_some(), "the address of the proxy's public keys"),
            ("issuer", issuer.is_some(), "what the assertion's iss must be"),
            ("audience", audience.is_some(), "what the assertion's aud must have"),
        ] {
            if !is_there && !section.has_problem(key) {
                section.report(key, format!("is missing; write {what}"));
            }
        }
        let subject_claim = section.text("subject_claim").unwrap_or_else(|| "sub".to_owned());
        let roles_claim = section.text("roles_claim").unwrap_or_else(|| "groups".to_owned());
        let (viewers, deciders) = (section.texts("viewers"), section.texts("deciders"));
        Some(Self {
            header: header?,
            jwks_url: jwks_url?,
            issuer: issuer?,
            audience: audience?,
            subject_claim,
            roles_claim,
            viewers,
            deciders,
        })
    }
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("\"{text}\" is not an address; use one such as \"127.0.0.1:9104\""))
}
