//! Why a request failed.

use std::fmt;

use thiserror::Error;

/// Why a request failed, for the log and the end mark. Of the body, only Anthropic's error name is shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Failure {
    /// Status of the last answer, if there was one.
    pub status: Option<u16>,
    /// Its `request-id`.
    pub request_id: Option<String>,
    /// What happened and what to do.
    pub reason: String,
    /// `anthropic-organization-id`: the key's organization, if the server sent it.
    pub organization_id: Option<String>,
    /// `error.message`.
    pub(super) message: Unshown,
}

/// A string that may contain anything and is therefore never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Unshown(pub(super) String);

impl fmt::Debug for Unshown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

impl Failure {
    /// A failure without a response.
    pub(crate) fn of(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { status: None, request_id: None, reason, organization_id: None, message: Unshown::default() }
    }

    /// A failure because of a response with status 200.
    pub(crate) fn of_answer(request_id: Option<String>, reason: impl Into<String>) -> Self {
        Self { status: Some(200), request_id, ..Self::of(reason) }
    }

    /// Whether the server rejects that parameter.
    pub(crate) fn complains_of(&self, parameter: &str) -> bool {
        self.status == Some(400) && self.message.0.contains(parameter)
    }
}
