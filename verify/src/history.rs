//! Compares the log with the raw records, listing by listing: after its changes the log has what the listing had, each change
//! names the listing or the decision that led to it, and each says of itself what that listing says.
//!
//! In memory are the changes that raw can still mention, and of each element in the graph its newest image.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use schemas::{
    change::{self, Reason},
    encoded::{EncodedChange, EncodedElement},
    raw::Decision,
};

use super::{
    change_summary::{ChangeSummary, Op, ends},
    coverage_claims::collection_of,
    deletions::Rest,
    elements::{Elements, is_default, origin_of},
    graph_topic::GraphTopic,
    notices::Notices,
    raw_topic::Listing,
    reference_mapping::{entity_key, origin},
    verdict::{Law, Verdict, Violation},
    windows::{Windows, judge_decided},
};

#[derive(Debug, Default)]
pub(super) struct History {
    /// Changes that rest on one thing, in the order of the log.
    units: VecDeque<Option<Unit>>,
    /// Places of the units by what they rest on.
    places: BTreeMap<Rest, VecDeque<usize>>,
    /// Before this unit all are applied.
    next: usize,
    /// What the log has in the graph, by collection.
    images: BTreeMap<String, Elements>,
    notices: Notices,
    windows: Windows,
    /// It is known where in the log the raw records are.
    is_placed: bool,
    /// The newest images are of this mapping: the others are none of its business.
    is_of_this_mapping: bool,
    /// What the second half of a digest of this mapping may be.
    origins: BTreeSet<String>,
    /// What entities are tagged with, as far as `origins` has it.
    account_names: Vec<Option<String>>,
}

/// Changes that rest on one listing or decision.
#[derive(Debug)]
struct Unit {
    rest: Rest,
    notes: Vec<ChangeSummary>,
    /// It is older than all raw records.
    is_lost: bool,
}

impl History {
    /// Of a log that was written from the first raw record on, of which retention has cut off nothing (`is_whole`), or of
    /// another.
    pub(super) fn begin(&mut self, is_whole: bool) {
        self.is_placed = is_whole;
        self.windows.begin(is_whole);
        self.notices.begin(is_whole);
    }

    /// Notes the next change of the log. `is_lost`: it is older than all raw records.
    pub(super) fn note(&mut self, change: &EncodedChange, rest: Rest, is_lost: bool) {
        let last = self.units.back_mut().and_then(Option::as_mut);
        let last_note = last.as_ref().and_then(|unit| unit.notes.last());
        let Some(note) = ChangeSummary::of(change, last_note) else { return };
        if let Some(after) = change.after.as_ref().filter(|after| !after.is_relationship())
            && matches!(change.envelope.op, change::Op::Read | change::Op::Create | change::Op::Update)
        {
            let name = after.account_name();
            if !self.account_names.iter().any(|known| known.as_deref() == name) {
                self.account_names.push(name.map(str::to_owned));
                self.origins.insert(origin(name));
            }
        }
        let last = last.filter(|unit| unit.rest == rest);
        if let Some(unit) = last {
            unit.notes.push(note);
            unit.is_lost &= is_lost;
            return;
        }
        if is_lost && self.units.iter().all(|unit| unit.as_ref().is_none_or(|unit| unit.is_lost)) {
            // The raw topic does not have it: only its result matters.
            self.apply_all();
        }
        self.places.entry(rest.clone()).or_default().push_back(self.units.len());
        self.units.push_back(Some(Unit { rest, notes: vec![note], is_lost }));
    }

    /// Takes a listing up to which the graph has read raw; whether it says anything. `is_cut`: the log has lost its
    /// beginning.
    pub(super) fn take_listing(&mut self, listing: &Listing, is_cut: bool, verdict: &mut Verdict) -> bool {
        self.origins.insert(listing.origin());
        let unit = self.turn_to(&Rest::Listing(listing.id.clone()), verdict);
        if !self.is_placed {
            return true;
        }
        if self.is_void(listing, unit.as_ref()) {
            // In a cut log it is unknown whether the workspace was there.
            if is_cut {
                self.windows.doubt(&listing.collection);
            }
            return is_cut;
        }
        let partial = self.windows.partial(listing);
        for note in unit.iter().flat_map(|unit| &unit.notes) {
            judge_note(note, listing, unit.as_ref().filter(|_| !is_cut), verdict);
            if self.is_of_older_members(note, listing) {
                verdict.give_up(Law::Envelope, 1);
            } else {
                let judgement = self.windows.judge(note, listing);
                verdict.judge(Law::Envelope, judgement.map_err(|it| it.at_revision(note.revision)));
            }
            if note.op == Op::Notice && !listing.is_cut {
                let judgement = self.notices.judge(note, listing, partial.as_deref());
                self.notices.add(note.image.collection(), note.key());
                verdict.judge(Law::Notices, judgement.map_err(|it| it.at_revision(note.revision)));
            }
        }
        self.notices.end(listing);
        if let Some(unit) = unit {
            self.apply(&unit);
        }
        if !is_cut && !listing.is_cut {
            let is_whole = partial.is_none() && !self.windows.is_unsure(listing);
            let held = self.judge_behind(listing, is_whole, verdict);
            // Reported together with its entity, a relationship stays held though the entity may return.
            for key in held {
                self.notices.add(&listing.collection, &key);
            }
        }
        self.windows.take(listing, partial.is_none());
        true
    }

