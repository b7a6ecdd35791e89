//! One request's answer, parsed.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use service::http::{Lost, Received, retry_after};
use service::redaction::{quotes, redact};

use super::error::Error;

/// Longest part of JupiterOne's own words that is shown (characters).
const MAX_MESSAGE: usize = 300;
/// Longest id, status or code that JupiterOne may give (characters): its own have 36 at most.
const MAX_NAME: usize = 128;

/// A sync job as JupiterOne shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) status: Status,
    done: bool,
    /// How many entities it made, if JupiterOne says.
    pub(crate) num_entities_created: Option<u64>,
    /// How many entities it was given, if JupiterOne says.
    pub(crate) num_entities_uploaded: Option<u64>,
    /// How many relationships it was given, if JupiterOne says.
    pub(crate) num_relationships_uploaded: Option<u64>,
    num_other_errors: u64,
    num_relationship_create_errors: u64,
}

/// Counts of what could not be written, but for relationships that could not be made.
const OTHER_ERRORS: [&str; 5] = [
    "numEntityCreateErrors",
    "numEntityUpdateErrors",
    "numEntityDeleteErrors",
    "numRelationshipUpdateErrors",
    "numRelationshipDeleteErrors",
];

impl Job {
    /// Reads what the sink needs. No schema of it is public, so only the ID and the status are required; a count of
    /// another form is as one that is absent.
    fn of(job: &Value) -> Option<Self> {
        let count = |name: &str| count(&job[name]);
        // Uploads that were streamed are counted apart.
        let uploaded = |name: &str, streamed: &str| {
            count(name).map(|uploaded| uploaded.saturating_add(count(streamed).unwrap_or(0)))
        };
        Some(Self {
            id: job["id"].as_str()?.to_owned(),
            status: Status(job["status"].as_str()?.to_owned()),
            done: job["done"] == true,
            num_entities_created: count("numEntitiesCreated"),
            num_entities_uploaded: uploaded("numEntitiesUploaded", "numStreamedEntitiesUploaded"),
            num_relationships_uploaded: uploaded(
                "numRelationshipsUploaded",
                "numStreamedRelationshipsUploaded",
            ),
            num_other_errors: OTHER_ERRORS.into_iter().filter_map(count).fold(0, u64::saturating_add),
            num_relationship_create_errors: count("numRelationshipCreateErrors").unwrap_or(0),
        })
    }

    /// Whether nothing comes after it.
    pub(crate) fn is_done(&self) -> bool {
        self.done || self.status.is_terminal()
    }

    /// How many objects JupiterOne says it could not write.
    pub(crate) fn write_errors(&self) -> u64 {
        self.num_other_errors.saturating_add(self.num_relationship_create_errors)
    }

    /// How many of them are relationships that it could not make: one end was not there.
    pub(crate) fn relationship_errors(&self) -> u64 {
        self.num_relationship_create_errors
    }

    /// Whether its ID may be in a path and its status in a message: neither holds a part of the key.
    fn is_well_formed(&self, key: &str) -> bool {
        [&self.id, &self.status.0].into_iter().all(|name| is_name(name) && !quotes(name.as_bytes(), key))
    }
}

/// A whole number that is not negative, written as a number or as text.
fn count(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Number(number) => number.clone(),
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.as_u64().or_else(|| {
        let number = number.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole and not negative; what is beyond the type is its largest value"
        )]
        Some(number as u64)
    })
}

/// A sync job's state; one that is not known here is kept as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status(String);

impl Status {
    /// Whether JupiterOne holds what was uploaded.
    pub(crate) fn is_finished(&self) -> bool {
        self.0 == "FINISHED"
    }

