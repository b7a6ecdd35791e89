//! An organization's graph: elements by key, and what a change of one is.

use std::collections::BTreeMap;

use schemas::element::Element;

/// Elements by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    elements: BTreeMap<String, Element>,
}

/// One element before and after; at least one of the two is there, and both have the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `None`: created.
    pub before: Option<Element>,
    /// `None`: deleted.
    pub after: Option<Element>,
}

impl Change {
    /// The element's key.
    ///
    /// # Panics
    /// If there is neither a before nor an after.
    pub fn key(&self) -> &str {
        &self.element().key
    }

    /// The element as it is now, or as it was before it was deleted.
    ///
    /// # Panics
    /// If there is neither a before nor an after.
    pub fn element(&self) -> &Element {
        self.after.as_ref().or(self.before.as_ref()).expect("a change has a before or an after")
    }

    /// Where the change belongs among those of one transaction: at no point of the log does a relationship lack an
    /// end, so relationships go before entities and come after them.
    pub fn rank(&self) -> u8 {
        match (self.after.is_none(), self.element().is_relationship()) {
            (true, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (false, true) => 3,
        }
    }
}

impl Graph {
    /// The element of that key.
    pub fn get(&self, key: &str) -> Option<&Element> {
        self.elements.get(key)
    }

    /// Whether there is an element of that key.
    pub fn contains(&self, key: &str) -> bool {
        self.elements.contains_key(key)
    }

    /// All elements in the order of their keys.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.elements.values()
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Puts an element in the place of the one with its key; returns that one.
    pub fn put(&mut self, element: Element) -> Option<Element> {
        self.elements.insert(element.key.clone(), element)
    }

    /// Takes the element of that key away.
    pub fn remove(&mut self, key: &str) -> Option<Element> {
        self.elements.remove(key)
    }
}

impl FromIterator<Element> for Graph {
    fn from_iter<I: IntoIterator<Item = Element>>(elements: I) -> Self {
        Self { elements: elements.into_iter().map(|element| (element.key.clone(), element)).collect() }
    }
}
