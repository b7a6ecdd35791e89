//! The fold of the graph topic: what a restart needs, and what the sink uploads.

use std::collections::BTreeMap;

use schemas::{
    codec::{DecodeError, Digest},
    collection::POLL,
    coverage::{Coverage, Hold, HoldState, Poll, Withheld},
    encoded::EncodedElement,
    graph_value::GraphValue,
    topics::partition,
};

use crate::{
    change::{Change, Images},
    fingerprint::Fingerprint,
    nodes::Nodes,
};

const COVERAGE: &str = "coverage/";
const HOLD: &str = "hold/";
const WITHHELD: &str = "withheld/";
/// No element's key: those begin with their type.
const BARRIER: &str = "barrier";
/// Begins what a barrier's key has in the place of an organization ID.
const BARRIER_OWNER: &str = "anthropic-graph.";

/// A key of the graph topic, without its organization.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GraphKey {
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
    /// The record's key: organization ID `/` and, for other records, `coverage/`, `hold/` or `withheld/`.
    pub fn format(&self, organization_id: &str) -> String {
        match self {
            Self::Element(key) => format!("{organization_id}/{key}"),
            Self::Coverage(collection) => format!("{organization_id}/{COVERAGE}{collection}"),
            Self::Hold(key) => format!("{organization_id}/{HOLD}{key}"),
            Self::Withheld(key) => format!("{organization_id}/{WITHHELD}{key}"),
            Self::Barrier => format!("{organization_id}/{BARRIER}"),
        }
    }

    /// The organization ID and the key; `None` for a key without an organization.
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

/// A record of the graph topic, a tombstone if it has no value.
pub type GraphRecord = (GraphKey, Option<GraphValue>);

/// A record of the graph topic that cannot be folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The key names no organization.
    #[error("the key {0:?} does not begin with an organization ID and a slash")]
    Key(String),
    /// The value is of another kind than its key says, or of another element.
    #[error("the value does not match its key {0:?}: it has another kind or belongs to another element")]
    Kind(String),
    /// The value cannot be decoded.
    #[error("the value under the key {key:?} cannot be decoded")]
    Value {
        key: String,
        #[source]
        source: DecodeError,
    },
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    nodes: Nodes,
    coverage: BTreeMap<String, Coverage>,
    holds: BTreeMap<String, Hold>,
    /// How many holds there are by collection, state of the hold, and time of its proposal (ms): a listing does not look at
    /// the holds of others.
    held: BTreeMap<String, BTreeMap<HoldState, BTreeMap<i64, usize>>>,
    withheld: BTreeMap<String, Withheld>,
    /// As far as raw has been read, by coverage.
    read_offset: Option<i64>,
}

/// The elements of an organization's graph.
#[derive(Debug, Clone, Copy)]
pub struct Graph<'a>(&'a Nodes);

impl<'a> Graph<'a> {
    /// The element of that key.
    pub fn get(self, key: &str) -> Option<&'a EncodedElement> {
        self.0.element(key)
    }

    /// Whether there is an element of that key.
    pub fn contains(self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// All elements in the order of their keys.
    pub fn elements(self) -> impl Iterator<Item = &'a EncodedElement> {
        self.0.elements()
    }

    /// All elements in no order.
    pub fn iter(self) -> impl Iterator<Item = &'a EncodedElement> {
        self.0.iter()
    }

    /// How many elements there are.
    pub fn len(self) -> usize {
        self.0.element_count()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// What a resource was mapped to: the element that is the resource's own, and how many relationships of its collection
/// end there.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedResource {
    pub(crate) element: EncodedElement,
    pub(crate) relationships: usize,
    pub(crate) resource: Fingerprint,
    pub(crate) context: Digest,
}

