//! The Admin API client: its URLs, its budget, and what its responses mean. It sends no method but GET.

mod failure;
mod refusal;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use service::api::{Api, Failed, Retry};
use service::config::{Organization, SecretSource};
use service::http::{BaseUrl, Lost, Received, retry_after};
use thiserror::Error;
use tracing::info;

pub use self::failure::Failure;
use self::failure::Unshown;
use self::refusal::{disguised, forget_quotes, header, holds, is_worth_retrying, refusal, reset};
use crate::budget::Budget;
use crate::progress::Minutely;

/// Timeout of a request, including its whole response: a page of 1,000 rows arrives within seconds.
pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Largest response that is read (bytes): a page of 1,000 API keys has about 600 KB.
pub const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;
/// Retries of a request: a spent budget is available again after a minute.
pub const RETRY: Retry =
    Retry { tries: 5, first: Duration::from_millis(500), longest: Duration::from_mins(1) };
/// The header that names the organization of a request's key.
const ORGANIZATION_ID: &str = "anthropic-organization-id";
/// Where an admin creates an Admin API key.
pub const KEYS_PAGE: &str = "https://platform.claude.com/settings/admin-keys";

/// A complete response with status 200.
#[derive(Debug)]
pub struct Answer {
    pub body: Vec<u8>,
    /// `request-id`, which Anthropic's support asks for.
    pub request_id: Option<String>,
    /// When it was read completely.
    pub received: Timestamp,
}

/// What went wrong, by what the poll does next.
#[derive(Debug, Error)]
pub enum Error {
    /// Stop until the organization's next poll: the key is refused, or belongs to another organization.
    #[error("{0}")]
    StopOrganization(Failure),
    /// Only this listing fails.
    #[error("{0}")]
    FailListing(Failure),
}

/// The Admin API of one organization. Its requests go one after another and share one budget.
pub struct Admin {
    client: Client,
    api: Arc<Api>,
    /// The organization's name in the configuration, for the log.
    name: String,
    base_url: BaseUrl,
    version: String,
    budget: Budget,
    /// The organization that the key must belong to, once it is known.
    expected: Option<String>,
    /// Whether the server accepts `include_default`; known for the lifetime of the process.
    takes_include_default: bool,
    /// The organization's default workspace, once it is known.
    default_workspace: Option<String>,
    /// Limits how often the log says that requests wait for the budget.
    wait_line: Minutely,
    /// Whether a response since [`Self::watch_names`] did not name its organization.
    is_unnamed: bool,
}

impl Admin {
    /// The client of an organization. `key` is its current key; a refused key is read again from where it is
    /// configured.
    pub fn new(
        client: Client,
        organization: &Organization,
        key: SecretString,
        environment: Arc<BTreeMap<String, String>>,
        retry: Retry,
    ) -> Self {
        let source = organization.api_key.clone().unwrap_or_else(|| SecretSource::Text(key.clone()));
        Self {
            client,
            api: Arc::new(Api::new(&organization.name, key, source, environment, retry)),
            name: organization.name.clone(),
            base_url: organization.base_url.clone(),
            version: organization.anthropic_version.clone(),
            budget: Budget::new(organization.requests_per_minute),
            expected: organization.organization_id.clone(),
            takes_include_default: true,
            default_workspace: None,
            wait_line: Minutely::default(),
            is_unnamed: false,
        }
    }

    /// The organization that the key must belong to, if it is known.
    pub fn expected(&self) -> Option<&str> {
        self.expected.as_deref()
    }

    /// From now on, a response for another organization stops this one.
    pub fn expect(&mut self, organization_id: &str) {
        self.expected = Some(organization_id.to_owned());
    }

    /// Whether `include_default` is worth sending.
    pub(crate) fn takes_include_default(&self) -> bool {
        self.takes_include_default
    }

    /// The server rejects `include_default`: stop sending it.
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

    /// Records from now on whether each response names its organization.
    pub(crate) fn watch_names(&mut self) {
        self.is_unnamed = false;
    }

    /// Whether a response since then did not: a gateway may drop the header.
    pub(crate) fn is_unnamed(&self) -> bool {
        self.is_unnamed
    }

