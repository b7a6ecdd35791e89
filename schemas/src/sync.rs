//! What the sync topic carries: what JupiterOne holds (`avro/sync.avsc`, where each field is explained).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::closed_set::closed_set;

/// What JupiterOne holds of one organization in one target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Sync {
    pub organization_id: String,
    pub organization_name: String,
    pub target: String,
    pub intent: Option<Intent>,
    pub finished: Option<Finished>,
    pub parked: Vec<Parked>,
    pub paused: Option<String>,
    pub approval: Option<Approval>,
    pub found: Option<Found>,
    pub wait: Option<Wait>,
}

closed_set! {
    /// What a target held of the organization before its first sync job.
    pub enum Found {
        /// Not its account.
        Nothing = "nothing",
        /// Its account.
        Objects = "objects",
        /// JupiterOne's answer lacks the counts that would show it.
        Untold = "untold",
    }
}

impl Sync {
    /// The record's key: organization ID `/` target.
    pub fn key(&self) -> String {
        format!("{}/{}", self.organization_id, self.target)
    }
}

/// Why no sync job is started, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Wait {
    pub reason: String,
    pub since_ts_ms: i64,
    pub until_ts_ms: Option<i64>,
    pub revision: Option<i64>,
    pub failures: i64,
}

/// A sync job that was started and whose end is not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Intent {
    pub job_id: String,
    pub revision: i64,
    pub started_ts_ms: i64,
    pub asks: bool,
}

/// The last sync job that JupiterOne finished.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Finished {
    pub job_id: String,
    pub revision: i64,
    pub ended_ts_ms: i64,
    pub counts: BTreeMap<String, i64>,
    pub partial_types: Vec<String>,
    pub incomplete: Vec<String>,
    pub held: BTreeMap<String, i64>,
    pub samples: BTreeMap<String, Vec<i32>>,
    pub held_samples: BTreeMap<String, Vec<i32>>,
    pub unwritten: i64,
    pub tried_all_ts_ms: i64,
    pub nhi_class: Option<bool>,
}

/// An object that JupiterOne refuses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Parked {
    pub element_key: String,
    pub element_type: String,
    pub digest: String,
    pub reason: String,
    pub since_ts_ms: i64,
    pub state: ParkedState,
}

closed_set! {
    /// What is uploaded of an object that JupiterOne refuses.
    #[derive(Default)]
    pub enum ParkedState {
        /// Nothing.
        #[default]
        Parked = "parked",
        /// Its required properties only.
        Stripped = "stripped",
    }
}

/// What a person allowed the next sync job to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Approval {
    pub revision: i64,
    pub finished_job_id: Option<String>,
    pub deletions: BTreeMap<String, i64>,
    pub takes_target: bool,
    pub by: String,
    pub why: Option<String>,
    pub approved_ts_ms: i64,
}