impl State {
    pub fn graph(&self) -> Graph<'_> {
        Graph(&self.nodes)
    }

    /// Coverage by collection, that of the polls under `poll`.
    pub fn coverage(&self) -> &BTreeMap<String, Coverage> {
        &self.coverage
    }

    /// Holds by element key.
    pub fn holds(&self) -> &BTreeMap<String, Hold> {
        &self.holds
    }

    /// How many holds of a collection are in that state.
    pub fn held(&self, collection: &str, hold_state: &HoldState) -> usize {
        self.counts(collection, hold_state).map_or(0, |counts| counts.values().sum())
    }

    /// When the oldest hold of a collection in that state was proposed (ms since 1970).
    pub fn held_since(&self, collection: &str, hold_state: &HoldState) -> Option<i64> {
        self.counts(collection, hold_state)?.keys().next().copied()
    }

    fn counts(&self, collection: &str, hold_state: &HoldState) -> Option<&BTreeMap<i64, usize>> {
        self.held.get(collection)?.get(hold_state)
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

    /// Offset of the newest raw record that coverage mentions; nothing at or before it is new.
    pub fn read_offset(&self) -> Option<i64> {
        self.read_offset
    }

    /// The element of that key, or the relationship withheld under it.
    pub fn known(&self, key: &str) -> Option<EncodedElement> {
        let withheld = || self.withheld.get(key).map(|withheld| EncodedElement::of(&withheld.element));
        self.nodes.element(key).cloned().or_else(withheld)
    }

    /// Keys of what a collection owns, withheld relationships included, in no order.
    pub fn owned_by(&self, collection: &str) -> impl Iterator<Item = &str> {
        self.nodes.owned_by(collection).map(|id| self.nodes.key(id))
    }

    /// Keys of the relationships with that end, withheld ones included, in no order.
    pub fn relationships_of(&self, end: &str) -> impl Iterator<Item = &str> {
        self.nodes.relationships_of(end)
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Folds the elements' records: what the changes of the graph leave.
    pub(crate) fn fold_changes(&mut self, changes: &[Change]) {
        for Images { before, after } in changes.iter().filter(|it| it.is_of_graph()).map(|it| &it.images) {
            match (before, after) {
                (_, Some(after)) => self.nodes.put(after.clone()),
                (Some(before), None) => self.nodes.remove(before.key()),
                (None, None) => {}
            }
        }
    }

    /// Remembers what resources were mapped to. It is what the records say that were folded just before.
    pub(crate) fn remember(&mut self, mapped: Vec<MappedResource>) {
        for MappedResource { element, relationships, resource, context } in mapped {
            self.nodes.set_mapped(element.key(), relationships, resource, context);
        }
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
        match value {
            Some(GraphValue::Element(element)) if element.key() == key => self.nodes.put(element),
            None => self.nodes.remove(key),
            Some(_) => return Err(FoldError::Kind(key.to_owned())),
        }
        Ok(())
    }

    fn fold_hold(&mut self, key: &str, hold: Option<Hold>) {
        self.nodes.touch_key(key);
        if let Some(hold) = &hold {
            let states = self.held.entry(hold.collection.clone()).or_default();
            let counts = states.entry(hold.state.clone()).or_default();
            *counts.entry(hold.proposed_ts_ms).or_default() += 1;
        }
        let before = match hold {
            Some(hold) => self.holds.insert(key.to_owned(), hold),
            None => self.holds.remove(key),
        };
        let Some(before) = before else { return };
        let states = self.held.get_mut(&before.collection).expect("each hold is counted");
        let counts = states.get_mut(&before.state).expect("each hold is counted");
        let count = counts.get_mut(&before.proposed_ts_ms).expect("each hold is counted");
        *count -= 1;
        if *count == 0 {
            counts.remove(&before.proposed_ts_ms);
        }
        if counts.is_empty() {
            states.remove(&before.state);
        }
        if states.is_empty() {
            self.held.remove(&before.collection);
        }
    }

    fn fold_withheld(&mut self, key: &str, value: Option<GraphValue>) -> Result<(), FoldError> {
        match value {
            Some(GraphValue::Withheld(withheld)) if withheld.element.key == key => {
                self.nodes.withhold(&EncodedElement::of(&withheld.element));
                self.withheld.insert(key.to_owned(), *withheld);
            }
            None => {
                self.nodes.release(key);
                self.withheld.remove(key);
            }
            Some(_) => return Err(FoldError::Kind(key.to_owned())),
        }
        Ok(())
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
        // The state is there but for once: a name of its own for each record would cost more than the second look.
        if !self.0.contains_key(organization_id) {
            self.0.insert(organization_id.to_owned(), State::default());
        }
        self.0.get_mut(organization_id).expect("it was inserted just now")
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
