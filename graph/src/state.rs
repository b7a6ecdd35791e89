//! The fold of the graph topic: what a restart needs, and what the sink uploads.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    codec::{DecodeError, GraphValue},
    collection::POLL,
    coverage::{Coverage, Hold, Poll, Withheld},
    element::Element,
    topics::partition,
};

use crate::elements::Graph;

const COVERAGE: &str = "coverage/";
const HOLD: &str = "hold/";
const WITHHELD: &str = "withheld/";
/// No element's key: those begin with their type.
const BARRIER: &str = "barrier";
/// Begins what a barrier's key has in the place of an organization id.
const BARRIER_OWNER: &str = "anthropic-graph.";

/// A key of the graph topic, without its organization.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GraphKey {
    /// An element's key.
    Element(String),
    /// A collection's name, or `poll`.
    Coverage(String),
    /// Key of the element whose deletion is held.
    Hold(String),
    /// Key of the withheld relationship.
    Withheld(String),
    /// A tombstone that the partition's writer reads back to know that it has read everything. It says nothing of any
    /// organization.
    Barrier,
}

/// The key of a partition's barrier, always the same one, so that compaction leaves the newest.
///
/// Readers from before barriers take it for the tombstone of an unknown element, of an organization whose id belongs in
/// this partition, and pass it.
pub fn barrier_key(of: i32, partition_count: i32) -> String {
    let mut owners = (0_u32..).map(|number| format!("{BARRIER_OWNER}{number}"));
    let owner = owners.find(|owner| partition(owner, partition_count) == of);
    GraphKey::Barrier.format(&owner.expect("a hash meets each partition"))
}

impl GraphKey {
    /// The record's key: organization id `/` and, for what is no element, `coverage/`, `hold/` or `withheld/`.
    pub fn format(&self, organization_id: &str) -> String {
        match self {
            Self::Element(key) => format!("{organization_id}/{key}"),
            Self::Coverage(collection) => format!("{organization_id}/{COVERAGE}{collection}"),
            Self::Hold(key) => format!("{organization_id}/{HOLD}{key}"),
            Self::Withheld(key) => format!("{organization_id}/{WITHHELD}{key}"),
            Self::Barrier => format!("{organization_id}/{BARRIER}"),
        }
    }

    /// The organization id and the key; `None` for a key without an organization.
    pub fn parse(key: &str) -> Option<(&str, Self)> {
        let (organization_id, rest) = key.split_once('/')?;
        let parsed = if let Some(collection) = rest.strip_prefix(COVERAGE) {
            Self::Coverage(collection.to_owned())
        } else if let Some(element_key) = rest.strip_prefix(HOLD) {
            Self::Hold(element_key.to_owned())
        } else if let Some(element_key) = rest.strip_prefix(WITHHELD) {
            Self::Withheld(element_key.to_owned())
        } else if rest == BARRIER {
            Self::Barrier
        } else {
            Self::Element(rest.to_owned())
        };
        Some((organization_id, parsed))
    }
}

/// A record of the graph topic that cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The key names no organization.
    #[error("the key {0:?} does not begin with an organization id and a slash")]
    Key(String),
    /// The value is of another kind than its key says, or of another element.
    #[error("the value under the key {0:?} is of another kind, or of another element, than the key says")]
    Kind(String),
    /// The value cannot be decoded.
    #[error("the value under the key {key:?} cannot be decoded")]
    Value {
        /// The record's key.
        key: String,
        /// Why.
        #[source]
        source: DecodeError,
    },
}

/// One organization's state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    graph: Graph,
    coverage: BTreeMap<String, Coverage>,
    holds: BTreeMap<String, Hold>,
    /// How many holds there are by collection and state of the hold: a listing does not look at the holds of others.
    held: BTreeMap<String, BTreeMap<String, usize>>,
    withheld: BTreeMap<String, Withheld>,
    /// Keys of elements and withheld relationships by the collection that owns them.
    owned: BTreeMap<String, BTreeSet<String>>,
    /// Keys of relationships, withheld or not, by the key of an end.
    by_end: BTreeMap<String, BTreeSet<String>>,
    /// As far as raw has been read, by coverage.
    read_offset: Option<i64>,
}

impl State {
    /// The elements.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Coverage by collection, that of the polls under `poll`.
    pub fn coverage(&self) -> &BTreeMap<String, Coverage> {
        &self.coverage
    }

    /// Holds by element key.
    pub fn holds(&self) -> &BTreeMap<String, Hold> {
        &self.holds
    }

    /// How many holds of a collection are in that state (of [`schemas::coverage::hold_state`]).
    pub fn held(&self, collection: &str, hold_state: &str) -> usize {
        self.held.get(collection).and_then(|counts| counts.get(hold_state)).copied().unwrap_or_default()
    }

    /// Withheld relationships by key.
    pub fn withheld(&self) -> &BTreeMap<String, Withheld> {
        &self.withheld
    }

    /// The newest poll, if there was one.
    pub fn newest_poll(&self) -> Option<&Poll> {
        self.coverage.get(POLL).and_then(|coverage| coverage.poll.as_ref())
    }

    /// The newest poll; the default before there was one.
    pub fn poll(&self) -> Poll {
        self.newest_poll().cloned().unwrap_or_default()
    }

    /// How many changes the organization has had.
    pub fn revision(&self) -> i64 {
        self.newest_poll().map_or(0, |poll| poll.revision)
    }

    /// Offset of the newest raw record that coverage tells of; nothing at or before it is new.
    pub fn read_offset(&self) -> Option<i64> {
        self.read_offset
    }