    /// Passes a listing that the graph had not read yet.
    pub(super) fn pass_by(&mut self, listing: &Listing, verdict: &mut Verdict) {
        if let Some(unit) = self.turn_to(&Rest::Listing(listing.id.clone()), verdict) {
            self.apply(&unit);
        }
    }

    pub(super) fn take_decision(&mut self, decision: &Decision, is_forgotten: bool, verdict: &mut Verdict) {
        let rest = Rest::Decision(decision.by.clone(), decision.decided_ts_ms);
        let unit = self.turn_to(&rest, verdict);
        for note in unit.iter().flat_map(|unit| &unit.notes) {
            let judgement = judge_decided(note);
            verdict.judge(Law::Envelope, judgement.map_err(|it| it.at_revision(note.revision)));
            verdict.hold(Law::Justification, note.op == Op::Delete, || {
                let found = "a decision, which only deletes";
                Violation::new(note.key(), "a listing that has it", found).at_revision(note.revision)
            });
        }
        if let Some(unit) = unit {
            self.apply(&unit);
        }
        if is_forgotten && self.is_placed {
            self.windows.forget();
        }
    }

    /// Judges the changes that rest on nothing in raw.
    pub(super) fn judge(mut self, graph_topic: &GraphTopic, verdict: &mut Verdict) {
        while self.next < self.units.len() {
            self.pass(verdict);
        }
        self.notices.judge_holds(graph_topic, verdict);
    }

    /// Applies all units before the one that rests on this, and takes that.
    fn turn_to(&mut self, rest: &Rest, verdict: &mut Verdict) -> Option<Unit> {
        let place = self.places.get_mut(rest)?.pop_front()?;
        while self.next < place {
            self.pass(verdict);
        }
        let unit = self.units[place].take()?;
        self.next = place + 1;
        self.is_placed = true;
        Some(unit)
    }

    /// Applies the next unit, of which the raw topic has no record.
    fn pass(&mut self, verdict: &mut Verdict) {
        let unit = self.units[self.next].take();
        self.next += 1;
        let Some(unit) = unit else { return };
        // `Deletions` judges the deletions.
        for note in unit.notes.iter().filter(|note| note.op != Op::Delete) {
            if unit.is_lost || !self.is_placed {
                verdict.give_up(Law::Justification, 1);
            } else {
                let expected = "a listing that has it";
                let found = "nothing in the raw topic, or not at this place of the log";
                let violation = Violation::new(note.key(), expected, found).at_revision(note.revision);
                verdict.judge(Law::Justification, Err(violation));
            }
        }
        self.apply(&unit);
    }

    fn apply_all(&mut self) {
        while let Some(unit) = self.units.pop_front() {
            if let Some(unit) = unit {
                self.places.remove(&unit.rest);
                self.apply(&unit);
            }
        }
        self.next = 0;
    }

    fn apply(&mut self, unit: &Unit) {
        for note in &unit.notes {
            let (collection, key) = (note.image.collection(), note.key());
            if let Some(id) = note.workspace_id().filter(|_| note.is_creation) {
                self.windows.begin_members(&id, self.is_of_this_mapping(&note.image));
            }
            match note.op {
                Op::Put => {
                    self.images.entry(collection.to_owned()).or_default().insert(note.image.clone());
                    self.is_of_this_mapping = self.is_of_this_mapping(&note.image);
                    self.notices.forget(collection, key);
                }
                Op::Delete => {
                    if let Some(images) = self.images.get_mut(collection) {
                        images.remove(key);
                    }
                    self.notices.forget(collection, key);
                    if let Some(id) = note.workspace_id() {
                        self.windows.end_members(&id);
                    }
                }
                Op::Notice => self.notices.add(collection, key),
            }
        }
        self.add_relationships(unit);
    }

    /// The notice of an entity also stands for its relationships of the same collection. They stay held when the
    /// entity is listed again without them. Where the listing that held them is cut off, only this notice shows it.
    fn add_relationships(&mut self, unit: &Unit) {
        let mut noticed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for note in unit.notes.iter().filter(|note| note.op == Op::Notice) {
            noticed.entry(note.image.collection()).or_default().insert(note.key());
        }
        // One pass for all notices of a listing: there may be as many as there are elements.
        for (collection, entities) in noticed {
            for key in
                self.images.get(collection).into_iter().flat_map(Elements::iter).map(EncodedElement::key)
            {
                if ends(key).any(|end| entities.contains(end)) {
                    self.notices.add(collection, key);
                }
            }
        }
    }

