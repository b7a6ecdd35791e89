//! Why a request is refused, in JupiterOne's error envelope.

use serde_json::{Value, json};

/// A refused request. Codes that are not in JupiterOne's documentation or clients are invented; the table of bad
/// requests in the tests says which.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(crate) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "UNAUTHORIZED", "Unauthorized. Please supply a valid account id and API token.")
    }

    pub(crate) fn forbidden() -> Self {
        Self::new(403, "FORBIDDEN", "The API key is not allowed to do this.")
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request must be smaller than {limit} bytes for the InvokeFunction operation");
        Self::new(413, "RequestEntityTooLargeException", message)
    }

    pub(crate) fn internal(status: u16) -> Self {
        Self::new(status, "INTERNAL_ERROR", "Internal server error")
    }

    pub(crate) fn not_awaiting_uploads(job: &str, status: &str) -> Self {
        Self::bad("JOB_NOT_AWAITING_UPLOADS", format!("Job {job} is {status}, not AWAITING_UPLOADS."))
    }

    /// `{"error":{"code":…,"message":…}}`.
    pub(crate) fn envelope(&self) -> Value {
        json!({"error": {"code": self.code, "message": self.message}})
    }
}
