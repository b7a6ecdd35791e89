//! A task's sync jobs: started and taken in when they end, as [`graph::plan::next`] decides.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use schemas::element::ElementType;
use service::config::Destination;
use service::shell::pasteable;
use service::shutdown::CancellationToken;
use service::tasks::Error;
use service::traces::{Parent, Span, SpanKind};
use tracing::{error, info, warn};

use super::{TICK, Task, now_ms, show_behind};
use crate::batch::{Load, MAX_BODY_BYTES, Progress};
use crate::events;
use crate::job::{self, Work};
use crate::organization::{End, Organization};
use crate::setup::Setup;
use crate::sync_topic::SyncTopic;
use graph::jupiterone::Members;
use graph::plan::{self, Outcome, Phase, Situation, Urgency};
use graph::state::State;

/// How often the records of a paused organization are read again: how soon a decision is noticed. Each is a consumer
/// of its own for a moment.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

impl Task {
    pub(super) fn start_jobs(&mut self) -> Result<(), Error> {
        self.look_for_decisions()?;
        let now_ms = now_ms();
        let changes = self.setup.targets.changes();
        let has_changed = std::mem::replace(&mut self.target_changes, changes) != changes;
        let has_place = self.setup.jobs.available_permits() > 0;
        // Whether another organization has the name or the target decides about paused ones only.
        let is_due = |it: &&Organization| {
            (it.due_ms <= now_ms || (has_changed && it.is_paused)) && (has_place || !it.is_queued())
        };
        let due = self.organizations.values().filter(is_due);
        let ids: Vec<String> = due.map(|organization| organization.id.clone()).collect();
        for id in ids {
            self.decide(&id, Urgency::Patient, true)?;
        }
        Ok(())
    }

    /// A person's `anthropic-graph sync approve` or `sync resync` fences this task, which a paused one, that writes
    /// nothing, would never notice: now and then it looks whether the records are still its own.
    fn look_for_decisions(&mut self) -> Result<(), Error> {
        let is_paused = self.organizations.values().any(|organization| organization.is_paused);
        if !is_paused || self.looked.elapsed() < LOOK_INTERVAL {
            return Ok(());
        }
        self.looked = Instant::now();
        // A job that runs writes records while they are read.
        let idle = self.organizations.values().filter(|organization| organization.running.is_none());
        let keys: Vec<String> = idle.map(|organization| organization.sync.key()).collect();
        self.is_overwritten = self.topic.is_overwritten(&keys)?;
        if self.is_overwritten {
            Err(Error::Fenced(anyhow!(
                "another process took over; its records are in the place of this one's"
            )))
        } else {
            Ok(())
        }
    }

    pub(super) fn take_ended(&mut self) -> Result<(), Error> {
        let ended: Vec<String> = self
            .organizations
            .values()
            .filter(|organization| organization.running.is_some() && !organization.is_running())
            .map(|organization| organization.id.clone())
            .collect();
        for id in ended {
            self.take_end(&id)?;
        }
        Ok(())
    }

    /// Shows how much is uploaded by now.
    pub(super) fn show_uploads(&self) {
        let running = self.organizations.values().filter(|organization| organization.is_running());
        running.for_each(|organization| show(&self.setup, organization));
    }

    /// Waits for the sync jobs that run. They are given up when the end is asked for.
    pub(crate) fn wait_for_jobs(&mut self, shutdown: &CancellationToken) {
        let Self { setup, organizations, .. } = self;
        setup.runtime.block_on(async {
            tokio::select! {
                () = all_ended(organizations) => {}
                () = shutdown.cancelled() => {}
            }
        });
    }

    /// Waits for the organization's job, if one runs, and takes in how it ended. What follows is decided next.
    pub(crate) fn take_end(&mut self, id: &str) -> Result<Option<Outcome>, Error> {
        let organization = self.organizations.get_mut(id).expect("an organization is never taken away");
        let Some(running) = organization.running.take() else { return Ok(None) };
        organization.load = None;
        let end = self.setup.runtime.block_on(running).unwrap_or_else(|_| {
            let reason = "the sync job's code panicked".to_owned();
            let outcome = Outcome::Failed { reason, after: None, leaves_jobs: true };
            let revision = self.states.get(id).map_or(0, |state| state.poll().revision);
            Ok((plan::ended(organization.sync.clone(), &outcome, revision, now_ms()), outcome))
        });
        let (sync, outcome) = end?;
        let counted = match outcome {
            Outcome::Finished if sync.wait.is_some() => "incomplete",
            Outcome::Finished => "finished",
            Outcome::Refused { .. } => "refused",
            Outcome::Failed { .. } => "failed",
            Outcome::Stopped => "aborted",
        };
        let name = &organization.configured.name;
        self.setup.metrics.count_sync_job(name, counted);
        self.setup.metrics.set_parked(name, &sync.parked);
        if let (Outcome::Finished, Some(finished)) = (&outcome, &sync.finished) {
            for observed_ms in organization.arrivals.synced(finished.revision) {
                let way = u64::try_from(finished.ended_ts_ms - observed_ms).unwrap_or_default();
                self.setup.metrics.observed_to_synced(name, Duration::from_millis(way));
            }
        }
        organization.sync = sync;
        show_behind(&self.setup.metrics, organization);
        organization.due_ms = i64::MIN;
        Ok(Some(outcome))
    }

