//! What a transaction will write, collected before it begins.

use std::borrow::Cow;

use jiff::Timestamp;
use rdkafka::message::OwnedHeaders;
use schemas::{graph_value::GraphValue, topics::Topic};
use service::{
    kafka::{
        headers::{CloudEvent, of_state, owned, traced},
        partition::Record,
        transaction::{self, TransactionalProducer},
    },
    traces::Span,
};

use graph::{
    change::{Cause, Change, Images},
    reconcile::{CONNECTOR, Reconciled},
    state::GraphRecord,
};

/// Records after which no further unit joins a transaction (count). A listing is never split, so a transaction may be
/// larger by one listing.
pub(crate) const FULL_AT: usize = 10_000;
/// The same for the bytes of its elements and dead letters: about what a task has in memory in addition to its state.
const FULL_BYTES: usize = 32 * 1024 * 1024;
/// Raw records after which no further unit joins a transaction (count): a few seconds of work, which a kill would undo.
const FULL_RAW_RECORDS: usize = 20_000;

/// Most bytes of a failed record's value and key in a dead letter: its headers need room in the message too, and the
/// record itself is still in the raw topic.
const MAX_DEAD_VALUE: usize = 950_000;
const MAX_DEAD_KEY: usize = 4_096;
/// Longest reason in a header (characters): it may quote the record.
const MAX_REASON: usize = 500;

/// Memory of a withheld relationship, without its key (bytes).
const WITHHELD_BYTES: usize = 1_024;

/// `ce_type` of a change.
const CHANGE_TYPE: &str = "anthropic_graph.change";

/// Why a raw record was refused, for a dead letter's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What failed: `decode` or `assemble`.
    pub stage: &'static str,
    /// Why it failed, with its causes.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(stage: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { stage, message: format!("{:#}", anyhow::anyhow!(error)) }
    }
}

/// The next transaction, and what follows it and waits for the end of an open listing.
#[derive(Debug, Default)]
pub struct Batch {
    parts: Vec<Part>,
    /// Of the parts, about.
    bytes: usize,
    /// Raw records that were read for it (count).
    raw_records: usize,
    /// The next raw offset to read after the commit; `None` if there is nothing to commit.
    next_offset: Option<i64>,
    /// How many parts come from before that offset, and how many records they are. The others, such as dead letters met
    /// in an open listing, are read again by a task that begins there.
    settled: usize,
    settled_records: usize,
}

/// Records that are added together.
#[derive(Debug)]
enum Part {
    /// What a listing, a mark or a decision led to.
    Reconciled {
        changes: Vec<Change>,
        others: Vec<GraphRecord>,
        origin: Origin,
    },
    DeadLetter(DeadLetter),
}

/// A record to write to the task's partition. It is encoded when it is sent: until then, an element is shared with
/// the state.
#[derive(Debug, Clone, Copy)]
pub enum Output<'a> {
    Change(&'a Change, &'a Origin),
    /// An element's record of the graph topic, by what its change left.
    Element(&'a Images, &'a Origin),
    /// Another record of the graph topic.
    State(&'a GraphRecord, &'a Origin),
    /// A raw record that was refused.
    DeadLetter(&'a DeadLetter),
}

