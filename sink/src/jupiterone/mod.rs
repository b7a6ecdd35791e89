//! The client of JupiterOne's sync jobs (its API reference, "Synchronization").

mod answer;
mod credentials;
mod error;
mod retry;

use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Client, Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use service::config::Destination;
use service::http::BaseUrl;
use uuid::Uuid;

pub(crate) use self::answer::Job;
use self::answer::{Answer, Failure};
pub(crate) use self::credentials::Credentials;
pub(crate) use self::error::Error;
use self::retry::Backoff;
use crate::batch::Batch;

/// Where sync jobs live.
const JOBS: &str = "/persister/synchronization/jobs";
/// Longest time for a request, its answer read whole: a body of 5 MB over a slow line.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// First pause between two questions whether a job is done.
const FIRST_POLL_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause between two questions whether a job is done.
const LONGEST_POLL_PAUSE: Duration = Duration::from_secs(5);
/// Objects that JupiterOne knows already replace what it knows: a batch that is sent again must not be refused
/// because its first copy arrived.
const IGNORE_DUPLICATES: &str = "?ignoreDuplicates=true";
/// The header that stays the same over a batch's retries.
const CORRELATION_ID: &str = "JupiterOne-Correlation-Id";

/// One JupiterOne account, as one organization's sync jobs use it.
pub(crate) struct JupiterOne {
    client: Client,
    jobs_url: String,
    account_id: String,
    credentials: Credentials,
}

/// One request until it is answered.
struct Call<'a> {
    /// The job that it is about; none for a start.
    job_id: Option<&'a str>,
    /// Whether an earlier request may have been carried out.
    is_resent: bool,
}

impl Call<'_> {
    /// An answer about another job tells nothing of this one.
    fn is_about(&self, job: &Job) -> bool {
        self.job_id.is_none_or(|job_id| job_id.eq_ignore_ascii_case(&job.id))
    }
}

/// Something that an integration's job tells the people who look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// JupiterOne's name for its kind. A name with "error" in it marks the job as failed.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) description: String,
}

impl JupiterOne {
    /// A client of the account.
    pub(crate) fn new(
        client: Client,
        base_url: &BaseUrl,
        account_id: &str,
        credentials: Credentials,
    ) -> Self {
        let jobs_url = format!("{}{JOBS}", base_url.as_str());
        Self { client, jobs_url, account_id: account_id.to_owned(), credentials }
    }

    /// Starts a DIFF of what the destination holds. [`Error::Unanswered`] where it may have been started; it is not
    /// asked for again then, since every try may leave an open job.
    pub(crate) async fn start(&self, destination: &Destination, organization_id: &str) -> Result<Job, Error> {
        let body = match (destination, destination.scope(organization_id)) {
            (Destination::Instance(id), _) => {
                json!({"source": "integration-external", "integrationInstanceId": id, "syncMode": "DIFF"})
            }
            (_, scope) => json!({"source": "api", "scope": scope, "syncMode": "DIFF"}),
        };
        let request = |_| self.request(Method::POST, "").json(&body);
        match self.send(&Call { job_id: None, is_resent: false }, request).await {
            Err(Error::JobEnded { code }) => Err(Error::PauseOrganization {
                reason: format!("there is no JupiterOne at its base_url ({code}); check jupiterone.base_url"),
            }),
            result => result,
        }
    }

    /// Uploads a batch. Sent again after an unclear outcome it replaces itself.
    pub(crate) async fn upload(&self, job_id: &str, batch: &Batch, is_resent: bool) -> Result<Job, Error> {
        let path = format!("/{job_id}/{}", batch.kind.name());
        let body = gzip(&batch.body());
        let correlation_id = Uuid::new_v4().to_string();
        let request = |is_resent: bool| {
            let flags = if is_resent { IGNORE_DUPLICATES } else { "" };
            self.request(Method::POST, &format!("{path}{flags}"))
                .header(CONTENT_TYPE, "application/json")
                .header(CONTENT_ENCODING, "gzip")
                .header(CORRELATION_ID, &correlation_id)
                .body(body.clone())
        };
        self.send(&Call { job_id: Some(job_id), is_resent }, request).await
    }

    /// Says that all is uploaded, and of which types it is not all there is.
    pub(crate) async fn finalize(&self, job_id: &str, partial_types: &[String]) -> Result<Job, Error> {
        let body = json!({"partialDatasets": {"types": partial_types}});
        match self.post(job_id, "finalize", &body).await {
            // The answer to a first try may have been lost; the job itself says what became of it.
            Err(refusal @ (Error::JobEnded { .. } | Error::Refused { .. })) => {
                match self.status(job_id).await {
                    Ok(job) if job.status.is_awaiting_uploads() => Err(refusal),
                    result => result,
                }
            }
            result => result,
        }
    }

