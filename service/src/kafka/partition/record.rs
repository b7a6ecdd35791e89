//! A record, detached from the consumer that read it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};
use tracing::warn;

/// A record as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: i64,
    /// Its key; ours are UTF-8.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Self {
        Self {
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers(message),
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
