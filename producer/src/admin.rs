//! The Admin API client: one GET with its retries and bounds. It never sends anything else.

mod failure;
mod refusal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use service::config::{Organization, SecretSource};
use service::http::{BaseUrl, TRUST_ADVICE, is_untrusted, root_cause};
use service::redaction::redact;
use thiserror::Error;
use tracing::{info, warn};

pub use self::failure::Failure;
use self::failure::Unshown;
use self::refusal::{disguised, forget_quotes, header, holds, refusal};
use crate::backoff::{Backoff, is_worth_retrying};
use crate::budget::Budget;
use crate::error_chain::chain;
use crate::progress::Minutely;

/// Longest time for a request, its answer read whole: a page of 1,000 rows comes within seconds.
pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Largest answer that is read (bytes): a page of 1,000 API keys has about 600 KB.
pub const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;
/// The header that says whose key a request had.
const ORGANIZATION_ID: &str = "anthropic-organization-id";
/// Where an Admin API key is made.
pub const KEYS_PAGE: &str = "https://platform.claude.com/settings/admin-keys";

/// A whole answer with status 200.
#[derive(Debug)]
pub struct Answer {
    /// Its body.
    pub body: Vec<u8>,
    /// `request-id`, which Anthropic's support asks for.
    pub request_id: Option<String>,
    /// When it was read whole.
    pub received: Timestamp,
}

/// What went wrong, by what the poll does next.
#[derive(Debug, Error)]
pub enum Error {
    /// Leave the organization alone until its next poll: the key is refused, or is another organization's.
    #[error("{0}")]
    StopOrganization(Failure),
    /// The listing fails, alone.
    #[error("{0}")]
    FailListing(Failure),
}

/// The Admin API of one organization. Its requests go one after another and share one budget.
pub struct Admin {
    http: Client,
    /// The organization's name in the configuration, for the log.
    name: String,
    base_url: BaseUrl,
    version: String,
    source: SecretSource,
    environment: Arc<BTreeMap<String, String>>,
    key: SecretString,
    budget: Budget,
    backoff: Backoff,
    /// The organization that the key must be of, once it is known.
    expected: Option<String>,
    /// Whether the server takes `include_default`; forgotten with the process.
    takes_include_default: bool,
    /// The organization's default workspace, once it is known.
    default_workspace: Option<String>,
    /// Tells that requests wait for the budget.
    wait_line: Minutely,
    /// Whether an answer since [`Self::watch_names`] did not say which organization it is of.
    is_unnamed: bool,
}

/// What was answered, well or badly.
struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// No answer that could be read whole.
enum Lost {
    /// The next try may bring one.
    Again(Failure),
    /// The next try would end the same.
    ForGood(Failure),
}

impl Admin {
    /// The client of an organization whose key is `key` now and is read again from where the configuration says.
    pub fn new(
        http: Client,
        organization: &Organization,
        key: SecretString,
        environment: Arc<BTreeMap<String, String>>,
        backoff: Backoff,
    ) -> Self {
        Self {
            http,
            name: organization.name.clone(),
            base_url: organization.base_url.clone(),
            version: organization.anthropic_version.clone(),
            source: organization.api_key.clone().unwrap_or_else(|| SecretSource::Text(key.clone())),
            environment,
            key,
            budget: Budget::new(organization.requests_per_minute),
            backoff,
            expected: organization.organization_id.clone(),
            takes_include_default: true,
            default_workspace: None,
            wait_line: Minutely::default(),
            is_unnamed: false,
        }
    }

    /// The organization that the key must be of, if it is known.
    pub fn expected(&self) -> Option<&str> {
        self.expected.as_deref()
    }

    /// From now on, an answer for another organization stops this one.
    pub fn expect(&mut self, organization_id: &str) {
        self.expected = Some(organization_id.to_owned());
    }

    /// Whether `include_default` is worth sending.
    pub(crate) fn takes_include_default(&self) -> bool {
        self.takes_include_default
    }

    /// The server rejects `include_default`: it is not sent any more.
    pub(crate) fn drop_include_default(&mut self) {
        self.takes_include_default = false;
    }

    /// The id of the organization's default workspace, once it is known.
    pub(crate) fn default_workspace(&self) -> Option<&str> {
        self.default_workspace.as_deref()
    }

    /// This is the organization's default workspace.
    pub(crate) fn set_default_workspace(&mut self, id: &str) {
        self.default_workspace = Some(id.to_owned());
    }

    /// Notes from now on whether each answer says which organization it is of.
    pub(crate) fn watch_names(&mut self) {
        self.is_unnamed = false;
    }

