//! Writing and reading the sync topic: what JupiterOne holds, by organization and target.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use rdkafka::ClientConfig;
use schemas::codec::{DecodeError, decode, encode};
use schemas::sync::Sync;
use schemas::topics::Topic;
use service::config::Config;
use service::kafka::client_config;
use service::kafka::headers::{AVRO, CONTENT_TYPE, owned};
use service::kafka::restore::{self, RestoreError};
use service::kafka::topics::{self, Wanted};
use service::kafka::transaction::{Error, TRANSACTION_TIMEOUT, TransactionalProducer};

use crate::run::Options;

/// The sync records of a partition by their keys (organization id `/` target).
pub(crate) type Records = BTreeMap<String, Sync>;

/// The one writer of a partition of the sync topic.
pub(crate) struct SyncTopic {
    producer: Mutex<TransactionalProducer>,
    base: ClientConfig,
    group_id: String,
    topic: String,
    partition: i32,
}

impl SyncTopic {
    /// Becomes the one writer: whoever was before is fenced.
    pub(crate) fn open(
        base: &ClientConfig,
        group_id: &str,
        topic: &str,
        partition: i32,
    ) -> Result<Self, Error> {
        let transactional_id = format!("{group_id}-{partition}");
        let producer = TransactionalProducer::open(base, &transactional_id, TRANSACTION_TIMEOUT)?;
        Ok(Self {
            producer: Mutex::new(producer),
            base: base.clone(),
            group_id: group_id.to_owned(),
            topic: topic.to_owned(),
            partition,
        })
    }

    /// All records of the partition as they are now.
    pub(crate) fn read(&self) -> Result<Records, RestoreError<DecodeError>> {
        read(&self.base, &self.group_id, &self.topic, [self.partition])
    }

    /// Writes the record in a transaction of its own, without blocking the caller's thread.
    pub(crate) async fn write(self: &Arc<Self>, sync: Sync) -> Result<(), Error> {
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || this.write_now(&sync))
            .await
            .expect("writing a record does not panic, and nobody cancels it")
    }

    /// Writes the record in a transaction of its own.
    pub(crate) fn write_now(&self, sync: &Sync) -> Result<(), Error> {
        // A thread that panicked left at most an open transaction, which `begin` refuses.
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        producer.begin()?;
        let headers = owned([(CONTENT_TYPE, AVRO)]);
        let result = producer
            .send(&self.topic, self.partition, &sync.key(), Some(&encode(sync)), headers)
            .and_then(|()| producer.commit());
        if let Err(Error::Abortable { .. } | Error::TooLarge { .. }) = &result {
            producer.abort()?;
        }
        result
    }
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
    read(&client, &format!("{prefix}.sink"), &Topic::Sync.name(prefix), 0..partitions)
        .context("failed to read the sync topic")
}

/// All records of these partitions as they are now.
pub(crate) fn read(
    base: &ClientConfig,
    group_id: &str,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
) -> Result<Records, RestoreError<DecodeError>> {
    let mut records = Records::new();
    restore::read(base, group_id, topic, partitions, |record| {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        match record.value {
            Some(value) => {
                records.insert(key, decode(&value)?);
            }
            None => {
                records.remove(&key);
            }
        }
        Ok(())
    })?;
    Ok(records)
}
