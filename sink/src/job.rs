//! One sync job, from the snapshot to FINISHED.

mod open;
mod probe;
mod upload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemas::codec::DecodeError;
use schemas::sync::{Finished, Intent, Parked, Sync, parked};
use service::config::Destination;
use service::kafka::restore::RestoreError;
use service::kafka::transaction;
use service::shutdown::Shutdown;
use tracing::{debug, info, warn};

use self::open::{GivenUp, Open, give_up, start};
use self::upload::upload;
use crate::batch::Load;
use crate::configured::Configured;
use crate::jupiterone::{Error, Event, Job, JupiterOne};
use crate::setup::Setup;
use crate::sync_topic::{self, SyncTopic};
use graph::plan::{self, first_sync, parking};

/// How long JupiterOne may take from finalize to the end of a job.
const FINALIZE_BOUND: Duration = Duration::from_mins(30);
/// How long an earlier job may take to end before this one is put off.
const SETTLE_BOUND: Duration = Duration::from_mins(5);

/// All that a sync job needs, taken from the state at one moment.
pub(crate) struct Work {
    /// What all tasks of the process share.
    pub(crate) setup: Arc<Setup>,
    /// The organization as it is configured.
    pub(crate) configured: Arc<Configured>,
    /// Its name in the configuration.
    pub(crate) organization: String,
    /// Where it goes.
    pub(crate) destination: Destination,
    /// The client of its account.
    pub(crate) client: Arc<JupiterOne>,
    /// What it is about.
    pub(crate) job: plan::Job,
    /// The snapshot.
    pub(crate) load: Load,
    /// The account alone, where the target has to be asked first.
    pub(crate) account: Option<Load>,
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
        /// Whether each try may leave an open job.
        leaves_jobs: bool,
    },
    /// The process or the task ends.
    Stopped,
    /// The sync topic cannot be written: another sink has the partition, or the brokers are away.
    Lost(transaction::Error),
}

/// Why it went no further.
#[derive(Debug)]
pub(crate) enum Halt {
    /// [`End::Paused`].
    Pause { reason: String, is_for_data: bool },
    /// [`End::Retry`].
    Retry { after: Option<Duration>, reason: String },
    /// [`End::Retry`] after a start that may have left an open job.
    Unanswered { after: Option<Duration>, reason: String },
    /// [`End::Lost`].
    Lost(transaction::Error),
    /// [`End::Stopped`].
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
            Error::Unanswered { after, reason } => Self::Unanswered { after, reason },
            Error::JobEnded { .. } => Self::Retry { after: None, reason: error.to_string() },
            Error::Refused { .. } | Error::SplitBatch => {
                Self::Pause { reason: error.brief(), is_for_data: true }
            }
        }
    }
}

/// Runs the job to its end. Never panics on what JupiterOne answers.
pub(crate) async fn run(mut work: Work, shutdown: Shutdown) -> End {
    let load = std::mem::take(&mut work.load);
    let account = work.account.take();
    let mut sync = work.sync.clone();
    let mut open = Open::Nothing;
    let whole = async {
        begin(&work, account, &mut sync, &mut open).await?;
        attempt(&work, load, &mut sync, &mut open).await
    };
    let result = tokio::select! {
        result = whole => result,
        () = shutdown.requested() => Err(Halt::Stopped),
    };
    let halt = match result {
        Ok(()) => return End::Finished(sync),
        Err(Halt::Lost(error)) => {
            // The successor aborts it too; the sooner the better.
            give_up(&work, open, "another sink took over").await;
            return End::Lost(error);
        }
        Err(halt) => halt,
    };
    let (reason, paused) = match &halt {
        Halt::Pause { reason, .. } => (reason.as_str(), Some(reason.clone())),
        Halt::Retry { reason, .. } | Halt::Unanswered { reason, .. } => {
            (reason.as_str(), sync.paused.clone())
        }
        Halt::Stopped | Halt::Lost(_) => ("the sink ends", sync.paused.clone()),
    };
    // How a question ended is an answer, which the successor asks for.
    let is_question = sync.intent.as_ref().is_some_and(|intent| intent.asks);
    match give_up(&work, open, reason).await {
        GivenUp::Ended if !is_question => sync.intent = None,
        GivenUp::Ended | GivenUp::Unknown => {}
        GivenUp::Left(intent) => sync.intent = Some(intent),
    }
    sync.paused = paused;
    if let Err(error) = work.sync_topic.write(sync.clone()).await {
        return End::Lost(error);
    }
    match halt {
        Halt::Pause { is_for_data, .. } => End::Paused { sync, revision: work.job.revision, is_for_data },
        Halt::Retry { after, reason } => End::Retry { sync, after, reason, leaves_jobs: false },
        Halt::Unanswered { after, reason } => End::Retry { sync, after, reason, leaves_jobs: true },
        Halt::Stopped | Halt::Lost(_) => End::Stopped,
    }
}

