//! What a listing says is there.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{element::ElementType, encoded::EncodedElement, raw::Resource};

use crate::{
    fingerprint::Fingerprint,
    listing::Listing,
    mapping::{self, Context},
    nodes::{CollectionId, NodeId, NodeSet, Nodes},
    resources::Listed,
    state::{MappedResource, State},
};

/// The elements that a listing's resources stand for. A resource that says what it said when it was mapped to what is
/// known is not mapped again: its elements are known, none is held, and they stay as they are.
#[derive(Debug, Default)]
pub(super) struct Desired {
    /// Elements of the other resources, by key.
    pub(super) elements: BTreeMap<String, EncodedElement>,
    /// What the listing's collection is called among the nodes, if it owns any.
    collection: Option<CollectionId>,
    /// The nodes that are the own elements of unchanged resources. With them, the relationships of the collection that
    /// end there are unchanged.
    unchanged: NodeSet,
    /// Keys of API keys of which the listing does not say where they belong. An unchanged one has no other relationships
    /// than those that it is mapped to, so that the listing need not be silent about any.
    pub(super) unscoped: BTreeSet<String>,
    /// What will have been mapped to what.
    pub(super) remembered: Vec<MappedResource>,
}

impl Desired {
    pub(super) fn of(state: &State, listing: &Listing) -> Self {
        let (collection, configuration) = (&listing.collection, &listing.manifest.configuration);
        let context = Context::new(&listing.organization_id, collection, configuration);
        let nodes = state.nodes();
        let owner = nodes.collection_id(&collection.to_string());
        let mut desired = Self { collection: owner, ..Self::default() };
        // Sorted at once: to insert each in its place takes twice as long.
        let mut elements = Vec::new();
        for listed in listing.resources.iter() {
            if let Some(id) = listed.unchanged()
                && owner.is_some_and(|owner| nodes.owns(owner, id))
                && (nodes.is_mapped(id, listed.fingerprint(), context.digest())
                    || desired.finds_mapped(state, id, listed, &context))
            {
                desired.unchanged.insert(id);
                continue;
            }
            let resource = listed.decode();
            if let Resource::ApiKey(api_key) = &resource
                && !mapping::tells_place(api_key)
            {
                desired.unscoped.insert(ElementType::ApiKey.entity_key(&api_key.id));
            }
            let mapped = mapping::elements(&context, &resource, listed.digest());
            let mapped: Vec<EncodedElement> = mapped.iter().map(EncodedElement::of).collect();
            desired.remember(&mapped, listed.fingerprint(), &context);
            elements.extend(mapped.into_iter().map(|element| (element.key().to_owned(), element)));
        }
        desired.elements = elements.into_iter().collect();
        desired
    }

    fn is_unchanged(&self, nodes: &Nodes, id: NodeId) -> bool {
        self.collection.is_some_and(|it| nodes.owns(it, id)) && nodes.is_among(&self.unchanged, id)
    }

    /// Whether what is known under the node is what the resource is mapped to, by what the element says of itself. One that
    /// is held is mapped, so that its hold ends.
    fn finds_mapped(&mut self, state: &State, id: NodeId, listed: Listed<'_>, context: &Context) -> bool {
        let digest = format!("{}.{}", listed.digest(), context.digest());
        let nodes = state.nodes();
        let Some(element) = nodes.with_digest(id, &digest) else { return false };
        // Those of one digest were mapped from one resource, so that they are all if they are as many.
        let alike =
            nodes.alike(id, &digest).filter(|keys| keys.len() == mapping::relationship_count(element));
        let mapped: Vec<String>;
        let keys = if let Some(keys) = alike {
            keys
        } else {
            // One that says the same as before has kept its digest.
            mapped = mapping::own_relationships(&element.decode());
            if !nodes.has_just(id, &mapped) {
                return false;
            }
            mapped.iter().map(String::as_str).collect()
        };
        if keys.iter().chain([&element.key()]).any(|key| state.holds().contains_key(*key)) {
            return false;
        }
        let (element, relationships) = (element.clone(), keys.len());
        let (resource, context) = (listed.fingerprint(), context.digest());
        self.remembered.push(MappedResource { element, relationships, resource, context });
        true
    }

    fn remember(&mut self, mapped: &[EncodedElement], resource: Fingerprint, context: &Context) {
        let Some(element) = mapped.first().cloned() else { return };
        let relationships = mapped.len() - 1;
        self.remembered.push(MappedResource { element, relationships, resource, context: context.digest() });
    }

    /// Whether the element of that key is among them.
    pub(super) fn contains(&self, nodes: &Nodes, key: &str) -> bool {
        self.elements.contains_key(key) || nodes.find(key).is_some_and(|id| self.is_unchanged(nodes, id))
    }

    /// Keys of the elements that the collection owns, withheld ones included, and that are not among them.
    pub(super) fn lacks<'a>(&'a self, nodes: &'a Nodes, collection: &str) -> impl Iterator<Item = &'a str> {
        let changed = nodes.owned_by(collection).filter(move |id| !self.is_unchanged(nodes, *id));
        changed.map(move |id| nodes.key(id)).filter(|key| !self.elements.contains_key(*key))
    }
}
