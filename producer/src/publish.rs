//! Writes raw records: one transaction per listing or mark.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::OwnedHeaders;
use schemas::codec::encode;
use schemas::raw::{RawBody, RawRecord};
use schemas::topics::{self, Topic};
use service::admin::Health;
use service::kafka::headers::{of_raw, traced};
use service::kafka::transaction::{self, TRANSACTION_TIMEOUT, TransactionalProducer};
use service::traces::{Span, SpanKind};
use service::wait::WaitReporter;
use thiserror::Error;
use tracing::warn;

use crate::error_chain::chain;
use crate::needs::NEEDS;

/// Why records were not written, by what the poll does next.
#[derive(Debug, Error)]
pub enum Error {
    /// The records may not have been written: list the collection again and write that.
    #[error("the transaction was lost")]
    Again(#[source] LostTransaction),
    /// These records cannot be written; others can.
    #[error("the listing cannot be written")]
    FailListing(#[source] transaction::Error),
    /// A record's timestamp is too far from the broker's clock: end the poll.
    #[error(
        "the brokers reject the time of the records: the clock of this machine says {now}, and may differ \
         from the brokers' clocks by at most the topic's message.timestamp.after.max.ms (an hour) and \
         message.timestamp.before.max.ms; set the clock that is wrong"
    )]
    Clock {
        /// What the clock of this machine says.
        now: Timestamp,
    },
    /// Kafka accepts nothing now: end the poll.
    #[error("cannot write to Kafka")]
    StopPoll(#[source] transaction::Error),
}

impl Error {
    /// Whether the brokers' authorizer denies it: no later poll will do better.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::StopPoll(transaction::Error::Denied { .. }))
    }
}

/// Why a transaction was lost.
#[derive(Debug, Error)]
pub enum LostTransaction {
    #[error(transparent)]
    Transaction(transaction::Error),
    /// The transaction was not started: another producer may have written a later listing in between.
    #[error("the partition's producer was reopened since the listing began")]
    Reopened,
}

#[derive(Default)]
struct Slot {
    /// Polls that use it (count).
    leases: AtomicUsize,
    producer: Mutex<Producer>,
}

/// Opened with the first record, and closed when no poll of the partition is in progress.
#[derive(Default)]
struct Producer {
    open: Option<TransactionalProducer>,
    /// Times that it was opened (count).
    openings: u64,
}

