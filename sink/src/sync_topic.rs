//! Writing and reading the sync topic: what JupiterOne holds, by organization and target.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use rdkafka::ClientConfig;
use schemas::codec::{DecodeError, decode, encode};
use schemas::sync::Sync;
use schemas::topics::Topic;
use service::config::Config;
use service::kafka::client_config;
use service::kafka::headers::of_state;
use service::kafka::restore::{self, RestoreError};
use service::kafka::topics::{self, Wanted};
use service::kafka::transaction::{Error, TRANSACTION_TIMEOUT, TransactionalProducer};
use service::kafka::wait_for_commits;
use service::shutdown::CancellationToken;
use service::startup::Options;
use service::wait::WaitReporter;

use crate::needs::NEEDS;

/// The sync records of a partition by their keys (organization ID `/` target).
pub(crate) type Records = BTreeMap<String, Sync>;

/// The one writer of a partition of the sync topic.
pub(crate) struct SyncTopic {
    producer: Mutex<TransactionalProducer>,
    base: ClientConfig,
    group_id: String,
    topic: String,
    partition: i32,
    /// The records as they were read by [`SyncTopic::restore`] or written since.
    written: Mutex<Records>,
}

impl SyncTopic {
    /// Becomes the only writer: the previous one is fenced.
    pub(crate) fn open(
        base: &ClientConfig,
        group_id: &str,
        topic: &str,
        partition: i32,
    ) -> Result<Self, Error> {
        let opened = Self::open_unless(base, group_id, topic, partition, WaitReporter::default(), || false)?;
        Ok(opened.expect("it is never stopped"))
    }

    /// The same, given up with `None` as soon as it `is_stopped`. The `reporter` reports what the writer waits for.
    pub(crate) fn open_unless(
        base: &ClientConfig,
        group_id: &str,
        topic: &str,
        partition: i32,
        reporter: WaitReporter,
        is_stopped: impl Fn() -> bool,
    ) -> Result<Option<Self>, Error> {
        let transactional_id = format!("{group_id}-{partition}");
        let opened = TransactionalProducer::open_unless(
            base,
            &transactional_id,
            TRANSACTION_TIMEOUT,
            reporter,
            is_stopped,
        )?;
        Ok(opened.map(|producer| Self {
            producer: Mutex::new(producer),
            base: base.clone(),
            group_id: group_id.to_owned(),
            topic: topic.to_owned(),
            partition,
            written: Mutex::default(),
        }))
    }

    /// Waits for no answer once that is canceled.
    pub(crate) fn give_up_when(&self, lost: CancellationToken) {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).give_up_when(lost);
    }

    /// Reads the records that the predecessors left; `None` where it `is_stopped`. No other writer writes between this and
    /// the first record of this writer.
    pub(crate) fn restore(
        &self,
        is_stopped: impl Fn() -> bool,
    ) -> Result<Option<Records>, RestoreError<DecodeError>> {
        let records = read_unless(&self.base, &self.group_id, &self.topic, [self.partition], is_stopped)?;
        if let Some(records) = &records {
            self.written().clone_from(records);
        }
        Ok(records)
    }

    /// All records of the partition as they are now.
    pub(crate) fn read(&self) -> Result<Records, RestoreError<DecodeError>> {
        read(&self.base, &self.group_id, &self.topic, [self.partition])
    }

    /// Whether another writer wrote one of the records with these keys. They are compared with what this writer wrote
    /// last and not with what its owner means to write.
    pub(crate) fn is_overwritten(&self, keys: &[String]) -> Result<bool, RestoreError<DecodeError>> {
        if !self.has_others(keys, &self.read()?) {
            return Ok(false);
        }
        // A commit is answered before its markers are in the partition, so the last record may not have been readable.
        wait_for_commits(&self.base, &self.topic, self.partition).map_err(RestoreError::Read)?;
        Ok(self.has_others(keys, &self.read()?))
    }

    /// What was written last.
    pub(crate) fn last(&self) -> Records {
        self.written().clone()
    }

    fn has_others(&self, keys: &[String], read: &Records) -> bool {
        let written = self.written();
        keys.iter().any(|key| read.get(key).is_some_and(|record| written.get(key) != Some(record)))
    }

    fn written(&self) -> MutexGuard<'_, Records> {
        // The records are complete between any two calls.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of the same partition of another topic, records of an open transaction included; `None` while a record is
    /// written, and if the leader does not answer at once.
    pub(crate) fn end_of(&self, topic: &str) -> Option<i64> {
        self.producer.try_lock().ok()?.end_offset(topic, self.partition)
    }

    /// Writes the record in a transaction of its own, without blocking the caller's thread.
    pub(crate) async fn write(self: &Arc<Self>, sync: Sync) -> Result<(), Error> {
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || this.write_now(&sync))
            .await
            .expect("writing a record does not panic and is never canceled")
    }

    /// Writes the record in a transaction of its own, unless that is what the topic has.
    pub(crate) fn write_now(&self, sync: &Sync) -> Result<(), Error> {
        let is_written = match self.written().get(&sync.key()) {
            Some(written) => written == sync,
            None => is_blank(sync),
        };
        if is_written {
            return Ok(());
        }
        // A thread that panicked left at most an open transaction, which `begin` refuses.
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        producer.begin()?;
        let headers = of_state();
        let result = producer
            .send(&self.topic, self.partition, &sync.key(), Some(&encode(sync)), headers)
            .and_then(|()| producer.commit());
        if let Err(Error::Abortable { .. } | Error::TooLarge { .. }) = &result {
            producer.abort()?;
        }
        if result.is_ok() {
            self.written().insert(sync.key(), sync.clone());
        }
        result
    }
}

/// Whether the record would say nothing: no job was started, and nothing keeps one from being started.
fn is_blank(sync: &Sync) -> bool {
    let Sync { organization_id, organization_name, target, .. } = sync.clone();
    *sync == Sync { organization_id, organization_name, target, ..Sync::default() }
}

/// All records of the topic, for a command that reads only; none where no sink has made it yet.
pub(crate) fn all(config: &Config, options: &Options) -> anyhow::Result<Records> {
    let client = client_config(&config.kafka, &options.environment)?;
    let wanted = Wanted { create: false, ..Wanted::of(config, &[Topic::Sync], options.broker) };
    let partitions = match topics::ensure(&client, &wanted) {
        Ok(partitions) => partitions,
        Err(topics::Error::Missing { .. }) => 0,
        Err(error) => return Err(error.into()),
    };
    let prefix = &config.kafka.topic_prefix;
    read(&client, &NEEDS.group_id(prefix), &Topic::Sync.name(prefix), 0..partitions)
        .context("failed to read the sync topic")
}

/// All records of these partitions as they are now.
pub(crate) fn read(
    base: &ClientConfig,
    group_id: &str,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
) -> Result<Records, RestoreError<DecodeError>> {
    Ok(read_unless(base, group_id, topic, partitions, || false)?.expect("it is never stopped"))
}

/// The same, given up with `None` as soon as it `is_stopped`.
pub(crate) fn read_unless(
    base: &ClientConfig,
    group_id: &str,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    is_stopped: impl Fn() -> bool,
) -> Result<Option<Records>, RestoreError<DecodeError>> {
    let mut records = Records::new();
    let is_complete = restore::read(base, group_id, topic, partitions, is_stopped, |record| {
        let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
        match record.value {
            Some(value) => {
                records.insert(key, decode(value)?);
            }
            None => {
                records.remove(&key);
            }
        }
        Ok(())
    })?;
    Ok(is_complete.then_some(records))
}
