//! What should be known after each event, said as plainly as it can be: no index, nothing incremental. It is to be
//! believed by reading it, so it shares nothing with the processor but the mapping, which has tests of its own.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    collection::Collection,
    coverage::{Coverage, Hold, HoldState, Latest, Poll, WholeListing},
    element::{Element, ElementType},
    raw::{Decision, DecisionKind, Manifest, Mark, Outcome},
};

/// A listing as its readable records have it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) collection: Collection,
    pub(crate) listing_id: String,
    pub(crate) poll_id: Option<String>,
    pub(crate) offset: i64,
    pub(crate) manifest: Manifest,
    /// What its resources graph for, by key.
    pub(crate) elements: BTreeMap<String, Element>,
    /// Keys of the API keys of which it does not say where they belong.
    pub(crate) unscoped: BTreeSet<String>,
    /// Whether a record of it is missing, unreadable or doubled.
    pub(crate) damaged: bool,
}

/// What moves an organization on.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Listing(Box<Listed>),
    Mark { mark: Mark, poll_id: Option<String>, ts_ms: i64, offset: i64 },
    Decision(Decision),
}

/// Everything that should be known of an organization. Digests are left out: they say only what an element is from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Organization {
    pub(crate) id: String,
    pub(crate) name: String,
    /// By collection what it is known to have: its last whole listing, what later partial ones added, and what none of
    /// them could delete.
    pub(crate) known: BTreeMap<String, BTreeMap<String, Element>>,
    pub(crate) holds: BTreeMap<String, Hold>,
    /// By collection; a reason is there or not, its words are left out.
    pub(crate) coverage: BTreeMap<String, Coverage>,
    /// Of the lines of what is incomplete, only the collections.
    pub(crate) poll: Option<Poll>,
}

impl Organization {
    pub(crate) fn new(id: &str, name: &str) -> Self {
        Self { id: id.to_owned(), name: name.to_owned(), ..Self::default() }
    }

    /// Everything known whose ends are known too.
    pub(crate) fn graph(&self) -> BTreeMap<&str, &Element> {
        self.elements().filter(|element| self.missing(element).is_empty()).map(keyed).collect()
    }

    /// Everything known that lacks an end.
    pub(crate) fn withheld(&self) -> BTreeMap<&str, &Element> {
        self.elements().filter(|element| !self.missing(element).is_empty()).map(keyed).collect()
    }

    /// The ends that an element lacks.
    pub(crate) fn missing(&self, element: &Element) -> Vec<String> {
        let is_known = |end: &str| self.known.values().any(|elements| elements.contains_key(end));
        element.ends().filter(|end| !is_known(end)).map(str::to_owned).collect()
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        let before = self.clone();
        match event {
            Event::Listing(listed) => self.list(listed),
            Event::Mark { mark, poll_id, ts_ms, offset } => {
                self.mark(mark, poll_id.as_ref(), *ts_ms, *offset);
            }
            Event::Decision(decision) => self.decide(decision),
        }
        self.settle();
        let (moved, count) = (count(before.difference(self).len()), count(self.graph().len()));
        if let Some(poll) = &mut self.poll {
            poll.revision += moved;
            poll.element_count = count;
        }
    }

    /// Keys of the elements that are created, updated or deleted on the way to the other.
    pub(crate) fn difference(&self, other: &Self) -> BTreeSet<String> {
        let (before, after) = (self.graph(), other.graph());
        let keys: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
        keys.into_iter().filter(|key| before.get(key) != after.get(key)).map(str::to_owned).collect()
    }

    fn elements(&self) -> impl Iterator<Item = &Element> {
        self.known.values().flat_map(BTreeMap::values)
    }

    fn list(&mut self, listed: &Listed) {
        let name = listed.collection.to_string();
        if !self.has_workspace_of(&listed.collection) {
            return;
        }
        let visible: BTreeSet<String> = self.graph().into_keys().map(str::to_owned).collect();
        let mut known = self.known.remove(&name).unwrap_or_default();
        self.holds.retain(|key, _| !listed.elements.contains_key(key));
        let is_partial = listed.damaged || self.is_narrower(listed);
        if !is_partial {
            let is_absent = |element: &&Element| {
                !listed.elements.contains_key(&element.key) && may_delete(listed, element)
            };
            let absent: Vec<Element> = known.values().filter(is_absent).cloned().collect();
            let is_over = self.is_over(listed, &known, &absent, &visible);
            for Element { key, .. } in absent {
                if is_over && visible.contains(&key) {
                    self.holds.entry(key.clone()).or_insert_with(|| hold(&self.id, &key, listed));
                }
                if !self.holds.contains_key(&key) {
                    known.remove(&key);
                }
            }
        }
        let created = listed.elements.values().filter(|element| !known.contains_key(&element.key));
        let created = created.filter_map(|it| it.content.clone().workspace());
        let created: Vec<String> = created.map(|workspace| workspace.id).collect();
        known.extend(listed.elements.clone());
        self.begin_members(&created);
        self.known.insert(name, known);
        // What is held goes with its end, and waits for nobody then.
        self.settle();
        self.cover_listing(listed, is_partial);
    }

