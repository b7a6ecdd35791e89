//! From raw records in the order of their offsets to what is decided at once: a listing, a mark, a decision. Pure.

use std::collections::BTreeMap;

use schemas::{
    codec::Raw,
    collection::{Collection, DECISION, POLL},
    raw::{Decision, END, MAX_LISTING_BYTES, MAX_LISTING_RECORDS, Manifest, Mark, START},
};

use crate::{
    bounds::{self, MAX_TEXT_BYTES, TooLong},
    mapping,
};

/// One listing, with its manifest.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in the raw records")]
pub struct Listing {
    pub organization_id: String,
    pub organization_name: String,
    pub collection: Collection,
    pub listing_id: String,
    pub poll_id: Option<String>,
    pub manifest: Manifest,
    /// Offset of the manifest.
    pub offset: i64,
    /// Resources by id.
    pub resources: BTreeMap<String, Raw>,
    /// Why it is not whole, as far as its records tell.
    pub damage: Option<String>,
}

/// What the processor decides about at once.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as in the raw records")]
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
    /// Whose it is.
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
    /// None or several of the four are set.
    #[error(
        "a raw record carries exactly one of a resource, a manifest, a mark and a decision; this one has {0}"
    )]
    Parts(usize),
    /// An organization's id begins every key, up to the first slash.
    #[error("an organization's id is not empty and has no slash, as {0:?}")]
    Organization(String),
    /// The collection is unknown.
    #[error("the collection {0:?} is unknown")]
    Collection(String),
    /// A resource or manifest names no listing.
    #[error("a {0} without a listing id")]
    NoListing(&'static str),
    /// The resource is of another collection.
    #[error("a resource of another kind than its collection {0:?} has")]
    Kind(String),
    /// A mark of a kind that this version does not know.
    #[error("a mark of the unknown kind {0:?}; it is {START} or {END}")]
    Mark(String),
    /// A text that changes or state would repeat.
    #[error("its {field} has {bytes} bytes; {MAX_TEXT_BYTES} is the most")]
    TooLong {
        /// Which.
        field: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// A resource that no change could tell of.
    #[error("a resource of the collection {collection:?} is too large: {reason}")]
    TooLarge {
        /// Its collection.
        collection: String,
        /// What of it.
        reason: String,
    },
}

/// A listing that was dropped before its manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in the raw records")]
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
/// another listing, tells of an open one that its manifest never comes.
#[derive(Debug)]
pub struct Assembler {
    open: Option<Open>,
    leftovers: Vec<Leftover>,
    max_bytes: usize,
    max_records: usize,
}

impl Default for Assembler {
    fn default() -> Self {
        Self::bounded(MAX_LISTING_BYTES, MAX_LISTING_RECORDS)
    }
}

#[derive(Debug)]
struct Open {
    organization_id: String,
    collection: String,
    listing_id: String,
    resources: BTreeMap<String, Raw>,
    damage: Option<String>,
    /// Of its raw records, and of what was refused meanwhile.
    bytes: usize,
    records: usize,
}

impl Assembler {
    /// One that drops a listing with more bytes or records than these.
    pub fn bounded(max_bytes: usize, max_records: usize) -> Self {
        Self { open: None, leftovers: Vec::new(), max_bytes, max_records }
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
            collection: open.collection,
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
    /// not open yet nothing is noted, since whoever begins behind the record would not know it; its manifest counts one
    /// resource more than there are. One that lost its manifest is never closed.
    pub fn spoil(&mut self, organization_id: &str, collection: &str, reason: String) {
        let open = self.open.as_mut();
        if let Some(open) =
            open.filter(|open| open.organization_id == organization_id && open.collection == collection)
        {
            open.damage.get_or_insert(reason);
        }
    }

    /// Takes the next record.
    pub fn take(&mut self, raw: Raw, offset: i64) -> Result<Option<Unit>, Malformed> {
        let record = &raw.record;
        if let Some(TooLong { field, bytes }) = bounds::too_long(record) {
            return Err(Malformed::TooLong { field, bytes });
        }
        if record.organization_id.is_empty() || record.organization_id.contains('/') {
            return Err(Malformed::Organization(record.organization_id.clone()));
        }
        let parts = [
            record.resource.is_some(),
            record.manifest.is_some(),
            record.mark.is_some(),
            record.decision.is_some(),
        ];
        match parts.into_iter().filter(|part| *part).count() {
            1 => {}
            other => return Err(Malformed::Parts(other)),
        }
        if let Some(mark) = raw.record.mark {
            if mark.kind != START && mark.kind != END {
                return Err(Malformed::Mark(mark.kind));
            }
            self.drop_open();
            return Ok(Some(Unit::Mark {
                organization_id: raw.record.organization_id,
                organization_name: raw.record.organization_name,
                poll_id: raw.record.poll_id,
                mark,
                ts_ms: raw.record.observed_ts_ms,
                offset,
            }));
        }
        if let Some(decision) = raw.record.decision {
            return Ok(Some(Unit::Decision {
                organization_id: raw.record.organization_id,
                organization_name: raw.record.organization_name,
                decision,
                offset,
            }));
        }
        let collection = match record.collection.as_str() {
            POLL | DECISION => None,
            name => Collection::parse(name),
        };
        let collection = collection.ok_or_else(|| Malformed::Collection(record.collection.clone()))?;
        if record.resource.is_some() {
            self.take_resource(raw, &collection)?;
            return Ok(None);
        }
        self.close(raw, collection, offset).map(Some)
    }

    fn take_resource(&mut self, raw: Raw, collection: &Collection) -> Result<(), Malformed> {
        let record = &raw.record;
        let listing_id = record.listing_id.clone().ok_or(Malformed::NoListing("resource"))?;
        let Some(id) = resource_id(&raw, collection) else {
            return Err(Malformed::Kind(record.collection.clone()));
        };
        if let Some(reason) = mapping::too_large(collection, &raw) {
            return Err(Malformed::TooLarge { collection: record.collection.clone(), reason });
        }
        let open = self.open_listing(&record.organization_id, &record.collection, &listing_id);
        if open.resources.insert(id, raw).is_some() {
            open.damage.get_or_insert_with(|| "a resource stands in it twice".to_owned());
        }
        Ok(())
    }

    /// The open listing of that id; another that is open is dropped.
    fn open_listing(&mut self, organization_id: &str, collection: &str, listing_id: &str) -> &mut Open {
        let is_this = |open: &Open| {
            open.organization_id == organization_id
                && open.collection == collection
                && open.listing_id == listing_id
        };
        if !self.open.as_ref().is_some_and(is_this) {
            self.drop_open();
        }
        self.open.get_or_insert_with(|| Open {
            organization_id: organization_id.to_owned(),
            collection: collection.to_owned(),
            listing_id: listing_id.to_owned(),
            resources: BTreeMap::new(),
            damage: None,
            bytes: 0,
            records: 0,
        })
    }

    fn close(&mut self, raw: Raw, collection: Collection, offset: i64) -> Result<Unit, Malformed> {
        let record = raw.record;
        let listing_id = record.listing_id.clone().ok_or(Malformed::NoListing("manifest"))?;
        self.open_listing(&record.organization_id, &record.collection, &listing_id);
        let open = self.open.take().expect("it was opened just now");
        let manifest = record.manifest.expect("a record without a resource has a manifest here");
        let seen = i64::try_from(open.resources.len()).expect("a listing is bounded");
        let missing = (seen != manifest.count)
            .then(|| format!("its manifest counts {} resources, {seen} were read", manifest.count));
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

/// Organization id and collection of a raw record's key.
pub fn organization_and_collection(key: &str) -> Option<(&str, &str)> {
    let (organization_id, rest) = key.split_once('/')?;
    let (collection, _) = rest.rsplit_once('/')?;
    Some((organization_id, collection))
}

/// The id of a resource of that collection; `None` if it is of another.
fn resource_id(raw: &Raw, collection: &Collection) -> Option<String> {
    let resource = raw.record.resource.as_ref()?;
    let belongs = match collection {
        Collection::Organization => resource.organization.is_some(),
        Collection::Users => resource.user.is_some(),
        Collection::Workspaces => resource.workspace.is_some(),
        Collection::ApiKeys => resource.api_key.is_some(),
        Collection::Members(_) => resource.member.is_some(),
    };
    (belongs && !resource.id().is_empty()).then(|| resource.id().to_owned())
}