    /// Sends one GET, retries it where that is useful, and returns the response of status 200.
    pub async fn get(&mut self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, Error> {
        // URL parsing removes these, so the request would be for another resource.
        let is_lost = |part: &&str| matches!(*part, "." | "..") || part.contains(['\t', '\n', '\r']);
        if path.iter().any(is_lost) {
            return Err(Error::FailListing(Failure::of("its ID cannot be part of a URL")));
        }
        let (api, url) = (Arc::clone(&self.api), self.url(path, query));
        let (template, mut tries) = (template(path), api.tries(url.path()));
        loop {
            let failed = match self.attempt(&template, url.clone(), &self.api.key()).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let is_retried = matches!(failed, Failed::Again { .. });
            match tries.next(failed).await {
                Err(Error::FailListing(mut failure)) if is_retried => {
                    failure.reason = format!("{} ({} tries)", failure.reason, tries.tried());
                    return Err(Error::FailListing(failure));
                }
                result => result?,
            }
        }
    }

    async fn attempt(
        &mut self,
        template: &str,
        url: Url,
        key: &SecretString,
    ) -> Result<Answer, Failed<Error>> {
        self.spend().await;
        let key = key.expose_secret();
        let mut key_header = HeaderValue::from_str(key).map_err(|_| unanswered(Lost::InvalidKey))?;
        key_header.set_sensitive(true);
        let request = self.client.get(url).header("anthropic-version", &self.version);
        let request = request.header("x-api-key", key_header);
        let received = self.api.exchange(template, request, MAX_PAGE_BYTES, key).await;
        let mut received = received.map_err(unanswered)?;
        forget_quotes(&mut received.headers, key);
        self.check_organization(&received).map_err(Failed::Final)?;
        let status = disguised(&received).unwrap_or(received.status);
        if status == StatusCode::OK {
            self.is_unnamed |= header(&received.headers, ORGANIZATION_ID).is_none();
            return taken(received, key).map_err(Failed::Final);
        }
        let failure = refusal(&received, status, key, hint(key));
        Err(if status == StatusCode::UNAUTHORIZED {
            Failed::Key(Error::StopOrganization(failure))
        } else if is_worth_retrying(status, &received.headers) {
            let now = Timestamp::now();
            again(failure, retry_after(&received.headers, now).or_else(|| reset(&received.headers, now)))
        } else {
            Failed::Final(Error::FailListing(failure))
        })
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
                "waiting for the budget of requests per minute; logged at most once a minute"
            );
        }
        spent
    }

    /// How long this many requests take if each is answered at once.
    pub(crate) fn time_for(&mut self, requests: usize) -> Duration {
        self.budget.time_for(requests, Instant::now())
    }

    /// A replaced key may belong to another organization, whose responses must not be written.
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

/// The path with `{id}` in the place of a workspace's ID.
fn template(path: &[&str]) -> String {
    match path {
        [list, _, of] => format!("/v1/organizations/{list}/{{id}}/{of}"),
        path => format!("/v1/organizations/{}", path.join("/")),
    }
}

/// Reason for a key of another organization.
pub(crate) fn other_organization(found: &str, expected: &str) -> String {
    format!(
        "the Admin API key belongs to the organization {found}, but this organization is {expected}; configure its \
         own key, or add a separate [[organizations]] entry for the other organization"
    )
}

/// A response that will be used. It may be written to a topic, so it must not contain the key.
fn taken(received: Received, key: &str) -> Result<Answer, Error> {
    let request_id = header(&received.headers, "request-id");
    if holds(&received.body, key) {
        return Err(Error::FailListing(Failure::of_answer(
            request_id,
            "the response contains the Admin API key or a part of it, so it is not written to a topic; find out how \
             the key got there, and create a new key",
        )));
    }
    Ok(Answer { request_id, body: received.body, received: Timestamp::now() })
}

/// A hint from the key's prefix. Only the server decides whether the key is valid.
fn hint(key: &str) -> &'static str {
    if key.starts_with("sk-ant-admin") {
        ""
    } else if key.starts_with("sk-ant-api") {
        "; the configured key begins with sk-ant-api instead of sk-ant-admin01-: a workspace key cannot read the \
         Admin API, a personal or service account key can only if it is not bound to a workspace, and a Claude \
         Enterprise key can read users only"
    } else {
        "; the configured key does not begin with sk-ant-admin01-, as an Admin API key does"
    }
}

fn again(failure: Failure, after: Option<Duration>) -> Failed<Error> {
    Failed::Again { request_id: failure.request_id.clone(), error: Error::FailListing(failure), after }
}

fn unanswered(lost: Lost) -> Failed<Error> {
    let failure = Failure::of(format!("the Admin API {lost}"));
    match lost {
        Lost::TooLarge(head, _) => Failed::Final(Error::FailListing(Failure {
            status: Some(head.status.as_u16()),
            request_id: header(&head.headers, "request-id"),
            ..Failure::of(format!("the response is larger than {MAX_PAGE_BYTES} bytes"))
        })),
        Lost::Untrusted(..) | Lost::InvalidKey => Failed::Final(Error::FailListing(failure)),
        Lost::Unreachable(..) | Lost::Late | Lost::Broken(_) => again(failure, None),
    }
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

    use super::{Admin, RETRY};
    use crate::progress::tests::logged;

    #[test]
    fn a_wait_for_the_budget_is_logged_at_most_once_a_minute() {
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
        let mut admin = Admin::new(http, organization, key, Arc::default(), RETRY);
        let start = Instant::now();
        let mut lines = |second| logged(|| _ = admin.spend_at(start + Duration::from_secs(second))).len();
        // Granted in the seconds 0 and 60.
        let logged_at: Vec<u64> = (0..120).filter(|second| lines(*second) > 0).collect();
        assert_eq!(logged_at, [1, 61]);
    }
}
