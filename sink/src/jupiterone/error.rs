//! What JupiterOne's answers mean for what the sink does next.

use std::time::Duration;

/// What went wrong, by what the sink does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// The key, the account or the target is refused: start no more jobs of the organization until that is fixed.
    #[error("{reason}")]
    PauseOrganization {
        /// What to fix.
        reason: String,
    },
    /// JupiterOne was not there, or asked to be left alone, beyond the bound of tries: try the whole job again later.
    #[error("{reason}")]
    Retry {
        /// How long JupiterOne wants to be left alone.
        after: Option<Duration>,
        reason: String,
    },
    /// Whether a job was started is unknown, and so is its ID. Start again, but not at once: each try may leave an open
    /// job.
    #[error("{reason}")]
    Unanswered {
        /// How long JupiterOne wants to be left alone.
        after: Option<Duration>,
        reason: String,
    },
    /// The body is larger than JupiterOne takes: send it in two.
    #[error("the upload is larger than JupiterOne takes")]
    SplitBatch,
    /// The request is refused for what is in it.
    #[error("JupiterOne answered {status}{code}{message}")]
    Refused {
        status: u16,
        /// As in its error envelope, with a space before it; empty where there is none.
        code: String,
        /// JupiterOne's words, with a space before them; empty where there are none. They may quote what was uploaded.
        message: String,
    },
    /// The job takes nothing more, or does not exist: somebody else ended it.
    #[error("the sync job has ended: JupiterOne answered {code}")]
    JobEnded {
        /// JupiterOne's.
        code: String,
    },
}

impl Error {
    /// Without JupiterOne's words, which may quote a name: for the log.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::Refused { status, code, .. } => format!("JupiterOne answered {status}{code}"),
            _ => self.to_string(),
        }
    }
}
