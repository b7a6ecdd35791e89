//! What the graph topic has in addition to the elements (`avro/{coverage,hold,withheld}.avsc`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{closed_set::closed_set, element::Element, raw::Outcome};

/// What is known of a collection, or of the organization's polls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Coverage {
    pub organization_id: String,
    pub organization_name: String,
    pub collection: String,
    pub whole: Option<WholeListing>,
    pub latest: Option<Latest>,
    pub not_whole_since_ts_ms: Option<i64>,
    pub poll: Option<Poll>,
}

impl Coverage {
    /// Of a collection of which nothing is known yet.
    pub fn new(organization_id: &str, organization_name: &str, collection: &str) -> Self {
        Self {
            organization_id: organization_id.to_owned(),
            organization_name: organization_name.to_owned(),
            collection: collection.to_owned(),
            whole: None,
            latest: None,
            not_whole_since_ts_ms: None,
            poll: None,
        }
    }

    /// Offset of the newest raw record that it mentions.
    pub fn read_offset(&self) -> Option<i64> {
        let whole = self.whole.as_ref().map(|whole| whole.raw_offset);
        let latest = self.latest.as_ref().map(|latest| latest.raw_offset);
        whole.max(latest).max(self.poll.as_ref().and_then(|poll| poll.raw_offset))
    }
}

/// A collection's last whole listing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct WholeListing {
    pub listing_id: String,
    pub raw_offset: i64,
    pub started_ts_ms: i64,
    pub ended_ts_ms: i64,
    pub count: i64,
    pub parameters: BTreeMap<String, String>,
}

/// How the newest try at a collection ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Latest {
    pub outcome: Outcome,
    pub reason: Option<String>,
    pub poll_id: Option<String>,
    pub raw_offset: i64,
    pub ended_ts_ms: i64,
}

/// The organization's newest poll and its graph as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Poll {
    pub poll_id: Option<String>,
    pub revision: i64,
    pub element_count: i64,
    pub partition_count: i32,
    pub ended: bool,
    pub complete: bool,
    pub started_ts_ms: Option<i64>,
    pub ended_ts_ms: Option<i64>,
    pub incomplete: Vec<String>,
    pub raw_offset: Option<i64>,
}

/// A deletion kept back by the guard until decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Hold {
    pub organization_id: String,
    pub element_key: String,
    pub collection: String,
    pub listing_id: String,
    pub raw_offset: i64,
    pub proposed_ts_ms: i64,
    pub state: HoldState,
    pub agreeing: i32,
}

closed_set! {
    /// Whether a person has rejected a hold.
    pub enum HoldState {
        /// A person has not decided yet.
        Proposed = "proposed",
        /// A person keeps the element: it stays until it returns or is approved after all.
        Rejected = "rejected",
    }
}

/// A relationship that its collection listed while an end is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Withheld {
    pub organization_id: String,
    pub element: Element,
    pub missing: Vec<String>,
}