    /// How the job stands.
    pub(crate) async fn status(&self, job_id: &str) -> Result<Job, Error> {
        let call = Call { job_id: Some(job_id), is_resent: false };
        self.send(&call, |_| self.request(Method::GET, &format!("/{job_id}"))).await
    }

    /// Asks until the job is done, from how it stood last; [`Error::Retry`] where it is not within the bound.
    pub(crate) async fn wait(&self, mut job: Job, bound: Duration) -> Result<Job, Error> {
        let deadline = Instant::now() + bound;
        let mut pause = FIRST_POLL_PAUSE;
        while !job.is_done() {
            if Instant::now() >= deadline {
                let reason =
                    format!("sync job {} is still {} after {} s", job.id, job.status, bound.as_secs());
                return Err(Error::Retry { after: None, reason });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_POLL_PAUSE);
            job = self.status(&job.id).await?;
        }
        Ok(job)
    }

    /// Gives a job up.
    pub(crate) async fn abort(&self, job_id: &str, reason: &str) -> Result<Job, Error> {
        self.post(job_id, "abort", &json!({"reason": reason})).await
    }

    /// Tells the people who look at an integration's job; once, since nothing depends on it.
    pub(crate) async fn publish(&self, job_id: &str, events: &[Event]) -> Result<(), Error> {
        let events: Vec<Value> = events
            .iter()
            .map(|event| json!({"name": event.name, "description": event.description}))
            .collect();
        let key = self.credentials.current();
        let request = self
            .request(Method::POST, &format!("/{job_id}/events"))
            .header(AUTHORIZATION, Credentials::bearer(&key)?)
            .json(&json!({"events": events}));
        match answer::of(request, key.expose_secret()).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.into_error()),
        }
    }

    /// Whether the account takes the key, without changing anything: asks for a job that does not exist, with the key
    /// and without one. A server that makes no difference is not JupiterOne.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let nobody = Uuid::nil().to_string();
        match self.status(&nobody).await {
            Ok(_) | Err(Error::JobEnded { .. } | Error::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        match answer::of(self.request(Method::GET, &format!("/{nobody}")), "").await {
            Err(Failure::Status { status: 401 | 403, .. }) => Ok(()),
            Err(Failure::Again { after, reason, .. }) => Err(Error::Retry { after, reason }),
            Ok(_) | Err(Failure::Status { .. }) => Err(Error::PauseOrganization {
                reason: "the server at jupiterone.base_url answers the same with and without an API key, so it is not \
                         JupiterOne; check jupiterone.base_url"
                    .to_owned(),
            }),
        }
    }

    async fn post(&self, job_id: &str, what: &str, body: &Value) -> Result<Job, Error> {
        let call = Call { job_id: Some(job_id), is_resent: false };
        self.send(&call, |_| self.request(Method::POST, &format!("/{job_id}/{what}")).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.jobs_url))
            .header("JupiterOne-Account", &self.account_id)
    }

    /// Sends a request until it is answered for good, within a bound of tries. `request` is told whether an earlier
    /// try may have been carried out.
    async fn send(&self, call: &Call<'_>, request: impl Fn(bool) -> RequestBuilder) -> Result<Job, Error> {
        let mut backoff = Backoff::default();
        let mut is_resent = call.is_resent;
        let mut is_key_new = false;
        loop {
            let key = self.credentials.current();
            let request = request(is_resent).header(AUTHORIZATION, Credentials::bearer(&key)?);
            let failure = match answer::of(request, key.expose_secret()).await {
                Ok(Answer { job: Some(job) }) if call.is_about(&job) => return Ok(job),
                Ok(Answer { job: Some(_) }) => Failure::astray(),
                Ok(Answer { job: None }) => Failure::garbled(),
                Err(failure) => failure,
            };
            match failure {
                Failure::Status { status: 401, .. } if !is_key_new && self.credentials.read_again() => {
                    is_key_new = true;
                }
                Failure::Again { after, is_unclear: true, reason } if call.job_id.is_none() => {
                    return Err(Error::Unanswered { after, reason });
                }
                Failure::Again { after, is_unclear, reason } => {
                    is_resent |= is_unclear;
                    match backoff.next(after) {
                        Some(pause) => tokio::time::sleep(pause).await,
                        None => return Err(Error::Retry { after, reason }),
                    }
                }
                failure @ Failure::Status { .. } => return Err(failure.into_error()),
            }
        }
    }
}

impl fmt::Debug for JupiterOne {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JupiterOne").field("jobs_url", &self.jobs_url).finish_non_exhaustive()
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("a Vec takes all that is written")
}

#[cfg(test)]
pub(crate) mod tests;
