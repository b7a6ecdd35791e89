//! From raw records in the order of their offsets to what is decided at once: a listing, a mark, a decision. Pure.

use std::collections::BTreeMap;

use schemas::{
    codec::Digest,
    collection::{Collection, DECISION, POLL},
    raw::{
        Decision, MAX_LISTING_BYTES, MAX_LISTING_RECORDS, Manifest, Mark, MarkKind, RawBody, RawRecord,
        Resource,
    },
    resource::{encode_resource, encoded_id, listing_head, resource_behind, resource_digest},
};

use crate::{
    bounds::{self, MAX_TEXT_BYTES, TooLong},
    fingerprint::{Fingerprint, Fingerprints},
    mapping,
    nodes::{NodeId, Nodes},
    resources::Resources,
    state::States,
};

/// One listing, with its manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    pub organization_id: String,
    pub organization_name: String,
    pub collection: Collection,
    pub listing_id: String,
    pub poll_id: Option<String>,
    pub manifest: Manifest,
    /// Offset of the manifest.
    pub offset: i64,
    pub resources: Resources,
    /// Why it is not whole, as far as its records show.
    pub damage: Option<String>,
}

/// What the processor decides about at once.
#[derive(Debug, Clone, PartialEq)]
pub enum Unit {
    Listing(Box<Listing>),
    Mark {
        organization_id: String,
        organization_name: String,
        poll_id: Option<String>,
        mark: Mark,
        ts_ms: i64,
        offset: i64,
    },
    Decision {
        organization_id: String,
        organization_name: String,
        decision: Decision,
        offset: i64,
    },
}

impl Unit {
    pub fn organization_id(&self) -> &str {
        match self {
            Self::Listing(listing) => &listing.organization_id,
            Self::Mark { organization_id, .. } | Self::Decision { organization_id, .. } => organization_id,
        }
    }
}

/// A raw record that is none of the things a raw record can be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Malformed {
    /// An organization's ID begins every key, up to the first slash.
    #[error("the organization ID {0:?} is not valid: it must not be empty or contain a slash")]
    Organization(String),
    /// The collection is unknown.
    #[error("the collection {0:?} is unknown")]
    Collection(String),
    /// A resource or manifest names no listing.
    #[error("a {0} without a listing ID")]
    NoListing(&'static str),
    /// The resource is of another collection.
    #[error("a resource that does not belong in the collection {0:?}")]
    Kind(String),
    /// A mark of a kind that this version does not know.
    #[error("the mark has the unknown kind {0:?}; expected {start} or {end}", start = MarkKind::Start, end = MarkKind::End)]
    Mark(Box<str>),
    /// A string that changes or state would repeat is too long.
    #[error("its {field} has {bytes} bytes; at most {MAX_TEXT_BYTES} are allowed")]
    TooLong {
        field: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// A resource that is too large for a change.
    #[error("a resource of the collection {collection:?} is too large: {reason}")]
    TooLarge { collection: String, reason: String },
}

/// A listing that was dropped before its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub organization_id: String,
    pub collection: String,
    pub listing_id: String,
    /// How many resources it had.
    pub resources: usize,
    /// Why it was dropped.
    pub why: Dropped,
}

/// Why a listing was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Its manifest never comes.
    NoManifest,
    /// It has more bytes or records than are kept in memory. What follows of it is taken for a listing that began there:
    /// its manifest counts more resources than that one has, so it deletes nothing.
    TooLarge,
}

/// Puts listings together. At most one is open in a partition: the producer writes each in a transaction of its own,
/// and all transactions of a partition one after the other, under one transactional id. So a mark, or a record of
/// another listing, means that the manifest of an open one never comes.
#[derive(Debug)]
pub struct Assembler {
    fingerprints: Fingerprints,
    open: Option<Open>,
    /// By organization and collection.
    orders: BTreeMap<(String, String), Order>,
    leftovers: Vec<Leftover>,
    max_bytes: usize,
    max_records: usize,
}

/// With a fixed key, for tests.
impl Default for Assembler {
    fn default() -> Self {
        Self::new(Fingerprints::default())
    }
}

#[derive(Debug)]
struct Open {
    organization_id: String,
    collection: Collection,
    listing_id: String,
    /// What the values of its raw records begin with.
    head: Vec<u8>,
    order: Order,
    resources: Resources,
    damage: Option<String>,
    /// Of its raw records, and of what was refused meanwhile.
    bytes: usize,
    records: usize,
}

/// How many nodes ahead one is looked for: after a deletion, the next one is one further.
const AHEAD: usize = 2;
/// After so many resources in a row that are not where they are expected, none is expected any more (count).
const MOST_MISSES: usize = 100;

/// The nodes of a collection's resources in the order of its last listing. Most listings have the same one, so that a
/// resource is recognized by its fingerprint alone: to find it by its ID takes a third of the time of a listing without
/// changes.
#[derive(Debug, Default)]
struct Order {
    nodes: Vec<NodeId>,
    /// The place that is expected next.
    next: usize,
    /// Resources in a row that were not where they were expected (count).
    misses: usize,
}

