//! Writing raw records: one transaction for a listing, or for a mark.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::message::OwnedHeaders;
use schemas::codec::encode;
use schemas::raw::RawRecord;
use schemas::topics::{self, Topic};
use service::kafka::headers::of_raw;
use service::kafka::transaction::{self, TRANSACTION_TIMEOUT, TransactionalProducer};
use thiserror::Error;
use tracing::warn;

use crate::poll::chain;

/// Why records were not written, by what the poll does next.
#[derive(Debug, Error)]
pub enum Error {
    /// Nothing of it will be seen, or nobody knows: list the collection anew and write that.
    #[error("the transaction was lost")]
    Again(#[source] transaction::Error),
    /// These records cannot be written; others can.
    #[error("the listing cannot be written")]
    FailListing(#[source] transaction::Error),
    /// Kafka takes nothing now: end the poll.
    #[error("cannot write to Kafka")]
    StopPoll(#[source] transaction::Error),
}

/// A producer that is opened with the first record and closed when the poll is over.
type Slot = Arc<Mutex<Option<TransactionalProducer>>>;
/// How many have a slot that no poll uses (count): the publisher, and whoever releases it.
const UNUSED: usize = 2;

/// Keeps a partition's producer open from listing to listing, while other organizations of the partition release it:
/// opened anew in between, it would fence whoever had listed later.
pub struct Lease(#[expect(dead_code, reason = "counted, not read")] Slot);

/// The transactional producers of a process, one for each partition that it writes to. Opening one fences whoever
/// wrote to the partition before. A clone shares them.
#[derive(Clone)]
pub struct Publisher {
    client: ClientConfig,
    topic: String,
    group: String,
    partition_count: i32,
    slots: Arc<Mutex<BTreeMap<i32, Slot>>>,
}

impl Publisher {
    /// For the raw topic under that prefix, which has so many partitions.
    pub fn new(client: ClientConfig, prefix: &str, partition_count: i32) -> Self {
        Self {
            client,
            topic: Topic::Raw.name(prefix),
            group: group_id(prefix),
            partition_count,
            slots: Arc::default(),
        }
    }

    /// The partition that holds the organization's history.
    pub fn partition(&self, organization_id: &str) -> i32 {
        topics::partition(organization_id, self.partition_count)
    }

    /// Opens the partition's producer, if it is not open. Whoever lists opens it first: then another producer that lists
    /// later and writes has fenced this one, and the older listing cannot come behind the newer one.
    pub async fn open(&self, organization_id: &str) -> Result<(), Error> {
        self.with_slot(self.partition(organization_id), |this, slot, partition| {
            this.opened(slot, partition).map(|_| ())
        })
        .await
    }

    /// Writes the records, all of one organization, in one transaction. It goes on to its end even where the caller
    /// stops waiting, within the producer's bounds.
    pub async fn write<R>(&self, organization_id: &str, records: R) -> Result<(), Error>
    where
        R: IntoIterator<Item = RawRecord> + Send + 'static,
    {
        self.with_slot(self.partition(organization_id), |this, slot, partition| {
            this.write_blocking(slot, partition, records)
        })
        .await
    }

    /// Does something with the partition's producer, which is closed where that fails.
    async fn with_slot(
        &self,
        partition: i32,
        work: impl FnOnce(&Self, &mut Option<TransactionalProducer>, i32) -> Result<(), transaction::Error>
        + Send
        + 'static,
    ) -> Result<(), Error> {
        let (this, slot) = (self.clone(), self.slot(partition));
        tokio::task::spawn_blocking(move || {
            // A producer that was in use when a thread panicked is not used again.
            let mut slot = slot.lock().unwrap_or_else(|poisoned| {
                let mut slot = poisoned.into_inner();
                *slot = None;
                slot
            });
            let result = work(&this, &mut slot, partition);
            if result.is_err() {
                *slot = None;
            }
            result.map_err(named)
        })
        .await
        .expect("the runtime lives, and nothing in it panics")
    }

    /// For a poll of that organization, which holds it until its end.
    pub fn lease(&self, organization_id: &str) -> Lease {
        Lease(self.slot(self.partition(organization_id)))
    }

    /// Closes the partition's producer, which costs memory and threads, unless a poll of another organization of the
    /// partition is under way, whose end releases it; the next record opens another.
    pub async fn release(&self, organization_id: &str) {
        let slot = self.slot(self.partition(organization_id));
        let closed = tokio::task::spawn_blocking(move || {
            if Arc::strong_count(&slot) <= UNUSED
                && let Ok(mut slot) = slot.try_lock()
            {
                *slot = None;
            }
        });
        // An error is the runtime's end, which closes it as well.
        let _ = closed.await;
    }

    fn slot(&self, partition: i32) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(partition).or_default())
    }

    fn opened<'a>(
        &self,
        slot: &'a mut Option<TransactionalProducer>,
        partition: i32,
    ) -> Result<&'a TransactionalProducer, transaction::Error> {
        if slot.is_none() {
            let id = format!("{}-{partition}", self.group);
            let opened = TransactionalProducer::open(&self.client, &id, TRANSACTION_TIMEOUT)?;
            service::failpoint!("producer::after_init_transactions");
            *slot = Some(opened);
        }
        Ok(slot.as_ref().expect("it was opened"))
    }

    fn write_blocking(
        &self,
        slot: &mut Option<TransactionalProducer>,
        partition: i32,
        records: impl IntoIterator<Item = RawRecord>,
    ) -> Result<(), transaction::Error> {
        let producer = self.opened(slot, partition)?;
        service::failpoint!("producer::before_begin");
        producer.begin()?;
        let written = records
            .into_iter()
            .try_for_each(|record| {
                if record.manifest.is_some() {
                    service::failpoint!("producer::before_manifest");
                }
                let key = record.key();
                producer.send(&self.topic, partition, &key, Some(&encode(&record)), headers(&record, &key))
            })
            .and_then(|()| {
                service::failpoint!("producer::before_commit");
                producer.commit()
            });
        service::failpoint!("producer::after_commit");
        if let Err(transaction::Error::Abortable { .. } | transaction::Error::TooLarge { .. }) = &written
            && let Err(error) = producer.abort()
        {
            // The next `open` aborts it.
            warn!(partition, "cannot abort the transaction: {}", chain(&error));
        }
        written
    }
}

/// The producer's consumer group under that prefix.
pub fn group_id(prefix: &str) -> String {
    format!("{prefix}.producer")
}

fn named(error: transaction::Error) -> Error {
    match error {
        transaction::Error::Fenced { .. }
        | transaction::Error::Abortable { .. }
        | transaction::Error::OutcomeUnknown { .. } => Error::Again(error),
        transaction::Error::TooLarge { .. } => Error::FailListing(error),
        transaction::Error::Unreachable { .. } | transaction::Error::Fatal { .. } => Error::StopPoll(error),
    }
}

fn headers(record: &RawRecord, key: &str) -> OwnedHeaders {
    let group = record.listing_id.as_deref().or(record.poll_id.as_deref()).unwrap_or_default();
    of_raw(record, key, group)
}
