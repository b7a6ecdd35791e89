//! What the graph topic carries beside the elements (`avro/{coverage,hold,withheld}.avsc`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::element::Element;

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
    /// Offset of the newest raw record that it tells of.
    pub fn read_offset(&self) -> Option<i64> {
        let whole = self.whole.as_ref().map(|whole| whole.raw_offset);
        let latest = self.latest.as_ref().map(|latest| latest.raw_offset);
        whole.max(latest).max(self.poll.as_ref().and_then(|poll| poll.raw_offset))
    }
}

/// A collection's last whole listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    pub outcome: String,
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
    pub state: String,
    pub agreeing: i32,
}

/// The values of `Hold::state`.
pub mod hold_state {
    /// A person has not decided yet.
    pub const PROPOSED: &str = "proposed";
    /// A person keeps the element: it stays until it returns or is approved after all.
    pub const REJECTED: &str = "rejected";
}

/// A relationship that its collection listed while an end is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Withheld {
    pub organization_id: String,
    pub element: Element,
    pub missing: Vec<String>,
}