    /// The element of that key, or the relationship withheld under it.
    pub fn known(&self, key: &str) -> Option<&Element> {
        self.graph.get(key).or_else(|| self.withheld.get(key).map(|withheld| &withheld.element))
    }

    /// Keys of what a collection owns, withheld relationships included.
    pub fn owned_by(&self, collection: &str) -> impl Iterator<Item = &str> {
        self.owned.get(collection).into_iter().flatten().map(String::as_str)
    }

    /// Keys of the relationships with that end, withheld ones included.
    pub fn relationships_of(&self, end: &str) -> impl Iterator<Item = &str> {
        self.by_end.get(end).into_iter().flatten().map(String::as_str)
    }

    /// Folds one record, a tombstone if there is no value.
    pub fn fold(&mut self, key: &GraphKey, value: Option<GraphValue>) -> Result<(), FoldError> {
        match (key, value) {
            (GraphKey::Element(key), value) => self.fold_element(key, value),
            (GraphKey::Withheld(key), value) => self.fold_withheld(key, value),
            (GraphKey::Coverage(collection), Some(GraphValue::Coverage(coverage))) => {
                self.read_offset = self.read_offset.max(coverage.read_offset());
                self.coverage.insert(collection.clone(), *coverage);
                Ok(())
            }
            (GraphKey::Coverage(collection), None) => {
                self.coverage.remove(collection);
                Ok(())
            }
            (GraphKey::Hold(key), Some(GraphValue::Hold(hold))) => {
                self.fold_hold(key, Some(*hold));
                Ok(())
            }
            (GraphKey::Hold(key), None) => {
                self.fold_hold(key, None);
                Ok(())
            }
            (GraphKey::Coverage(key) | GraphKey::Hold(key), Some(_)) => Err(FoldError::Kind(key.clone())),
            (GraphKey::Barrier, None) => Ok(()),
            (GraphKey::Barrier, Some(_)) => Err(FoldError::Kind(BARRIER.to_owned())),
        }
    }

    fn fold_element(&mut self, key: &str, value: Option<GraphValue>) -> Result<(), FoldError> {
        let before = match value {
            Some(GraphValue::Element(element)) if element.key == key => {
                self.index(&element);
                self.graph.put(*element)
            }
            None => self.graph.remove(key),
            Some(_) => return Err(FoldError::Kind(key.to_owned())),
        };
        self.unindex(before);
        Ok(())
    }

    fn fold_hold(&mut self, key: &str, hold: Option<Hold>) {
        if let Some(hold) = &hold {
            let counts = self.held.entry(hold.collection.clone()).or_default();
            *counts.entry(hold.state.clone()).or_default() += 1;
        }
        let before = match hold {
            Some(hold) => self.holds.insert(key.to_owned(), hold),
            None => self.holds.remove(key),
        };
        let Some(before) = before else { return };
        let counts = self.held.get_mut(&before.collection).expect("each hold is counted");
        let count = counts.get_mut(&before.state).expect("each hold is counted");
        *count -= 1;
        if *count == 0 {
            counts.remove(&before.state);
        }
        if counts.is_empty() {
            self.held.remove(&before.collection);
        }
    }

    fn fold_withheld(&mut self, key: &str, value: Option<GraphValue>) -> Result<(), FoldError> {
        let before = match value {
            Some(GraphValue::Withheld(withheld)) if withheld.element.key == key => {
                self.index(&withheld.element);
                self.withheld.insert(key.to_owned(), *withheld)
            }
            None => self.withheld.remove(key),
            Some(_) => return Err(FoldError::Kind(key.to_owned())),
        };
        self.unindex(before.map(|withheld| withheld.element));
        Ok(())
    }

    fn index(&mut self, element: &Element) {
        self.owned.entry(element.collection.clone()).or_default().insert(element.key.clone());
        for end in element.ends() {
            self.by_end.entry(end.to_owned()).or_default().insert(element.key.clone());
        }
    }

    /// Forgets an element in the indexes unless it is still known, in the graph or withheld.
    fn unindex(&mut self, before: Option<Element>) {
        let Some(before) = before.filter(|before| self.known(&before.key).is_none()) else { return };
        let forget = |index: &mut BTreeMap<String, BTreeSet<String>>, under: &str| {
            if let Some(keys) = index.get_mut(under) {
                keys.remove(&before.key);
                if keys.is_empty() {
                    index.remove(under);
                }
            }
        };
        forget(&mut self.owned, &before.collection);
        for end in before.ends() {
            forget(&mut self.by_end, end);
        }
    }
}

/// The states of the organizations of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States(BTreeMap<String, State>);

impl States {
    /// One organization's state, if anything is known of it.
    pub fn get(&self, organization_id: &str) -> Option<&State> {
        self.0.get(organization_id)
    }

    /// One organization's state, an empty one if nothing is known of it.
    pub fn entry(&mut self, organization_id: &str) -> &mut State {
        self.0.entry(organization_id.to_owned()).or_default()
    }

    /// All organizations in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &State)> {
        self.0.iter().map(|(organization_id, state)| (organization_id.as_str(), state))
    }

    /// Folds one record of the graph topic.
    pub fn fold_record(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), FoldError> {
        let (organization_id, graph_key) =
            GraphKey::parse(key).ok_or_else(|| FoldError::Key(key.to_owned()))?;
        let value = value
            .map(GraphValue::decode)
            .transpose()
            .map_err(|source| FoldError::Value { key: key.to_owned(), source })?;
        match (&graph_key, &value) {
            (GraphKey::Barrier, None) => Ok(()),
            _ => self.entry(organization_id).fold(&graph_key, value),
        }
    }
}
