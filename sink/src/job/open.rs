//! Starting a job and giving it up: what the sink has open at JupiterOne at each moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemas::sync::{Intent, Sync};
use service::traces;
use tokio::task::JoinHandle;

use super::{Halt, Work, look_for_others};
use crate::jupiterone::{Error, Job};
use graph::plan::Outcome;

/// How long giving a job up may take: a rebalance or the process's end waits for it.
const GIVE_UP_BOUND: Duration = Duration::from_secs(5);

/// What is open at JupiterOne.
#[derive(Default)]
pub(super) enum Open {
    /// Nothing, or a job that JupiterOne finishes alone.
    #[default]
    Nothing,
    /// A start that is not answered yet. It continues even if it is not awaited, because its response has the job's ID.
    Starting(JoinHandle<Result<Job, Error>>, Intent),
    /// A job that takes uploads.
    Job(String),
}

/// The outcome of what was open.
pub(super) enum GivenUp {
    /// Nothing is open, as far as the record says.
    Ended,
    /// The record keeps its intent. The next attempt asks JupiterOne for the outcome of the job.
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
    let starting = async move { client.start(&destination, &organization_id).await };
    let starting = tokio::spawn(traces::inherit(starting));
    *open = Open::Starting(starting, intent.clone());
    let Open::Starting(starting, _) = open else { unreachable!("it was just set") };
    let started = starting.await.expect("starting a job does not panic and is never canceled");
    *open = Open::Nothing;
    intent.job_id = match started {
        Ok(job) => job.id,
        Err(error) => return Err(not_started(error, intent, sync)),
    };
    let job_id = intent.job_id.clone();
    traces::annotate("job.id", &job_id);
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
                "{reason}, so the target {target} may have an open sync job with an unknown ID; that job is \
                 never finalized and changes nothing"
            );
            Halt::Ended(Outcome::Failed { reason, after, leaves_jobs: true })
        }
        Error::Refused { status, code, message } => {
            let words = format!("JupiterOne answered {status}{code}{message}");
            match earlier {
                Some(earlier) => Halt::failed(may_be_open(&words, &target, &earlier)),
                None if status == 409 => Halt::failed(format!(
                    "JupiterOne does not start a second sync job of the target {target} ({words}); if no \
                     other program synchronizes this target, a sink that was killed left the open job: abort \
                     it in JupiterOne, or wait until JupiterOne ends it; the sink then continues without a \
                     restart"
                )),
                None => Halt::refused(format!(
                    "JupiterOne does not start a sync job for this target ({words}); check its jupiterone"
                )),
            }
        }
        error => error.into(),
    }
}

/// What a person needs to find the job that blocks this one.
fn may_be_open(words: &str, target: &str, intent: &Intent) -> String {
    let started = Timestamp::from_millisecond(intent.started_ts_ms).unwrap_or_default();
    format!(
        "JupiterOne does not start a sync job ({words}), and the one that the sink started at {started:.0} in \
         the target {target} may still be open: its ID is not known, because JupiterOne's response to the \
         start was lost; abort that job in JupiterOne, or wait until JupiterOne ends it; the sink then \
         continues without a restart"
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
