//! Records that a newer version wrote: the reader is what is wrong, so it stops and the record stays unread.

use schemas::codec::{self, DecodeError};
use thiserror::Error;

use super::{headers::writer, partition::Message};

/// A record whose schema this version does not know.
#[derive(Debug, Error)]
#[error(
    "the record at offset {offset} of {topic} partition {partition}, written by {writer}, cannot be read by this \
     version; it is kept, and nothing is skipped"
)]
pub struct NewerRecord {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Which version wrote it, for people.
    pub writer: String,
    #[source]
    pub source: DecodeError,
}

/// Refuses a record that a newer version wrote. Any other record passes, whatever it is.
pub fn check_known(topic: &str, partition: i32, record: Message<'_>) -> Result<(), NewerRecord> {
    let Some(value) = record.value else { return Ok(()) };
    codec::check_known(value).map_err(|source| NewerRecord {
        topic: topic.to_owned(),
        partition,
        offset: record.offset,
        writer: writer(&record.headers()),
        source,
    })
}
