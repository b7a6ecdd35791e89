//! A record that proves to its writer where a partition ends.

use rdkafka::producer::Producer;
use tracing::warn;

use super::{Error, TransactionalProducer, abortable};
use crate::kafka::headers::{AVRO, CONTENT_TYPE, owned};

/// How often the barrier is written while no broker says where it is (count): a broker does not say it of a record that
/// it got twice, which takes a lost response.
const ATTEMPTS: u32 = 3;

impl TransactionalProducer {
    /// Commits a tombstone under this key and returns its offset. It must be the first record that a producer writes to a
    /// partition.
    ///
    /// No other process writes to the partition once the producer is open. A reader of this record has therefore read
    /// all that was committed before, whatever a broker says of the partition's end.
    pub fn write_barrier(&self, topic: &str, partition: i32, key: &str) -> Result<i64, Error> {
        for _ in 0..ATTEMPTS {
            self.begin()?;
            let sent = self.send(topic, partition, key, None, owned([(CONTENT_TYPE, AVRO)]));
            if let Err(error) = sent.and_then(|()| self.commit()) {
                if let Error::Abortable { .. } | Error::TooLarge { .. } = &error
                    && let Err(abort) = self.abort()
                {
                    warn!(topic, partition, error = %abort, "the barrier's transaction could not be aborted");
                }
                return Err(error);
            }
            if let Some(offset) = self.producer().context().newest(topic, partition) {
                return Ok(offset);
            }
        }
        Err(abortable("no broker said at which offset the barrier record is", None))
    }
}