/// Ends what an earlier sink left open, and asks the target what it holds, where that is not known.
async fn begin(work: &Work, account: Option<Load>, sync: &mut Sync, open: &mut Open) -> Result<(), Halt> {
    // One without an ID cannot be asked about; the next intent takes its place.
    if let Some(intent) = sync.intent.as_ref().filter(|intent| !intent.job_id.is_empty()) {
        service::failpoint!("sink::before_settle");
        let ended = settle(&work.client, intent).await?;
        if intent.asks {
            sync.found = ended.as_ref().and_then(probe::answer).map(str::to_owned);
        }
        sync.intent = None;
    }
    let Some(account) = account else { return Ok(()) };
    if sync.found.is_none() {
        probe::probe(work, account, sync, open).await?;
    }
    match first_sync::refused(sync, work.job.revision) {
        Some(reason) => Err(Halt::Pause { reason, is_for_data: false }),
        None => Ok(()),
    }
}

/// Before anything is uploaded to a target for the first time: what sinks of other partitions intend by now. Of two
/// that meet, each having written its intent before it looks at all that is committed, one sees the other.
async fn look_for_others(work: &Work) -> Result<(), Halt> {
    let setup = Arc::clone(&work.setup);
    let look = async {
        let looked = tokio::task::spawn_blocking(move || {
            let Setup { kafka, group_id, sync_topic, partitions, targets, .. } = setup.as_ref();
            for partition in 0..*partitions {
                service::kafka::settle(kafka, sync_topic, partition).map_err(RestoreError::Read)?;
            }
            let records = sync_topic::read(kafka, group_id, sync_topic, 0..*partitions)?;
            for sync in records.values() {
                targets.learn(sync);
            }
            Ok::<_, RestoreError<DecodeError>>(())
        });
        looked.await.expect("reading records does not panic, and nobody cancels it")
    };
    match work.setup.looks.share(look).await {
        Ok(()) => {
            let checked = work.setup.targets.check(&work.configured, &work.sync.organization_id);
            checked.map_err(|reason| Halt::Pause { reason, is_for_data: false })
        }
        Err(error) => {
            let reason = format!("failed to read the sync topic: {:#}", anyhow::Error::from(error));
            Err(Halt::Retry { after: None, reason })
        }
    }
}

async fn attempt(work: &Work, mut load: Load, sync: &mut Sync, open: &mut Open) -> Result<(), Halt> {
    let Work { client, job: about, .. } = work;
    let job_id = start(work, false, sync, open).await?;
    let objects = about.snapshot.all.counts.values().sum::<i64>();
    let most_refused = parking::most_refused(usize::try_from(objects).unwrap_or(0));
    let relationships = std::mem::take(&mut load.relationships);
    let sent = upload(client, &job_id, load, most_refused.saturating_sub(about.parked.len())).await?;
    let parked = parking::joined(&sync.parked, &about.parked, sent.refused.clone());
    let partial_types = about.partial_types_with(&parked);
    if !work.events.is_empty()
        && let Err(error) = client.publish(&job_id, &work.events).await
    {
        debug!(organization.name = work.organization, job.id = job_id, "events were not published: {error}");
    }
    service::failpoint!("sink::before_finalize");
    let finalized = client.finalize(&job_id, &partial_types).await?;
    // From here on JupiterOne goes on by itself: there is nothing to give up.
    *open = Open::Nothing;
    service::failpoint!("sink::after_finalize");
    let done = client.wait(finalized, FINALIZE_BOUND).await?;
    judge(&done)?;
    sync.intent = None;
    sync.paused = None;
    sync.approval = None;
    let endless = endless(&done, &parked, &relationships);
    let unwritten = done.write_errors().saturating_sub(endless).saturating_add(sent.missing(&done));
    sync.finished = Some(finished(work, &done, unwritten, &parked, partial_types));
    let before = std::mem::replace(&mut sync.parked, parked);
    service::failpoint!("sink::before_record");
    work.sync_topic.write(sync.clone()).await?;
    service::failpoint!("sink::after_record");
    tell(work, &done, endless);
    tell_refused(work, &before, &sync.parked);
    Ok(())
}

