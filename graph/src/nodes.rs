//! An organization's elements as they are written, by key, with who owns them and which relationships end where.
//!
//! Every key that is known, and every key that is an end of a known relationship, is a node. Nodes refer to each other
//! by number.

use std::{collections::BTreeMap, hash::BuildHasher as _};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use schemas::{codec::Digest, encoded::EncodedElement};

use crate::fingerprint::Fingerprint;

/// A node's number, for as long as the node is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

impl NodeId {
    const NONE: Self = Self(u32::MAX);

    fn place(self) -> usize {
        self.0 as usize
    }
}

/// What a resource said, and the context in which it was mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    resource: Fingerprint,
    context: Digest,
}

#[derive(Debug, Clone)]
struct Node {
    body: Body,
    /// Known, but not in the graph.
    is_withheld: bool,
    /// While it is known: the collection that owns it, and its place among what that owns.
    collection: CollectionId,
    owned_at: u32,
    /// While it is known and a relationship.
    ends: [End; 2],
    /// The first of the known relationships that end here. Each names the next one.
    relationships: Link,
    /// The resource that this element and the relationships of its collection that end here were mapped from, while all of
    /// them are what it was mapped to.
    source: Option<Source>,
}

#[derive(Debug, Clone)]
enum Body {
    /// In the graph. The key is among its bytes: a copy of each would take a third of the memory of a node.
    Element(EncodedElement),
    /// Key of what is not in the graph: it is withheld, or an end of a known relationship.
    Key(Box<str>),
}

/// An end of a relationship, and which other relationships end there before and after this one.
#[derive(Debug, Clone, Copy)]
struct End {
    node: NodeId,
    previous: Link,
    next: Link,
}

const NO_END: End = End { node: NodeId::NONE, previous: Link::NONE, next: Link::NONE };

/// A relationship and which of its ends is meant, in one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Link(u32);

impl Link {
    const NONE: Self = Self(u32::MAX);

    fn of(relationship: NodeId, end: usize) -> Self {
        Self(small(relationship.place() * 2 + end))
    }

    fn relationship(self) -> NodeId {
        NodeId(self.0 / 2)
    }

    fn end(self) -> usize {
        (self.0 % 2) as usize
    }
}

/// A collection's number, for as long as the organization is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CollectionId(u32);

impl CollectionId {
    const NONE: Self = Self(u32::MAX);

    fn place(self) -> usize {
        self.0 as usize
    }
}

/// A key's hash, kept next to what it leads to: a table then grows without a look at the keys.
///
/// Keys contain Anthropic's IDs, so an attacker cannot choose keys that have one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyHash(u32);

impl KeyHash {
    pub(crate) fn of(key: &str) -> Self {
        Self((FixedState::default().hash_one(key) >> 32) as u32)
    }

    /// As a table takes it, which looks at both ends of a hash.
    pub(crate) fn wide(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

/// The nodes of one organization.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes {
    all: Vec<Node>,
    /// Numbers that are free again.
    free: Vec<NodeId>,
    by_key: HashTable<(KeyHash, NodeId)>,
    collections: BTreeMap<String, CollectionId>,
    /// What each collection owns, in no order.
    owned: Vec<Vec<NodeId>>,
    /// How many elements are in the graph.
    elements: usize,
}

/// Some of the nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeSet(Vec<u64>);

impl NodeSet {
    /// Whether it was not among them yet.
    pub(crate) fn insert(&mut self, id: NodeId) -> bool {
        let (word, bit) = Self::place(id);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }

    pub(crate) fn remove(&mut self, id: NodeId) {
        let (word, bit) = Self::place(id);
        if let Some(bits) = self.0.get_mut(word) {
            *bits &= !bit;
        }
    }

    fn contains(&self, id: NodeId) -> bool {
        let (word, bit) = Self::place(id);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn place(id: NodeId) -> (usize, u64) {
        (id.place() / 64, 1 << (id.place() % 64))
    }
}

impl Nodes {
    /// How many elements are in the graph.
    pub(crate) fn element_count(&self) -> usize {
        self.elements
    }

    /// The node of that key.
    pub(crate) fn find(&self, key: &str) -> Option<NodeId> {
        self.find_hashed(key, KeyHash::of(key))
    }

    fn find_hashed(&self, key: &str, hash: KeyHash) -> Option<NodeId> {
        let is_it = |(other, id): &(KeyHash, NodeId)| *other == hash && self.node(*id).has_key(key);
        self.by_key.find(hash.wide(), is_it).map(|(_, id)| *id)
    }

