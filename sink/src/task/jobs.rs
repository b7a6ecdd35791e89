//! A task's sync jobs: planned, started, taken in when they end, refused with the reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schemas::element::ElementType;
use schemas::sync::Sync;
use service::config::Destination;
use service::shutdown::Shutdown;
use tracing::{error, info, warn};

use super::error::{TaskError, restore_failed, write_failed};
use super::{STOPPED, TICK, Task, now_ms};
use crate::batch::{self, MAX_BODY_BYTES};
use crate::events;
use crate::job::{self, End, Work};
use crate::organization::Considered;
use crate::organization::Organization;
use crate::setup::Setup;
use graph::plan::guard::Sampled;
use graph::plan::{self, Plan, Urgency};

/// How often the records of a paused organization are read again: how soon a decision is noticed. Each is a consumer
/// of its own for a moment.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

impl Task {
    pub(super) fn start_jobs(&mut self) -> Result<(), TaskError> {
        self.look_for_decisions()?;
        let now_ms = now_ms();
        let changes = self.setup.targets.changes();
        let has_changed = std::mem::replace(&mut self.target_changes, changes) != changes;
        // Whether another organization has the name or the target decides about refused ones only.
        let is_due = |it: &&Organization| it.due_ms <= now_ms || (has_changed && it.refusal.is_some());
        let due = self.organizations.values().filter(is_due);
        let ids: Vec<String> = due.map(|organization| organization.id.clone()).collect();
        for id in ids {
            if self.organizations[&id].is_queued && self.setup.jobs.available_permits() == 0 {
                continue;
            }
            self.consider(&id, Urgency::Patient)?;
        }
        Ok(())
    }

    /// A person's `sink approve` or `sink resync` fences this task, which a paused one, that writes nothing, would
    /// never notice: now and then it looks whether the records are still its own.
    fn look_for_decisions(&mut self) -> Result<(), TaskError> {
        let is_paused = self.organizations.values().any(|organization| organization.refusal.is_some());
        if !is_paused || self.looked.elapsed() < LOOK_INTERVAL {
            return Ok(());
        }
        self.looked = Instant::now();
        // A job that runs writes records while they are read.
        let idle = self.organizations.values().filter(|organization| organization.running.is_none());
        let keys: Vec<String> = idle.map(|organization| organization.sync.key()).collect();
        self.is_overwritten =
            self.topic.is_overwritten(&keys).map_err(|error| restore_failed(self.partition, error))?;
        if self.is_overwritten { Err(TaskError::Fenced(self.partition)) } else { Ok(()) }
    }

