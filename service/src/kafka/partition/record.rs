//! A record: as its consumer has it, and detached from it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Headers};
use tracing::warn;

/// A record detached from the consumer that read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: i64,
    /// Its key; ours are UTF-8.
    pub key: Option<Vec<u8>>,
    /// Its value in single-object encoding; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A record where it was read: nothing of it is copied. To copy keys and values halves what a consumer can read, and
/// headers are more than both.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// Its place in the partition.
    pub offset: i64,
    /// Its key; ours are UTF-8.
    pub key: Option<&'a [u8]>,
    /// Its value in single-object encoding; none is a tombstone.
    pub value: Option<&'a [u8]>,
    source: Source<'a>,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Fetched(&'a BorrowedMessage<'a>),
    Detached(&'a Record),
}

impl<'a> Message<'a> {
    pub(super) fn fetched(message: &'a BorrowedMessage<'a>, value: Option<&'a [u8]>) -> Self {
        Self { offset: message.offset(), key: message.key(), value, source: Source::Fetched(message) }
    }

    /// Its headers in order.
    pub fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        match self.source {
            Source::Fetched(message) => headers(message),
            Source::Detached(record) => record.headers.clone(),
        }
    }

    /// When it was written, by the clock that the topic goes by (ms since 1970); a copy does not know.
    pub fn written_ts_ms(&self) -> Option<i64> {
        match self.source {
            Source::Fetched(message) => message.timestamp().to_millis(),
            Source::Detached(_) => None,
        }
    }

    /// A copy that outlives the consumer.
    pub fn detach(&self) -> Record {
        Record {
            offset: self.offset,
            key: self.key.map(<[u8]>::to_vec),
            value: self.value.map(<[u8]>::to_vec),
            headers: self.headers(),
        }
    }
}

impl Record {
    /// The record as if it had just been read.
    pub fn as_message(&self) -> Message<'_> {
        Message {
            offset: self.offset,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            source: Source::Detached(self),
        }
    }
}

/// rdkafka panics on a header whose name is not UTF-8, which any writer of the topic may produce; such a record's
/// headers are left out, since none of ours look like that.
fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Option<Vec<u8>>)> {
    let Some(headers) = message.headers() else { return Vec::new() };
    let read = || -> Vec<_> {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    };
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        warn!(
            topic = message.topic(),
            partition = message.partition(),
            offset = message.offset(),
            "a header's name is not UTF-8; the record is read without its headers"
        );
        Vec::new()
    })
}
