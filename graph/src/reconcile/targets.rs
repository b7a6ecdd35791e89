//! Where each element that a listing or a decision touches should end up.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    collection::Collection,
    coverage::{Hold, Withheld, hold_state},
    element::Element,
};

use crate::{elements::Change, state::State};

/// The elements that a listing or a decision touches: those it lists, those it deletes, and the relationships of the
/// entities that come or go.
pub(super) struct Targets<'a> {
    state: &'a State,
    /// What is to be known under each touched key; `None`: nothing.
    known: BTreeMap<String, Option<Element>>,
    /// Keys that are deleted for themselves, not for an end's sake.
    deleted: BTreeSet<String>,
    /// Keys of entities that will be there, and those that will be gone, of the touched ones.
    entities: BTreeMap<String, bool>,
    /// Collections that end with their workspace.
    ended: BTreeSet<String>,
}

impl<'a> Targets<'a> {
    pub(super) fn of(
        state: &'a State,
        desired: BTreeMap<String, Element>,
        deleted: BTreeSet<String>,
    ) -> Self {
        let mut targets = Self {
            state,
            known: BTreeMap::new(),
            deleted,
            entities: BTreeMap::new(),
            ended: BTreeSet::new(),
        };
        targets.known =
            desired.into_iter().map(|(key, element)| (key, Some(targets.kept_or_new(element)))).collect();
        targets.known.extend(targets.deleted.iter().map(|key| (key.clone(), None)));
        targets.note_entities();
        targets.end_members_of_deleted_workspaces();
        targets.touch_relationships();
        targets
    }

    /// Changes of the graph, in no order that matters. Takes the elements along: there may be many, so ask it last.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let known = std::mem::take(&mut self.known);
        let change = |(key, known): (String, Option<Element>)| {
            let before = self.state.graph().get(&key);
            let after = known.filter(|element| self.missing_ends(element).is_empty());
            match (before, after) {
                (None, None) => None,
                (Some(before), Some(after)) if before.same_as(&after) => None,
                (before, after) => Some(Change { before: before.cloned(), after }),
            }
        };
        known.into_iter().filter_map(change).collect()
    }

    /// Withheld relationships that come (`Some`) or go (`None`), by key.
    pub(super) fn withheld(&self) -> impl Iterator<Item = (String, Option<Withheld>)> {
        self.known.iter().filter_map(|(key, known)| {
            let before = self.state.withheld().get(key);
            let after = known.as_ref().and_then(|element| {
                let missing = self.missing_ends(element);
                let organization_id = element.organization_id.clone();
                (!missing.is_empty()).then(|| Withheld { organization_id, element: element.clone(), missing })
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
        let is_proposed = |hold: &&Hold| hold.collection == collection && hold.state == hold_state::PROPOSED;
        let ended =
            self.ended_holds().filter_map(|key| self.state.holds().get(key)).filter(is_proposed).count();
        self.state.held(collection, hold_state::PROPOSED) - ended
    }

    /// Whether the element goes for itself, not because an end of it goes.
    pub(super) fn is_deleted(&self, key: &str) -> bool {
        self.deleted.contains(key)
    }

    /// The element that is known already, if it says the same: what the log has is not written again.
    fn kept_or_new(&self, element: Element) -> Element {
        let known = self.state.known(&element.key).filter(|known| known.same_as(&element));
        known.cloned().unwrap_or(element)
    }

    fn note_entities(&mut self) {
        for (key, known) in &self.known {
            let element = known.as_ref().or_else(|| self.state.known(key));
            if element.is_some_and(|element| !element.is_relationship()) {
                self.entities.insert(key.clone(), known.is_some());
            }
        }
    }

    fn end_members_of_deleted_workspaces(&mut self) {
        let deleted = self.entities.iter().filter(|(_, stays)| !**stays).map(|(key, _)| key);
        // Not from the key, in which an id may be escaped.
        let workspaces = deleted.filter_map(|key| self.state.known(key)?.workspace.as_ref());
        let workspace_ids: Vec<String> = workspaces.map(|workspace| workspace.id.clone()).collect();
        for workspace_id in workspace_ids {
            let members = Collection::Members(workspace_id).to_string();
            for key in self.state.owned_by(&members) {
                self.known.insert(key.to_owned(), None);
            }
            self.ended.insert(members);
        }
    }

    /// The relationships of the entities that come or go may be emitted or withheld. One that is held goes with its end
    /// for good, since its collection does not list it any more.
    fn touch_relationships(&mut self) {
        for (entity, stays) in &self.entities {
            if *stays == self.state.graph().contains(entity) {
                continue;
            }
            for key in self.state.relationships_of(entity) {
                let is_listed = !self.state.holds().contains_key(key);
                let listed = || self.state.known(key).filter(|_| is_listed).cloned();
                self.known.entry(key.to_owned()).or_insert_with(listed);
            }
        }
    }

    fn missing_ends(&self, element: &Element) -> Vec<String> {
        let is_there =
            |end: &str| self.entities.get(end).copied().unwrap_or_else(|| self.state.graph().contains(end));
        element.ends().filter(|end| !is_there(end)).map(str::to_owned).collect()
    }
}