    pub(super) fn take_ended(&mut self) -> Result<(), TaskError> {
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

    /// Waits for the sync jobs that run. They are given up when the end is asked for.
    pub(crate) fn wait_for_jobs(&mut self, shutdown: &Shutdown) {
        let Self { setup, organizations, trigger, .. } = self;
        setup.runtime.block_on(async {
            tokio::select! {
                () = all_ended(organizations) => {}
                () = shutdown.requested() => trigger.ask(),
            }
        });
    }

    /// Waits for the organization's job, if one runs, and takes in how it ended.
    pub(crate) fn take_end(&mut self, id: &str) -> Result<(), TaskError> {
        let organization = self.organizations.get_mut(id).expect("an organization is never taken away");
        let Some(running) = organization.running.take() else { return Ok(()) };
        let end = self.setup.runtime.block_on(running).unwrap_or_else(|_| End::Retry {
            sync: organization.sync.clone(),
            after: None,
            reason: "the sync job's code panicked".to_owned(),
            leaves_jobs: true,
        });
        organization.due_ms = i64::MIN;
        let name = organization.configured.name.clone();
        let now_ms = now_ms();
        match end {
            End::Finished(sync) => match plan::unwritten(&sync) {
                None => {
                    organization.finished(sync);
                    self.setup.metrics.count_sync_job(&name, "finished");
                    self.tell(id, None);
                }
                Some(reason) => {
                    let pause = organization.unwritten(sync, reason.clone(), now_ms);
                    self.setup.metrics.count_sync_job(&name, "incomplete");
                    warn!(
                        organization.name = name,
                        organization.id = id,
                        pause_s = pause.as_secs(),
                        "{reason}"
                    );
                    self.tell(id, None);
                    self.setup.health.set(check_name(&name), Err(reason));
                }
            },
            End::Paused { sync, revision, is_for_data } => {
                let reason = sync.paused.clone().unwrap_or_default();
                organization.paused(sync, revision, is_for_data, now_ms);
                self.setup.metrics.count_sync_job(&name, "refused");
                self.tell(id, Some(reason));
            }
            End::Retry { sync, after, reason, leaves_jobs } => {
                let pause = organization.failed(sync, after, leaves_jobs, reason.clone(), now_ms);
                let resumes = organization.resumes(now_ms);
                self.setup.metrics.count_sync_job(&name, "failed");
                warn!(
                    organization.name = name,
                    organization.id = id,
                    pause_s = pause.as_secs(),
                    "sync job failed, and is tried again: {reason}"
                );
                self.setup.health.set(check_name(&name), Err(format!("{reason}{resumes}")));
            }
            End::Stopped => {
                organization.failure = Some(STOPPED.to_owned());
                self.setup.metrics.count_sync_job(&name, "aborted");
            }
            End::Lost(error) => return Err(write_failed(self.partition, error)),
        }
        Ok(())
    }

    /// Plans for an organization and starts its job if one is due.
    pub(crate) fn consider(&mut self, id: &str, urgency: Urgency) -> Result<Considered, TaskError> {
        let considered = self.planned(id, urgency)?;
        let organization = self.organizations.get_mut(id).expect("only known organizations are considered");
        organization.considered(considered, now_ms());
        Ok(considered)
    }

    /// The same, once few enough other jobs run.
    pub(crate) fn consider_in_turn(
        &mut self,
        id: &str,
        urgency: Urgency,
        shutdown: &Shutdown,
    ) -> Result<Considered, TaskError> {
        loop {
            let considered = self.consider(id, urgency)?;
            if considered != Considered::Queued || shutdown.is_requested() {
                return Ok(considered);
            }
            let Setup { runtime, jobs, .. } = self.setup.as_ref();
            runtime.block_on(async {
                tokio::select! {
                    _ = jobs.acquire() => {}
                    () = shutdown.requested() => {}
                }
            });
        }
    }

    fn planned(&mut self, id: &str, urgency: Urgency) -> Result<Considered, TaskError> {
        let Some(state) = self.states.get(id) else { return Ok(Considered::Waiting) };
        let organization = self.organizations.get_mut(id).expect("only known organizations are considered");
        if organization.running.is_some() {
            return Ok(Considered::Started);
        }
        let now_ms = now_ms();
        if let Err(reason) = self.setup.targets.check(&organization.configured, id) {
            return self.refuse(id, reason);
        }
        let place = (self.partition, self.setup.partitions);
        let job = match organization.plan(state, place, urgency, now_ms) {
            Plan::Nothing => {
                let held = plan::newly_held(state, &organization.sync);
                self.tell(id, None);
                self.record_held(id, held)?;
                return self.record_pause(id, None).map(|()| Considered::Synced);
            }
            Plan::Wait => return Ok(Considered::Waiting),
            Plan::Refuse(reason) => return self.refuse(id, reason),
            Plan::Sync(job) => job,
        };
        let Ok(permit) = Arc::clone(&self.setup.jobs).try_acquire_owned() else {
            return Ok(Considered::Queued);
        };
        if let Err(reason) = self.setup.targets.claim(&organization.configured, id, now_ms) {
            return self.refuse(id, reason);
        }
        let load = batch::load(state.graph().elements(), &job.parked, MAX_BODY_BYTES);
        let is_instance = matches!(organization.configured.destination, Destination::Instance(_));
        let events = if is_instance { events::events(state, &job.incomplete) } else { Vec::new() };
        let account = ElementType::Account.entity_key(id);
        let account = state.graph().get(&account).filter(|_| job.asks);
        let account = account.map(|account| batch::load([account].into_iter(), &[], MAX_BODY_BYTES));
        let work = Work {
            setup: Arc::clone(&self.setup),
            configured: Arc::clone(&organization.configured),
            organization: organization.configured.name.clone(),
            destination: organization.configured.destination.clone(),
            client: Arc::clone(&organization.configured.client),
            job,
            load,
            account,
            events,
            sync: organization.sync.clone(),
            sync_topic: Arc::clone(&self.topic),
        };
        let stopping = self.stopping.clone();
        organization.running = Some(self.setup.runtime.spawn(async move {
            let _permit = permit;
            job::run(work, stopping).await
        }));
        Ok(Considered::Started)
    }

    fn refuse(&mut self, id: &str, reason: String) -> Result<Considered, TaskError> {
        let organization = self.organizations.get(id).expect("only known organizations are refused");
        if organization.refusal.as_ref() != Some(&reason) {
            self.setup.metrics.count_sync_job(&organization.configured.name, "refused");
            self.tell(id, Some(reason.clone()));
        }
        self.record_pause(id, Some(reason))?;
        Ok(Considered::Refused)
    }

    /// Says once why the organization is paused, or that it no longer is.
    fn tell(&mut self, id: &str, reason: Option<String>) {
        let organization = self.organizations.get_mut(id).expect("only known organizations are told of");
        let (name, resumes) = (&organization.configured.name, organization.resumes(now_ms()));
        if let Some(reason) = &reason
            && organization.refusal.as_ref() != Some(reason)
        {
            error!(organization.name = name, organization.id = id, "paused: {reason}{resumes}");
        } else if reason.is_none() && organization.refusal.is_some() {
            info!(organization.name = name, organization.id = id, "no longer paused");
        }
        self.setup.metrics.set_paused(name, reason.is_some());
        self.setup.metrics.set_parked(name, &organization.sync.parked);
        let check = reason.as_ref().map_or(Ok(()), |reason| Err(format!("{reason}{resumes}")));
        self.setup.health.set(check_name(name), check);
        organization.refusal = reason;
    }

    /// Writes why the organization is paused to the sync topic, if that is new.
    fn record_pause(&mut self, id: &str, paused: Option<String>) -> Result<(), TaskError> {
        let organization = self.organizations.get(id).expect("only known organizations are recorded");
        let sync = Sync { paused, ..organization.sync.clone() };
        self.record(id, sync)
    }

    /// Writes what is held of what JupiterOne holds, if that is new: the approval of a hold explains its deletion,
    /// although no sync job ran between the two.
    fn record_held(&mut self, id: &str, held: Option<Sampled>) -> Result<(), TaskError> {
        let organization = self.organizations.get(id).expect("only known organizations are recorded");
        let mut sync = organization.sync.clone();
        if let (Some(finished), Some(held)) = (&mut sync.finished, held) {
            (finished.held, finished.held_samples) = (held.counts, held.samples);
        }
        self.record(id, sync)
    }

    fn record(&mut self, id: &str, sync: Sync) -> Result<(), TaskError> {
        let organization = self.organizations.get_mut(id).expect("only known organizations are recorded");
        self.topic.write_now(&sync).map_err(|error| write_failed(self.partition, error))?;
        organization.sync = sync;
        Ok(())
    }
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
