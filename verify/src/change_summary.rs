//! What of a change is compared with the raw records.

use std::rc::Rc;

use schemas::{
    change::{self, Reason, SnapshotRecord},
    encoded::{EncodedChange, EncodedElement},
};

use super::elements::workspace;

#[derive(Debug)]
pub(super) struct ChangeSummary {
    /// After the change; before it, where it is a deletion.
    pub(super) image: EncodedElement,
    pub(super) op: Op,
    pub(super) is_creation: bool,
    pub(super) revision: i64,
    pub(super) source: Rc<Source>,
}

/// What the changes of a listing mostly have in common.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) reason: Option<Reason>,
    pub(super) is_read: bool,
    pub(super) is_snapshot: bool,
    pub(super) ts_ms: i64,
    pub(super) not_before_ts_ms: Option<i64>,
    pub(super) not_after_ts_ms: Option<i64>,
    pub(super) collection: String,
    pub(super) name: String,
    pub(super) listing_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Put,
    Delete,
    Notice,
}

impl ChangeSummary {
    /// `last`: the summary of the change before, which may share its source.
    pub(super) fn of(
        EncodedChange { envelope, before, after }: &EncodedChange,
        last: Option<&Self>,
    ) -> Option<Self> {
        let source = Source {
            reason: envelope.reason.clone(),
            is_read: envelope.op == change::Op::Read,
            is_snapshot: envelope.source.snapshot == SnapshotRecord::True,
            ts_ms: envelope.ts_ms,
            not_before_ts_ms: envelope.not_before_ts_ms,
            not_after_ts_ms: envelope.not_after_ts_ms,
            collection: envelope.source.collection.clone(),
            name: envelope.source.name.clone(),
            listing_id: envelope.source.listing_id.clone(),
        };
        let shared = last.map(|last| &last.source).filter(|last| ***last == source).cloned();
        Some(Self {
            image: after.as_ref().or(before.as_ref())?.clone(),
            op: if envelope.op == change::Op::Notice {
                Op::Notice
            } else if after.is_none() {
                Op::Delete
            } else {
                Op::Put
            },
            is_creation: before.is_none(),
            revision: envelope.revision,
            source: shared.unwrap_or_else(|| Rc::new(source)),
        })
    }

    pub(super) fn key(&self) -> &str {
        self.image.key()
    }

    pub(super) fn workspace_id(&self) -> Option<String> {
        workspace(&self.image).map(|workspace| workspace.id)
    }
}

/// Ends of a relationship, by its key: what parts them is escaped in IDs. None of an entity.
pub(super) fn ends(key: &str) -> impl Iterator<Item = &str> {
    let parts = key.split_once('|').and_then(|(from, rest)| Some((from, rest.split_once('|')?.1)));
    parts.into_iter().flat_map(|(from, to)| [from, to])
}