    /// The last whole listing of the workspaces did not have these: by then they had no members.
    fn begin_members(&mut self, workspace_ids: &[String]) {
        let whole = self.coverage.get("workspaces").and_then(|coverage| coverage.whole.clone());
        let Some(whole) = whole else { return };
        for id in workspace_ids {
            let collection = format!("members/{id}");
            let nobody = WholeListing { count: 0, parameters: BTreeMap::new(), ..whole.clone() };
            let coverage =
                Coverage { whole: Some(nobody), ..Coverage::new(&self.id, &self.name, &collection) };
            self.coverage.insert(collection, coverage);
        }
    }

    /// Members are listed of a workspace that is known; of all other collections there is one.
    pub(crate) fn has_workspace_of(&self, collection: &Collection) -> bool {
        let Collection::Members(workspace_id) = collection else { return true };
        self.graph().contains_key(ElementType::Workspace.entity_key(workspace_id).as_str())
    }

    fn is_narrower(&self, listed: &Listed) -> bool {
        let name = listed.collection.to_string();
        let Some(whole) = self.coverage.get(&name).and_then(|coverage| coverage.whole.as_ref()) else {
            return false;
        };
        let lost = |parameter: &str| {
            is_true(&whole.parameters, parameter) && !is_true(&listed.manifest.parameters, parameter)
        };
        lost("include_archived") || lost("include_default")
    }

    /// Whether the guard's limits are passed by one type of the collection's elements, those left out that somebody has
    /// decided to keep.
    fn is_over(
        &self,
        listed: &Listed,
        known: &BTreeMap<String, Element>,
        absent: &[Element],
        visible: &BTreeSet<String>,
    ) -> bool {
        let is_rejected =
            |key: &str| self.holds.get(key).is_some_and(|hold| hold.state == HoldState::Rejected);
        let configuration = &listed.manifest.configuration;
        ElementType::ALL.iter().any(|kind| {
            let counts = |element: &&Element| {
                element.kind() == kind.name() && visible.contains(&element.key) && !is_rejected(&element.key)
            };
            let all = count(known.values().filter(counts).count());
            let deleted = count(absent.iter().filter(counts).count());
            #[expect(clippy::cast_precision_loss, reason = "a handful of elements")]
            let too_large = deleted as f64 > configuration.max_deleted_fraction * all as f64;
            let all_users = *kind == ElementType::User && deleted > 0 && deleted == all;
            (deleted > configuration.max_deleted_count && too_large) || all_users
        })
    }

    fn cover_listing(&mut self, listed: &Listed, is_partial: bool) {
        let name = listed.collection.to_string();
        let waits =
            self.holds.values().any(|hold| hold.collection == name && hold.state == HoldState::Proposed);
        let ended = match (is_partial, waits) {
            (true, _) => Outcome::Partial,
            (false, true) => Outcome::Guarded,
            (false, false) => Outcome::Whole,
        };
        let manifest = &listed.manifest;
        let latest = Latest {
            outcome: ended.clone(),
            reason: (ended != Outcome::Whole).then(String::new),
            poll_id: listed.poll_id.clone(),
            raw_offset: listed.offset,
            ended_ts_ms: manifest.ended_ts_ms,
        };
        let coverage = self.cover(&name, latest);
        if is_partial {
            coverage.not_whole_since_ts_ms.get_or_insert(manifest.ended_ts_ms);
        } else {
            coverage.not_whole_since_ts_ms = None;
            coverage.whole = Some(WholeListing {
                listing_id: listed.listing_id.clone(),
                raw_offset: listed.offset,
                started_ts_ms: manifest.started_ts_ms,
                ended_ts_ms: manifest.ended_ts_ms,
                count: manifest.count,
                parameters: manifest.parameters.clone(),
            });
        }
        self.poll();
    }

    pub(crate) fn cover(&mut self, collection: &str, latest: Latest) -> &mut Coverage {
        let unknown = || Coverage::new(&self.id, &self.name, collection);
        let coverage = self.coverage.entry(collection.to_owned()).or_insert_with(unknown);
        coverage.latest = Some(latest);
        coverage
    }

    pub(crate) fn poll(&mut self) -> &mut Poll {
        self.poll.get_or_insert_with(|| Poll { partition_count: 1, ..Poll::default() })
    }

