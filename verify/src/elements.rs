//! Elements by key, encoded as they were read. Most of what the graph topic, the log and the listings have is the same, and
//! that is kept once.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use hashbrown::{HashTable, hash_table::Entry};
use schemas::{element::Workspace, encoded::EncodedElement};

use super::verdict::Verdict;

/// Elements by key, in no order.
#[derive(Debug, Clone, Default)]
pub(super) struct Elements(HashTable<EncodedElement>);

impl Elements {
    pub(super) fn get(&self, key: &str) -> Option<&EncodedElement> {
        self.0.find(hash(key), |it| it.key() == key)
    }

    pub(super) fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &EncodedElement> {
        self.0.iter()
    }

    pub(super) fn insert(&mut self, element: EncodedElement) {
        let is_its = |it: &EncodedElement| it.key() == element.key();
        match self.0.entry(hash(element.key()), is_its, |it| hash(it.key())) {
            Entry::Occupied(mut place) => *place.get_mut() = element,
            Entry::Vacant(place) => drop(place.insert(element)),
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Ok(place) = self.0.find_entry(hash(key), |it| it.key() == key) {
            place.remove();
        }
    }

    /// The element, or the equal one that is kept here.
    pub(super) fn shared(&self, element: EncodedElement) -> EncodedElement {
        self.get(element.key()).filter(|known| **known == element).cloned().unwrap_or(element)
    }

    /// Judges each. Violations are reported in the order of their keys.
    pub(super) fn judge(&self, verdict: &mut Verdict, judge: impl Fn(&EncodedElement, &mut Verdict)) {
        let mut tried = Verdict::new("");
        self.iter().for_each(|element| judge(element, &mut tried));
        if !tried.is_violated() {
            return verdict.add(tried);
        }
        let mut ordered: Vec<&EncodedElement> = self.iter().collect();
        ordered.sort_unstable_by_key(|element| element.key());
        for element in ordered {
            judge(element, verdict);
        }
    }
}

impl Extend<EncodedElement> for Elements {
    fn extend<T: IntoIterator<Item = EncodedElement>>(&mut self, elements: T) {
        elements.into_iter().for_each(|element| self.insert(element));
    }
}

fn hash(key: &str) -> u64 {
    FixedState::default().hash_one(key)
}

/// The second half of its digest: of which version of the mapping and under which configuration it was mapped.
pub(super) fn origin_of(element: &EncodedElement) -> &str {
    element.digest().split_once('.').map_or("", |(_, by)| by)
}

/// Its columns, of a workspace.
pub(super) fn workspace(element: &EncodedElement) -> Option<Box<Workspace>> {
    (element.kind() == "anthropic_workspace").then(|| element.decode().content.workspace()).flatten()
}

/// Whether it is the workspace that every organization has; only its name shows it.
pub(super) fn is_default(element: &EncodedElement) -> bool {
    workspace(element).is_some_and(|workspace| workspace.name == "Default" && workspace.active)
}
