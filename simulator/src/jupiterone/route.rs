//! The persister's routes.

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// Where the sync jobs live.
pub(crate) const JOBS: &str = "/persister/synchronization/jobs";

/// One operation of the persister, or any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// `POST …/jobs`.
    Start,
    /// `GET …/jobs/{id}`.
    Status,
    /// `POST …/jobs/{id}/entities`.
    Entities,
    /// `POST …/jobs/{id}/relationships`.
    Relationships,
    /// `POST …/jobs/{id}/upload`.
    Upload,
    /// `POST …/jobs/{id}/finalize`.
    Finalize,
    /// `POST …/jobs/{id}/abort`.
    Abort,
    /// `POST …/jobs/{id}/events`.
    Events,
    /// In a fault: every operation.
    Any,
}

/// An operation and the job that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) route: Route,
    /// Empty for a start.
    pub(crate) job: String,
}

impl Target {
    pub(crate) fn parse(method: &str, path: &str) -> Result<Self, Refusal> {
        let not_found = || Refusal::new(404, "NOT_FOUND", "There is no such resource.");
        let rest = path.strip_prefix(JOBS).ok_or_else(not_found)?;
        let parts: Vec<&str> = rest.split('/').skip(1).collect();
        let (allowed, route, job) = match (rest, parts.as_slice()) {
            ("", _) => ("POST", Route::Start, ""),
            (_, [job]) if !job.is_empty() => ("GET", Route::Status, *job),
            (_, [job, "entities"]) => ("POST", Route::Entities, *job),
            (_, [job, "relationships"]) => ("POST", Route::Relationships, *job),
            (_, [job, "upload"]) => ("POST", Route::Upload, *job),
            (_, [job, "finalize"]) => ("POST", Route::Finalize, *job),
            (_, [job, "abort"]) => ("POST", Route::Abort, *job),
            (_, [job, "events"]) => ("POST", Route::Events, *job),
            (_, [_, "uploadUrl"]) => {
                return Err(Refusal::new(501, "NOT_SIMULATED", "uploadUrl is not simulated."));
            }
            _ => return Err(not_found()),
        };
        if method != allowed {
            return Err(Refusal::new(405, "METHOD_NOT_ALLOWED", format!("Use {allowed}.")));
        }
        Ok(Self { route, job: job.into() })
    }
}
