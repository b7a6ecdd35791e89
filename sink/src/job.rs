//! One sync job, from the snapshot to FINISHED.

mod open;
mod probe;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use schemas::codec::DecodeError;
use schemas::sync::{Finished, Intent, Parked, ParkedState, Sync};
use service::config::Destination;
use service::kafka::restore::RestoreError;
use service::kafka::transaction;
use service::kafka::wait_for_commits::wait_for_all_commits;
use service::shutdown::CancellationToken;
use tracing::{debug, info, warn};

use self::open::{GivenUp, Open, give_up, start};
use self::upload::upload;
use crate::batch::Load;
use crate::jupiterone::{Error, Event, Job, JupiterOne};
use crate::organization::End;
use crate::organizations::Configured;
use crate::setup::Setup;
use crate::sync_topic::{self, SyncTopic};
use graph::plan::{self, Outcome, first_sync, parking};

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
    pub(crate) destination: Destination,
    /// The client of its account.
    pub(crate) client: Arc<JupiterOne>,
    /// What it is about.
    pub(crate) job: plan::Job,
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

/// Why it went no further.
#[derive(Debug)]
pub(crate) enum Halt {
    /// For JupiterOne's sake, or because the process ends.
    Ended(Outcome),
    /// The sync topic cannot be written.
    Lost(transaction::Error),
}

impl Halt {
    pub(crate) fn refused(reason: String) -> Self {
        Self::Ended(Outcome::Refused { reason, is_for_data: false })
    }

    pub(crate) fn failed(reason: String) -> Self {
        Self::Ended(Outcome::Failed { reason, after: None, leaves_jobs: false })
    }
}

impl From<transaction::Error> for Halt {
    fn from(error: transaction::Error) -> Self {
        Self::Lost(error)
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Ended(match error {
            Error::PauseOrganization { reason } => Outcome::Refused { reason, is_for_data: false },
            Error::Retry { after, reason } => Outcome::Failed { reason, after, leaves_jobs: false },
            Error::Unanswered { after, reason } => Outcome::Failed { reason, after, leaves_jobs: true },
            Error::JobEnded { .. } => return Self::failed(error.to_string()),
            Error::Refused { .. } | Error::SplitBatch => {
                Outcome::Refused { reason: error.brief(), is_for_data: true }
            }
        })
    }
}

/// Runs the job to its end. Never panics on what JupiterOne answers.
pub(crate) async fn run(work: Work, shutdown: CancellationToken) -> End {
    let mut sync = work.sync.clone();
    let mut open = Open::Nothing;
    let whole = async {
        begin(&work, &mut sync, &mut open).await?;
        attempt(&work, &mut sync, &mut open).await
    };
    let result = tokio::select! {
        result = whole => result,
        () = shutdown.cancelled() => Err(Halt::Ended(Outcome::Stopped)),
    };
    let outcome = match result {
        Ok(()) => return Ok((sync, Outcome::Finished)),
        Err(Halt::Ended(outcome)) => outcome,
        Err(Halt::Lost(error)) => {
            // The successor aborts it too; the sooner the better.
            give_up(&work, open, "another sink took over").await;
            return Err(error);
        }
    };
    // How a question ended is an answer, which the successor asks for.
    let is_question = sync.intent.as_ref().is_some_and(|intent| intent.asks);
    match give_up(&work, open, outcome.reason()).await {
        GivenUp::Ended if !is_question => sync.intent = None,
        GivenUp::Ended | GivenUp::Unknown => {}
        GivenUp::Left(intent) => sync.intent = Some(intent),
    }
    let sync = plan::ended(sync, &outcome, work.job.revision, now_ms());
    work.sync_topic.write(sync.clone()).await?;
    Ok((sync, outcome))
}