    /// Whether an answer since then did not say so: a gateway drops the header.
    pub(crate) fn is_unnamed(&self) -> bool {
        self.is_unnamed
    }

    /// Sends one GET, again where that is worth it, and returns the answer of status 200.
    pub async fn get(&mut self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, Error> {
        // A URL takes these away, and the request would be for something else.
        let is_lost = |part: &&str| matches!(*part, "." | "..") || part.contains(['\t', '\n', '\r']);
        if path.iter().any(is_lost) {
            return Err(Error::FailListing(Failure::of("its id cannot stand in a URL")));
        }
        let url = self.url(path, query);
        let mut tried = 0;
        let mut is_fresh_key = false;
        loop {
            self.spend().await;
            tried += 1;
            let outcome = self.exchange(url.clone()).await;
            let (headers, failure) = match outcome {
                Ok(received) => {
                    self.check_organization(&received)?;
                    let status = disguised(&received).unwrap_or(received.status);
                    if status == StatusCode::OK {
                        self.is_unnamed |= header(&received.headers, ORGANIZATION_ID).is_none();
                        return self.taken(received);
                    }
                    let failure = refusal(&received, status, self.key.expose_secret(), self.hint());
                    if status == StatusCode::UNAUTHORIZED {
                        if is_fresh_key || !self.read_key_again() {
                            return Err(Error::StopOrganization(failure));
                        }
                        is_fresh_key = true;
                        continue;
                    }
                    if !is_worth_retrying(status, &received.headers) {
                        return Err(Error::FailListing(failure));
                    }
                    (received.headers, failure)
                }
                Err(Lost::Again(failure)) => (HeaderMap::new(), failure),
                Err(Lost::ForGood(failure)) => return Err(Error::FailListing(failure)),
            };
            if tried >= self.backoff.tries {
                return Err(Error::FailListing(Failure {
                    reason: format!("{} ({tried} tries)", failure.reason),
                    ..failure
                }));
            }
            let delay = self.backoff.delay(&headers, tried, Timestamp::now(), rand::random());
            warn!(
                organization.name = self.name,
                path = url.path(),
                status = failure.status,
                request.id = failure.request_id,
                tried,
                delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
                "trying again: {}",
                failure.reason
            );
            tokio::time::sleep(delay).await;
        }
    }

    /// An answer that is used. What is used may be written into a topic, where no key is to be.
    fn taken(&self, received: Received) -> Result<Answer, Error> {
        if holds(&received.body, self.key.expose_secret()) {
            return Err(Error::FailListing(Failure::of_answer(
                header(&received.headers, "request-id"),
                "the answer holds the Admin API key or a part of it, which is written to no topic; see who put it \
                 there, and create another key",
            )));
        }
        Ok(answer(received))
    }

    /// What the key's beginning says to people; the server alone decides whether it is good.
    fn hint(&self) -> &'static str {
        let key = self.key.expose_secret();
        if key.starts_with("sk-ant-admin") {
            ""
        } else if key.starts_with("sk-ant-api") {
            "; the configured key begins with sk-ant-api, not with sk-ant-admin01-: a workspace's key reads nothing here, \
             a personal or service account's key only if it is bound to no workspace, and a Claude Enterprise key only \
             the users"
        } else {
            "; the configured key does not begin with sk-ant-admin01-, as an Admin API key does"
        }
    }

    async fn spend(&mut self) {
        while let Err(wait) = self.spend_at(Instant::now()) {
            tokio::time::sleep(wait).await;
        }
    }

    fn spend_at(&mut self, now: Instant) -> Result<(), Duration> {
        let spent = self.budget.spend(now);
        if let Err(wait) = spent
            && self.wait_line.is_due(now)
        {
            info!(
                organization.name = self.name,
                seconds = wait.as_secs(),
                "waiting for the budget of requests a minute; this line comes once a minute at most"
            );
        }
        spent
    }

    /// How long so many requests take, each answered at once.
    pub(crate) fn time_for(&mut self, requests: usize) -> Duration {
        self.budget.time_for(requests, Instant::now())
    }

    async fn exchange(&self, url: Url) -> Result<Received, Lost> {
        let mut key = HeaderValue::from_str(self.key.expose_secret()).map_err(|_| {
            Lost::ForGood(Failure::of("the Admin API key has characters that no key has; write it anew"))
        })?;
        key.set_sensitive(true);
        let request = self.http.get(url).header("x-api-key", key).header("anthropic-version", &self.version);
        let lost = |error: reqwest::Error| broken(&error, self.key.expose_secret());
        let response = request.send().await.map_err(lost)?;
        let mut received = read(response, lost).await?;
        forget_quotes(&mut received.headers, self.key.expose_secret());
        Ok(received)
    }

