//! Answers that are errors, in Anthropic's envelope.

use serde_json::{Value, json};

/// An error as the API returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) kind: String,
    pub(super) message: String,
    /// `details.error_code`: what exactly is wrong, as a name.
    pub(super) error_code: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(status: u16, message: &str) -> Self {
        Self { status, kind: kind(status).to_owned(), message: message.to_owned(), error_code: None }
    }

    /// The same with an error code.
    pub(super) fn coded(self, error_code: &'static str) -> Self {
        Self { error_code: Some(error_code), ..self }
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
        let mut error = json!({ "type": self.kind, "message": self.message });
        if let Some(error_code) = self.error_code {
            error["details"] = json!({ "error_code": error_code });
        }
        json!({ "type": "error", "error": error, "request_id": request_id })
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