/// A raw record that was refused.
#[derive(Debug)]
pub struct DeadLetter {
    key: String,
    value: Option<Vec<u8>>,
    /// Where it came from and why it was refused.
    headers: [(&'static str, String); 5],
}

/// What records come from.
#[derive(Debug)]
pub struct Origin {
    organization_id: String,
    /// Of the raw record that led to them, where this process makes no span.
    traceparent: Option<String>,
    /// From the reconciling to the end of the transaction.
    span: Span,
}

impl Origin {
    /// Of that organization. The records go on with the trace of the span, or else with that of the raw record.
    pub fn new(organization_id: &str, span: Span, traceparent: Option<&str>) -> Self {
        let traceparent = span.traceparent().or_else(|| traceparent.map(str::to_owned));
        Self { organization_id: organization_id.to_owned(), traceparent, span }
    }
}

impl Batch {
    /// The records in the order in which they are written.
    pub fn outputs(&self) -> impl Iterator<Item = Output<'_>> {
        self.parts.iter().flat_map(Part::outputs)
    }

    /// The offset to commit with them.
    pub fn next_offset(&self) -> Option<i64> {
        self.next_offset
    }

    /// Whether something can be committed and is enough for a transaction.
    pub fn is_full(&self) -> bool {
        let is_enough = self.settled_records >= FULL_AT
            || self.bytes >= FULL_BYTES
            || self.raw_records >= FULL_RAW_RECORDS;
        is_enough && self.next_offset.is_some()
    }

    /// Takes what can be committed, if anything, and leaves what waits for the end of an open listing.
    pub fn take_settled(&mut self) -> Option<Self> {
        let next_offset = self.next_offset.take()?;
        let waiting = self.parts.split_off(self.settled);
        let settled = Self {
            parts: std::mem::replace(&mut self.parts, waiting),
            next_offset: Some(next_offset),
            ..Self::default()
        };
        self.bytes = self.parts.iter().map(Part::bytes).sum();
        (self.settled, self.settled_records, self.raw_records) = (0, 0, 0);
        Some(settled)
    }

    /// Records that it writes (count).
    pub fn len(&self) -> usize {
        self.parts.iter().map(Part::len).sum()
    }

    /// Whether it writes no records and at most moves the offset.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything before this offset may be committed.
    pub fn advance(&mut self, next_offset: i64) {
        self.next_offset = Some(next_offset);
        self.settled_records += self.parts[self.settled..].iter().map(Part::len).sum::<usize>();
        self.settled = self.parts.len();
    }

    /// Counts a raw record that was read.
    pub(crate) fn count_raw_record(&mut self) {
        self.raw_records += 1;
    }

    /// Adds changes and state, in the order: changes, then state, so that a reader of the state can see the changes.
    pub fn add(&mut self, origin: Origin, reconciled: Reconciled) {
        let Reconciled { changes, others, .. } = reconciled;
        self.push(Part::Reconciled { changes, others, origin });
    }

    /// Adds a dead letter: the record's bytes, its position, and why it was refused, as Kafka Connect does.
    pub fn add_dead_letter(&mut self, topic: &str, partition: i32, mut record: Record, refusal: &Refusal) {
        if let Some(value) = &mut record.value {
            value.truncate(MAX_DEAD_VALUE);
        }
        if let Some(key) = &mut record.key {
            key.truncate(MAX_DEAD_KEY);
        }
        let headers = [
            ("__anthropic_graph.errors.topic", topic.to_owned()),
            ("__anthropic_graph.errors.partition", partition.to_string()),
            ("__anthropic_graph.errors.offset", record.offset.to_string()),
            ("__anthropic_graph.errors.stage", refusal.stage.to_owned()),
            (
                "__anthropic_graph.errors.exception.message",
                refusal.message.chars().take(MAX_REASON).collect(),
            ),
        ];
        self.push(Part::DeadLetter(DeadLetter {
            key: String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned(),
            value: record.value,
            headers,
        }));
    }

    /// Marks the spans of its records as failed.
    pub(crate) fn fail(&self, error: &transaction::Error) {
        for part in &self.parts {
            match part {
                Part::Reconciled { origin, .. } => origin.span.fail("transaction", error),
                Part::DeadLetter(_) => {}
            }
        }
    }

    fn push(&mut self, part: Part) {
        self.bytes += part.bytes();
        self.parts.push(part);
    }
}

impl Part {
    fn outputs(&self) -> Box<dyn Iterator<Item = Output<'_>> + '_> {
        match self {
            Self::Reconciled { changes, others, origin } => {
                let of_graph = changes.iter().filter(|change| change.is_of_graph());
                let elements = of_graph.map(move |change| Output::Element(&change.images, origin));
                let others = others.iter().map(move |record| Output::State(record, origin));
                let changes = changes.iter().map(move |change| Output::Change(change, origin));
                Box::new(changes.chain(elements).chain(others))
            }
            Self::DeadLetter(letter) => Box::new(std::iter::once(Output::DeadLetter(letter))),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Reconciled { changes, others, .. } => {
                let of_graph = changes.iter().filter(|change| change.is_of_graph()).count();
                changes.len() + of_graph + others.len()
            }
            Self::DeadLetter(_) => 1,
        }
    }

    /// Approximate memory (bytes).
    fn bytes(&self) -> usize {
        match self {
            Self::Reconciled { changes, others, .. } => {
                let withheld = others.iter().map(|(_, value)| match value {
                    Some(GraphValue::Withheld(withheld)) => WITHHELD_BYTES + withheld.element.key.len(),
                    _ => 0,
                });
                changes.iter().map(Change::size).sum::<usize>() + withheld.sum::<usize>()
            }
            Self::DeadLetter(letter) => letter.value.as_ref().map_or(0, Vec::len),
        }
    }
}

impl Output<'_> {
    pub fn topic(&self) -> Topic {
        match self {
            Self::Change(..) => Topic::Changes,
            Self::Element(..) | Self::State(..) => Topic::Graph,
            Self::DeadLetter(_) => Topic::DeadLetters,
        }
    }

    pub fn key(&self) -> String {
        match self {
            Self::Change(change, origin) => format!("{}/{}", origin.organization_id, change.images.key()),
            Self::Element(images, origin) => format!("{}/{}", origin.organization_id, images.key()),
            Self::State((key, _), origin) => key.format(&origin.organization_id),
            Self::DeadLetter(letter) => letter.key.clone(),
        }
    }

    /// Its value; `None` is a tombstone.
    pub fn value(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Change(change, _) => Some(change.encode().into()),
            Self::Element(images, _) => images.after.as_ref().map(|element| element.bytes().into()),
            Self::State((_, value), _) => value.as_ref().map(|value| value.encode().into()),
            Self::DeadLetter(letter) => letter.value.as_deref().map(Cow::from),
        }
    }

    /// Sends it to the partition of its topic with that prefix, within the producer's transaction.
    pub fn send(
        &self,
        producer: &TransactionalProducer,
        prefix: &str,
        partition: i32,
    ) -> Result<(), transaction::Error> {
        let key = self.key();
        let topic = self.topic().name(prefix);
        producer.send(&topic, partition, &key, self.value().as_deref(), self.headers())
    }

    pub fn headers(&self) -> OwnedHeaders {
        match self {
            Self::Change(change, Origin { organization_id, traceparent, .. }) => {
                let ts_ms = change.basis.source.ts_ms;
                let time = Timestamp::from_millisecond(ts_ms).unwrap_or(Timestamp::UNIX_EPOCH);
                let event = CloudEvent {
                    id: &change.id.to_string(),
                    kind: CHANGE_TYPE,
                    source: &format!("/{CONNECTOR}/{organization_id}"),
                    subject: change.images.key(),
                    time: &time.to_string(),
                    cause: Some(match change.cause {
                        Cause::Live => "live",
                        Cause::Config => "config",
                        Cause::Replay => "replay",
                    }),
                };
                traced(event.headers(), traceparent.as_deref())
            }
            Self::Element(_, origin) | Self::State(_, origin) => {
                traced(of_state(), origin.traceparent.as_deref())
            }
            Self::DeadLetter(letter) => owned(letter.headers.iter().map(|(name, value)| (name, value))),
        }
    }
}
