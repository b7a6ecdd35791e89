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

use crate::reconcile::{CONNECTOR, Cause, Reconciled};

/// Records that one transaction may have before no further unit joins it (count). A listing is never split, so a
/// transaction may be larger by one listing.
pub(crate) const FULL_AT: usize = 10_000;

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

/// The next transaction.
#[derive(Debug, Default)]
pub struct Batch {
    outputs: Vec<Output>,
    /// The next raw offset to read once this is committed; `None`: there is nothing to commit.
    next_offset: Option<i64>,
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

    /// Whether the transaction is large enough.
    pub fn is_full(&self) -> bool {
        self.len() >= FULL_AT
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
    }

    /// Adds changes and state, in the order: changes, then state, so that whoever sees the state can see the changes.
    /// Takes the changes along, since only their bytes are wanted from now on.
    pub fn add(&mut self, organization_id: &str, reconciled: &mut Reconciled, traceparent: Option<&str>) {
        let traceparent: Option<Arc<str>> = traceparent.map(Arc::from);
        let changes = std::mem::take(&mut reconciled.changes);
        self.outputs.reserve(changes.len() + reconciled.records.len());
        for (change, cause) in changes {
            self.outputs.push(Output {
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
            self.outputs.push(Output {
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
        self.outputs.push(Output {
            topic: Topic::DeadLetters,
            key: String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned(),
            value: record.value,
            about: About::DeadLetter(headers),
        });
    }
}

impl Output {
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