    /// Decides about an organization, and starts its job if one is due and `may_start`.
    pub(crate) fn decide(&mut self, id: &str, urgency: Urgency, may_start: bool) -> Result<(), Error> {
        let Some(state) = self.states.get(id) else { return Ok(()) };
        let organization =
            self.organizations.get_mut(id).expect("only known organizations are decided about");
        if organization.running.is_some() {
            return Ok(());
        }
        let setup = &self.setup;
        let permit = if may_start { Arc::clone(&setup.jobs).try_acquire_owned().ok() } else { None };
        let now_ms = now_ms();
        let next = |conflict: Option<&str>| {
            let situation = Situation {
                organization_id: id,
                state,
                sync: &organization.sync,
                rules: &organization.configured.rules,
                partition: self.partition,
                partitions: setup.partitions,
                conflict,
                has_turn: permit.is_some(),
                now_ms,
                urgency,
            };
            plan::next(organization.phase.as_ref(), &situation)
        };
        let conflict = setup.targets.check(&organization.configured, id).err();
        let mut decision = next(conflict.as_deref());
        if decision.job.is_some()
            && let Err(reason) = setup.targets.claim(&organization.configured, id, now_ms)
        {
            decision = next(Some(&reason));
        }
        if let (Some(job), Some(permit)) = (decision.job, permit) {
            let finished = organization.sync.finished.as_ref().map_or(0, |finished| finished.revision);
            let span = span(organization, &job, &self.traces.after(id, finished));
            let work = work(setup, organization, state, job, &self.topic);
            organization.load = Some(work.load.clone());
            let stopping = self.stop_jobs.clone();
            let (metrics, name) = (setup.metrics.clone(), organization.configured.name.clone());
            organization.running = Some(setup.runtime.spawn(async move {
                let (_permit, began) = (permit, Instant::now());
                let end = span.around(job::run(work, stopping)).await;
                mark(&span, &end);
                metrics.sync_job_took(&name, began.elapsed());
                end
            }));
        }
        organization.due_ms = decision.phase.due_ms(now_ms);
        if matches!(decision.phase, Phase::Synced { .. } | Phase::Paused { .. }) {
            self.topic.write_now(&decision.record)?;
            organization.sync = decision.record;
        }
        enter(setup, organization, decision.phase);
        Ok(())
    }

    /// The same, once few enough other jobs run.
    pub(crate) fn decide_in_turn(
        &mut self,
        id: &str,
        urgency: Urgency,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        loop {
            self.decide(id, urgency, true)?;
            if !self.organizations[id].is_queued() || shutdown.is_cancelled() {
                return Ok(());
            }
            let Setup { runtime, jobs, .. } = self.setup.as_ref();
            runtime.block_on(async {
                tokio::select! {
                    _ = jobs.acquire() => {}
                    () = shutdown.cancelled() => {}
                }
            });
        }
    }
}

/// The job's span, which goes on from the newest record that JupiterOne lacks.
fn span(organization: &Organization, job: &plan::Job, parents: &[Parent]) -> Span {
    let span = Span::after(parents, "sync job", SpanKind::Consumer);
    span.set("organization.name", &organization.configured.name);
    span.set("organization.id", &organization.id);
    span.set_number("revision", job.revision);
    span.set("cause", job.cause);
    span
}

fn mark(span: &Span, end: &End) {
    match end {
        Ok((_, Outcome::Finished)) => {}
        Ok((_, outcome @ Outcome::Refused { .. })) => span.fail("refused", outcome.reason()),
        Ok((_, outcome @ Outcome::Failed { .. })) => span.fail("failed", outcome.reason()),
        Ok((_, outcome @ Outcome::Stopped)) => span.fail("stopped", outcome.reason()),
        Err(error) => span.fail("transaction", error),
    }
}

