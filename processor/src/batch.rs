//! What one transaction will write, gathered before it begins.

use std::sync::Arc;

use jiff::Timestamp;
use rdkafka::message::OwnedHeaders;
use schemas::{codec::encode, topics::Topic};
use service::kafka::{
    headers::{CloudEvent, of_state, owned},
    partition::Record,
    transaction::{self, TransactionalProducer},
};

use graph::reconcile::{CONNECTOR, Cause, Reconciled};

/// Records that one transaction may have before no further unit joins it (count). A listing is never split, so a
/// transaction may be larger by one listing.
pub(crate) const FULL_AT: usize = 10_000;
/// The same for the bytes of its keys and values: what a task holds in memory beside its state.
const FULL_BYTES: usize = 32 * 1024 * 1024;
/// Raw records that one transaction may stand for before no further unit joins it (count): a few seconds of work that a
/// kill would undo.
const FULL_RAW_RECORDS: usize = 20_000;

/// So much of a failed record's value and key becomes a dead letter (bytes): its headers need room in the message
/// too, and the record itself is still in the raw topic.
const MAX_DEAD_VALUE: usize = 950_000;
const MAX_DEAD_KEY: usize = 4_096;
/// Longest reason in a header (characters): it may show what was written.
const MAX_REASON: usize = 500;

/// `ce_type` of a change.
const CHANGE_TYPE: &str = "anthropic_graph.change";

/// Why a raw record was refused, as a dead letter's header tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was being done: `decode` or `assemble`.
    pub stage: &'static str,
    /// Why it failed, with its causes.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(stage: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { stage, message: format!("{:#}", anyhow::anyhow!(error)) }
    }
}

/// The next transaction, and what waits behind it for the end of an open listing.
#[derive(Debug, Default)]
pub struct Batch {
    outputs: Vec<Output>,
    /// Of the outputs' keys and values.
    bytes: usize,
    /// How many raw records were read for it.
    raw_records: usize,
    /// The next raw offset to read once this is committed; `None`: there is nothing to commit.
    next_offset: Option<i64>,
    /// How many outputs come from before that offset. The others, such as dead letters met in an open listing, are
    /// read again by whoever begins there.
    settled: usize,
}

/// One record to write into the task's partition.
pub struct Output {
    /// Where.
    pub topic: Topic,
    /// Its key.
    pub key: String,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    about: About,
}

/// What a record's headers are made of, once it is sent: librdkafka's own form takes several times the room.
enum About {
    Change { id: String, ts_ms: i64, cause: Cause, traceparent: Option<Arc<str>> },
    State,
    DeadLetter([(&'static str, String); 5]),
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("topic", &self.topic).field("key", &self.key).finish_non_exhaustive()
    }
}

impl Batch {
    /// The records in the order in which they are written.
    pub fn into_outputs(self) -> impl Iterator<Item = Output> {
        self.outputs.into_iter()
    }

    /// The offset to commit with them.
    pub fn next_offset(&self) -> Option<i64> {
        self.next_offset
    }

    /// Whether something can be committed, and is enough for a transaction.
    pub fn is_full(&self) -> bool {
        let is_enough =
            self.settled >= FULL_AT || self.bytes >= FULL_BYTES || self.raw_records >= FULL_RAW_RECORDS;
        is_enough && self.next_offset.is_some()
    }

    /// Takes what can be committed, if there is anything, and leaves what waits for the end of an open listing.
    pub fn take_settled(&mut self) -> Option<Self> {
        let next_offset = self.next_offset.take()?;
        let waiting = self.outputs.split_off(self.settled);
        let settled = Self {
            outputs: std::mem::replace(&mut self.outputs, waiting),
            next_offset: Some(next_offset),
            ..Self::default()
        };
        self.bytes = self.outputs.iter().map(Output::bytes).sum();
        (self.settled, self.raw_records) = (0, 0);
        Some(settled)
    }

    /// How many records it writes.
    pub fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Whether it writes none, and at most moves the offset.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Everything before this offset is dealt with.
    pub fn advance(&mut self, next_offset: i64) {
        self.next_offset = Some(next_offset);
        self.settled = self.outputs.len();
    }

    /// Counts a raw record that was read.
    pub(crate) fn count_raw_record(&mut self) {
        self.raw_records += 1;
    }

    /// Adds changes and state, in the order: changes, then state, so that whoever sees the state can see the changes.
    /// Takes the changes along, since only their bytes are wanted from now on.
    pub fn add(&mut self, organization_id: &str, reconciled: &mut Reconciled, traceparent: Option<&str>) {
        let traceparent: Option<Arc<str>> = traceparent.map(Arc::from);
        let changes = std::mem::take(&mut reconciled.changes);
        self.outputs.reserve(changes.len() + reconciled.records.len());
        for (change, cause) in changes {
            self.push(Output {
                topic: Topic::Changes,
                key: change.key(),
                value: Some(encode(&change)),
                about: About::Change {
                    id: change.id,
                    ts_ms: change.ts_ms,
                    cause,
                    traceparent: traceparent.clone(),
                },
            });
        }
        for (key, value) in &reconciled.records {
            self.push(Output {
                topic: Topic::Graph,
                key: key.format(organization_id),
                value: value.as_ref().map(schemas::codec::GraphValue::encode),
                about: About::State,
            });
        }
    }

    /// Adds a dead letter: the record's bytes with where it came from and why it was refused, as Kafka Connect does.
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
        self.push(Output {
            topic: Topic::DeadLetters,
            key: String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned(),
            value: record.value,
            about: About::DeadLetter(headers),
        });
    }

    fn push(&mut self, output: Output) {
        self.bytes += output.bytes();
        self.outputs.push(output);
    }
}

impl Output {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }

    /// Sends it into the partition of its topic under that prefix, within the producer's transaction.
    pub fn send(
        &self,
        producer: &TransactionalProducer,
        prefix: &str,
        partition: i32,
    ) -> Result<(), transaction::Error> {
        producer.send(&self.topic.name(prefix), partition, &self.key, self.value.as_deref(), self.headers())
    }

    /// Its headers.
    pub fn headers(&self) -> OwnedHeaders {
        match &self.about {
            About::Change { id, ts_ms, cause, traceparent } => {
                let (organization_id, element_key) = self.key.split_once('/').unwrap_or(("", &self.key));
                let time = Timestamp::from_millisecond(*ts_ms).unwrap_or(Timestamp::UNIX_EPOCH);
                CloudEvent {
                    id,
                    kind: CHANGE_TYPE,
                    source: &format!("/{CONNECTOR}/{organization_id}"),
                    subject: element_key,
                    time: &time.to_string(),
                    cause: Some(match cause {
                        Cause::Live => "live",
                        Cause::Config => "config",
                        Cause::Replay => "replay",
                    }),
                    traceparent: traceparent.as_deref(),
                }
                .headers()
            }
            About::State => of_state(),
            About::DeadLetter(headers) => owned(headers.iter().map(|(name, value)| (name, value))),
        }
    }
}
