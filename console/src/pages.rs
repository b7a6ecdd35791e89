//! The pages. Each is rendered from the store and the current state. Of HTTP it knows only the form of its answer.

pub(crate) mod access;
pub(crate) mod changes;
pub(crate) mod holds;
pub(crate) mod jupiterone;
pub(crate) mod notice;
pub(crate) mod organizations;

use std::sync::{Arc, PoisonError, RwLock};

use service::config::Organization;

use crate::{current_state::CurrentState, progress::Progress, query::Parameters, store::Store};

/// Rows of a table on one page (count): with names of the usual length a page has some ten kilobytes.
pub(crate) const ROWS: usize = 50;

/// What the pages are made of.
#[derive(Debug, Clone)]
pub struct Sources {
    pub store: Store,
    /// What is known of now.
    pub present: Arc<RwLock<CurrentState>>,
    /// How far the topics are read.
    pub progress: Arc<Progress>,
    /// As the configuration has them.
    pub configured: Arc<[Organization]>,
    /// The clock (ms since 1970).
    pub now_ms: fn() -> i64,
}

/// What a page is asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) parameters: Parameters,
    pub(crate) sources: Sources,
    pub(crate) format: crate::query::Format,
    /// Whether who asks may decide on the page.
    pub(crate) may_decide: bool,
}

/// An answer in one of the forms.
#[derive(Debug)]
pub(crate) enum Answer {
    Html(String),
    Json(String),
    Csv { name: String, text: String },
}

impl Sources {
    /// What is known of now of one organization.
    pub(crate) fn now<T>(&self, ask: impl FnOnce(&CurrentState) -> T) -> T {
        ask(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many deletions of an organization wait for a decision.
    pub(crate) fn proposed(&self, organization_id: &str) -> usize {
        self.now(|present| {
            let holds = present.organization(organization_id).holds.values();
            holds.filter(|hold| hold.state == schemas::coverage::HoldState::Proposed).count()
        })
    }
}

/// Renders a template. Writing to a string does not fail.
pub(crate) fn html(page: &impl askama::Template) -> Result<Answer, crate::refusal::Refusal> {
    page.render().map(Answer::Html).map_err(|error| crate::refusal::Refusal::failed(&error))
}

pub(crate) fn json(value: &impl serde::Serialize) -> Result<Answer, crate::refusal::Refusal> {
    serde_json::to_string(value).map(Answer::Json).map_err(|error| crate::refusal::Refusal::failed(&error))
}
