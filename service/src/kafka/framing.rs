//! How a value is framed in a topic, at the border to Kafka: within the process it is always in single-object encoding.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};
use schemas::framing::{DATA_SCHEMA, data_schema, from_registry, is_registry, split, to_registry};

use super::client::schema_ids;

/// The value of a record in single-object encoding, whichever of the two framings it was written in.
pub fn value<'a>(message: &'a BorrowedMessage<'_>) -> Option<Cow<'a, [u8]>> {
    let payload = message.payload()?;
    // By far the most values are not, and cost a look at a byte.
    let framed =
        is_registry(payload).then(|| from_registry(payload, header(message, DATA_SCHEMA)?)).flatten();
    Some(framed.map_or(Cow::Borrowed(payload), Cow::Owned))
}

/// rdkafka panics on a header whose name is not UTF-8, which any writer of the topic may produce.
fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a [u8]> {
    let headers = message.headers()?;
    let find = || headers.iter().find(|header| header.key == name)?.value;
    catch_unwind(AssertUnwindSafe(find)).ok().flatten()
}

/// What a producer makes of the values that it sends.
#[derive(Debug, Clone)]
pub(super) struct Framing {
    /// The IDs of a registry by fingerprint; none without a registry.
    ids: BTreeMap<u64, u32>,
}

impl Framing {
    /// Of the producers of that configuration.
    pub(super) fn of(base: &ClientConfig) -> Self {
        Self { ids: schema_ids(base) }
    }

    /// The value as it goes into the topic, with its headers. What has no ID goes as it is.
    pub(super) fn frame<'a>(&self, value: &'a [u8], headers: OwnedHeaders) -> (Cow<'a, [u8]>, OwnedHeaders) {
        if self.ids.is_empty() {
            return (Cow::Borrowed(value), headers);
        }
        let known = split(value).and_then(|(fingerprint, body)| {
            let id = self.ids.get(&fingerprint)?;
            Some((fingerprint, to_registry(body, *id)))
        });
        let Some((fingerprint, framed)) = known else { return (Cow::Borrowed(value), headers) };
        let schema = data_schema(fingerprint);
        (Cow::Owned(framed), headers.insert(Header { key: DATA_SCHEMA, value: Some(&schema) }))
    }
}
