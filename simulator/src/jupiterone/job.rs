//! A sync job: its life cycle, counters and staged uploads.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::object::{Address, Object};
use super::sync_mode::SyncMode;

/// How many events a job keeps, the first ones: an integration sends a few per step.
const EVENTS_LIMIT: usize = 10_000;

/// The state of a sync job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    AwaitingUploads,
    /// Finalize was asked for.
    FinalizePending,
    /// Entities are being written.
    FinalizingEntities,
    /// Entities are written, relationships are being written.
    FinalizingRelationships,
    /// Done: the graph is as uploaded.
    Finished,
    /// Done: given up by the client.
    Aborted,
    /// Done: given up by the client for its configuration.
    AbortedDueToInvalidConfiguration,
    ErrorBadData,
    ErrorUnexpectedFailure,
}

impl Status {
    /// Whether nothing comes after it.
    pub fn is_done(self) -> bool {
        !matches!(
            self,
            Self::AwaitingUploads
                | Self::FinalizePending
                | Self::FinalizingEntities
                | Self::FinalizingRelationships
        )
    }

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::AwaitingUploads => "AWAITING_UPLOADS",
            Self::FinalizePending => "FINALIZE_PENDING",
            Self::FinalizingEntities => "FINALIZING_ENTITIES",
            Self::FinalizingRelationships => "FINALIZING_RELATIONSHIPS",
            Self::Finished => "FINISHED",
            Self::Aborted => "ABORTED",
            Self::AbortedDueToInvalidConfiguration => "ABORTED_DUE_TO_INVALID_CONFIGURATION",
            Self::ErrorBadData => "ERROR_BAD_DATA",
            Self::ErrorUnexpectedFailure => "ERROR_UNEXPECTED_FAILURE",
        }
    }
}

/// Whose data a job holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    /// As sent: `api`, `integration-external` or `integration-managed`.
    pub(crate) source: String,
    /// The scope, or the integration instance's id.
    pub(crate) scope: String,
}

impl Owner {
    pub(crate) fn is_instance(&self) -> bool {
        self.source != "api"
    }
}

/// What was uploaded and waits for finalize.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) entities: BTreeMap<Address, Object>,
    pub(crate) relationships: BTreeMap<Address, Object>,
    pub(crate) delete_entities: BTreeSet<Address>,
    pub(crate) delete_relationships: BTreeSet<Address>,
    /// Correlation id and content digest of each batch taken.
    pub(crate) batches: BTreeSet<(String, [u8; 32])>,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) owner: Owner,
    pub(crate) mode: SyncMode,
    pub(crate) ignore_duplicates: bool,
    pub(crate) status: Status,
    pub(crate) counters: Counters,
    pub(crate) staged: Staged,
    pub(crate) partial_types: BTreeSet<String>,
    /// Status requests since finalize.
    pub(crate) polls: u32,
    /// What it ends in; `FINISHED` unless a fault says otherwise.
    pub(crate) ends_in: Status,
    /// Whether its entities are written although it does not end in `FINISHED`.
    pub(crate) writes_entities: bool,
    /// Keys of objects that it does not write.
    pub(crate) lost: BTreeSet<String>,
    started: u64,
    ended: Option<u64>,
    reason: Option<String>,
    events: Vec<Value>,
    errors_occurred: bool,
}

impl Job {
    pub(crate) fn new(id: String, owner: Owner, mode: SyncMode, now: u64) -> Self {
        Self {
            id,
            owner,
            mode,
            ignore_duplicates: false,
            status: Status::AwaitingUploads,
            counters: Counters::default(),
            staged: Staged::default(),
            partial_types: BTreeSet::new(),
            polls: 0,
            ends_in: Status::Finished,
            writes_entities: true,
            lost: BTreeSet::new(),
            started: now,
            ended: None,
            reason: None,
            events: Vec::new(),
            errors_occurred: false,
        }
    }

    /// Ends the job; its uploads are dropped.
    pub(crate) fn end(&mut self, status: Status, reason: Option<String>, now: u64) {
        self.status = status;
        self.reason = reason;
        self.ended = status.is_done().then_some(now);
        self.staged = Staged::default();
    }

    pub(crate) fn add_event(&mut self, event: Value) {
        self.errors_occurred |= event["name"].as_str().is_some_and(|name| name.contains("error"));
        if self.events.len() < EVENTS_LIMIT {
            self.events.push(event);
        }
    }

