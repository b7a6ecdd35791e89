//! One request's answer, parsed.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;
use service::redaction::redact;

use super::error::Error;

/// Longest answer that is read (bytes): a job has about two thousand.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// Longest part of JupiterOne's own words that is shown (characters).
const MAX_MESSAGE: usize = 300;
/// Longest id, status or code that JupiterOne may give (characters): its own have 36 at most.
const MAX_NAME: usize = 128;

/// A sync job as JupiterOne tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    /// Its id.
    pub(crate) id: String,
    /// Its state.
    pub(crate) status: Status,
    #[serde(default)]
    done: bool,
    /// How many entities it made, where JupiterOne tells.
    #[serde(default)]
    pub(crate) num_entities_created: Option<u64>,
    #[serde(default)]
    num_entity_create_errors: u64,
    #[serde(default)]
    num_entity_update_errors: u64,
    #[serde(default)]
    num_entity_delete_errors: u64,
    #[serde(default)]
    num_relationship_create_errors: u64,
    #[serde(default)]
    num_relationship_update_errors: u64,
    #[serde(default)]
    num_relationship_delete_errors: u64,
}

impl Job {
    /// Whether nothing comes after it.
    pub(crate) fn is_done(&self) -> bool {
        self.done || self.status.is_terminal()
    }

