//! A change of one element, as it will be written.

use std::sync::Arc;

use schemas::{
    change::{Envelope, Kind, Op, Reason, Source},
    codec::{Digest, decode},
    encoded::{EncodedElement, EnvelopeParts},
};

/// How a change came to be (header `ce_cause`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Live,
    /// The resource is the same; the mapping or the configuration changed.
    Config,
    /// `anthropic-graph replay` wrote it, from a raw record that was read again.
    Replay,
}

/// One element before and after; at least one of the two is there, and both have the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// `None`: created.
    pub before: Option<EncodedElement>,
    /// `None`: deleted.
    pub after: Option<EncodedElement>,
}

impl Images {
    /// The element's key.
    ///
    /// # Panics
    /// If there is neither a before nor an after.
    pub fn key(&self) -> &str {
        self.element().key()
    }

    /// The element as it is now, or as it was before it was deleted.
    ///
    /// # Panics
    /// If there is neither a before nor an after.
    pub fn element(&self) -> &EncodedElement {
        self.after.as_ref().or(self.before.as_ref()).expect("a change has a before or an after")
    }

    /// Where the change belongs among those of one transaction: at no point of the log does a relationship lack an
    /// end, so relationships go before entities and come after them.
    pub fn rank(&self) -> u8 {
        match (self.after.is_none(), self.element().is_relationship()) {
            (true, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (false, true) => 3,
        }
    }
}

/// What the changes of one listing or decision have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    pub source: Source,
    pub not_before_ts_ms: Option<i64>,
    pub not_after_ts_ms: Option<i64>,
}

/// A change for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub id: Digest,
    pub op: Op,
    pub images: Images,
    pub basis: Arc<Basis>,
    pub revision: i64,
    pub changed: Vec<String>,
    pub reason: Option<Reason>,
    pub cause: Cause,
}

impl Change {
    /// Whether the graph topic has its `after` as well: a notice changes nothing.
    pub fn is_of_graph(&self) -> bool {
        self.op != Op::Notice
    }

    /// Its bytes, as a value of the changes topic.
    pub fn encode(&self) -> Vec<u8> {
        let Basis { source, not_before_ts_ms, not_after_ts_ms } = &*self.basis;
        let element = self.images.element();
        EnvelopeParts {
            id: &self.id.to_string(),
            op: &self.op,
            before: self.images.before.as_ref(),
            after: self.images.after.as_ref(),
            ts_ms: source.ts_ms,
            source,
            revision: self.revision,
            kind: if element.is_relationship() { &Kind::Relationship } else { &Kind::Entity },
            element_key: element.key(),
            element_type: element.kind(),
            changed: &self.changed,
            reason: self.reason.as_ref(),
            not_before_ts_ms: *not_before_ts_ms,
            not_after_ts_ms: *not_after_ts_ms,
        }
        .encode()
    }

    /// The change as a reader of the log decodes it.
    pub fn envelope(&self) -> Envelope {
        decode(&self.encode()).expect("it was encoded here")
    }

    /// How many bytes it has at least, encoded.
    pub fn size(&self) -> usize {
        let images = [&self.images.before, &self.images.after].into_iter().flatten();
        images.map(|image| image.bytes().len()).sum()
    }
}
