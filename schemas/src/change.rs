//! A change as the changes topic carries it (`avro/envelope.avsc`, where each field is explained).

use std::fmt::Display;

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

/// An element created, updated or deleted. A reader can borrow its texts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Envelope<Text = String> {
    pub id: Text,
    pub op: Op,
    pub before: Option<Element>,
    pub after: Option<Element>,
    pub ts_ms: i64,
    pub source: Source<Text>,
    pub revision: i64,
    pub kind: Kind,
    pub element_key: Text,
    pub element_type: Text,
    pub changed: Vec<Text>,
    pub reason: Option<Reason>,
    pub not_before_ts_ms: Option<i64>,
    pub not_after_ts_ms: Option<i64>,
}

impl<Text: Display> Envelope<Text> {
    /// The record's key: organization ID `/` element key.
    pub fn key(&self) -> String {
        format!("{}/{}", self.source.organization_id, self.element_key)
    }
}

impl<Text> Envelope<Text> {
    /// Converts its texts to another type.
    pub fn map_texts<Other>(self, mut to: impl FnMut(Text) -> Other) -> Envelope<Other> {
        Envelope {
            id: to(self.id),
            op: self.op,
            before: self.before,
            after: self.after,
            ts_ms: self.ts_ms,
            source: self.source.map_texts(&mut to),
            revision: self.revision,
            kind: self.kind,
            element_key: to(self.element_key),
            element_type: to(self.element_type),
            changed: self.changed.into_iter().map(to).collect(),
            reason: self.reason,
            not_before_ts_ms: self.not_before_ts_ms,
            not_after_ts_ms: self.not_after_ts_ms,
        }
    }
}

/// Where a change was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Source<Text = String> {
    pub version: Text,
    pub connector: Text,
    pub name: Text,
    pub ts_ms: i64,
    pub snapshot: SnapshotRecord,
    pub organization_id: Text,
    pub collection: Text,
    pub listing_id: Option<Text>,
    pub decision_by: Option<Text>,
}

impl<Text> Source<Text> {
    /// Converts its texts to another type.
    pub fn map_texts<Other>(self, mut to: impl FnMut(Text) -> Other) -> Source<Other> {
        Source {
            version: to(self.version),
            connector: to(self.connector),
            name: to(self.name),
            ts_ms: self.ts_ms,
            snapshot: self.snapshot,
            organization_id: to(self.organization_id),
            collection: to(self.collection),
            listing_id: self.listing_id.map(&mut to),
            decision_by: self.decision_by.map(&mut to),
        }
    }
}