fn finished(
    work: &Work,
    done: &Job,
    unwritten: u64,
    parked: &[Parked],
    partial_types: Vec<String>,
) -> Finished {
    let (about, now_ms) = (&work.job, Timestamp::now().as_millisecond());
    let mut counts = about.snapshot.all.counts.clone();
    for (kind, parked) in parking::counts(parked) {
        counts.entry(kind).and_modify(|count| *count -= parked);
    }
    Finished {
        job_id: done.id.clone(),
        revision: about.revision,
        ended_ts_ms: now_ms,
        counts,
        partial_types,
        incomplete: about.incomplete.clone(),
        held: about.snapshot.held.counts.clone(),
        samples: about.snapshot.all.samples.clone(),
        held_samples: about.snapshot.held.samples.clone(),
        unwritten: i64::try_from(unwritten).unwrap_or(i64::MAX),
        tried_all_ts_ms: match &work.sync.finished {
            Some(before) if !about.parked.is_empty() => before.tried_all_ts_ms,
            _ => now_ms,
        },
    }
}

/// How many of the relationships that JupiterOne did not make lack an end because the entity is parked.
fn endless(done: &Job, parked: &[Parked], relationships: &BTreeMap<String, Vec<u32>>) -> u64 {
    let keys =
        parked.iter().filter(|parked| parked.state == parked::PARKED).map(|parked| &parked.element_key);
    // A relationship of two parked entities is one.
    let explained: BTreeSet<u32> = keys.filter_map(|key| relationships.get(key)).flatten().copied().collect();
    done.relationship_errors().min(explained.len() as u64)
}

/// Ends an earlier job of the target whose end is not recorded, so that there are never two; how it ended, where
/// JupiterOne still knows.
async fn settle(client: &JupiterOne, intent: &Intent) -> Result<Option<Job>, Halt> {
    let job = match client.abort(&intent.job_id, "another sync job of the same target follows").await {
        Ok(job) => job,
        // It is being finalized, or done, or was never heard of.
        Err(Error::JobEnded { .. } | Error::Refused { .. }) => match client.status(&intent.job_id).await {
            Ok(job) => job,
            Err(Error::JobEnded { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        },
        Err(error) => return Err(error.into()),
    };
    Ok(Some(client.wait(job, SETTLE_BOUND).await?))
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

fn tell(work: &Work, done: &Job, endless: u64) {
    let plan::Job { revision, cause, snapshot, partial_types, incomplete, .. } = &work.job;
    let objects: i64 = snapshot.all.counts.values().sum();
    info!(
        organization.name = work.organization,
        organization.id = work.sync.organization_id,
        job.id = done.id,
        revision,
        cause,
        objects,
        partial_types = partial_types.len(),
        relationships_of_parked = endless,
        "sync job finished"
    );
    if !partial_types.is_empty() {
        warn!(
            organization.name = work.organization,
            organization.id = work.sync.organization_id,
            types = partial_types.join(" "),
            collections = incomplete.len(),
            first = incomplete.first(),
            "JupiterOne keeps what is deleted of these types until their collections have been listed whole and \
             nothing of them is parked"
        );
    }
}

/// Names each object once that JupiterOne refuses, and says when it takes all again.
fn tell_refused(work: &Work, before: &[Parked], parked: &[Parked]) {
    let is_known =
        |now: &&Parked| before.iter().any(|it| it.element_key == now.element_key && it.state == now.state);
    for parked in parked.iter().filter(|now| !is_known(now)) {
        warn!(
            organization.name = work.organization,
            element.key = parked.element_key,
            state = parked.state,
            "JupiterOne refuses an object; `sink parked` shows why"
        );
    }
    if parked.is_empty() && !before.is_empty() {
        info!(organization.name = work.organization, "JupiterOne refuses no object any more");
    }
}
