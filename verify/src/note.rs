//! What of a change is compared with the raw records.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use schemas::{
    change::{Envelope, op},
    codec::encode,
    element::{Element, ElementType},
};

use super::raw_topic::is_default;

/// What of a change is compared with raw.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) key: Box<str>,
    pub(super) collection: Box<str>,
    pub(super) op: Op,
    pub(super) reason: Option<Box<str>>,
    pub(super) image: Image,
    pub(super) is_creation: bool,
    pub(super) is_read: bool,
    pub(super) is_snapshot: bool,
    pub(super) revision: i64,
    pub(super) ts_ms: i64,
    pub(super) not_before_ts_ms: Option<i64>,
    pub(super) not_after_ts_ms: Option<i64>,
    pub(super) source_collection: Box<str>,
    pub(super) source_name: Box<str>,
    pub(super) listing_id: Option<Box<str>>,
    /// Of a workspace.
    pub(super) workspace_id: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Put,
    Delete,
    Notice,
}

/// An element, as far as it is compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Image {
    /// Of all but the digest.
    pub(super) hash: u64,
    /// Of the digest's second half.
    pub(super) origin: u64,
    pub(super) kind: Option<ElementType>,
    pub(super) is_default: bool,
}

impl Note {
    pub(super) fn of(change: &Envelope) -> Option<Self> {
        let image = change.after.as_ref().or(change.before.as_ref())?;
        let boxed = |text: &String| text.clone().into_boxed_str();
        Some(Self {
            key: boxed(&image.key),
            collection: boxed(&image.collection),
            op: match change.op.as_str() {
                op::NOTICE => Op::Notice,
                _ if change.after.is_none() => Op::Delete,
                _ => Op::Put,
            },
            reason: change.reason.as_ref().map(boxed),
            image: Image::of(image),
            is_creation: change.before.is_none(),
            is_read: change.op == op::READ,
            is_snapshot: change.source.snapshot == "true",
            revision: change.revision,
            ts_ms: change.ts_ms,
            not_before_ts_ms: change.not_before_ts_ms,
            not_after_ts_ms: change.not_after_ts_ms,
            source_collection: boxed(&change.source.collection),
            source_name: boxed(&change.source.name),
            listing_id: change.source.listing_id.as_ref().map(boxed),
            workspace_id: image.workspace.as_ref().map(|workspace| boxed(&workspace.id)),
        })
    }

    pub(super) fn created_workspace(&self) -> Option<&str> {
        self.workspace_id.as_deref().filter(|_| self.is_creation)
    }
}

impl Image {
    fn of(element: &Element) -> Self {
        let by = element.digest.split_once('.').map_or("", |(_, by)| by);
        Self {
            hash: fingerprint(element),
            origin: hash(by),
            kind: ElementType::parse(&element.kind),
            is_default: is_default(element),
        }
    }
}

/// Ends of a relationship, by its key: what parts them is escaped in IDs. None of an entity.
pub(super) fn ends(key: &str) -> impl Iterator<Item = &str> {
    let parts = key.split_once('|').and_then(|(from, rest)| Some((from, rest.split_once('|')?.1)));
    parts.into_iter().flat_map(|(from, to)| [from, to])
}

pub(super) fn fingerprint(element: &Element) -> u64 {
    hash(&encode(&Element { digest: String::new(), ..element.clone() }))
}

pub(super) fn hash<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
