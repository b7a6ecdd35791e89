//! A change as the log has it: what it rests on, and its images.

use schemas::{
    change::{Envelope, Source, op, reason},
    codec::digest,
    element::Element,
};

use super::CONNECTOR;
use crate::{elements::Change, jupiterone, mapping};

/// What a change rests on: a listing, or a decision about what a listing had proposed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    /// Begins the change's id: a listing's id, or a decision's digest.
    pub(super) id: &'a str,
    pub(super) organization_id: &'a str,
    pub(super) organization_name: &'a str,
    pub(super) collection: &'a str,
    pub(super) listing_id: Option<&'a str>,
    pub(super) decision_by: Option<&'a str>,
    /// Whether it is the collection's first whole listing.
    pub(super) is_first: bool,
    pub(super) ts_ms: i64,
    pub(super) not_before_ts_ms: Option<i64>,
    pub(super) not_after_ts_ms: Option<i64>,
}

impl Origin<'_> {
    /// A change of the graph.
    pub(super) fn envelope(&self, change: Change, reason: Option<&str>, revision: i64) -> Envelope {
        let op = match (&change.before, &change.after) {
            (None, _) if self.is_first => op::READ,
            (None, _) => op::CREATE,
            (Some(_), Some(_)) => op::UPDATE,
            (Some(_), None) => op::DELETE,
        };
        let changed = match (&change.before, &change.after) {
            (Some(before), Some(after)) => jupiterone::changed(before, after),
            _ => Vec::new(),
        };
        Envelope { changed, ..self.bare(change, op, reason, revision, "") }
    }

    /// A notice that the deletion of an element is held. It changes nothing, so it has the revision of the change
    /// before it.
    pub(super) fn notice(&self, element: &Element, revision: i64) -> Envelope {
        let change = Change { before: Some(element.clone()), after: Some(element.clone()) };
        self.bare(change, op::NOTICE, Some(reason::HELD), revision, "hold/")
    }

    fn bare(
        &self,
        change: Change,
        op: &str,
        reason: Option<&str>,
        revision: i64,
        id_prefix: &str,
    ) -> Envelope {
        let element = change.element();
        let key = element.key.clone();
        let named = format!("{id_prefix}{key}");
        let kind = if element.is_relationship() { "relationship" } else { "entity" };
        Envelope {
            id: digest([self.id.as_bytes(), &mapping::VERSION.to_le_bytes(), named.as_bytes()]),
            op: op.to_owned(),
            ts_ms: self.ts_ms,
            source: Source {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                connector: CONNECTOR.to_owned(),
                name: self.organization_name.to_owned(),
                ts_ms: self.ts_ms,
                snapshot: self.is_first.to_string(),
                organization_id: self.organization_id.to_owned(),
                collection: self.collection.to_owned(),
                listing_id: self.listing_id.map(str::to_owned),
                decision_by: self.decision_by.map(str::to_owned),
            },
            revision,
            kind: kind.to_owned(),
            element_type: element.kind.clone(),
            element_key: key,
            changed: Vec::new(),
            reason: reason.map(str::to_owned),
            not_before_ts_ms: self.not_before_ts_ms,
            not_after_ts_ms: self.not_after_ts_ms,
            before: change.before,
            after: change.after,
        }
    }
}
