//! The resources of a listing, encoded. Most are what they were at the last listing, and are never decoded.

use std::{collections::BTreeMap, fmt};

use hashbrown::HashTable;
use schemas::{
    codec::Digest,
    collection::Collection,
    raw::Resource,
    resource::{decode_resource, encode_resource, encoded_id, resource_digest},
};

use crate::{
    fingerprint::{Fingerprint, Fingerprints},
    nodes::{KeyHash, NodeId, NodeSet, small},
};

/// Size of a block of bytes, unless a resource is larger: a listing grows without being copied.
const BLOCK: usize = 1024 * 1024;

#[derive(Clone, Default)]
pub struct Resources {
    blocks: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    /// Places of the first entries, so many as `indexed` says. While unchanged resources follow, none is added: each has a
    /// node of its own.
    by_id: HashTable<(KeyHash, u32)>,
    indexed: usize,
    /// Of the unchanged resources.
    nodes: NodeSet,
}

#[derive(Clone)]
struct Entry {
    block: u32,
    at: u32,
    length: u32,
    /// Of the ID, within the resource.
    id_at: u32,
    id_length: u32,
    fingerprint: Fingerprint,
    /// `None`: not computed yet.
    digest: Option<Digest>,
    unchanged: Option<NodeId>,
}

#[derive(Clone, Copy)]
pub struct Listed<'a> {
    bytes: &'a [u8],
    entry: &'a Entry,
}

impl<'a> Listed<'a> {
    pub fn id(&self) -> &'a str {
        let start = self.entry.id_at as usize;
        std::str::from_utf8(&self.bytes[start..start + self.entry.id_length as usize])
            .expect("it was text when it was put in")
    }

    /// Names what it says.
    pub fn digest(&self) -> Digest {
        self.entry.digest.unwrap_or_else(|| resource_digest(self.bytes))
    }

    /// Its fingerprint.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.entry.fingerprint
    }

    pub fn decode(&self) -> Resource {
        decode_resource(self.bytes)
    }

    /// The node of the element that it was mapped to, if it was known when it was read, and said the same.
    pub(crate) fn unchanged(&self) -> Option<NodeId> {
        self.entry.unchanged
    }
}

impl Resources {
    /// Adds an encoded resource of that collection, and returns whether there was one of its ID, which it replaces.
    /// `digest` is its digest, if it was computed. `unchanged` is what [`Listed::unchanged`] returns. `None`: the resource
    /// belongs to another collection.
    pub(crate) fn insert(
        &mut self,
        collection: &Collection,
        encoded: &[u8],
        fingerprint: Fingerprint,
        digest: Option<Digest>,
        unchanged: Option<NodeId>,
    ) -> Option<bool> {
        let id = encoded_id(encoded, collection).filter(|id| !id.is_empty())?;
        let (block, at) = self.store(encoded);
        let entry = Entry {
            block: small(block),
            at: small(at),
            length: small(encoded.len()),
            id_at: small(id.as_ptr() as usize - encoded.as_ptr() as usize),
            id_length: small(id.len()),
            fingerprint,
            digest,
            unchanged,
        };
        if let Some(node) = unchanged
            && !self.nodes.insert(node)
        {
            // It says what it said before.
            return Some(true);
        }
        if unchanged.is_none() {
            self.index();
        }
        if let Some(place) = self.place_of(id) {
            let before = std::mem::replace(&mut self.entries[place as usize], entry);
            if let Some(node) = before.unchanged {
                self.nodes.remove(node);
            }
            return Some(true);
        }
        self.entries.push(entry);
        if unchanged.is_none() {
            self.index();
        }
        Some(false)
    }

    /// The place of the resource of that ID, if it is among those that are indexed.
    fn place_of(&self, id: &str) -> Option<u32> {
        let hash = KeyHash::of(id);
        let is_it = |(other, place): &(KeyHash, u32)| *other == hash && self.at(*place).id() == id;
        self.by_id.find(hash.wide(), is_it).map(|(_, place)| *place)
    }

    /// Indexes the entries that are not yet.
    fn index(&mut self) {
        for place in self.indexed..self.entries.len() {
            let place = small(place);
            let hash = KeyHash::of(self.at(place).id());
            self.by_id.insert_unique(hash.wide(), (hash, place), |(hash, _)| hash.wide());
        }
        self.indexed = self.entries.len();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Nodes of the unchanged ones, in their order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.entries.iter().filter_map(|entry| entry.unchanged)
    }

    /// All of them, in the order in which their IDs were read first.
    pub fn iter(&self) -> impl Iterator<Item = Listed<'_>> {
        self.entries.iter().map(|entry| listed(&self.blocks, entry))
    }

    /// Those of one collection.
    ///
    /// # Panics
    /// If one is of another collection.
    pub fn of(collection: &Collection, resources: impl IntoIterator<Item = Resource>) -> Self {
        let (mut these, fingerprints) = (Self::default(), Fingerprints::default());
        for resource in resources {
            let encoded = encode_resource(&resource);
            let inserted = these.insert(collection, &encoded, fingerprints.of(&encoded), None, None);
            inserted.expect("a resource of the collection");
        }
        these
    }

    fn at(&self, place: u32) -> Listed<'_> {
        listed(&self.blocks, &self.entries[place as usize])
    }

    fn store(&mut self, bytes: &[u8]) -> (usize, usize) {
        let has_room = |block: &Vec<u8>| block.capacity() - block.len() >= bytes.len();
        if !self.blocks.last().is_some_and(has_room) {
            self.blocks.push(Vec::with_capacity(BLOCK.max(bytes.len())));
        }
        let place = self.blocks.len() - 1;
        let block = &mut self.blocks[place];
        let at = block.len();
        block.extend_from_slice(bytes);
        (place, at)
    }
}

fn listed<'a>(blocks: &'a [Vec<u8>], entry: &'a Entry) -> Listed<'a> {
    let start = entry.at as usize;
    Listed { bytes: &blocks[entry.block as usize][start..start + entry.length as usize], entry }
}

impl PartialEq for Resources {
    fn eq(&self, other: &Self) -> bool {
        fn digests(resources: &Resources) -> BTreeMap<&str, Digest> {
            resources.iter().map(|listed| (listed.id(), listed.digest())).collect()
        }
        digests(self) == digests(other)
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|listed| (listed.id(), listed.decode()))).finish()
    }
}