    fn decide(&mut self, decided: &Decision) {
        let is_whole = decided.collection.is_none() && decided.element_key.is_none();
        if decided.kind == DecisionKind::Forget && is_whole {
            self.known.clear();
            self.holds.clear();
            self.coverage.clear();
            if let Some(poll) = &mut self.poll {
                poll.complete = false;
            }
            return;
        }
        let Some(seen) = self.offset_of(decided.listing_id.as_deref()) else { return };
        for (key, mut hold) in self.holds.clone() {
            let is_seen = decided.collection.as_ref().is_none_or(|it| *it == hold.collection)
                && hold.raw_offset <= seen;
            let is_named = decided.element_key.as_ref().is_none_or(|it| *it == key);
            // What a person keeps goes only if it is named.
            let is_open = hold.state == HoldState::Proposed || decided.element_key.is_some();
            let is_kept = is_named || self.is_beside(&hold, decided.element_key.as_deref());
            if is_seen && is_named && decided.kind == DecisionKind::Approve && is_open {
                self.forget_held(&key);
            } else if is_seen && is_kept && decided.kind == DecisionKind::Reject {
                HoldState::Rejected.clone_into(&mut hold.state);
                self.holds.insert(key, hold);
            }
        }
    }

    /// Whether the hold is of a relationship that ends at that entity, and the collection has both.
    fn is_beside(&self, hold: &Hold, entity: Option<&str>) -> bool {
        let Some((elements, entity)) = self.known.get(&hold.collection).zip(entity) else { return false };
        elements.contains_key(entity) && elements[&hold.element_key].ends().any(|end| end == entity)
    }

    /// Where the listing ended that a person saw; `None`: no longer known.
    fn offset_of(&self, listing_id: Option<&str>) -> Option<i64> {
        let of_hold = self.holds.values().find(|hold| Some(hold.listing_id.as_str()) == listing_id);
        let wholes = self.coverage.values().filter_map(|coverage| coverage.whole.as_ref());
        let of_whole = || wholes.into_iter().find(|whole| Some(whole.listing_id.as_str()) == listing_id);
        of_hold.map(|hold| hold.raw_offset).or_else(|| of_whole().map(|whole| whole.raw_offset))
    }

    /// What follows from what is known now: members end with their workspace, and what is held is in the graph, or
    /// it is nothing that a listing still has.
    fn settle(&mut self) {
        loop {
            let is_over = |name: &String| {
                !self.has_workspace_of(&Collection::parse(name).expect("the name of a collection"))
            };
            let ended: Vec<String> = self.known.keys().chain(self.coverage.keys()).cloned().collect();
            let ended: Vec<String> = ended.into_iter().filter(is_over).collect();
            let visible = self.graph();
            let lost = self.holds.keys().find(|key| !visible.contains_key(key.as_str())).cloned();
            for name in &ended {
                self.known.remove(name);
                self.coverage.remove(name);
            }
            match lost {
                Some(key) => self.forget_held(&key),
                None if ended.is_empty() => return,
                None => {}
            }
        }
    }

    fn forget_held(&mut self, key: &str) {
        let hold = self.holds.remove(key).expect("it is held");
        if let Some(elements) = self.known.get_mut(&hold.collection) {
            elements.remove(key);
        }
    }
}

/// What a whole listing says by silence: nothing of the account, of the default workspace unless it was asked for it,
/// or of where a key belongs unless it has that at all.
fn may_delete(listed: &Listed, element: &Element) -> bool {
    let asks_for_default = is_true(&listed.manifest.parameters, "include_default");
    let is_default = |key: &str| key == ElementType::Workspace.entity_key(super::world::DEFAULT_WORKSPACE);
    match ElementType::parse(element.kind()).expect("one of the nine") {
        ElementType::Account => false,
        ElementType::Workspace => asks_for_default || !is_default(&element.key),
        ElementType::AccountHasWorkspace => asks_for_default || !element.ends().any(is_default),
        ElementType::WorkspaceHasApiKey => !element.ends().any(|end| listed.unscoped.contains(end)),
        _ => true,
    }
}

fn is_true(parameters: &BTreeMap<String, String>, name: &str) -> bool {
    parameters.get(name).is_some_and(|value| value == "true")
}

fn hold(organization_id: &str, key: &str, listed: &Listed) -> Hold {
    Hold {
        organization_id: organization_id.to_owned(),
        element_key: key.to_owned(),
        collection: listed.collection.to_string(),
        listing_id: listed.listing_id.clone(),
        raw_offset: listed.offset,
        proposed_ts_ms: listed.manifest.ended_ts_ms,
        state: HoldState::Proposed,
        agreeing: 1,
    }
}

fn keyed(element: &Element) -> (&str, &Element) {
    (&element.key, element)
}

fn count(length: usize) -> i64 {
    i64::try_from(length).expect("few")
}
