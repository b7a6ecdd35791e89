//! A change as the changes topic carries it (`avro/envelope.avsc`, where each field is explained).

use serde::{Deserialize, Serialize};

use crate::element::Element;

/// The values of `Envelope::op`, Debezium's letters.
pub mod op {
    /// Snapshot read: everything in a collection's first whole listing.
    pub const READ: &str = "r";
    /// Created.
    pub const CREATE: &str = "c";
    /// Updated.
    pub const UPDATE: &str = "u";
    /// Deleted.
    pub const DELETE: &str = "d";
    /// A notice, which no fold counts.
    pub const NOTICE: &str = "m";
}

/// The values of `Envelope::reason`.
pub mod reason {
    /// Deleted: its collection was listed whole and it was not in it.
    pub const ABSENT: &str = "absent";
    /// Deleted: an end of the relationship was deleted.
    pub const END_DELETED: &str = "end_deleted";
    /// Created: the missing end of a withheld relationship is there now.
    pub const END_APPEARED: &str = "end_appeared";
    /// Deleted: a person approved the deletion that the guard had held.
    pub const APPROVED: &str = "approved";
    /// Deleted: a person had the whole organization forgotten.
    pub const FORGOTTEN: &str = "forgotten";
    /// A notice: the guard holds the element's deletion.
    pub const HELD: &str = "held";
}

/// An element created, updated or deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Envelope {
    pub id: String,
    pub op: String,
    pub before: Option<Element>,
    pub after: Option<Element>,
    pub ts_ms: i64,
    pub source: Source,
    pub revision: i64,
    pub kind: String,
    pub element_key: String,
    pub element_type: String,
    pub changed: Vec<String>,
    pub reason: Option<String>,
    pub not_before_ts_ms: Option<i64>,
    pub not_after_ts_ms: Option<i64>,
}

impl Envelope {
    /// The record's key: organization id `/` element key.
    pub fn key(&self) -> String {
        format!("{}/{}", self.source.organization_id, self.element_key)
    }
}

/// Where a change was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Source {
    pub version: String,
    pub connector: String,
    pub name: String,
    pub ts_ms: i64,
    pub snapshot: String,
    pub organization_id: String,
    pub collection: String,
    pub listing_id: Option<String>,
    pub decision_by: Option<String>,
}
