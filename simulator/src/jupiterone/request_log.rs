//! What was asked and answered, without credentials or contents.

use std::collections::VecDeque;

use serde::Serialize;

use super::route::Route;

/// How many requests are remembered, the newest: a day of polling, a few dozen megabytes.
const LIMIT: usize = 100_000;

/// One request of the persister.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedRequest {
    /// When it was answered, in epoch milliseconds.
    pub at: u64,
    pub method: String,
    pub path: String,
    /// The operation, where the path names one.
    pub route: Option<Route>,
    /// The HTTP status of the answer; `None` where the connection was cut instead.
    pub status: Option<u16>,
    /// The code in the error envelope of a refusal.
    pub error_code: Option<String>,
    /// Size of the body as sent, in bytes.
    pub body_bytes: usize,
    /// Size of the body after decompression, in bytes.
    pub inflated_bytes: usize,
    /// The job that it named, or started.
    pub job_id: Option<String>,
    /// The job's scope (of an integration instance: its id).
    pub scope: Option<String>,
    /// The `JupiterOne-Correlation-Id`.
    pub correlation_id: Option<String>,
    /// Whether a fault had a part in the answer.
    pub fault: bool,
}

#[derive(Debug, Default)]
pub(crate) struct RequestLog(VecDeque<LoggedRequest>);

impl RequestLog {
    pub(crate) fn push(&mut self, request: LoggedRequest) {
        if self.0.len() == LIMIT {
            self.0.pop_front();
        }
        self.0.push_back(request);
    }

    pub(crate) fn all(&self) -> Vec<LoggedRequest> {
        self.0.iter().cloned().collect()
    }
}