impl Order {
    /// The node that is expected next, if it was mapped from that resource.
    fn expected(&mut self, nodes: &Nodes, resource: Fingerprint) -> Option<NodeId> {
        if self.misses >= MOST_MISSES {
            return None;
        }
        let ahead = &self.nodes[self.next..];
        let found = ahead.iter().take(AHEAD).position(|id| nodes.is_mapped_from(*id, resource));
        let Some(place) = found else {
            self.misses += 1;
            return None;
        };
        self.misses = 0;
        self.next += place + 1;
        Some(ahead[place])
    }
}

impl Assembler {
    /// Recognizes unchanged resources by these fingerprints.
    pub fn new(fingerprints: Fingerprints) -> Self {
        let (max_bytes, max_records) = (MAX_LISTING_BYTES, MAX_LISTING_RECORDS);
        let (orders, leftovers) = (BTreeMap::new(), Vec::new());
        Self { fingerprints, open: None, orders, leftovers, max_bytes, max_records }
    }

    /// One that drops a listing with more bytes or records than these.
    pub fn bounded(max_bytes: usize, max_records: usize) -> Self {
        Self { max_bytes, max_records, ..Self::default() }
    }

    /// Whether no listing is open: the offset after the last record may be committed.
    pub fn is_at_rest(&self) -> bool {
        self.open.is_none()
    }

    /// Drops the open listing, if there is one: its manifest never comes.
    pub fn drop_open(&mut self) {
        self.drop_because(Dropped::NoManifest);
    }

    /// Charges the open listing, if there is one, with the raw record that was read last, whether it was taken or
    /// refused, and drops a listing that is too large now.
    pub fn charge(&mut self, bytes: usize) {
        let Some(open) = &mut self.open else { return };
        open.bytes += bytes;
        open.records += 1;
        if open.bytes > self.max_bytes || open.records > self.max_records {
            self.drop_because(Dropped::TooLarge);
        }
    }

    fn drop_because(&mut self, why: Dropped) {
        let leftover = self.open.take().map(|open| Leftover {
            organization_id: open.organization_id,
            collection: open.collection.to_string(),
            listing_id: open.listing_id,
            resources: open.resources.len(),
            why,
        });
        self.leftovers.extend(leftover);
    }

    /// The listings that were dropped since this was asked.
    pub fn take_leftovers(&mut self) -> Vec<Leftover> {
        std::mem::take(&mut self.leftovers)
    }

    /// Notes a record that could not be read: if it belongs to the open listing, that is partial. Of a listing that is
    /// not open yet nothing is noted, because a task that begins after the record would not know it; its manifest counts one
    /// resource more than there are. One that lost its manifest is never closed.
    pub fn spoil(&mut self, organization_id: &str, collection: &str, reason: String) {
        let open = self.open.as_mut();
        if let Some(open) =
            open.filter(|it| it.organization_id == organization_id && it.collection.to_string() == collection)
        {
            open.damage.get_or_insert(reason);
        }
    }

    /// Takes the next raw record's value if it is a resource of the open listing that says what it said when it was mapped
    /// to what is in the states: then it needs neither decoding nor a check. What another process mapped was checked by
    /// its rules, so it is checked again unless it is small.
    pub fn take_unchanged(&mut self, value: &[u8], states: &States) -> bool {
        let mut taken = || {
            let open = self.open.as_mut()?;
            let encoded = resource_behind(&open.head, value)?;
            let nodes = states.get(&open.organization_id)?.nodes();
            let fingerprint = self.fingerprints.of(encoded);
            if let Some(node) = open.order.expected(nodes, fingerprint) {
                return open.insert(encoded, fingerprint, None, Some(node));
            }
            let id = encoded_id(encoded, &open.collection)?;
            let node = nodes.find(&mapping::own_key(&open.collection, id))?;
            let digest = if let Some(mapped) = nodes.mapped_from(node) {
                (mapped == fingerprint).then_some(None)?
            } else {
                // After a restore, only the element's digest names the resource that it was mapped from.
                let digest = mapping::is_surely_small(encoded.len()).then(|| resource_digest(encoded))?;
                Some(nodes.names(node, digest).then_some(digest)?)
            };
            open.insert(encoded, fingerprint, digest, Some(node))
        };
        taken().is_some()
    }