/// Keeps a partition's producer open between listings, even if another organization of the partition releases it.
pub struct Lease(Arc<Slot>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One opening of a partition's producer. While it lasts, no other producer has written to the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening(u64);

/// The transactional producers of a process, one for each partition that it writes to. Opening one fences the previous
/// writer of the partition. Clones share them.
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
    /// For the raw topic with that prefix and partition count.
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

    /// Also shows in `/readyz` what the producers wait for. Without this, only the log does.
    #[must_use]
    pub fn reporting_to(mut self, health: &Arc<Health>) -> Self {
        self.health = Some(Arc::clone(health));
        self
    }

    /// The partition that holds the organization's history.
    pub fn partition(&self, organization_id: &str) -> i32 {
        topics::partition(organization_id, self.partition_count)
    }

    /// Opens the partition's producer, if it is not open. A listing opens it first and is written under the same
    /// opening. A producer that lists later and writes ends this opening, so the older listing cannot follow the newer
    /// one.
    pub async fn open(&self, organization_id: &str) -> Result<Opening, Error> {
        self.with_producer(organization_id, |this, producer, partition| {
            this.opened(producer, partition).map(|(_, opening)| opening)
        })
        .await
    }

    /// Writes the records, all of one organization, in one transaction, under the opening if one is given. It finishes
    /// even if the caller stops waiting, within the producer's bounds.
    pub async fn write<R>(
        &self,
        organization_id: &str,
        opening: Option<Opening>,
        records: R,
    ) -> Result<(), Error>
    where
        R: IntoIterator<Item = RawRecord> + Send + 'static,
    {
        let span = Span::child(format!("send {}", self.topic), SpanKind::Producer);
        let is_written = self
            .with_producer(organization_id, move |this, producer, partition| {
                let (_, now) = this.opened(producer, partition)?;
                if opening.is_some_and(|opening| opening != now) {
                    span.fail("reopened", LostTransaction::Reopened);
                    return Ok(false);
                }
                this.write_blocking(producer, partition, records, &span).map(|()| true)
            })
            .await?;
        if is_written { Ok(()) } else { Err(Error::Again(LostTransaction::Reopened)) }
    }

    /// Calls a function with the producer of the organization's partition. The producer is closed if that fails, except
    /// for records that are too large: other organizations' records are not.
    async fn with_producer<T: Send + 'static>(
        &self,
        organization_id: &str,
        work: impl FnOnce(&Self, &mut Producer, i32) -> Result<T, transaction::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let partition = self.partition(organization_id);
        let (this, slot) = (self.clone(), self.slot(partition));
        tokio::task::spawn_blocking(move || {
            // A producer that was in use during a panic is not used again.
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

    /// Keeps the producer open during a poll of that organization.
    pub fn lease(&self, organization_id: &str) -> Lease {
        let slot = self.slot(self.partition(organization_id));
        slot.leases.fetch_add(1, Ordering::Relaxed);
        Lease(slot)
    }

    /// Closes the partition's producer, which costs memory and threads. A poll of another organization of the partition
    /// keeps it open until its end. The next record opens it again.
    pub async fn release(&self, organization_id: &str) {
        let slot = self.slot(self.partition(organization_id));
        let closed = tokio::task::spawn_blocking(move || {
            if slot.leases.load(Ordering::Relaxed) == 0
                && let Ok(mut producer) = slot.producer.try_lock()
            {
                producer.open = None;
            }
        });
        // An error means that the runtime ends, which closes it as well.
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
            let reporter =
                self.health.as_ref().map_or_else(WaitReporter::default, |it| WaitReporter::new(it, name));
            let opened =
                TransactionalProducer::open_unless(&self.client, &id, TRANSACTION_TIMEOUT, reporter, || {
                    false
                })?
                .expect("it is never stopped");
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
        span: &Span,
    ) -> Result<(), transaction::Error> {
        let (open, _) = self.opened(producer, partition)?;
        service::failpoint!("producer::before_begin");
        open.begin()?;
        let (traceparent, mut count) = (span.traceparent(), 0_usize);
        let written = records
            .into_iter()
            .inspect(|_| count += 1)
            .try_for_each(|record| {
                if matches!(record.body, RawBody::Manifest(_)) {
                    service::failpoint!("producer::before_manifest");
                }
                let key = record.key();
                let headers = traced(headers(&record, &key), traceparent.as_deref());
                open.send(&self.topic, partition, &key, Some(&encode(&record)), headers)
            })
            .and_then(|()| {
                service::failpoint!("producer::before_commit");
                open.commit()
            });
        service::failpoint!("producer::after_commit");
        span.set_messaging("send", "send", &self.topic, partition);
        span.set_number("messaging.batch.message_count", count);
        if let Err(error) = &written {
            span.fail("transaction", error);
        }
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

/// The producer's consumer group for that prefix.
pub fn group_id(prefix: &str) -> String {
    NEEDS.group_id(prefix)
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
        | transaction::Error::OutcomeUnknown { .. } => Error::Again(LostTransaction::Transaction(error)),
        transaction::Error::TooLarge { .. } => Error::FailListing(error),
        transaction::Error::Unreachable { .. }
        | transaction::Error::Denied { .. }
        | transaction::Error::Fatal { .. } => Error::StopPoll(error),
    }
}

fn headers(record: &RawRecord, key: &str) -> OwnedHeaders {
    let group = record.listing_id.as_deref().or(record.poll_id.as_deref()).unwrap_or_default();
    of_raw(record, key, group)
}
