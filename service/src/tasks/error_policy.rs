//! What follows a failure of a task.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::backoff::{self, pauses};
use crate::kafka::NewerRecord;
use crate::kafka::member::SESSION_TIMEOUT;
use crate::kafka::restore::RestoreError;
use crate::kafka::{partition, transaction};

/// Longest pause before a task is reopened: the brokers need time to elect leaders.
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long after fencing a partition that is still assigned to this process is taken back, in addition to the session
/// timeout. A partition that another member took over is revoked by then. So the coordinator fenced the task, because a
/// transaction took too long, or a command did that has ended by then.
const FENCED_PAUSE: Duration = Duration::from_secs(5);
/// How long a run until the end retries a task that cannot be opened or fails: longer than a leader election. A
/// scheduler's next run tries again.
const GIVE_UP_AFTER: Duration = Duration::from_mins(1);

/// Why a task failed, by what follows.
#[derive(Debug)]
pub enum Error {
    /// Another process has the partition, or the brokers aborted a transaction that took too long. Wait until the group has
    /// noticed, and take the partition back if it is still assigned to this process.
    Fenced(anyhow::Error),
    /// Drop the task and reopen it after a pause. What was not committed is read again.
    Reopen(anyhow::Error),
    /// The state or the data of this partition needs a person. Close the partition; the others keep running. It stays
    /// assigned, because the next member would meet the same state.
    Closed(anyhow::Error),
    /// A person must fix something that concerns every partition. Stop the process.
    Fatal(anyhow::Error),
}

impl Error {
    /// Of a partition that is read from its beginning, which compaction and deletion move: the next try begins there.
    pub fn of_restored(error: partition::Error) -> Self {
        match error {
            partition::Error::OffsetOutOfRange { .. } => Self::Reopen(error.into()),
            error => error.into(),
        }
    }
}

impl From<Error> for anyhow::Error {
    fn from(error: Error) -> Self {
        let (Error::Fenced(it) | Error::Reopen(it) | Error::Closed(it) | Error::Fatal(it)) = error;
        it
    }
}

impl From<transaction::Error> for Error {
    fn from(error: transaction::Error) -> Self {
        match error {
            transaction::Error::Fenced { .. } => Self::Fenced(error.into()),
            // Reopening the task would fence the member that owns the partition now.
            transaction::Error::Abortable { source: Some(ref source), .. } if is_displaced(source) => {
                Self::Fenced(error.into())
            }
            transaction::Error::Abortable { .. }
            | transaction::Error::OutcomeUnknown { .. }
            | transaction::Error::Unreachable { .. } => Self::Reopen(error.into()),
            transaction::Error::TooLarge { .. } => Self::Closed(error.into()),
            transaction::Error::Denied { .. } | transaction::Error::Fatal { .. } => Self::Fatal(error.into()),
        }
    }
}

/// Whether the group's coordinator has replaced this member, which may not know it yet.
fn is_displaced(source: &KafkaError) -> bool {
    let code = source.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::FencedInstanceId))
}

