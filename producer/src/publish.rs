//! Writing raw records: one transaction for a listing, or for a mark.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedHeaders;
use schemas::codec::encode;
use schemas::raw::RawRecord;
use schemas::topics::{self, Topic};
use service::admin::Health;
use service::kafka::headers::of_raw;
use service::kafka::transaction::{self, TRANSACTION_TIMEOUT, TransactionalProducer};
use service::wait::Teller;
use thiserror::Error;
use tracing::warn;

use crate::error_chain::chain;

/// Why records were not written, by what the poll does next.
#[derive(Debug, Error)]
pub enum Error {
    /// Nothing of it will be seen, or nobody knows: list the collection anew and write that.
    #[error("the transaction was lost")]
    Again(#[source] Lost),
    /// These records cannot be written; others can.
    #[error("the listing cannot be written")]
    FailListing(#[source] transaction::Error),
    /// A record's time is too far from the broker's clock: end the poll.
    #[error(
        "the brokers refuse the time of the records: the clock of this machine says {now}, and may be ahead of the \
         brokers' by no more than the topic's message.timestamp.after.max.ms (an hour) and behind by no more than its \
         message.timestamp.before.max.ms; set the clock that is wrong"
    )]
    Clock {
        /// What the clock of this machine says.
        now: Timestamp,
    },
    /// Kafka takes nothing now: end the poll.
    #[error("cannot write to Kafka")]
    StopPoll(#[source] transaction::Error),
}

/// Why a transaction was lost.
#[derive(Debug, Error)]
pub enum Lost {
    /// It failed.
    #[error(transparent)]
    Transaction(transaction::Error),
    /// It was not begun: in between, another producer may have written what it listed later.
    #[error("the partition's producer was opened anew since the listing began")]
    OpenedAnew,
}

/// A partition's producer.
#[derive(Default)]
struct Slot {
    /// How many polls hold it.
    leases: AtomicUsize,
    producer: Mutex<Producer>,
}

/// Opened with the first record and closed when no poll of the partition is under way.
#[derive(Default)]
struct Producer {
    open: Option<TransactionalProducer>,
    /// How often it was opened (count).
    openings: u64,
}

/// Keeps a partition's producer open from listing to listing, while other organizations of the partition release it.
pub struct Lease(Arc<Slot>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One opening of a partition's producer. While it lasts, nobody else has written to the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening(u64);

/// The transactional producers of a process, one for each partition that it writes to. Opening one fences whoever
/// wrote to the partition before. A clone shares them.
#[derive(Clone)]
pub struct Publisher {
    client: ClientConfig,
    topic: String,
    group: String,
    partition_count: i32,
    health: Option<Arc<Health>>,
    slots: Arc<Mutex<BTreeMap<i32, Arc<Slot>>>>,
}

impl Publisher {
    /// For the raw topic under that prefix, which has so many partitions.
    pub fn new(client: ClientConfig, prefix: &str, partition_count: i32) -> Self {
        Self {
            client,
            topic: Topic::Raw.name(prefix),
            group: group_id(prefix),
            partition_count,
            health: None,
            slots: Arc::default(),
        }
    }

    /// Tells `/readyz` from now on what its producers wait for; without it, the log alone.
    #[must_use]
    pub fn telling(mut self, health: &Arc<Health>) -> Self {
        self.health = Some(Arc::clone(health));
        self
    }

    /// The partition that holds the organization's history.
    pub fn partition(&self, organization_id: &str) -> i32 {
        topics::partition(organization_id, self.partition_count)
    }

    /// Opens the partition's producer, if it is not open. Whoever lists opens it first and writes under the same opening:
    /// then another producer that lists later and writes has ended it, and the older listing cannot come behind the
    /// newer one.
    pub async fn open(&self, organization_id: &str) -> Result<Opening, Error> {
        self.with_producer(organization_id, |this, producer, partition| {
            this.opened(producer, partition).map(|(_, opening)| opening)
        })
        .await
    }

    /// Writes the records, all of one organization, in one transaction, and under that opening where one is given. It
    /// goes on to its end even where the caller stops waiting, within the producer's bounds.
    pub async fn write<R>(
        &self,
        organization_id: &str,
        opening: Option<Opening>,
        records: R,
    ) -> Result<(), Error>
    where
        R: IntoIterator<Item = RawRecord> + Send + 'static,
    {
        let is_written = self
            .with_producer(organization_id, move |this, producer, partition| {
                let (_, now) = this.opened(producer, partition)?;
                if opening.is_some_and(|opening| opening != now) {
                    return Ok(false);
                }
                this.write_blocking(producer, partition, records).map(|()| true)
            })
            .await?;
        if is_written { Ok(()) } else { Err(Error::Again(Lost::OpenedAnew)) }
    }

    /// Does something with the producer of the organization's partition, which is closed where that fails, but for
    /// records that are too large: other organizations' are not.
    async fn with_producer<T: Send + 'static>(
        &self,
        organization_id: &str,
        work: impl FnOnce(&Self, &mut Producer, i32) -> Result<T, transaction::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let partition = self.partition(organization_id);
        let (this, slot) = (self.clone(), self.slot(partition));
        tokio::task::spawn_blocking(move || {
            // A producer that was in use when a thread panicked is not used again.
            let mut producer = slot.producer.lock().unwrap_or_else(|poisoned| {
                let mut producer = poisoned.into_inner();
                producer.open = None;
                producer
            });
            let result = work(&this, &mut producer, partition);
            if result.as_ref().is_err_and(|error| !matches!(error, transaction::Error::TooLarge { .. })) {
                producer.open = None;
            }
            result.map_err(named)
        })
        .await
        .expect("the runtime lives, and nothing in it panics")
    }

    /// For a poll of that organization, which holds it until its end.
    pub fn lease(&self, organization_id: &str) -> Lease {
        let slot = self.slot(self.partition(organization_id));
        slot.leases.fetch_add(1, Ordering::Relaxed);
        Lease(slot)
    }

    /// Closes the partition's producer, which costs memory and threads, unless a poll of another organization of the
    /// partition is under way, whose end releases it; the next record opens another.
    pub async fn release(&self, organization_id: &str) {
        let slot = self.slot(self.partition(organization_id));
        let closed = tokio::task::spawn_blocking(move || {
            if slot.leases.load(Ordering::Relaxed) == 0
                && let Ok(mut producer) = slot.producer.try_lock()
            {
                producer.open = None;
            }
        });
        // An error is the runtime's end, which closes it as well.
        let _ = closed.await;
    }

    fn slot(&self, partition: i32) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(partition).or_default())
    }

    fn opened<'a>(
        &self,
        producer: &'a mut Producer,
        partition: i32,
    ) -> Result<(&'a TransactionalProducer, Opening), transaction::Error> {
        if producer.open.is_none() {
            let id = format!("{}-{partition}", self.group);
            let name = format!("{} partition {partition}, writing", self.topic);
            let teller = self.health.as_ref().map_or_else(Teller::default, |it| Teller::new(it, name));
            let opened =
                TransactionalProducer::open_unless(&self.client, &id, TRANSACTION_TIMEOUT, teller, || false)?
                    .expect("nobody stops it");
            service::failpoint!("producer::after_init_transactions");
            producer.open = Some(opened);
            producer.openings += 1;
        }
        Ok((producer.open.as_ref().expect("it was opened"), Opening(producer.openings)))
    }

    fn write_blocking(
        &self,
        producer: &mut Producer,
        partition: i32,
        records: impl IntoIterator<Item = RawRecord>,
    ) -> Result<(), transaction::Error> {
        let (open, _) = self.opened(producer, partition)?;
        service::failpoint!("producer::before_begin");
        open.begin()?;
        let written = records
            .into_iter()
            .try_for_each(|record| {
                if record.manifest.is_some() {
                    service::failpoint!("producer::before_manifest");
                }
                let key = record.key();
                open.send(&self.topic, partition, &key, Some(&encode(&record)), headers(&record, &key))
            })
            .and_then(|()| {
                service::failpoint!("producer::before_commit");
                open.commit()
            });
        service::failpoint!("producer::after_commit");
        if let Err(transaction::Error::Abortable { .. } | transaction::Error::TooLarge { .. }) = &written
            && let Err(error) = open.abort()
        {
            warn!(partition, "cannot abort the transaction: {}", chain(&error));
            // The next opening aborts it.
            producer.open = None;
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
        transaction::Error::Abortable { source: Some(source), .. }
            if source.rdkafka_error_code() == Some(RDKafkaErrorCode::InvalidTimestamp) =>
        {
            Error::Clock { now: Timestamp::now() }
        }
        transaction::Error::Fenced { .. }
        | transaction::Error::Abortable { .. }
        | transaction::Error::OutcomeUnknown { .. } => Error::Again(Lost::Transaction(error)),
        transaction::Error::TooLarge { .. } => Error::FailListing(error),
        transaction::Error::Unreachable { .. } | transaction::Error::Fatal { .. } => Error::StopPoll(error),
    }
}

fn headers(record: &RawRecord, key: &str) -> OwnedHeaders {
    let group = record.listing_id.as_deref().or(record.poll_id.as_deref()).unwrap_or_default();
    of_raw(record, key, group)
}