    /// Whether a key that is not empty was read. One that is the same may have been taken by a server that was slow to
    /// learn of it, so it is tried as well.
    fn read_key_again(&mut self) -> bool {
        match self.source.resolve(&self.environment) {
            Ok(key) => {
                self.key = key;
                true
            }
            Err(error) => {
                let error = chain(&error);
                warn!(
                    organization.name = self.name,
                    "the Admin API key was refused, and cannot be read again: {error}"
                );
                false
            }
        }
    }

    /// A key that was replaced may be another organization's: nothing of its answers may be written.
    fn check_organization(&self, received: &Received) -> Result<(), Error> {
        let Some(expected) = &self.expected else { return Ok(()) };
        match header(&received.headers, ORGANIZATION_ID) {
            Some(found) if found != *expected => Err(Error::StopOrganization(Failure {
                status: Some(received.status.as_u16()),
                request_id: header(&received.headers, "request-id"),
                reason: other_organization(&found, expected),
                organization_id: Some(found),
                message: Unshown::default(),
            })),
            _ => Ok(()),
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = Url::parse(self.base_url.as_str()).expect("a base URL is a URL");
        url.path_segments_mut()
            .expect("a base URL has a host")
            .pop_if_empty()
            .extend(["v1", "organizations"])
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

/// The reason for a key that is not this organization's.
pub(crate) fn other_organization(found: &str, expected: &str) -> String {
    format!(
        "the Admin API key is of the organization {found}, but this one is {expected}; give it its own key, or give \
         the other organization a [[organizations]] of its own"
    )
}

fn answer(received: Received) -> Answer {
    Answer {
        request_id: header(&received.headers, "request-id"),
        body: received.body,
        received: Timestamp::now(),
    }
}

/// Reads the body, decompressed, up to the bound.
async fn read(mut response: Response, lost: impl Fn(reqwest::Error) -> Lost) -> Result<Received, Lost> {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(&lost)? {
        if body.len() + chunk.len() > MAX_PAGE_BYTES {
            return Err(Lost::ForGood(Failure {
                status: Some(status.as_u16()),
                request_id: header(&headers, "request-id"),
                ..Failure::of(format!("the answer is larger than {MAX_PAGE_BYTES} bytes"))
            }));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Received { status, headers, body })
}

/// No whole answer came. The URL is left out of the reason, as it stands beside it in the log. A server may quote the
/// key where it closes an HTTP/2 connection, and the cause repeats that.
fn broken(error: &reqwest::Error, key: &str) -> Lost {
    let cause = root_cause(error).map(|cause| redact(&format!(" ({cause})"), key)).unwrap_or_default();
    if is_untrusted(error) {
        return Lost::ForGood(Failure::of(format!(
            "the server's certificate is not trusted{cause}; {TRUST_ADVICE}"
        )));
    }
    let what = if error.is_timeout() {
        "no whole answer came in time"
    } else if error.is_connect() {
        "no connection; check base_url, the network and the proxy"
    } else {
        "the connection broke"
    };
    Lost::Again(Failure::of(format!("{what}{cause}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use secrecy::SecretString;
    use service::config::Config;
    use service::http;

    use super::Admin;
    use crate::backoff::Backoff;
    use crate::progress::tests::logged;

    #[test]
    fn a_wait_for_the_budget_is_told_once_a_minute_at_most() {
        let text = "kafka.bootstrap_servers = \"b:9092\"\n[[organizations]]\nname = \"nimbus\"\nrequests_per_minute = 1";
        let config = Config::from_toml(text, Path::new(""), &BTreeMap::new()).expect("a configuration");
        let (organization, key) = (&config.organizations[0], SecretString::from("key"));
        let http = http::client(http::Settings {
            base_url: &organization.base_url,
            root_certificate: None,
            request_timeout: Duration::from_secs(1),
            what: "test",
        });
        let http = http.expect("a client");
        let mut admin = Admin::new(http, organization, key, Arc::default(), Backoff::default());
        let start = Instant::now();
        let mut lines = |second| logged(|| _ = admin.spend_at(start + Duration::from_secs(second))).len();
        // Granted in the seconds 0 and 60.
        let told: Vec<u64> = (0..120).filter(|second| lines(*second) > 0).collect();
        assert_eq!(told, [1, 61]);
    }
}