impl From<partition::Error> for Error {
    fn from(error: partition::Error) -> Self {
        match error {
            partition::Error::Unreachable { .. } => Self::Reopen(error.into()),
            partition::Error::OffsetOutOfRange { .. } => Self::Closed(error.into()),
            partition::Error::Fatal { .. } => Self::Fatal(error.into()),
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<RestoreError<E>> for Error {
    fn from(error: RestoreError<E>) -> Self {
        match error {
            RestoreError::Read(error) => Self::of_restored(error),
            RestoreError::Stalled { .. } => Self::Reopen(error.into()),
            RestoreError::Apply { .. } | RestoreError::Newer(_) => Self::Closed(error.into()),
        }
    }
}

impl From<NewerRecord> for Error {
    fn from(error: NewerRecord) -> Self {
        Self::Closed(error.into())
    }
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Wait that long, then reopen.
    Reopen(Duration),
    /// Leave the partition to the process that has it, in a run until the end.
    Leave,
    Close,
    Stop,
}

/// What follows the failures of one partition's tasks.
pub(super) struct Policy {
    fenced_pause: Duration,
    until_end: bool,
    reopen_pause: Duration,
    pauses: backoff::Pauses,
    /// Since when no task is open.
    failing_since: Instant,
}

impl Policy {
    pub(super) fn new(client: &ClientConfig, until_end: bool, reopen_pause: Duration) -> Self {
        let configured = client.get("session.timeout.ms").and_then(|text| text.parse().ok());
        let fenced_pause = configured.map_or(SESSION_TIMEOUT, Duration::from_millis) + FENCED_PAUSE;
        let pauses = pauses(reopen_pause, REOPEN_PAUSE_MAX);
        Self { fenced_pause, until_end, reopen_pause, pauses, failing_since: Instant::now() }
    }

    /// What follows the failure of a task that was opened, or was not.
    pub(super) fn follow(&mut self, error: Error, was_opened: bool) -> (Step, anyhow::Error) {
        if was_opened {
            self.pauses = pauses(self.reopen_pause, REOPEN_PAUSE_MAX);
            self.failing_since = Instant::now();
        }
        let step = match error {
            Error::Fenced(_) if self.until_end => Step::Leave,
            Error::Fenced(_) => Step::Reopen(self.fenced_pause),
            Error::Reopen(_) if self.until_end && self.failing_since.elapsed() >= GIVE_UP_AFTER => Step::Stop,
            Error::Reopen(_) => Step::Reopen(self.pauses.next().expect("pauses have no end")),
            Error::Closed(_) => Step::Close,
            Error::Fatal(_) => Step::Stop,
        };
        (step, error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use anyhow::anyhow;
    use rdkafka::ClientConfig;
    use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

    use super::{Error, GIVE_UP_AFTER, Policy, Step};
    use crate::kafka::restore::RestoreError;
    use crate::kafka::transaction;

    fn policy(session_timeout: Option<&str>, until_end: bool) -> Policy {
        let mut client = ClientConfig::new();
        if let Some(timeout) = session_timeout {
            client.set("session.timeout.ms", timeout);
        }
        Policy::new(&client, until_end, Duration::from_millis(500))
    }

    #[test]
    fn a_fenced_task_waits_until_the_group_has_noticed_a_lost_member() {
        for (timeout, pause) in [(None, 15), (Some("45000"), 50)] {
            let (step, _) = policy(timeout, false).follow(Error::Fenced(anyhow!("fenced")), true);
            assert_eq!(step, Step::Reopen(Duration::from_secs(pause)));
        }
        assert_eq!(policy(None, true).follow(Error::Fenced(anyhow!("fenced")), true).0, Step::Leave);
    }

    #[test]
    fn a_task_that_cannot_be_opened_is_reopened_ever_later_and_a_run_until_the_end_gives_it_up() {
        let pause = |policy: &mut Policy, was_opened| match policy
            .follow(Error::Reopen(anyhow!("away")), was_opened)
        {
            (Step::Reopen(pause), _) => pause,
            (step, _) => panic!("{step:?}"),
        };
        let mut service = policy(None, false);
        service.failing_since =
            Instant::now().checked_sub(GIVE_UP_AFTER).expect("the machine runs for longer");
        let last = (0..10).map(|_| pause(&mut service, false)).last().expect("ten pauses");
        assert!(last >= Duration::from_secs(15), "{last:?}");
        assert!(pause(&mut service, true) <= Duration::from_millis(500), "it was open");

        let mut until_end = policy(None, true);
        pause(&mut until_end, false);
        until_end.failing_since =
            Instant::now().checked_sub(GIVE_UP_AFTER).expect("the machine runs for longer");
        assert_eq!(until_end.follow(Error::Reopen(anyhow!("away")), false).0, Step::Stop);
        pause(&mut until_end, true);
    }

    #[test]
    fn a_task_of_a_member_that_was_replaced_is_not_opened_again_at_once() {
        let abortable = |code: Code| transaction::Error::Abortable {
            reason: "the offsets were refused".to_owned(),
            source: Some(Box::new(KafkaError::ConsumerCommit(code))),
        };
        for code in [Code::UnknownMemberId, Code::FencedInstanceId] {
            assert!(matches!(Error::from(abortable(code)), Error::Fenced(_)), "{code}");
        }
        for code in [Code::RebalanceInProgress, Code::RequestTimedOut] {
            assert!(matches!(Error::from(abortable(code)), Error::Reopen(_)), "{code}");
        }
    }

    #[test]
    fn a_restore_that_stalls_is_tried_again_and_says_what_to_look_at() {
        let stalled = RestoreError::<std::io::Error>::Stalled {
            topic: "anthropic.graph".to_owned(),
            partition: 7,
            position: 3,
            end: 9,
        };
        let error = Error::from(stalled);
        assert!(matches!(error, Error::Reopen(_)), "{error:?}");
        let text = format!("{:#}", anyhow::Error::from(error));
        assert!(text.contains("anthropic.graph partition 7 has made no progress at offset 3 of 9"), "{text}");
        assert!(text.contains("leader is up") && text.contains("find-hanging"), "{text}");
    }
}
