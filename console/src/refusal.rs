//! Why a page is not what was asked for.

use crate::store::StoreError;

/// Why a page is not what was asked for.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// What a parameter says cannot be understood.
    Bad(String),
    /// What is named does not exist.
    Missing(String),
    /// The store has no organization yet.
    Empty,
    /// There are several organizations, and none is named.
    WhichOrganization,
    /// A name means nothing, or several things: they are searched.
    Search(String),
    /// The deletion is no longer held.
    Gone,
    /// It took too long.
    Slow,
    /// Something failed, which the log says.
    Failed,
}

impl Refusal {
    pub(crate) fn bad(text: String) -> Self {
        Self::Bad(text)
    }

    pub(crate) fn missing(text: String) -> Self {
        Self::Missing(text)
    }

    /// Logs why: a page does not show what is inside the program.
    pub(crate) fn failed(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut reasons = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            reasons.push(error.to_string());
            cause = error.source();
        }
        tracing::error!("a page failed: {}", reasons.join(": "));
        Self::Failed
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::failed(&error)
    }
}
