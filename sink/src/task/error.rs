//! Why a task ended.

use service::kafka::restore::RestoreError;
use service::kafka::{partition, transaction};

/// Why the task ended, by what its owner does next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// Another sink has the partition. Leave it, or take it back later.
    #[error("another sink took over partition {0}")]
    Fenced(i32),
    /// Kafka did not answer, or left it open what happened. Open the task anew.
    #[error("partition {partition} must be opened anew")]
    Reopen {
        partition: i32,
        #[source]
        source: anyhow::Error,
    },
    /// The state or the data of this partition needs a person. Close the partition; the others keep running.
    #[error("partition {partition} is closed")]
    Closed {
        partition: i32,
        #[source]
        source: anyhow::Error,
    },
    /// What needs a person concerns every partition. Stop the process.
    #[error("partition {partition} cannot be synchronized")]
    Fatal {
        partition: i32,
        #[source]
        source: anyhow::Error,
    },
}

pub(crate) fn read_failed(partition: i32, error: partition::Error) -> TaskError {
    match error {
        // Compaction and deletion move the beginning; a restore begins there.
        partition::Error::Unreachable { .. } | partition::Error::OffsetOutOfRange { .. } => {
            TaskError::Reopen { partition, source: error.into() }
        }
        partition::Error::Fatal { .. } => TaskError::Fatal { partition, source: error.into() },
    }
}

pub(super) fn restore_failed<E: std::error::Error + Send + Sync + 'static>(
    partition: i32,
    error: RestoreError<E>,
) -> TaskError {
    match error {
        RestoreError::Read(error) => read_failed(partition, error),
        RestoreError::Stalled { .. } => TaskError::Reopen { partition, source: error.into() },
        RestoreError::Apply { .. } | RestoreError::Newer(_) => {
            TaskError::Closed { partition, source: error.into() }
        }
    }
}

pub(super) fn write_failed(partition: i32, error: transaction::Error) -> TaskError {
    use transaction::Error;
    match error {
        Error::Fenced { .. } => TaskError::Fenced(partition),
        Error::Abortable { .. } | Error::OutcomeUnknown { .. } | Error::Unreachable { .. } => {
            TaskError::Reopen { partition, source: error.into() }
        }
        Error::TooLarge { .. } => TaskError::Closed { partition, source: error.into() },
        Error::Fatal { .. } => TaskError::Fatal { partition, source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use service::kafka::restore::RestoreError;

    use super::{TaskError, restore_failed};

    #[test]
    fn a_restore_that_stalls_is_tried_again_and_says_what_to_look_at() {
        let stalled = RestoreError::<std::io::Error>::Stalled {
            topic: "anthropic.graph".to_owned(),
            partition: 7,
            position: 3,
            end: 9,
        };
        let error = restore_failed(7, stalled);
        assert!(matches!(error, TaskError::Reopen { partition: 7, .. }), "{error:?}");
        let told = format!("{:#}", anyhow::Error::from(error));
        assert!(told.contains("anthropic.graph partition 7 has made no progress at offset 3 of 9"), "{told}");
        assert!(told.contains("leader is up") && told.contains("find-hanging"), "{told}");
    }
}