    /// The element of that key in the graph.
    pub(crate) fn element(&self, key: &str) -> Option<&EncodedElement> {
        self.node(self.find(key)?).element()
    }

    /// The elements in the graph, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &EncodedElement> {
        self.all.iter().filter_map(Node::element)
    }

    /// The elements in the graph, in the order of their keys.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &EncodedElement> {
        let mut elements: Vec<(&str, &EncodedElement)> = self.iter().map(|it| (it.key(), it)).collect();
        elements.sort_unstable_by_key(|(key, _)| *key);
        elements.into_iter().map(|(_, element)| element)
    }

    /// The collection of that name, if it ever owned anything.
    pub(crate) fn collection_id(&self, name: &str) -> Option<CollectionId> {
        self.collections.get(name).copied()
    }

    /// What a collection owns, withheld relationships included, in no order.
    pub(crate) fn owned_by(&self, collection: &str) -> impl Iterator<Item = NodeId> {
        let owned = self.collection_id(collection).map(|it| &self.owned[it.place()]);
        owned.into_iter().flatten().copied()
    }

    /// Keys of the known relationships with that end, in no order.
    pub(crate) fn relationships_of(&self, end: &str) -> impl Iterator<Item = &str> {
        let end = self.find(end).into_iter();
        end.flat_map(|id| self.ending_at(id)).map(|id| self.key(id))
    }

    /// Puts an element into the graph, in the place of the one with its key.
    pub(crate) fn put(&mut self, element: EncodedElement) {
        // Its body has the key.
        let id = self.intern(element.key(), Box::default);
        self.link(id, &element);
        let before = std::mem::replace(&mut self.node_mut(id).body, Body::Element(element));
        self.elements += usize::from(matches!(before, Body::Key(_)));
        self.touch(id);
    }

    /// Takes the element of that key out of the graph.
    pub(crate) fn remove(&mut self, key: &str) {
        let Some(id) = self.find(key) else { return };
        self.touch(id);
        if self.node(id).element().is_some() {
            self.elements -= 1;
            self.node_mut(id).body = Body::Key(key.into());
        }
        self.settle_links(id);
    }

    /// Remembers a withheld relationship.
    pub(crate) fn withhold(&mut self, element: &EncodedElement) {
        let id = self.intern(element.key(), || element.key().into());
        self.link(id, element);
        self.node_mut(id).is_withheld = true;
        self.touch(id);
    }

    /// Forgets a withheld relationship.
    pub(crate) fn release(&mut self, key: &str) {
        let Some(id) = self.find(key) else { return };
        self.touch(id);
        self.node_mut(id).is_withheld = false;
        self.settle_links(id);
    }

    /// Notes that a hold of the element of that key begins or ends.
    pub(crate) fn touch_key(&mut self, key: &str) {
        if let Some(id) = self.find(key) {
            self.touch(id);
        }
    }

    /// Fingerprint of the resource that was mapped to that node, in any context; `None` after a restore.
    pub(crate) fn mapped_from(&self, id: NodeId) -> Option<Fingerprint> {
        self.node(id).source.map(|source| source.resource)
    }

    /// Whether that node, if there is such a one, was mapped from the resource with that fingerprint.
    pub(crate) fn is_mapped_from(&self, id: NodeId, resource: Fingerprint) -> bool {
        let source = self.all.get(id.place()).and_then(|node| node.source);
        source.is_some_and(|source| source.resource == resource)
    }

    /// Whether the element of that node was mapped from a resource with that digest.
    pub(crate) fn names(&self, id: NodeId, resource: Digest) -> bool {
        self.node(id).element().is_some_and(|element| resource.begins(element.digest()))
    }

    /// The element of that node, if it has that digest.
    pub(crate) fn with_digest(&self, id: NodeId, digest: &str) -> Option<&EncodedElement> {
        self.all.get(id.place())?.element().filter(|element| element.digest() == digest)
    }

    /// Whether these are the relationships of the node's collection that end there, and each is in the graph just if its
    /// ends are.
    pub(crate) fn has_just(&self, id: NodeId, relationships: &[String]) -> bool {
        let is_one = |other: NodeId| {
            relationships.iter().any(|key| **key == *self.key(other)) && self.is_consistent(other)
        };
        let own = self.of_its_collection(id);
        let counted = own.map(is_one).try_fold(0, |count, is_one| is_one.then_some(count + 1));
        self.is_consistent(id) && counted == Some(relationships.len())
    }