    /// How many objects JupiterOne says it could not write.
    pub(crate) fn write_errors(&self) -> u64 {
        [
            self.num_entity_create_errors,
            self.num_entity_update_errors,
            self.num_entity_delete_errors,
            self.num_relationship_create_errors,
            self.num_relationship_update_errors,
            self.num_relationship_delete_errors,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// How many of them are relationships that it could not make: one end was not there.
    pub(crate) fn relationship_errors(&self) -> u64 {
        self.num_relationship_create_errors
    }

    /// Whether its id can stand in a path and its status in a message.
    fn is_well_formed(&self) -> bool {
        is_name(&self.id) && is_name(&self.status.0)
    }
}

/// A sync job's state; one that is not known here is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Status(String);

impl Status {
    /// Whether JupiterOne holds what was uploaded.
    pub(crate) fn is_finished(&self) -> bool {
        self.0 == "FINISHED"
    }

    /// Whether JupiterOne refuses what was uploaded.
    pub(crate) fn is_bad_data(&self) -> bool {
        self.0 == "ERROR_BAD_DATA"
    }

    fn is_terminal(&self) -> bool {
        matches!(
            self.0.as_str(),
            "FINISHED"
                | "ABORTED"
                | "ABORTED_DUE_TO_INVALID_CONFIGURATION"
                | "ERROR_BAD_DATA"
                | "ERROR_UNEXPECTED_FAILURE"
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What was answered with success.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    /// Absent in the answer to events.
    pub(super) job: Option<Job>,
}

#[derive(Debug, Default, Deserialize)]
struct Envelope {
    #[serde(default)]
    error: Refusal,
}

#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Why one try did not succeed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The next try may.
    Again {
        /// How long JupiterOne wants to be left alone.
        after: Option<Duration>,
        /// Whether this try may have been carried out.
        is_unclear: bool,
        /// What happened.
        reason: String,
    },
    /// JupiterOne says no.
    Status {
        /// HTTP's.
        status: u16,
        /// JupiterOne's, empty where there is none.
        code: String,
        /// JupiterOne's, empty where there is none.
        message: String,
    },
}

impl Failure {
    /// An answer of success that is none of JupiterOne's.
    pub(super) fn garbled() -> Self {
        Self::unclear(
            "JupiterOne's answer tells of no sync job; is something else at its base_url?".to_owned(),
        )
    }

    fn unclear(reason: String) -> Self {
        Self::Again { after: None, is_unclear: true, reason }
    }

    /// What the sink does next; tries are over.
    pub(super) fn into_error(self) -> Error {
        let (status, code, message) = match self {
            Self::Again { after, reason, .. } => return Error::Retry { after, reason },
            Self::Status { status, code, message } => (status, code, message),
        };
        let pause = |reason: String| Error::PauseOrganization { reason };
        match status {
            401 => pause(
                "JupiterOne does not take the API key for this account (401); check jupiterone.account_id and api_key"
                    .to_owned(),
            ),
            403 => pause(
                "JupiterOne's API key may not do this (403); it needs permission to synchronize this target"
                    .to_owned(),
            ),
            300..=399 => pause(format!(
                "JupiterOne's base_url answers with a redirect ({status}), which is not followed; write the address \
                 that it leads to"
            )),
            404 | 410 => Error::JobEnded { code: format!("{status} {code}").trim_end().to_owned() },
            _ if code == "JOB_NOT_AWAITING_UPLOADS" => Error::JobEnded { code },
            413 => Error::SplitBatch,
            _ if code == "RequestEntityTooLargeException" => Error::SplitBatch,
            _ => Error::Refused { status, code_and_message: shown(&code, &message) },
        }
    }
}

/// Sends the request once, with that key.
pub(super) async fn of(request: RequestBuilder, key: &str) -> Result<Answer, Failure> {
    let response = request.send().await.map_err(|error| unanswered(&error))?;
    let status = response.status().as_u16();
    let after = retry_after(&response);
    let body = read(response).await?;
    judge(status, after, &body, key)
}

/// What an answer means. Its words are shown without the key, which it may quote.
pub(super) fn judge(status: u16, after: Option<Duration>, body: &[u8], key: &str) -> Result<Answer, Failure> {
    match status {
        200..=299 => {
            let answer: Answer = serde_json::from_slice(body).map_err(|_| Failure::garbled())?;
            if answer.job.as_ref().is_none_or(Job::is_well_formed) {
                Ok(answer)
            } else {
                Err(Failure::garbled())
            }
        }
        // What the gateway did not pass on, or the service asks to wait with, was not carried out.
        408 | 425 | 429 | 503 => {
            Err(Failure::Again { after, is_unclear: status == 408, reason: said(status) })
        }
        500..=599 => Err(Failure::Again { after, is_unclear: true, reason: said(status) }),
        _ => {
            let Envelope { error: Refusal { code, message } } =
                serde_json::from_slice(body).unwrap_or_default();
            let code = if is_name(&code) { redact(&code, key) } else { String::new() };
            Err(Failure::Status { status, code, message: redact(&message, key) })
        }
    }
}

fn said(status: u16) -> String {
    format!("JupiterOne answers {status}")
}

fn unanswered(error: &reqwest::Error) -> Failure {
    let what = if error.is_connect() {
        "JupiterOne cannot be reached"
    } else if error.is_timeout() {
        "JupiterOne does not answer in time"
    } else {
        "the connection to JupiterOne broke"
    };
    // The host tells a wrong address, the innermost cause a proxy, a name or a certificate. The rest of the URL and of
    // the error's own text helps no more.
    let host = error.url().and_then(|url| {
        Some(format!(" at {}:{}", url.host_str()?, url.port_or_known_default().unwrap_or_default()))
    });
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    let cause = cause.map(|cause| format!(": {cause}"));
    let advice =
        if error.is_connect() { "; check region or base_url, the network and the proxy" } else { "" };
    let reason = format!("{what}{}{}{advice}", host.unwrap_or_default(), cause.unwrap_or_default());
    Failure::Again { after: None, is_unclear: !error.is_connect(), reason }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(Failure::garbled());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether it can be an id, a status or a code, and nothing else that a body may hold.
fn is_name(text: &str) -> bool {
    let is_dots = text.bytes().all(|byte| byte == b'.');
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    is_plain && !is_dots && text.len() <= MAX_NAME
}

/// Seconds; the date form is not used by JupiterOne.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: f64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// JupiterOne's words on one line, cut, and without e-mail addresses: it may quote what was uploaded.
fn shown(code: &str, message: &str) -> String {
    let mut shown = String::new();
    for word in [code].into_iter().chain(message.split_whitespace()).filter(|word| !word.is_empty()) {
        shown.push(' ');
        shown.push_str(if word.contains('@') || word.contains(char::is_control) { "…" } else { word });
    }
    if shown.chars().count() > MAX_MESSAGE {
        shown = shown.chars().take(MAX_MESSAGE).chain(['…']).collect();
    }
    shown
}

#[cfg(test)]
mod tests;