/// Ends what an earlier sink left open, and asks the target what it holds, where that is not known.
async fn begin(work: &Work, sync: &mut Sync, open: &mut Open) -> Result<(), Halt> {
    // One without an ID cannot be asked about; the next intent takes its place.
    if let Some(intent) = sync.intent.as_ref().filter(|intent| !intent.job_id.is_empty()) {
        service::failpoint!("sink::before_settle");
        let ended = settle(&work.client, intent).await?;
        if intent.asks {
            sync.found = ended.as_ref().and_then(probe::answer);
        }
        sync.intent = None;
    }
    let Some(account) = &work.account else { return Ok(()) };
    if sync.found.is_none() {
        probe::probe(work, account, sync, open).await?;
    }
    match first_sync::refused(sync, work.job.revision) {
        Some(reason) => Err(Halt::refused(reason)),
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
            wait_for_all_commits(kafka, sync_topic, 0..*partitions).map_err(RestoreError::Read)?;
            let records = sync_topic::read(kafka, group_id, sync_topic, 0..*partitions)?;
            for sync in records.values() {
                targets.learn(sync, now_ms());
            }
            Ok::<_, RestoreError<DecodeError>>(())
        });
        looked.await.expect("reading records does not panic and is never canceled")
    };
    match work.setup.looks.share(look).await {
        Ok(()) => {
            let checked = work.setup.targets.check(&work.configured, &work.sync.organization_id);
            checked.map_err(Halt::refused)
        }
        Err(error) => {
            Err(Halt::failed(format!("failed to read the sync topic: {:#}", anyhow::Error::from(error))))
        }
    }
}

async fn attempt(work: &Work, sync: &mut Sync, open: &mut Open) -> Result<(), Halt> {
    let Work { client, job: about, load, .. } = work;
    let job_id = start(work, false, sync, open).await?;
    let objects = about.snapshot.all.counts.values().sum::<i64>();
    let most_refused = parking::most_refused(usize::try_from(objects).unwrap_or(0));
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
    // From here on JupiterOne works alone: there is nothing to abort.
    *open = Open::Nothing;
    service::failpoint!("sink::after_finalize");
    let done = client.wait(finalized, FINALIZE_BOUND).await?;
    judge(&done)?;
    sync.intent = None;
    sync.approval = None;
    let without_end = relationships_of_parked(&done, &parked, load);
    let unwritten = done.write_errors().saturating_sub(without_end).saturating_add(sent.missing(&done));
    sync.finished = Some(finished(work, &done, unwritten, &parked, partial_types));
    let before = std::mem::replace(&mut sync.parked, parked);
    *sync = plan::ended(std::mem::take(sync), &Outcome::Finished, about.revision, now_ms());
    service::failpoint!("sink::before_record");
    work.sync_topic.write(sync.clone()).await?;
    service::failpoint!("sink::after_record");
    log_finished(work, &done, without_end);
    log_refused(work, &before, &sync.parked);
    Ok(())
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

fn finished(
    work: &Work,
    done: &Job,
    unwritten: u64,
    parked: &[Parked],
    partial_types: Vec<String>,
) -> Finished {
    let (about, now_ms) = (&work.job, now_ms());
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
        nhi_class: work.configured.rules.nhi_class.then_some(true),
    }
}

/// How many of the relationships that JupiterOne did not make lack an end because the entity is parked.
fn relationships_of_parked(done: &Job, parked: &[Parked], load: &Load) -> u64 {
    let parked = parked.iter().filter(|parked| parked.state == ParkedState::Parked);
    let keys: Vec<&str> = parked.map(|parked| parked.element_key.as_str()).collect();
    done.relationship_errors().min(load.relationships_of(&keys) as u64)
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
        Err(Halt::Ended(Outcome::Refused { reason, is_for_data: true }))
    } else {
        Err(Halt::failed(format!("sync job {id} ended as {status}")))
    }
}

fn log_finished(work: &Work, done: &Job, relationships_of_parked: u64) {
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
        relationships_of_parked,
        "sync job finished: JupiterOne holds {objects} objects of {} at revision {revision}",
        work.organization
    );
    if !partial_types.is_empty() {
        warn!(
            organization.name = work.organization,
            organization.id = work.sync.organization_id,
            types = partial_types.join(" "),
            collections = incomplete.len(),
            first = incomplete.first(),
            "JupiterOne keeps deleted objects of these types until their collections are listed whole and \
             none of their objects is parked"
        );
    }
}

/// Names each object once that JupiterOne refuses, and says when it takes all again.
fn log_refused(work: &Work, before: &[Parked], parked: &[Parked]) {
    let is_known =
        |now: &&Parked| before.iter().any(|it| it.element_key == now.element_key && it.state == now.state);
    for parked in parked.iter().filter(|now| !is_known(now)) {
        warn!(
            organization.name = work.organization,
            element.key = parked.element_key,
            state = parked.state.as_str(),
            "JupiterOne refuses an object of {}; `anthropic-graph sync parked` shows why",
            work.organization
        );
    }
    if parked.is_empty() && !before.is_empty() {
        info!(
            organization.name = work.organization,
            "JupiterOne no longer refuses any object of {}", work.organization
        );
    }
}