    /// The job as the API shows it.
    pub(crate) fn to_json(&self, account_id: &str) -> Value {
        let mut json = json!(self.counters);
        json["id"] = json!(self.id);
        json["source"] = json!(self.owner.source);
        if self.owner.is_instance() {
            json["integrationInstanceId"] = json!(self.owner.scope);
            json["integrationJobId"] = json!(self.id);
        } else {
            json["scope"] = json!(self.owner.scope);
        }
        json["accountId"] = json!(account_id);
        json["status"] = json!(self.status);
        json["done"] = json!(self.status.is_done());
        json["syncMode"] = json!(self.mode);
        json["startTimestamp"] = json!(self.started);
        if let Some(ended) = self.ended {
            json["durationMs"] = json!(ended.saturating_sub(self.started));
        }
        json
    }

    /// The job with what only the simulator knows, under `_simulator`.
    pub(crate) fn to_json_for_people(&self, account_id: &str) -> Value {
        let mut json = self.to_json(account_id);
        json["_simulator"] = json!({
            "events": self.events,
            "errorsOccurred": self.errors_occurred,
            "partialTypes": self.partial_types,
            "reason": self.reason,
        });
        json
    }
}

/// What a job has done so far, under the names of JupiterOne's clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the wire names all start with num")]
pub(crate) struct Counters {
    pub(crate) num_entities_uploaded: u64,
    pub(crate) num_entities_created: u64,
    pub(crate) num_entities_updated: u64,
    pub(crate) num_entities_deleted: u64,
    pub(crate) num_entities_to_delete: u64,
    pub(crate) num_entity_create_errors: u64,
    pub(crate) num_entity_update_errors: u64,
    pub(crate) num_entity_delete_errors: u64,
    pub(crate) num_entity_raw_data_entries_uploaded: u64,
    pub(crate) num_entity_raw_data_entries_created: u64,
    pub(crate) num_entity_raw_data_entries_updated: u64,
    pub(crate) num_entity_raw_data_entries_deleted: u64,
    pub(crate) num_entity_raw_data_entry_create_errors: u64,
    pub(crate) num_entity_raw_data_entry_update_errors: u64,
    pub(crate) num_entity_raw_data_entry_delete_errors: u64,
    pub(crate) num_relationships_uploaded: u64,
    pub(crate) num_relationships_created: u64,
    pub(crate) num_relationships_updated: u64,
    pub(crate) num_relationships_deleted: u64,
    pub(crate) num_relationships_to_delete: u64,
    pub(crate) num_relationship_create_errors: u64,
    pub(crate) num_relationship_update_errors: u64,
    pub(crate) num_relationship_delete_errors: u64,
    pub(crate) num_relationship_raw_data_entries_uploaded: u64,
    pub(crate) num_relationship_raw_data_entries_created: u64,
    pub(crate) num_relationship_raw_data_entries_updated: u64,
    pub(crate) num_relationship_raw_data_entries_deleted: u64,
    pub(crate) num_relationship_raw_data_entry_create_errors: u64,
    pub(crate) num_relationship_raw_data_entry_update_errors: u64,
    pub(crate) num_relationship_raw_data_entry_delete_errors: u64,
    pub(crate) num_streamed_entities_uploaded: u64,
    pub(crate) num_streamed_relationships_uploaded: u64,
    pub(crate) num_mapped_relationships_created: u64,
    pub(crate) num_mapped_relationships_updated: u64,
    pub(crate) num_mapped_relationships_deleted: u64,
    pub(crate) num_mapped_relationship_create_errors: u64,
    pub(crate) num_mapped_relationship_update_errors: u64,
    pub(crate) num_mapped_relationship_delete_errors: u64,
    pub(crate) num_mutations_submitted: u64,
    pub(crate) num_mutations_completed: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    #[test]
    fn a_job_that_ends_drops_its_uploads() {
        let owner = Owner { source: "api".into(), scope: "nimbus".into() };
        let mut job = Job::new("job".into(), owner, SyncMode::Diff, 0);
        let object = Object { properties: Map::new(), raw: BTreeMap::new() };
        job.staged.entities.insert(Address::Key("key".into()), object);
        job.staged.batches.insert(("batch".into(), [0; 32]));
        job.end(Status::Aborted, None, 1);
        assert!(job.staged.entities.is_empty() && job.staged.batches.is_empty());
    }
}
