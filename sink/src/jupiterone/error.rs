//! What JupiterOne's answers mean for what the sink does next.

use std::time::Duration;

/// What went wrong, by what the sink does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The key, the account or the target is refused: start no more jobs of the organization until that is mended.
    #[error("{reason}")]
    PauseOrganization {
        /// What to mend.
        reason: String,
    },
    /// JupiterOne was not there, or asked to be left alone, beyond the bound of tries: try the whole job again later.
    #[error("{reason}")]
    Retry {
        /// How long JupiterOne wants to be left alone.
        after: Option<Duration>,
        /// What happened.
        reason: String,
    },
    /// The body is larger than JupiterOne takes: send it in two.
    #[error("the upload is larger than JupiterOne takes")]
    SplitBatch,
    /// The request is refused for what is in it.
    #[error("JupiterOne answered {status}{code_and_message}")]
    Refused {
        /// HTTP's.
        status: u16,
        /// As in its error envelope, with a space before it; empty where there is none.
        code_and_message: String,
    },
    /// The job takes nothing more, or does not exist: somebody else ended it.
    #[error("the sync job has ended: JupiterOne answered {code}")]
    JobEnded {
        /// JupiterOne's.
        code: String,
    },
}
