//! What a side has written, so that only equal work is compared.

use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use anyhow::{Result, ensure};
use rdkafka::Message as _;

use super::bare;

/// The least that a side may have written of the other's bytes, and the other of its (percent): ids and digests may be
/// shorter, nothing may be left out.
const LEAST_BYTES: u64 = 90;

/// The records of one partition: how many, of which keys, of how many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Records {
    pub(crate) count: u64,
    /// The sum of the keys' hashes: the same for the same keys, in whichever order.
    keys: u64,
    bytes: u64,
    /// The values alone, without the keys.
    pub(crate) value_bytes: u64,
}

/// What the organization's changes and elements were written with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) changes: Records,
    pub(crate) elements: Records,
}

impl Output {
    /// All records that were written into the partition of these topics so far.
    pub(crate) fn read(servers: &str, changes: &str, elements: &str, partition: i32) -> Result<Self> {
        Ok(Self {
            changes: Records::read(servers, changes, partition)?,
            elements: Records::read(servers, elements, partition)?,
        })
    }

    /// How many records that are.
    pub(crate) fn count(&self) -> u64 {
        self.changes.count + self.elements.count
    }

    /// Refuses to compare unequal work.
    pub(crate) fn ensure_equal(&self, other: &Self, name: &str) -> Result<()> {
        for (what, ours, peers) in
            [("changes", self.changes, other.changes), ("elements", self.elements, other.elements)]
        {
            ensure!(
                (ours.count, ours.keys) == (peers.count, peers.keys) && ours.is_as_large_as(&peers),
                "{name} does another job: it has written {peers} as {what}, the processor {ours}; nothing is compared"
            );
        }
        Ok(())
    }
}

impl Records {
    fn read(servers: &str, topic: &str, partition: i32) -> Result<Self> {
        let mut records = Self::default();
        // A commit is answered before all of it can be read.
        ::tests::kafka::await_ends(servers, topic);
        bare::read(servers, topic, partition, 0, |message| {
            let key = message.key().unwrap_or_default();
            if is_of_an_element(key) {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                records.count += 1;
                records.keys = records.keys.wrapping_add(hasher.finish());
                records.bytes += (key.len() + message.payload_len()) as u64;
                records.value_bytes += message.payload_len() as u64;
            }
            Ok(())
        })?;
        Ok(records)
    }

    fn is_as_large_as(&self, other: &Self) -> bool {
        let most = self.bytes.max(other.bytes);
        self.bytes.min(other.bytes) * 100 >= most * LEAST_BYTES
    }
}

impl fmt::Display for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} records of {} bytes (keys {:016x})", self.count, self.bytes, self.keys)
    }
}

/// Its key is the organization's ID, a slash and the element's; coverage and barriers have other ones.
fn is_of_an_element(key: &[u8]) -> bool {
    let own = key.iter().position(|byte| *byte == b'/').map_or(&[][..], |slash| &key[slash + 1..]);
    own.starts_with(b"anthropic_")
}

#[cfg(test)]
mod tests {
    use super::{Output, Records, is_of_an_element};

    fn output(count: u64, keys: u64, bytes: u64) -> Output {
        let records = Records { count, keys, bytes, value_bytes: bytes / 2 };
        Output { changes: records, elements: records }
    }

    #[test]
    fn unequal_work_is_not_compared() {
        let ours = output(100, 7, 40_000);
        let refused = |theirs| ours.ensure_equal(&theirs, "the peer").expect_err("it is unequal").to_string();
        for theirs in
            [output(99, 7, 40_000), output(100, 8, 40_000), output(100, 7, 35_000), output(100, 7, 45_000)]
        {
            let why = refused(theirs);
            assert!(
                why.starts_with("the peer does another job") && why.ends_with("nothing is compared"),
                "{why}"
            );
        }
        let fewer_elements = Output { elements: Records::default(), ..ours };
        assert!(refused(fewer_elements).contains("0 records of 0 bytes (keys 0000000000000000) as elements"));
    }

    #[test]
    fn equal_work_is_compared_also_where_its_encoding_is_somewhat_shorter() {
        let ours = output(100, 7, 40_000);
        for theirs in [ours, output(100, 7, 37_000)] {
            ours.ensure_equal(&theirs, "the peer").expect("it is equal");
        }
    }

    #[test]
    fn an_element_is_known_by_its_key() {
        assert!(is_of_an_element(b"3f0b6c1e/anthropic_user:user_01"));
        for other in
            [&b"3f0b6c1e/coverage/users"[..], b"3f0b6c1e/hold/anthropic_user:user_01", b"0/12/barrier", b""]
        {
            assert!(!is_of_an_element(other));
        }
    }
}