    /// Takes the next record.
    pub fn take(&mut self, record: RawRecord, offset: i64) -> Result<Option<Unit>, Malformed> {
        if let Some(TooLong { field, bytes }) = bounds::too_long(&record) {
            return Err(Malformed::TooLong { field, bytes });
        }
        if record.organization_id.is_empty() || record.organization_id.contains('/') {
            return Err(Malformed::Organization(record.organization_id.clone()));
        }
        match record.body {
            RawBody::Mark(mark) => {
                if let MarkKind::Other { text, .. } = mark.kind {
                    return Err(Malformed::Mark(text));
                }
                self.drop_open();
                Ok(Some(Unit::Mark {
                    organization_id: record.organization_id,
                    organization_name: record.organization_name,
                    poll_id: record.poll_id,
                    mark,
                    ts_ms: record.observed_ts_ms,
                    offset,
                }))
            }
            RawBody::Decision(decision) => Ok(Some(Unit::Decision {
                organization_id: record.organization_id,
                organization_name: record.organization_name,
                decision,
                offset,
            })),
            RawBody::Resource(ref resource) => {
                self.take_resource(&record, resource)?;
                Ok(None)
            }
            RawBody::Manifest(ref manifest) => {
                let manifest = manifest.clone();
                self.close(record, manifest, offset).map(Some)
            }
        }
    }

    fn take_resource(&mut self, record: &RawRecord, resource: &Resource) -> Result<(), Malformed> {
        let collection = collection_of(record)?;
        let listing_id = record.listing_id.as_deref().ok_or(Malformed::NoListing("resource"))?;
        let encoded = encode_resource(resource);
        if encoded_id(&encoded, &collection).is_none_or(str::is_empty) {
            return Err(Malformed::Kind(record.collection.clone()));
        }
        if !mapping::is_surely_small(encoded.len())
            && let Some(reason) = mapping::too_large(&record.organization_id, &collection, resource)
        {
            return Err(Malformed::TooLarge { collection: record.collection.clone(), reason });
        }
        let fingerprint = self.fingerprints.of(&encoded);
        self.open_listing(record, collection, listing_id).insert(&encoded, fingerprint, None, None);
        Ok(())
    }

    /// The open listing of that id; another that is open is dropped.
    fn open_listing(&mut self, record: &RawRecord, collection: Collection, listing_id: &str) -> &mut Open {
        let is_this = |open: &Open| {
            open.organization_id == record.organization_id
                && open.collection == collection
                && open.listing_id == listing_id
        };
        if !self.open.as_ref().is_some_and(is_this) {
            self.drop_open();
        }
        let orders = &mut self.orders;
        self.open.get_or_insert_with(|| Open {
            order: orders.remove(&of_listing(&record.organization_id, &collection)).unwrap_or_default(),
            organization_id: record.organization_id.clone(),
            collection,
            listing_id: listing_id.to_owned(),
            head: listing_head(record),
            resources: Resources::default(),
            damage: None,
            bytes: 0,
            records: 0,
        })
    }

    fn close(&mut self, record: RawRecord, manifest: Manifest, offset: i64) -> Result<Unit, Malformed> {
        let collection = collection_of(&record)?;
        let listing_id = record.listing_id.clone().ok_or(Malformed::NoListing("manifest"))?;
        self.open_listing(&record, collection.clone(), &listing_id);
        let open = self.open.take().expect("it was opened just now");
        let nodes: Vec<NodeId> = open.resources.nodes().collect();
        if !nodes.is_empty() {
            let order = Order { nodes, ..Order::default() };
            self.orders.insert(of_listing(&record.organization_id, &collection), order);
        }
        let seen = i64::try_from(open.resources.len()).expect("a listing is bounded");
        let missing = (seen != manifest.count)
            .then(|| format!("its manifest counts {} resources, but {seen} were read", manifest.count));
        Ok(Unit::Listing(Box::new(Listing {
            organization_id: record.organization_id,
            organization_name: record.organization_name,
            collection,
            listing_id,
            poll_id: record.poll_id,
            manifest,
            offset,
            resources: open.resources,
            damage: open.damage.or(missing),
        })))
    }
}

impl Open {
    /// Adds an encoded resource; `None` if it is of another collection.
    fn insert(
        &mut self,
        encoded: &[u8],
        fingerprint: Fingerprint,
        digest: Option<Digest>,
        unchanged: Option<NodeId>,
    ) -> Option<()> {
        if self.resources.insert(&self.collection, encoded, fingerprint, digest, unchanged)? {
            self.damage.get_or_insert_with(|| "it contains a resource twice".to_owned());
        }
        Some(())
    }
}

fn of_listing(organization_id: &str, collection: &Collection) -> (String, String) {
    (organization_id.to_owned(), collection.to_string())
}

fn collection_of(record: &RawRecord) -> Result<Collection, Malformed> {
    let collection = match record.collection.as_str() {
        POLL | DECISION => None,
        name => Collection::parse(name),
    };
    collection.ok_or_else(|| Malformed::Collection(record.collection.clone()))
}

/// Organization id and collection of a raw record's key.
pub fn organization_and_collection(key: &str) -> Option<(&str, &str)> {
    let (organization_id, rest) = key.split_once('/')?;
    let (collection, _) = rest.rsplit_once('/')?;
    Some((organization_id, collection))
}
