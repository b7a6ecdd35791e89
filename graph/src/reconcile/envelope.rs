//! A change as the log has it: what it rests on, and its images.

use std::sync::Arc;

use schemas::{
    change::{Op, Reason, Source},
    codec::Digest,
    encoded::EncodedElement,
};

use super::CONNECTOR;
use crate::{
    change::{Basis, Cause, Change, Images},
    jupiterone, mapping,
};

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

/// An origin that several changes share.
#[derive(Debug, Clone)]
pub(super) struct SharedOrigin {
    /// Begins the changes' ids.
    id: String,
    is_first: bool,
    basis: Arc<Basis>,
}

impl Origin<'_> {
    pub(super) fn shared(&self) -> SharedOrigin {
        let source = Source {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            connector: CONNECTOR.to_owned(),
            name: self.organization_name.to_owned(),
            ts_ms: self.ts_ms,
            snapshot: self.is_first.into(),
            organization_id: self.organization_id.to_owned(),
            collection: self.collection.to_owned(),
            listing_id: self.listing_id.map(str::to_owned),
            decision_by: self.decision_by.map(str::to_owned),
        };
        let (not_before_ts_ms, not_after_ts_ms) = (self.not_before_ts_ms, self.not_after_ts_ms);
        let basis = Arc::new(Basis { source, not_before_ts_ms, not_after_ts_ms });
        SharedOrigin { id: self.id.to_owned(), is_first: self.is_first, basis }
    }
}

impl SharedOrigin {
    /// A change of the graph.
    pub(super) fn change(&self, images: Images, reason: Option<Reason>, revision: i64) -> Change {
        let op = match (&images.before, &images.after) {
            (None, _) if self.is_first => Op::Read,
            (None, _) => Op::Create,
            (Some(_), Some(_)) => Op::Update,
            (Some(_), None) => Op::Delete,
        };
        let (changed, cause) = match (&images.before, &images.after) {
            (Some(before), Some(after)) => {
                let (before, after) = (before.decode(), after.decode());
                let cause = if mapping::is_configured(&before, &after) { Cause::Config } else { Cause::Live };
                (jupiterone::changed(&before, &after), cause)
            }
            _ => (Vec::new(), Cause::Live),
        };
        let id = self.change_id(images.key().as_bytes());
        Change { id, op, images, basis: Arc::clone(&self.basis), revision, changed, reason, cause }
    }

    /// A notice that the deletion of an element is held. It changes nothing, so it has the revision of the change
    /// before it.
    pub(super) fn notice(&self, element: &EncodedElement, revision: i64) -> Change {
        let images = Images { before: Some(element.clone()), after: Some(element.clone()) };
        Change {
            id: self.change_id(format!("hold/{}", element.key()).as_bytes()),
            op: Op::Notice,
            images,
            basis: Arc::clone(&self.basis),
            revision,
            changed: Vec::new(),
            reason: Some(Reason::Held),
            cause: Cause::Live,
        }
    }

    fn change_id(&self, named: &[u8]) -> Digest {
        Digest::of([self.id.as_bytes(), &mapping::VERSION.to_le_bytes(), named])
    }
}
