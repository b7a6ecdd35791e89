//! Where each element that a listing or a decision touches should end up.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use schemas::{
    collection::Collection,
    coverage::{Hold, HoldState, Withheld},
    encoded::EncodedElement,
};

use super::workspace;
use crate::{change::Images, state::State};

/// In no order: whatever comes of them is put in order.
type Keys = HashSet<String, FixedState>;

/// The elements that a listing or a decision touches: listed ones unless they are known to be unchanged, deleted ones,
/// and the relationships of entities that appear or disappear.
pub(super) struct Targets<'a> {
    state: &'a State,
    /// What is to be known under each touched key; `None`: nothing.
    known: BTreeMap<String, Option<EncodedElement>>,
    /// Keys that are deleted for themselves, not for an end's sake.
    deleted: BTreeSet<String>,
    /// Keys of the touched entities that are not in the graph and will be.
    come: Keys,
    /// Keys of the touched entities that are in the graph and will not be.
    gone: Keys,
    /// Keys of the ends that will be missing, of each relationship that will be withheld.
    missing: BTreeMap<String, Vec<String>>,
    /// Collections that end with their workspace.
    ended: BTreeSet<String>,
}

impl<'a> Targets<'a> {
    pub(super) fn of(
        state: &'a State,
        mapped: BTreeMap<String, EncodedElement>,
        deleted: BTreeSet<String>,
    ) -> Self {
        let mut targets = Self {
            state,
            known: BTreeMap::new(),
            deleted,
            come: Keys::default(),
            gone: Keys::default(),
            missing: BTreeMap::new(),
            ended: BTreeSet::new(),
        };
        targets.known =
            mapped.into_iter().map(|(key, element)| (key, Some(targets.kept_or_new(element)))).collect();
        targets.known.extend(targets.deleted.iter().map(|key| (key.clone(), None)));
        targets.note_entities();
        targets.end_members_of_deleted_workspaces();
        targets.touch_relationships();
        targets.note_missing_ends();
        targets
    }

    /// Changes of the graph, in the order of their keys. Takes the elements along: there may be many, so ask it last.
    pub(super) fn take_changes(&mut self) -> Vec<Images> {
        let known = std::mem::take(&mut self.known);
        let change = |(key, known): (String, Option<EncodedElement>)| {
            let before = self.state.graph().get(&key);
            let after = known.filter(|_| !self.missing.contains_key(&key));
            match (before, after) {
                (None, None) => None,
                (Some(before), Some(after)) if before.same_as(&after) => None,
                (before, after) => Some(Images { before: before.cloned(), after }),
            }
        };
        known.into_iter().filter_map(change).collect()
    }

    /// Withheld relationships that come (`Some`) or go (`None`), by key.
    pub(super) fn withheld(&self) -> impl Iterator<Item = (String, Option<Withheld>)> {
        self.known.iter().filter_map(|(key, known)| {
            let before = self.state.withheld().get(key);
            let after = known.as_ref().zip(self.missing.get(key)).map(|(element, missing)| {
                let (element, missing) = (element.decode(), missing.clone());
                Withheld { organization_id: element.organization_id.clone(), element, missing }
            });
            (before != after.as_ref()).then(|| (key.clone(), after))
        })
    }

    /// Collections that end, since their workspace does.
    pub(super) fn ended_collections(&self) -> impl Iterator<Item = &String> {
        self.ended.iter().filter(|collection| self.state.coverage().contains_key(*collection))
    }

    /// Keys of the elements whose hold ends: they are there again, or they are deleted.
    pub(super) fn ended_holds(&self) -> impl Iterator<Item = &String> {
        self.known.keys().filter(|key| self.state.holds().contains_key(*key))
    }

    /// How many of a collection's holds are left to a person, but for new ones.
    pub(super) fn proposed_left(&self, collection: &str) -> usize {
        let is_proposed = |hold: &&Hold| hold.collection == collection && hold.state == HoldState::Proposed;
        let ended =
            self.ended_holds().filter_map(|key| self.state.holds().get(key)).filter(is_proposed).count();
        self.state.held(collection, &HoldState::Proposed) - ended
    }

    /// Whether the element goes for itself, not because an end of it goes.
    pub(super) fn is_deleted(&self, key: &str) -> bool {
        self.deleted.contains(key)
    }

    /// The element that is known already, if it says the same: what the log has is not written again.
    fn kept_or_new(&self, element: EncodedElement) -> EncodedElement {
        self.state.known(element.key()).filter(|known| known.same_as(&element)).unwrap_or(element)
    }

    fn note_entities(&mut self) {
        for (key, known) in &self.known {
            match (self.state.graph().get(key), known) {
                (None, Some(element)) if !element.is_relationship() => self.come.insert(key.clone()),
                (Some(element), None) if !element.is_relationship() => self.gone.insert(key.clone()),
                _ => false,
            };
        }
    }

    fn end_members_of_deleted_workspaces(&mut self) {
        // Not from the key, in which an id may be escaped.
        let workspaces = self.gone.iter().filter_map(|key| workspace(self.state.graph().get(key)?));
        let workspace_ids: Vec<String> = workspaces.map(|workspace| workspace.id).collect();
        for workspace_id in workspace_ids {
            let members = Collection::Members(workspace_id).to_string();
            for key in self.state.owned_by(&members) {
                self.known.insert(key.to_owned(), None);
            }
            self.ended.insert(members);
        }
    }

    /// The relationships of the entities that come or go may be emitted or withheld. One that is held goes with its end
    /// for good, since its collection no longer lists it.
    fn touch_relationships(&mut self) {
        for entity in self.come.iter().chain(&self.gone) {
            for key in self.state.relationships_of(entity) {
                let is_listed = !self.state.holds().contains_key(key);
                let listed = || self.state.known(key).filter(|_| is_listed);
                self.known.entry(key.to_owned()).or_insert_with(listed);
            }
        }
    }

    fn note_missing_ends(&mut self) {
        let is_there = |end: &str| {
            if self.state.graph().contains(end) { !self.gone.contains(end) } else { self.come.contains(end) }
        };
        let missing = self.known.iter().filter_map(|(key, known)| {
            let ends = known.as_ref()?.ends().filter(|end| !is_there(end));
            let missing: Vec<String> = ends.map(str::to_owned).collect();
            (!missing.is_empty()).then(|| (key.clone(), missing))
        });
        self.missing = missing.collect();
    }
}
