//! One sync job, from the snapshot to FINISHED.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, TryStreamExt};
use jiff::Timestamp;
use schemas::sync::{Finished, Intent, Sync};
use service::config::Destination;
use service::exit::Shutdown;
use service::kafka::transaction;
use tracing::{debug, info, warn};

use crate::batch::Batch;
use crate::jupiterone::{Error, Event, Job, JupiterOne};
use crate::plan;
use crate::sync_topic::SyncTopic;

/// Uploads of one job at a time (count): as many as keep a line busy; JupiterOne's own uploader has six.
const UPLOADS_AT_ONCE: usize = 4;
/// How long JupiterOne may take from finalize to the end of a job.
const FINALIZE_BOUND: Duration = Duration::from_mins(30);
/// How long an earlier job may take to end before this one is put off.
const SETTLE_BOUND: Duration = Duration::from_mins(5);
/// How long giving a job up may take: a rebalance or the process's end waits for it.
const GIVE_UP_BOUND: Duration = Duration::from_secs(5);

/// All that a sync job needs, taken from the state at one moment.
pub(crate) struct Work {
    /// The organization's name in the configuration.
    pub(crate) organization: String,
    /// Where it goes.
    pub(crate) destination: Destination,
    /// The client of its account.
    pub(crate) client: Arc<JupiterOne>,
    /// What it is about.
    pub(crate) job: plan::Job,
    /// The snapshot.
    pub(crate) batches: Vec<Batch>,
    /// For those who look at an integration's job; none for a scope.
    pub(crate) events: Vec<Event>,
    /// What JupiterOne holds so far.
    pub(crate) sync: Sync,
    /// Where the intent and the end are written.
    pub(crate) sync_topic: Arc<SyncTopic>,
}

/// How it ended, with what JupiterOne holds after it.
#[derive(Debug)]
pub(crate) enum End {
    /// JupiterOne holds the snapshot.
    Finished(Sync),
    /// It must not be tried again before something is mended.
    Paused {
        /// With the reason.
        sync: Sync,
        /// Of the snapshot that was refused.
        revision: i64,
        /// Whether the object or the data was refused; else the key, the account or the target.
        is_for_data: bool,
    },
    /// To be tried again later.
    Retry {
        /// As before.
        sync: Sync,
        /// How long JupiterOne wants to be left alone.
        after: Option<Duration>,
        /// What happened.
        reason: String,
    },
    /// The process or the task ends.
    Stopped,
    /// The sync topic cannot be written: another sink has the partition, or the brokers are away.
    Lost(transaction::Error),
}

/// Why it went no further.
enum Halt {
    Pause { reason: String, is_for_data: bool },
    Retry { after: Option<Duration>, reason: String },
    Lost(transaction::Error),
    Stopped,
}

impl From<transaction::Error> for Halt {
    fn from(error: transaction::Error) -> Self {
        Self::Lost(error)
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        match error {
            Error::PauseOrganization { reason } => Self::Pause { reason, is_for_data: false },
            Error::Retry { after, reason } => Self::Retry { after, reason },
            Error::JobEnded { .. } => Self::Retry { after: None, reason: error.to_string() },
            Error::Refused { .. } | Error::SplitBatch => {
                Self::Pause { reason: error.to_string(), is_for_data: true }
            }
        }
    }
}

/// Runs the job to its end. Never panics on what JupiterOne answers.
pub(crate) async fn run(mut work: Work, shutdown: Shutdown) -> End {
    let batches = std::mem::take(&mut work.batches);
    let mut sync = work.sync.clone();
    let mut open = None;
    let result = tokio::select! {
        result = attempt(&work, batches, &mut sync, &mut open) => result,
        () = shutdown.requested() => Err(Halt::Stopped),
    };
    let halt = match result {
        Ok(()) => return End::Finished(sync),
        Err(Halt::Lost(error)) => {
            // The successor aborts it too; the sooner the better.
            give_up(&work, open.as_deref(), "another sink took over").await;
            return End::Lost(error);
        }
        Err(halt) => halt,
    };
    let (reason, paused) = match &halt {
        Halt::Pause { reason, .. } => (reason.as_str(), Some(reason.clone())),
        Halt::Retry { reason, .. } => (reason.as_str(), sync.paused.clone()),
        Halt::Stopped | Halt::Lost(_) => ("the sink ends", sync.paused.clone()),
    };
    if give_up(&work, open.as_deref(), reason).await {
        sync.intent = None;
    }
    sync.paused = paused;
    if sync != work.sync
        && let Err(error) = work.sync_topic.write(sync.clone()).await
    {
        return End::Lost(error);
    }
    match halt {
        Halt::Pause { is_for_data, .. } => End::Paused { sync, revision: work.job.revision, is_for_data },
        Halt::Retry { after, reason } => End::Retry { sync, after, reason },
        Halt::Stopped | Halt::Lost(_) => End::Stopped,
    }
}

