//! A task's sync jobs: planned, started, taken in when they end, refused with the reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use service::config::Destination;
use service::exit::Shutdown;
use tracing::{error, info, warn};

use super::error::{TaskError, write_failed};
use super::{Considered, STOPPED, TICK, Task, now_ms};
use crate::batch::{self, MAX_BODY_BYTES};
use crate::events;
use crate::job::{self, End, Work};
use crate::organization::Organization;
use crate::plan::{Plan, Urgency};

impl Task {
    pub(super) fn start_jobs(&mut self) -> Result<(), TaskError> {
        let ids: Vec<String> = self.organizations.keys().cloned().collect();
        for id in ids {
            self.consider(&id, Urgency::Patient)?;
        }
        Ok(())
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
        });
        let name = organization.configured.name.clone();
        let now_ms = now_ms();
        match end {
            End::Finished(sync) => {
                organization.finished(sync);
                self.setup.metrics.count_sync_job(&name, "finished");
                self.tell(id, None);
            }
            End::Paused { sync, revision, is_for_data } => {
                let reason = sync.paused.clone().unwrap_or_default();
                organization.paused(sync, revision, is_for_data, now_ms);
                self.setup.metrics.count_sync_job(&name, "refused");
                self.tell(id, Some(reason));
            }
            End::Retry { sync, after, reason } => {
                let pause = organization.failed(sync, after, reason.clone(), now_ms);
                self.setup.metrics.count_sync_job(&name, "failed");
                warn!(
                    organization.name = name,
                    organization.id = id,
                    pause_s = pause.as_secs(),
                    "sync job failed, and is tried again: {reason}"
                );
                self.setup.health.set(check_name(&name), Err(reason));
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
        let Some(state) = self.states.get(id) else { return Ok(Considered::Waiting) };
        let organization = self.organizations.get_mut(id).expect("only known organizations are considered");
        if organization.running.is_some() {
            return Ok(Considered::Started);
        }
        let now_ms = now_ms();
        if let Err(reason) = self.setup.directory.check(&organization.configured, id) {
            return self.refuse(id, reason);
        }
        let place = (self.partition, self.setup.partitions);
        let job = match organization.plan(state, place, urgency, now_ms) {
            Plan::Nothing => {
                self.tell(id, None);
                return self.record_pause(id, None).map(|()| Considered::Synced);
            }
            Plan::Wait => return Ok(Considered::Waiting),
            Plan::Refuse(reason) => return self.refuse(id, reason),
            Plan::Sync(job) => job,
        };
        if let Err(reason) = self.setup.directory.claim(&organization.configured, id, now_ms) {
            return self.refuse(id, reason);
        }
        let batches = match batch::batches(state.graph().elements(), MAX_BODY_BYTES) {
            Ok(batches) => batches,
            Err(too_large) => return self.refuse(id, too_large.to_string()),
        };
        let is_instance = matches!(organization.configured.destination, Destination::Instance(_));
        let events = if is_instance { events::events(state, &job.incomplete) } else { Vec::new() };
        let work = Work {
            organization: organization.configured.name.clone(),
            destination: organization.configured.destination.clone(),
            client: Arc::clone(&organization.configured.client),
            job,
            batches,
            events,
            sync: organization.sync.clone(),
            sync_topic: Arc::clone(
                &self.writer.as_ref().expect("opened when the organization was met").topic,
            ),
        };
        organization.running = Some(self.setup.runtime.spawn(job::run(work, self.stopping.clone())));
        Ok(Considered::Started)
    }

    fn refuse(&mut self, id: &str, reason: String) -> Result<Considered, TaskError> {
        let organization = self.organizations.get(id).expect("only known organizations are refused");
        if organization.refusal.as_ref() != Some(&reason) {
            self.setup.metrics.count_sync_job(&organization.configured.name, "refused");
            self.tell(id, Some(reason.clone()));
        }
        self.record_pause(id, Some(reason)).map(|()| Considered::Refused)
    }

    /// Says once why the organization is paused, or that it no longer is.
    fn tell(&mut self, id: &str, reason: Option<String>) {
        let organization = self.organizations.get_mut(id).expect("only known organizations are told of");
        let name = &organization.configured.name;
        if let Some(reason) = &reason
            && organization.refusal.as_ref() != Some(reason)
        {
            error!(organization.name = name, organization.id = id, "paused: {reason}");
        } else if reason.is_none() && organization.refusal.is_some() {
            info!(organization.name = name, organization.id = id, "no longer paused");
        }
        self.setup.health.set(check_name(name), reason.clone().map_or(Ok(()), Err));
        organization.refusal = reason;
    }

    /// Writes why the organization is paused to the sync topic, if that is new.
    fn record_pause(&mut self, id: &str, reason: Option<String>) -> Result<(), TaskError> {
        let organization = self.organizations.get_mut(id).expect("only known organizations are recorded");
        if organization.sync.paused == reason {
            return Ok(());
        }
        let Some(writer) = &self.writer else { return Ok(()) };
        let sync = schemas::sync::Sync { paused: reason, ..organization.sync.clone() };
        let written = self.setup.runtime.block_on(writer.topic.write(sync.clone()));
        written.map_err(|error| write_failed(self.partition, error))?;
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
