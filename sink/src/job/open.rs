//! Starting a job and giving it up: what the sink has open at JupiterOne at each moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemas::sync::{Intent, Sync};
use tokio::task::JoinHandle;

use super::{Halt, Work, look_for_others};
use crate::jupiterone::{Error, Job};

/// How long giving a job up may take: a rebalance or the process's end waits for it.
const GIVE_UP_BOUND: Duration = Duration::from_secs(5);

/// What is open at JupiterOne.
#[derive(Default)]
pub(super) enum Open {
    /// Nothing, or a job that goes on by itself.
    #[default]
    Nothing,
    /// A start that is not answered. It goes on where nobody waits for it any more: its answer tells the job's ID.
    Starting(JoinHandle<Result<Job, Error>>, Intent),
    /// A job that takes uploads.
    Job(String),
}

/// What became of what was open.
pub(super) enum GivenUp {
    /// Nothing is open any more, as far as the record says.
    Ended,
    /// The record keeps its intent. The next attempt asks JupiterOne what became of the job.
    Unknown,
    /// A job may be open whose ID is not known, or was not recorded.
    Left(Intent),
}

/// Starts a job and records the intent; its id.
pub(super) async fn start(work: &Work, asks: bool, sync: &mut Sync, open: &mut Open) -> Result<String, Halt> {
    service::failpoint!("sink::before_start");
    let mut intent = Intent {
        job_id: String::new(),
        revision: work.job.revision,
        started_ts_ms: Timestamp::now().as_millisecond(),
        asks,
    };
    let (client, destination) = (Arc::clone(&work.client), work.destination.clone());
    let organization_id = sync.organization_id.clone();
    let starting = tokio::spawn(async move { client.start(&destination, &organization_id).await });
    *open = Open::Starting(starting, intent.clone());
    let Open::Starting(starting, _) = open else { unreachable!("it was just set") };
    let started = starting.await.expect("starting a job does not panic, and nobody cancels it");
    *open = Open::Nothing;
    intent.job_id = match started {
        Ok(job) => job.id,
        Err(error) => return Err(not_started(error, intent, sync)),
    };
    let job_id = intent.job_id.clone();
    *open = Open::Job(job_id.clone());
    sync.intent = Some(intent);
    service::failpoint!("sink::before_intent");
    work.sync_topic.write(sync.clone()).await?;
    service::failpoint!("sink::after_intent");
    if sync.finished.is_none() {
        look_for_others(work).await?;
    }
    Ok(job_id)
}

/// Why no job was started. One that may have been is recorded, so that a refusal later can be explained.
fn not_started(error: Error, intent: Intent, sync: &mut Sync) -> Halt {
    let (target, earlier) = (sync.target.clone(), sync.intent.clone());
    match error {
        Error::Unanswered { after, reason } => {
            sync.intent = Some(earlier.unwrap_or(intent));
            let reason = format!(
                "{reason}, so a sync job of the target {target} may be open whose ID is not known; it is never \
                 finalized and changes nothing"
            );
            Halt::Unanswered { after, reason }
        }
        Error::Refused { status, code, message } => {
            let words = format!("JupiterOne answered {status}{code}{message}");
            match earlier {
                Some(earlier) => Halt::Retry { after: None, reason: may_be_open(&words, &target, &earlier) },
                None if status == 409 => Halt::Retry {
                    after: None,
                    reason: format!(
                        "JupiterOne starts no second sync job of the target {target} ({words}); if no other program \
                         synchronizes this target, the open job is one of a sink that was killed: abort it in \
                         JupiterOne or wait until JupiterOne ends it, and the sink goes on by itself"
                    ),
                },
                None => Halt::Pause {
                    reason: format!(
                        "JupiterOne starts no sync job for this target ({words}); check its jupiterone"
                    ),
                    is_for_data: false,
                },
            }
        }
        error => error.into(),
    }
}

/// What a person needs to find the job that blocks this one.
fn may_be_open(words: &str, target: &str, intent: &Intent) -> String {
    let started = Timestamp::from_millisecond(intent.started_ts_ms).unwrap_or_default();
    format!(
        "JupiterOne starts no sync job ({words}), and the one that the sink started at {started:.0} in the target {target} \
         may still be open: its ID is not known, since JupiterOne's response to the start was lost; abort that job in \
         JupiterOne or wait until JupiterOne ends it, and the sink goes on by itself"
    )
}

/// Gives up what is open, within a bound.
pub(super) async fn give_up(work: &Work, open: Open, reason: &str) -> GivenUp {
    let mut left = None;
    let given_up = async {
        let job_id = match open {
            Open::Nothing => return GivenUp::Unknown,
            Open::Job(job_id) => job_id,
            Open::Starting(starting, intent) => {
                left = Some(intent.clone());
                match starting.await {
                    Ok(Ok(job)) => {
                        left = Some(Intent { job_id: job.id.clone(), ..intent });
                        job.id
                    }
                    Ok(Err(Error::Unanswered { .. })) | Err(_) => return GivenUp::Left(intent),
                    Ok(Err(_)) => return GivenUp::Unknown,
                }
            }
        };
        match work.client.abort(&job_id, reason).await {
            Ok(job) if job.is_done() => GivenUp::Ended,
            // It has already ended. The next attempt asks how.
            Ok(_) | Err(_) => left.clone().map_or(GivenUp::Unknown, GivenUp::Left),
        }
    };
    let in_time = tokio::time::timeout(GIVE_UP_BOUND, given_up).await;
    in_time.unwrap_or_else(|_| left.map_or(GivenUp::Unknown, GivenUp::Left))
}
