//! The resources of a listing that is not yet written, compressed page by page.
//!
//! A listing cannot be written page by page. Its transaction would stay open while pages arrive (a million API keys
//! take eleven minutes at 90 requests per minute). That is longer than a transaction may last, and it would hide what
//! other organizations write to the partition.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use schemas::raw::{MAX_LISTING_BYTES, MAX_LISTING_RECORDS, Resource};

/// Size of a raw record without its resource (bytes): the IDs of organization, poll and listing, names and times.
const ENVELOPE: usize = 256;
/// Most memory of a listing (bytes): a million API keys take about a fifth of it. Responses may compress badly, and
/// four polls run at once.
pub(crate) const MAX_HELD_BYTES: usize = 512 * 1024 * 1024;
/// What [`Seen`] takes per resource (bytes): two digests of 16 bytes, and the tree's overhead.
const SEEN: usize = 64;

/// The resources in the list's order, each with the time of its page (ms since 1970).
#[derive(Debug, Default)]
pub struct Resources {
    pages: Vec<Page>,
    count: usize,
    /// Approximate size of all their raw records (bytes).
    bytes: usize,
    /// The memory that the pages take (bytes).
    held: usize,
}

#[derive(Debug)]
struct Page {
    observed_ts_ms: i64,
    /// The resources as JSON, one after another.
    deflated: Vec<u8>,
}

/// The rows of a page before they are added to [`Resources`].
#[derive(Debug, Default)]
pub(crate) struct Rows {
    json: Vec<u8>,
    count: usize,
}

/// The resources that a listing has so far: 128 bits of each ID, and of its content.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    resources: BTreeMap<[u64; 2], [u64; 2]>,
    hashers: [RandomState; 2],
}

/// Whether a listing has a resource already.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// The listing does not have it.
    New,
    /// The listing has it in the same state.
    Again,
    /// The listing has it in another state.
    Differs,
}

impl Seen {
    /// Adds the resource to the rows, unless the listing has it already.
    pub(crate) fn take(&mut self, resource: &Resource, rows: &mut Rows) -> Met {
        let begin = rows.json.len();
        serde_json::to_writer(&mut rows.json, resource).expect("a resource is JSON, and memory takes it");
        let state = self.digest(&rows.json[begin..]);
        let id = self.digest(resource.id().as_bytes());
        let met = match self.resources.insert(id, state) {
            None => {
                rows.count += 1;
                return Met::New;
            }
            Some(known) if known == state => Met::Again,
            Some(_) => Met::Differs,
        };
        rows.json.truncate(begin);
        met
    }

    /// How many (count).
    pub(crate) fn len(&self) -> usize {
        self.resources.len()
    }

    fn digest(&self, bytes: &[u8]) -> [u64; 2] {
        self.hashers.each_ref().map(|hasher| hasher.hash_one(bytes))
    }
}

impl Resources {
    pub(crate) fn push(&mut self, rows: &Rows, observed_ts_ms: i64) {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&rows.json).expect("memory takes it");
        let mut deflated = encoder.finish().expect("memory takes it");
        deflated.shrink_to_fit();
        self.held += deflated.capacity() + size_of::<Page>();
        self.pages.push(Page { observed_ts_ms, deflated });
        self.count += rows.count;
        // JSON repeats the names of the fields, so it is longer than Avro.
        self.bytes += rows.json.len() + rows.count * ENVELOPE;
    }

    /// How many (count).
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The memory that they take until the listing is whole, including their digests (bytes).
    pub fn held(&self) -> usize {
        self.held + self.count * SEEN
    }

    /// Whether the listing is too large for a processor, or for memory here.
    pub(crate) fn are_too_large(&self) -> bool {
        self.count > MAX_LISTING_RECORDS || self.bytes > MAX_LISTING_BYTES || self.held() > MAX_HELD_BYTES
    }

    #[cfg(test)]
    pub(crate) fn sized(count: usize, bytes: usize, held: usize) -> Self {
        Self { pages: Vec::new(), count, bytes, held }
    }

    /// Iterates over all of them.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, i64)> {
        self.pages.iter().flat_map(Page::resources)
    }

    /// Iterates over all of them, and frees the memory of a page when the next one begins.
    pub fn unpack(self) -> impl Iterator<Item = (Resource, i64)> + Send {
        self.pages.into_iter().flat_map(|page| page.resources())
    }
}

impl Page {
    fn resources(&self) -> Vec<(Resource, i64)> {
        let mut json = Vec::new();
        DeflateDecoder::new(self.deflated.as_slice()).read_to_end(&mut json).expect("it was deflated here");
        let resources = serde_json::Deserializer::from_slice(&json).into_iter();
        resources.map(|resource| (resource.expect("it was written here"), self.observed_ts_ms)).collect()
    }
}
