//! The client of JupiterOne's sync jobs (its API reference, "Synchronization").

mod answer;
mod error;

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Client, Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use service::api::{Api, Failed, Retry};
use service::backoff::pauses;
use service::config::Destination;
use service::http::{BaseUrl, exchange};
use uuid::Uuid;

pub(crate) use self::answer::Job;
use self::answer::{Answer, Failure};
pub(crate) use self::error::Error;
use crate::batch::Batch;

/// Where sync jobs live.
const JOBS: &str = "/persister/synchronization/jobs";
/// Longest time for a request, its answer read whole: a body of 5 MB over a slow line.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Largest response that is read (bytes): a job has about two thousand.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Retries of a request: about half a minute. The job as a whole is retried after that.
pub(crate) const RETRY: Retry =
    Retry { tries: 6, first: Duration::from_millis(500), longest: Duration::from_secs(30) };
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
    api: Api,
    jobs_url: String,
    account_id: String,
}

/// One request until it is answered.
struct Call<'a> {
    /// The job that it is about; none for a start.
    job_id: Option<&'a str>,
    /// Whether an earlier request may have been carried out.
    is_resent: bool,
}

impl Call<'_> {
    /// An answer about another job says nothing about this one.
    fn is_about(&self, job: &Job) -> bool {
        self.job_id.is_none_or(|job_id| job_id.eq_ignore_ascii_case(&job.id))
    }
}

/// Something that an integration's job shows the people who look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// JupiterOne's name for its kind. A name with "error" in it marks the job as failed.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) description: String,
}

impl JupiterOne {
    /// A client of the account.
    pub(crate) fn new(client: Client, base_url: &BaseUrl, account_id: &str, api: Api) -> Self {
        let jobs_url = format!("{}{JOBS}", base_url.as_str());
        Self { client, api, jobs_url, account_id: account_id.to_owned() }
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
        match self.send("", &Call { job_id: None, is_resent: false }, request).await {
            Err(Error::JobEnded { code }) => Err(Error::PauseOrganization {
                reason: format!("there is no JupiterOne at its base_url ({code}); check jupiterone.base_url"),
            }),
            result => result,
        }
    }

    /// Uploads a batch. Sent again after an unclear outcome it replaces itself.
    pub(crate) async fn upload(&self, job_id: &str, batch: &Batch, is_resent: bool) -> Result<Job, Error> {
        let path = format!("/{job_id}/{}", batch.kind.name());
        let correlation_id = Uuid::new_v4().to_string();
        let request = |is_resent: bool| {
            let flags = if is_resent { IGNORE_DUPLICATES } else { "" };
            self.request(Method::POST, &format!("{path}{flags}"))
                .header(CONTENT_TYPE, "application/json")
                .header(CONTENT_ENCODING, "gzip")
                .header(CORRELATION_ID, &correlation_id)
                .body(batch.gzip().to_vec())
        };
        self.send(&path, &Call { job_id: Some(job_id), is_resent }, request).await
    }

    /// Says that all is uploaded, and of which types it is not all there is.
    pub(crate) async fn finalize(&self, job_id: &str, partial_types: &[String]) -> Result<Job, Error> {
        let body = json!({"partialDatasets": {"types": partial_types}});
        match self.post(job_id, "finalize", &body).await {
            // The answer to a first try may have been lost; the job itself has the outcome.
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
        let (path, call) = (format!("/{job_id}"), Call { job_id: Some(job_id), is_resent: false });
        self.send(&path, &call, |_| self.request(Method::GET, &path)).await
    }

    /// Asks until the job is done, from how it stood last; [`Error::Retry`] where it is not within the bound.
    pub(crate) async fn wait(&self, mut job: Job, bound: Duration) -> Result<Job, Error> {
        let deadline = Instant::now() + bound;
        for pause in pauses(FIRST_POLL_PAUSE, LONGEST_POLL_PAUSE) {
            if job.is_done() {
                break;
            }
            if Instant::now() >= deadline {
                let reason =
                    format!("sync job {} is still {} after {} s", job.id, job.status, bound.as_secs());
                return Err(Error::Retry { after: None, reason });
            }
            tokio::time::sleep(pause).await;
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
        let path = format!("/{job_id}/events");
        let request = self.request(Method::POST, &path).json(&json!({"events": events}));
        match self.attempt(&template(&path, Some(job_id)), request).await {
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
        let without_key = self.request(Method::GET, &format!("/{nobody}"));
        match answer::of(exchange(without_key, MAX_ANSWER_BYTES, "").await, "") {
            Err(Failure::Status { status: 401 | 403, .. }) => Ok(()),
            Err(Failure::Again { after, reason, .. }) => Err(Error::Retry { after, reason }),
            Ok(_) | Err(Failure::Status { .. } | Failure::Key { .. }) => Err(Error::PauseOrganization {
                reason: "the server at jupiterone.base_url answers the same with and without an API key, so it is not \
                         JupiterOne; check jupiterone.base_url"
                    .to_owned(),
            }),
        }
    }

    async fn post(&self, job_id: &str, what: &str, body: &Value) -> Result<Job, Error> {
        let (path, call) = (format!("/{job_id}/{what}"), Call { job_id: Some(job_id), is_resent: false });
        self.send(&path, &call, |_| self.request(Method::POST, &path).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.jobs_url))
            .header("JupiterOne-Account", &self.account_id)
    }

    async fn attempt(&self, template: &str, request: RequestBuilder) -> Result<Answer, Failure> {
        let key = self.api.key();
        let key = key.expose_secret();
        let request = request.bearer_auth(key);
        answer::of(self.api.exchange(template, request, MAX_ANSWER_BYTES, key).await, key)
    }

    /// Sends a request until it is answered for good, within a bound of tries. `request` is given whether an earlier
    /// try may have been carried out.
    async fn send(
        &self,
        path: &str,
        call: &Call<'_>,
        request: impl Fn(bool) -> RequestBuilder,
    ) -> Result<Job, Error> {
        let mut is_resent = call.is_resent;
        let (template, mut tries) = (template(path, call.job_id), self.api.tries(path));
        loop {
            let failure = match self.attempt(&template, request(is_resent)).await {
                Ok(Answer { job: Some(job) }) if call.is_about(&job) => return Ok(job),
                Ok(Answer { job: Some(_) }) => Failure::astray(),
                Ok(Answer { job: None }) => Failure::garbled(),
                Err(failure) => failure,
            };
            let failed = match failure {
                Failure::Status { status: 401, .. } => Failed::Key(failure.into_error()),
                Failure::Status { .. } | Failure::Key { .. } => Failed::Final(failure.into_error()),
                Failure::Again { after, is_unclear: true, reason } if call.job_id.is_none() => {
                    Failed::Final(Error::Unanswered { after, reason })
                }
                // The job is retried then.
                Failure::Again { after: Some(after), .. } if after > RETRY.longest => {
                    Failed::Final(failure.into_error())
                }
                Failure::Again { after, is_unclear, .. } => {
                    is_resent |= is_unclear;
                    Failed::Again { error: failure.into_error(), after, request_id: None }
                }
            };
            tries.next(failed).await?;
        }
    }
}

/// The path with `{id}` in the place of the job's ID.
fn template(path: &str, job_id: Option<&str>) -> String {
    let path = job_id.map_or_else(|| path.to_owned(), |job_id| path.replacen(job_id, "{id}", 1));
    format!("{JOBS}{path}")
}

impl fmt::Debug for JupiterOne {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("JupiterOne").field("jobs_url", &self.jobs_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