    /// Keys of the relationships of the node's collection that end there, where they and the node are in the graph with their
    /// ends and each has that digest.
    pub(crate) fn alike<'a>(&'a self, id: NodeId, digest: &'a str) -> Option<Vec<&'a str>> {
        let is_alike = |other| self.with_digest(other, digest).is_some() && self.is_consistent(other);
        let own = self.of_its_collection(id);
        let keys = own.map(|other| is_alike(other).then(|| self.key(other)));
        keys.collect::<Option<_>>().filter(|_| is_alike(id))
    }

    /// Whether that resource was mapped to that node in that context.
    pub(crate) fn is_mapped(&self, id: NodeId, resource: Fingerprint, context: Digest) -> bool {
        self.all.get(id.place()).is_some_and(|node| node.source == Some(Source { resource, context }))
    }

    /// Remembers that a resource is mapped to the element of that key and to so many relationships that end there, unless
    /// its collection has others.
    pub(crate) fn set_mapped(
        &mut self,
        key: &str,
        relationships: usize,
        resource: Fingerprint,
        context: Digest,
    ) {
        let Some(id) = self.find(key) else { return };
        if self.of_its_collection(id).count() == relationships {
            self.node_mut(id).source = Some(Source { resource, context });
        }
    }

    /// Whether that collection owns the node.
    pub(crate) fn owns(&self, collection: CollectionId, id: NodeId) -> bool {
        self.all.get(id.place()).is_some_and(|node| node.collection == collection)
    }

    /// Whether the node is one of those, or a relationship that ends at one.
    pub(crate) fn is_among(&self, those: &NodeSet, id: NodeId) -> bool {
        those.contains(id) || self.node(id).ends.iter().any(|end| those.contains(end.node))
    }

    fn is_consistent(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let mut ends = node.ends.iter().filter(|end| end.node != NodeId::NONE);
        node.element().is_some() == ends.all(|end| self.node(end.node).element().is_some())
    }

    fn of_its_collection(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let collection = self.node(id).collection;
        self.ending_at(id).filter(move |other| self.node(*other).collection == collection)
    }

    /// Known relationships that end there, in no order.
    fn ending_at(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let mut next = self.node(id).relationships;
        std::iter::from_fn(move || {
            let link = (next != Link::NONE).then_some(next)?;
            next = self.node(link.relationship()).ends[link.end()].next;
            Some(link.relationship())
        })
    }

    /// Whatever changes at an element, the resource that it or an end of it was mapped from is mapped again.
    fn touch(&mut self, id: NodeId) {
        for end in self.node(id).ends {
            if end.node != NodeId::NONE {
                self.node_mut(end.node).source = None;
            }
        }
        self.node_mut(id).source = None;
    }

    pub(crate) fn key(&self, id: NodeId) -> &str {
        self.node(id).key()
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.all[id.place()]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.all[id.place()]
    }

    fn end_mut(&mut self, link: Link) -> &mut End {
        &mut self.node_mut(link.relationship()).ends[link.end()]
    }

    /// The node of that key, which begins with this for its own.
    fn intern(&mut self, key: &str, own: impl FnOnce() -> Box<str>) -> NodeId {
        let hash = KeyHash::of(key);
        if let Some(id) = self.find_hashed(key, hash) {
            return id;
        }
        let node = Node {
            body: Body::Key(own()),
            is_withheld: false,
            collection: CollectionId::NONE,
            owned_at: 0,
            ends: [NO_END; 2],
            relationships: Link::NONE,
            source: None,
        };
        let id = if let Some(id) = self.free.pop() {
            self.all[id.place()] = node;
            id
        } else {
            self.all.push(node);
            NodeId(small(self.all.len() - 1))
        };
        self.by_key.insert_unique(hash.wide(), (hash, id), |(hash, _)| hash.wide());
        id
    }

    /// Enters the node under its collection and its ends, unless it is there.
    fn link(&mut self, id: NodeId, element: &EncodedElement) {
        let head = element.head();
        let collection = self.collection(head.collection());
        let node = self.node(id);
        let ends = node.ends.iter().filter(|end| end.node != NodeId::NONE);
        if node.collection == collection && ends.map(|end| self.key(end.node)).eq(head.ends()) {
            return;
        }
        self.unlink(id);
        self.node_mut(id).collection = collection;
        let owned = &mut self.owned[collection.place()];
        owned.push(id);
        let owned_at = small(owned.len() - 1);
        self.node_mut(id).owned_at = owned_at;
        for (place, end) in head.ends().enumerate() {
            let (node, link) = (self.intern(end, || end.into()), Link::of(id, place));
            let next = std::mem::replace(&mut self.node_mut(node).relationships, link);
            if next != Link::NONE {
                self.end_mut(next).previous = link;
            }
            *self.end_mut(link) = End { node, previous: Link::NONE, next };
        }
    }

