//! A change as the changes topic carries it (`avro/envelope.avsc`, where each field is explained).

use serde::{Deserialize, Serialize};

use crate::{closed_set::closed_set, element::Element};

closed_set! {
    /// What a change did, in Debezium's letters.
    pub enum Op {
        /// Snapshot read: everything in a collection's first whole listing.
        Read = "r",
        /// Created.
        Create = "c",
        /// Updated.
        Update = "u",
        /// Deleted.
        Delete = "d",
        /// A notice, which no fold counts.
        Notice = "m",
    }
}

closed_set! {
    /// What a change is of.
    pub enum Kind {
        /// An entity.
        Entity = "entity",
        /// A relationship.
        Relationship = "relationship",
    }
}

closed_set! {
    /// Why a change was made, if the reason is not that the resource changed.
    pub enum Reason {
        /// Deleted: its collection was listed whole and it was not in it.
        Absent = "absent",
        /// Deleted: an end of the relationship was deleted.
        EndDeleted = "end_deleted",
        /// Created: the missing end of a withheld relationship is there now.
        EndAppeared = "end_appeared",
        /// Deleted: a person approved the deletion that the guard had held.
        Approved = "approved",
        /// Deleted: a person had the whole organization forgotten.
        Forgotten = "forgotten",
        /// A notice: the guard holds the element's deletion.
        Held = "held",
    }
}

closed_set! {
    /// Whether a change belongs to an initial snapshot, in Debezium's words.
    pub enum SnapshotRecord {
        /// It belongs to a collection's first whole listing.
        True = "true",
        /// It does not.
        False = "false",
    }
}

impl From<bool> for SnapshotRecord {
    fn from(is_snapshot: bool) -> Self {
        if is_snapshot { Self::True } else { Self::False }
    }
}

/// An element created, updated or deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Envelope {
    pub id: String,
    pub op: Op,
    pub before: Option<Element>,
    pub after: Option<Element>,
    pub ts_ms: i64,
    pub source: Source,
    pub revision: i64,
    pub kind: Kind,
    pub element_key: String,
    pub element_type: String,
    pub changed: Vec<String>,
    pub reason: Option<Reason>,
    pub not_before_ts_ms: Option<i64>,
    pub not_after_ts_ms: Option<i64>,
}

impl Envelope {
    /// The record's key: organization ID `/` element key.
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
    pub snapshot: SnapshotRecord,
    pub organization_id: String,
    pub collection: String,
    pub listing_id: Option<String>,
    pub decision_by: Option<String>,
}