/// What the job needs, taken from the state as it is now.
fn work(
    setup: &Arc<Setup>,
    organization: &Organization,
    state: &State,
    job: plan::Job,
    topic: &Arc<SyncTopic>,
) -> Work {
    let has_nhi = organization.configured.rules.nhi_class;
    let members = has_nhi.then(|| Members::of(state.graph().iter()));
    let load = Load::new(state.graph().elements(), &job.parked, members, MAX_BODY_BYTES);
    let is_instance = matches!(organization.configured.destination, Destination::Instance(_));
    let events = if is_instance { events::events(state, &job.incomplete) } else { Vec::new() };
    let account = ElementType::Account.entity_key(&organization.id);
    let account = state.graph().get(&account).filter(|_| job.needs_probe);
    let account = account.map(|account| Load::new([account].into_iter(), &[], None, MAX_BODY_BYTES));
    Work {
        setup: Arc::clone(setup),
        configured: Arc::clone(&organization.configured),
        organization: organization.configured.name.clone(),
        destination: organization.configured.destination.clone(),
        client: Arc::clone(&organization.configured.client),
        job,
        load,
        account,
        events,
        sync: organization.sync.clone(),
        sync_topic: Arc::clone(topic),
    }
}

/// Enters a phase, and reports a new one in the log, in the metrics and in `/readyz`.
fn enter(setup: &Setup, organization: &mut Organization, phase: Phase) {
    let (name, id) = (&organization.configured.name, &organization.id);
    let (is, text) = (phase.name(), pasteable(&phase.describe(), &setup.program));
    let before = organization.phase.as_ref();
    let is_new = before.map(Phase::name) != Some(is);
    match &phase {
        Phase::Paused { .. } if !organization.is_paused => {
            error!(organization.name = name, organization.id = id, phase = is, "{name} is paused: {text}");
        }
        // The reason names the revision, so each change of the graph makes another one: no person is alerted again.
        Phase::Paused { .. } if before != Some(&phase) => {
            info!(
                organization.name = name,
                organization.id = id,
                phase = is,
                "{name} is still paused: {text}"
            );
        }
        Phase::Retrying { .. } if is_new => {
            warn!(organization.name = name, organization.id = id, phase = is, "{name} is retrying: {text}");
        }
        Phase::Synced { .. } | Phase::Waiting(_) | Phase::Uploading { .. } if is_new => {
            info!(organization.name = name, organization.id = id, phase = is, "{name} is {is}: {text}");
        }
        Phase::Paused { .. }
        | Phase::Retrying { .. }
        | Phase::Synced { .. }
        | Phase::Waiting(_)
        | Phase::Uploading { .. } => {}
    }
    if matches!(phase, Phase::Paused { retry: None, .. }) && before != Some(&phase) {
        setup.metrics.count_sync_job(name, "refused");
    }
    organization.is_paused = match phase {
        Phase::Paused { .. } => true,
        Phase::Synced { .. } | Phase::Retrying { .. } => false,
        Phase::Waiting(_) | Phase::Uploading { .. } => organization.is_paused,
    };
    setup.metrics.set_phase(name, is, &Phase::NAMES);
    setup.metrics.set_parked(name, &organization.sync.parked);
    organization.phase = Some(phase);
    show(setup, organization);
}

/// Shows the phase in `/readyz`.
fn show(setup: &Setup, organization: &Organization) {
    let Some(phase) = &organization.phase else { return };
    let mut text = format!("{}: {}", phase.name(), pasteable(&phase.describe(), &setup.program));
    if let Some(Progress { done, objects }) = organization.load.as_ref().map(Load::progress) {
        write!(text, "; {done} of {objects} objects are uploaded").expect("writing to a String cannot fail");
    }
    let readiness = match &organization.sync.wait {
        None => Ok(text),
        Some(_) if matches!(phase, Phase::Retrying { .. } | Phase::Paused { .. }) => Err(text),
        // Not ready before that has come to an end.
        Some(wait) => Err(format!("{text}; before: {}", pasteable(&wait.reason, &setup.program))),
    };
    setup.health.report(check_name(&organization.configured.name), readiness);
}

/// Waits until no job runs.
async fn all_ended(organizations: &BTreeMap<String, Organization>) {
    while organizations.values().any(Organization::is_running) {
        tokio::time::sleep(TICK).await;
    }
}

pub(super) fn check_name(organization: &str) -> String {
    format!("organization {organization}")
}
