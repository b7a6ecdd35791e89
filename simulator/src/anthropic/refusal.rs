//! Answers that are errors, in Anthropic's envelope.

use serde_json::{Value, json};

/// An error as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) kind: String,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, message: &str) -> Self {
        Self { status, kind: kind(status).to_owned(), message: message.to_owned() }
    }

    /// 400 `invalid_request_error`.
    pub(super) fn invalid(message: &str) -> Self {
        Self::new(400, message)
    }

    /// 404 `not_found_error`.
    pub(super) fn not_found(message: &str) -> Self {
        Self::new(404, message)
    }

    pub(super) fn body(&self, request_id: &str) -> Value {
        json!({
            "type": "error",
            "error": { "type": self.kind, "message": self.message },
            "request_id": request_id,
        })
    }
}

/// The error's type that goes with a status (Anthropic's page on errors).
fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        504 => "timeout_error",
        500..600 => "api_error",
        _ => "invalid_request_error",
    }
}