    /// Members of a workspace that is not in the graph: such a listing says nothing.
    fn is_void(&self, listing: &Listing, unit: Option<&Unit>) -> bool {
        let workspace = listing.collection.strip_prefix("members/");
        workspace.is_some_and(|id| unit.is_none() && !self.is_there(&entity_key("anthropic_workspace", id)))
    }

    /// Before this mapping, the members of a new workspace came as a snapshot.
    fn is_of_older_members(&self, note: &ChangeSummary, listing: &Listing) -> bool {
        listing.collection.starts_with("members/") && !self.is_of_this_mapping(&note.image)
    }

    fn is_of_this_mapping(&self, image: &EncodedElement) -> bool {
        self.origins.contains(origin_of(image))
    }

    fn is_there(&self, entity_key: &str) -> bool {
        self.image(entity_key).is_some()
    }

    fn image(&self, entity_key: &str) -> Option<&EncodedElement> {
        self.images.get(collection_of(entity_key))?.get(entity_key)
    }

    /// Behind a listing the log has what it has, and of a whole one nothing else but what is held: the keys of that.
    fn judge_behind(&self, listing: &Listing, is_whole: bool, verdict: &mut Verdict) -> Vec<Box<str>> {
        if !self.is_of_this_mapping {
            verdict.give_up(Law::History, listing.elements.len());
            return Vec::new();
        }
        let images = self.images.get(&listing.collection);
        let name = &listing.id;
        listing.elements.judge(verdict, |element, verdict| {
            let found = match images.and_then(|images| images.get(element.key())) {
                Some(image) if image.same_as(element) => None,
                Some(image) if !self.is_of_this_mapping(image) => return verdict.give_up(Law::History, 1),
                Some(_) => Some("another image"),
                // It is withheld.
                None if element.ends().any(|end| !self.is_there(end)) => None,
                None => Some("none"),
            };
            verdict.hold(Law::History, found.is_none(), || {
                let expected = format!("its image as the listing {name} of {} has it", listing.collection);
                Violation::new(element.key(), expected, found.unwrap_or_default())
            });
        });
        let Some(images) = images.filter(|_| is_whole) else { return Vec::new() };
        let is_held = |key: &str| self.notices.is_held(&listing.collection, key);
        let is_silent_about = |image: &EncodedElement| {
            let ends_of = || ends(image.key());
            let is_default = is_default(image) || ends_of().filter_map(|end| self.image(end)).any(is_default);
            listing.is_silent_about(image.kind(), ends_of(), is_default)
        };
        images.judge(verdict, |image, verdict| {
            let key = image.key();
            if listing.elements.contains_key(key) {
                return;
            }
            let is_right = is_held(key) || is_silent_about(image);
            verdict.hold(Law::History, is_right, || {
                let expected =
                    format!("its deletion, or a notice that it is held: {name} was whole without it");
                Violation::new(key, expected, "neither")
            });
        });
        let missing = images.iter().filter(|image| !listing.elements.contains_key(image.key()));
        // What the listing is silent about it does not hold, even if it holds another element.
        let held = missing.filter(|image| is_held(image.key()) && !is_silent_about(image));
        held.map(|image| image.key().into()).collect()
    }
}

/// A change that rests on a listing is of what the listing has.
fn judge_note(note: &ChangeSummary, listing: &Listing, unit: Option<&Unit>, verdict: &mut Verdict) {
    if note.op != Op::Put || listing.is_cut {
        return;
    }
    let found = match &note.source.reason {
        Some(Reason::EndAppeared) => {
            // Of a cut log the end's creation may be cut off.
            let Some(unit) = unit else { return verdict.give_up(Law::Justification, 1) };
            let mut created = unit.notes.iter().filter(|it| it.op == Op::Put);
            let ends: Vec<&str> = ends(note.key()).collect();
            (!created.any(|it| ends.contains(&it.key()))).then_some("a listing that brings none of its ends")
        }
        Some(_) => Some("another reason than a creation has"),
        None => match listing.elements.get(note.key()) {
            None => Some("a listing that does not have it"),
            Some(listed) if listed.same_as(&note.image) => None,
            Some(_) if origin_of(&note.image) != listing.origin() => {
                return verdict.give_up(Law::Justification, 1);
            }
            Some(_) => Some("a listing that has it otherwise"),
        },
    };
    verdict.hold(Law::Justification, found.is_none(), || {
        let violation = Violation::new(note.key(), "a listing that has it so", found.unwrap_or_default());
        violation.at_revision(note.revision)
    });
}