async fn attempt(
    work: &Work,
    batches: Vec<Batch>,
    sync: &mut Sync,
    open: &mut Option<String>,
) -> Result<(), Halt> {
    let Work { client, job: about, .. } = work;
    if let Some(intent) = &sync.intent {
        service::failpoint!("sink::before_settle");
        settle(client, intent).await?;
    }
    service::failpoint!("sink::before_start");
    let started = client.start(&work.destination, &sync.organization_id).await?;
    let job_id = started.id.clone();
    *open = Some(job_id.clone());
    sync.intent = Some(Intent {
        job_id: job_id.clone(),
        revision: about.revision,
        started_ts_ms: Timestamp::now().as_millisecond(),
    });
    service::failpoint!("sink::before_intent");
    work.sync_topic.write(sync.clone()).await?;
    service::failpoint!("sink::after_intent");
    upload(client, &job_id, batches).await?;
    if !work.events.is_empty()
        && let Err(error) = client.publish(&job_id, &work.events).await
    {
        debug!(organization.name = work.organization, job.id = job_id, "events were not published: {error}");
    }
    service::failpoint!("sink::before_finalize");
    let finalized = client.finalize(&job_id, &about.partial_types).await?;
    // From here on JupiterOne goes on by itself: there is nothing to give up.
    *open = None;
    service::failpoint!("sink::after_finalize");
    let done = client.wait(finalized, FINALIZE_BOUND).await?;
    judge(&done)?;
    sync.intent = None;
    sync.paused = None;
    sync.finished = Some(Finished {
        job_id,
        revision: about.revision,
        ended_ts_ms: Timestamp::now().as_millisecond(),
        counts: about.counts.clone(),
        partial_types: about.partial_types.clone(),
        incomplete: about.incomplete.clone(),
        ..Finished::default()
    });
    service::failpoint!("sink::before_record");
    work.sync_topic.write(sync.clone()).await?;
    service::failpoint!("sink::after_record");
    tell(work, &done);
    Ok(())
}

/// Ends an earlier job of the target whose end is not recorded, so that there are never two.
async fn settle(client: &JupiterOne, intent: &Intent) -> Result<(), Halt> {
    let job = match client.abort(&intent.job_id, "another sync job of the same target follows").await {
        Ok(job) => job,
        // It is being finalized, or done, or was never heard of.
        Err(Error::JobEnded { .. } | Error::Refused { .. }) => match client.status(&intent.job_id).await {
            Ok(job) => job,
            Err(Error::JobEnded { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        },
        Err(error) => return Err(error.into()),
    };
    client.wait(job, SETTLE_BOUND).await?;
    Ok(())
}

/// Gives the open job up, within a bound; whether JupiterOne agreed.
async fn give_up(work: &Work, open: Option<&str>, reason: &str) -> bool {
    let Some(job_id) = open else { return false };
    match tokio::time::timeout(GIVE_UP_BOUND, work.client.abort(job_id, reason)).await {
        Ok(Ok(job)) => job.is_done(),
        // It ended already; whoever comes next asks how.
        Ok(Err(_)) | Err(_) => false,
    }
}

async fn upload(client: &JupiterOne, job_id: &str, batches: Vec<Batch>) -> Result<(), Halt> {
    stream::iter(batches.into_iter().map(Ok))
        .try_for_each_concurrent(UPLOADS_AT_ONCE, |batch| upload_batch(client, job_id, batch))
        .await
}

/// Uploads a batch, in parts where it is too large, and finds the object for which it is refused.
async fn upload_batch(client: &JupiterOne, job_id: &str, batch: Batch) -> Result<(), Halt> {
    let mut waiting = vec![(batch, false)];
    while let Some((batch, is_resent)) = waiting.pop() {
        match client.upload(job_id, &batch, is_resent).await {
            Ok(_) => {
                service::failpoint!("sink::mid_upload");
            }
            Err(Error::SplitBatch) => match batch.halves() {
                Ok((first, second)) => waiting.extend([(second, true), (first, true)]),
                Err(key) => {
                    let reason = format!("JupiterOne refuses the object {key}: it is too large");
                    return Err(Halt::Pause { reason, is_for_data: true });
                }
            },
            Err(refusal @ Error::Refused { .. }) => {
                return Err(offender(client, job_id, batch, refusal).await);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Halves a refused batch until one object is left: each request says in which half it is, so that there are at most
/// log2 of the objects' number. The job is given up after it, so what JupiterOne takes meanwhile does not count.
async fn offender(client: &JupiterOne, job_id: &str, batch: Batch, refusal: Error) -> Halt {
    let (mut suspects, mut refusal) = (batch, refusal);
    loop {
        let (first, second) = match suspects.halves() {
            Ok(halves) => halves,
            Err(key) => {
                let reason = format!("JupiterOne refuses the object {key}: {refusal}");
                return Halt::Pause { reason, is_for_data: true };
            }
        };
        suspects = match client.upload(job_id, &first, true).await {
            Ok(_) => second,
            Err(error @ Error::Refused { .. }) => {
                refusal = error;
                first
            }
            Err(error) => return error.into(),
        };
    }
}

fn judge(done: &Job) -> Result<(), Halt> {
    let Job { id, status, .. } = done;
    if status.is_finished() {
        Ok(())
    } else if status.is_bad_data() {
        let reason = format!("JupiterOne refuses the data of sync job {id} as a whole ({status})");
        Err(Halt::Pause { reason, is_for_data: true })
    } else {
        Err(Halt::Retry { after: None, reason: format!("sync job {id} ended as {status}") })
    }
}

fn tell(work: &Work, done: &Job) {
    let plan::Job { revision, cause, counts, partial_types, .. } = &work.job;
    let objects: i64 = counts.values().sum();
    info!(
        organization.name = work.organization,
        organization.id = work.sync.organization_id,
        job.id = done.id,
        revision,
        cause,
        objects,
        partial_types = partial_types.len(),
        "sync job finished"
    );
    if done.write_errors() > 0 {
        warn!(
            organization.name = work.organization,
            job.id = done.id,
            objects = done.write_errors(),
            "JupiterOne finished the sync job without writing some objects"
        );
    }
}

#[cfg(test)]
mod tests;