    /// Whether it takes uploads.
    pub(crate) fn is_awaiting_uploads(&self) -> bool {
        self.0 == "AWAITING_UPLOADS"
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
#[derive(Debug)]
pub(super) struct Answer {
    /// Absent in the answer to events.
    pub(super) job: Option<Job>,
}

/// JupiterOne's error envelope.
#[derive(Debug, Default)]
struct Refusal {
    code: String,
    message: String,
}

impl Refusal {
    /// Reads `{"error":{"code":…,"message":…}}`, or the first of `{"errors":[…]}`, which its clients take too.
    fn of(body: &Value) -> Option<Self> {
        let error =
            body.get("error").or_else(|| body.get("errors")?.get(0)).filter(|error| error.is_object())?;
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        Some(Self { code: text("code"), message: text("message") })
    }

    /// Without the key, and without a code that is none.
    fn without(self, key: &str) -> Self {
        let code = if is_name(&self.code) { redact(&self.code, key) } else { String::new() };
        Self { code, message: redact(&self.message, key) }
    }
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
        reason: String,
    },
    /// The key cannot be sent.
    Key { reason: String },
    /// JupiterOne says no.
    Status {
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
            "JupiterOne's response contains no sync job; check that jupiterone.base_url is JupiterOne's"
                .to_owned(),
        )
    }

    /// An answer about another job than the one that was asked about.
    pub(super) fn astray() -> Self {
        Self::unclear("JupiterOne's response is about another sync job".to_owned())
    }

    fn unclear(reason: String) -> Self {
        Self::Again { after: None, is_unclear: true, reason }
    }

    /// What the sink does next; tries are over.
    pub(super) fn into_error(self) -> Error {
        let (status, code, message) = match self {
            Self::Again { after, reason, .. } => return Error::Retry { after, reason },
            Self::Key { reason } => return Error::PauseOrganization { reason },
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
            _ => Error::Refused { status, code: shown(&code), message: shown(&message) },
        }
    }
}

/// The outcome of a request that was sent with that key.
pub(super) fn of(received: Result<Received, Lost>, key: &str) -> Result<Answer, Failure> {
    match received {
        Ok(Received { status, headers, body }) => {
            judge(status.as_u16(), retry_after(&headers, Timestamp::now()), &body, key)
        }
        Err(Lost::TooLarge(..)) => Err(Failure::garbled()),
        Err(lost @ Lost::InvalidKey) => Err(Failure::Key { reason: format!("JupiterOne {lost}") }),
        Err(lost) => Err(Failure::Again {
            after: None,
            is_unclear: !lost.is_unsent(),
            reason: format!("JupiterOne {lost}"),
        }),
    }
}

/// The code of a failure inside JupiterOne that passes; its clients saw it under several statuses.
const INTERNAL_ERROR: &str = "INTERNAL_ERROR";

/// What an answer means. Its words are shown without the key, which it may quote.
pub(super) fn judge(status: u16, after: Option<Duration>, body: &[u8], key: &str) -> Result<Answer, Failure> {
    let again = |is_unclear: bool, code: &str| {
        let reason = format!("JupiterOne answered {status}{}", shown(code));
        Err(Failure::Again { after, is_unclear, reason })
    };
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let refusal = body.as_ref().and_then(Refusal::of).map(|refusal| refusal.without(key));
    match (status, refusal) {
        (200..=299, Some(Refusal { code, message })) => {
            again(true, &format!("with the error {code} {message}"))
        }
        (200..=299, None) => {
            let body = body.ok_or_else(Failure::garbled)?;
            match body.get("job").filter(|job| !job.is_null()) {
                None => Ok(Answer { job: None }),
                Some(job) => match Job::of(job).filter(|job| job.is_well_formed(key)) {
                    Some(job) => Ok(Answer { job: Some(job) }),
                    None => Err(Failure::garbled()),
                },
            }
        }
        // What the gateway did not pass on, or the service asks to wait with, was not carried out.
        (408 | 425 | 429 | 503, _) => again(status == 408, ""),
        (500..=599, _) => again(true, ""),
        (_, Some(Refusal { code, .. })) if code == INTERNAL_ERROR => again(true, &code),
        (_, refusal) => {
            let Refusal { code, message } = refusal.unwrap_or_default();
            Err(Failure::Status { status, code, message })
        }
    }
}

/// Whether it can be an id, a status or a code, and nothing else that a body may hold.
fn is_name(text: &str) -> bool {
    let is_dots = text.bytes().all(|byte| byte == b'.');
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    is_plain && !is_dots && text.len() <= MAX_NAME
}

/// JupiterOne's words on one line, cut, and without e-mail addresses: it may quote what was uploaded. A space stands
/// before each.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for word in text.split_whitespace() {
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
