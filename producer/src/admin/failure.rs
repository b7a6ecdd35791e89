//! Why a request brought nothing.

use std::fmt;

use thiserror::Error;

/// Why, for the log and the end mark. Nothing of the body is shown but Anthropic's own name of the error.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Failure {
    /// Status of the last answer, if there was one.
    pub status: Option<u16>,
    /// Its `request-id`.
    pub request_id: Option<String>,
    /// What to know and to do.
    pub reason: String,
    /// `anthropic-organization-id`: whose key it was, if the server got so far.
    pub organization_id: Option<String>,
    /// `error.message`.
    pub(super) message: Unshown,
}

/// A string that may hold anything and is therefore never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Unshown(pub(super) String);

impl fmt::Debug for Unshown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

impl Failure {
    /// One that no answer of the server's tells of.
    pub(crate) fn of(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { status: None, request_id: None, reason, organization_id: None, message: Unshown::default() }
    }

    /// One that follows from an answer of status 200.
    pub(crate) fn of_answer(request_id: Option<String>, reason: impl Into<String>) -> Self {
        Self { status: Some(200), request_id, ..Self::of(reason) }
    }

    /// Whether the server complains of that parameter.
    pub(crate) fn complains_of(&self, parameter: &str) -> bool {
        self.status == Some(400) && self.message.0.contains(parameter)
    }
}