    fn unlink(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        let (collection, owned_at) = (node.collection, node.owned_at);
        node.collection = CollectionId::NONE;
        if collection != CollectionId::NONE {
            let owned = &mut self.owned[collection.place()];
            owned.swap_remove(owned_at as usize);
            if let Some(&moved) = owned.get(owned_at as usize) {
                self.node_mut(moved).owned_at = owned_at;
            }
        }
        for place in 0..2 {
            let end = std::mem::replace(self.end_mut(Link::of(id, place)), NO_END);
            if end.node == NodeId::NONE {
                continue;
            }
            if end.previous == Link::NONE {
                self.node_mut(end.node).relationships = end.next;
            } else {
                self.end_mut(end.previous).next = end.next;
            }
            if end.next != Link::NONE {
                self.end_mut(end.next).previous = end.previous;
            }
            self.forget_unused(end.node);
        }
    }

    /// Removes a node that is no longer known from its collection and its ends.
    fn settle_links(&mut self, id: NodeId) {
        if !self.node(id).is_known() {
            self.unlink(id);
            self.forget_unused(id);
        }
    }

    fn forget_unused(&mut self, id: NodeId) {
        let node = self.node(id);
        if node.is_known() || node.collection != CollectionId::NONE || node.relationships != Link::NONE {
            return;
        }
        let hash = KeyHash::of(node.key());
        if let Ok(entry) = self.by_key.find_entry(hash.wide(), |(_, other)| *other == id) {
            entry.remove();
            let node = self.node_mut(id);
            (node.body, node.source) = (Body::Key(Box::default()), None);
            self.free.push(id);
        }
        // An organization that was forgotten gives its memory back.
        if self.by_key.is_empty() {
            *self = Self::default();
        }
    }

    fn collection(&mut self, name: &str) -> CollectionId {
        if let Some(id) = self.collection_id(name) {
            return id;
        }
        self.owned.push(Vec::new());
        let id = CollectionId(small(self.owned.len() - 1));
        self.collections.insert(name.to_owned(), id);
        id
    }

    fn sorted(&self, ids: impl Iterator<Item = NodeId>) -> Vec<&str> {
        let mut keys: Vec<&str> = ids.map(|id| self.key(id)).collect();
        keys.sort_unstable();
        keys
    }

    /// What each collection owns and which relationships each end has, in order, to compare.
    fn indexes(&self) -> [BTreeMap<&str, Vec<&str>>; 2] {
        let owned = self.collections.iter();
        let owned = owned.map(|(name, it)| (&**name, self.sorted(self.owned[it.place()].iter().copied())));
        let ends = self.by_key.iter().map(|(_, id)| (self.key(*id), self.sorted(self.ending_at(*id))));
        [
            owned.filter(|(_, keys)| !keys.is_empty()).collect(),
            ends.filter(|(_, it)| !it.is_empty()).collect(),
        ]
    }
}

/// What was mapped does not count: a restored organization has mapped nothing yet.
impl PartialEq for Nodes {
    fn eq(&self, other: &Self) -> bool {
        self.elements().eq(other.elements()) && self.indexes() == other.indexes()
    }
}

impl Eq for Nodes {}

impl Node {
    fn element(&self) -> Option<&EncodedElement> {
        match &self.body {
            Body::Element(element) => Some(element),
            Body::Key(_) => None,
        }
    }

    fn key(&self) -> &str {
        match &self.body {
            Body::Element(element) => element.key(),
            Body::Key(key) => key,
        }
    }

    fn has_key(&self, key: &str) -> bool {
        match &self.body {
            Body::Element(element) => element.has_key(key),
            Body::Key(own) => **own == *key,
        }
    }

    fn is_known(&self) -> bool {
        self.element().is_some() || self.is_withheld
    }
}

/// A number of nodes, or of bytes of a message, in half the memory.
pub(crate) fn small(number: usize) -> u32 {
    u32::try_from(number).expect("memory holds fewer than four billion nodes, and a message is shorter")
}

#[cfg(test)]
mod tests;
