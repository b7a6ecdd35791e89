//! What holds after each step, and of the whole log at the end.

use std::collections::{BTreeMap, BTreeSet};

use graph::{partition_state::PartitionState, state::State};
use schemas::{
    change::{Envelope, Kind, Op, Reason, SnapshotRecord},
    coverage::Coverage,
    element::Element,
    encoded::EncodedElement,
    raw::DecisionKind,
};

use crate::{
    reference::{Event, Listed, Organization},
    script::Happening,
};

/// One event led to what it should: state, changes, and a license for each deletion.
pub(crate) fn check_step(happening: &Happening, changes: &[Envelope], state: Option<&State>) {
    check_state(&happening.after, state.unwrap_or(&State::default()));
    let moved: BTreeSet<String> =
        changes.iter().filter(|it| counts(it)).map(|it| it.element_key.clone()).collect();
    assert_eq!(moved, happening.before.difference(&happening.after), "what changes");
    let (before, after) = (happening.before.graph(), happening.after.graph());
    for change in changes.iter().filter(|change| counts(change)) {
        check_image(before.get(change.element_key.as_str()), change.before.as_ref());
        check_image(after.get(change.element_key.as_str()), change.after.as_ref());
        if change.op == Op::Delete {
            check_license(happening, change, changes);
        }
    }
    for change in changes {
        check_envelope(happening, change);
    }
    check_notices(happening, changes);
}

/// A state is what it should be.
pub(crate) fn check_state(expected: &Organization, state: &State) {
    let graph = expected.graph();
    assert_eq!(
        graph.keys().copied().collect::<Vec<_>>(),
        state.graph().elements().map(EncodedElement::key).collect::<Vec<_>>(),
        "the graph's keys"
    );
    for (expected, found) in graph.values().zip(state.graph().elements()) {
        check_image(Some(expected), Some(&found.decode()));
        assert!(found.ends().all(|end| state.graph().contains(end)), "{} lacks an end", found.key());
    }
    let withheld = expected.withheld();
    let found = state.withheld();
    assert_eq!(withheld.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>(), "what is withheld");
    for (expected_one, found) in withheld.values().zip(found.values()) {
        check_image(Some(expected_one), Some(&found.element));
        assert_eq!(expected.missing(expected_one), found.missing, "why {} is withheld", found.element.key);
        assert!(
            found.missing.iter().any(|end| !state.graph().contains(end)),
            "{:?} are there",
            found.missing
        );
    }
    assert_eq!(&expected.holds, state.holds(), "holds");
    assert_eq!(coverage_of(expected), state.coverage().iter().map(plain).collect(), "coverage");
}

/// All organizations are what they should be, and there are no others.
pub(crate) fn check_all(expected: &BTreeMap<&str, &Organization>, state: &PartitionState) {
    for (organization_id, state) in state.states().iter() {
        match expected.get(organization_id) {
            Some(expected) => check_state(expected, state),
            None => assert_eq!(state, &State::default(), "{organization_id} never was"),
        }
    }
    for (organization_id, expected) in expected {
        check_state(expected, state.states().get(organization_id).unwrap_or(&State::default()));
    }
}

/// Two states say the same, indexes included; nothing known is the same as nothing there.
pub(crate) fn check_same(one: &PartitionState, other: &PartitionState) {
    fn known(state: &PartitionState) -> BTreeMap<&str, &State> {
        state.states().iter().filter(|(_, state)| **state != State::default()).collect()
    }
    assert_eq!(known(one), known(other), "what was restored is what was");
}

/// The log alone: its fold is the graph, its images follow from one another, its revisions have no gap, its ids are
/// unique.
pub(crate) fn check_log(log: &[(&Happening, Vec<Envelope>)], state: &PartitionState) {
    let mut graphs: BTreeMap<&str, (BTreeMap<&str, &Element>, i64)> = BTreeMap::new();
    let mut ids = BTreeSet::new();
    for change in log.iter().flat_map(|(_, changes)| changes) {
        assert!(ids.insert(&change.id), "the id of {} was there before", change.element_key);
        let (graph, revision) = graphs.entry(&change.source.organization_id).or_default();
        let before = graph.get(change.element_key.as_str()).copied();
        assert_eq!(before, change.before.as_ref(), "before {}", change.element_key);
        if counts(change) {
            *revision += 1;
            match &change.after {
                Some(after) => drop(graph.insert(&change.element_key, after)),
                None => drop(graph.remove(change.element_key.as_str())),
            }
        }
        assert_eq!(change.revision, *revision, "the revision of {}", change.element_key);
        if let Some(after) = &change.after {
            assert!(after.ends().all(|end| graph.contains_key(end)), "an end of {} comes late", after.key);
        } else {
            let mut left = graph.values().filter(|it| it.ends().any(|end| end == change.element_key));
            assert_eq!(left.next(), None, "{} goes before its relationships", change.element_key);
        }
    }
    for (organization_id, state) in state.states().iter() {
        let (graph, revision) = graphs.remove(organization_id).unwrap_or_default();
        let found: Vec<Element> = state.graph().elements().map(EncodedElement::decode).collect();
        assert_eq!(graph.into_values().cloned().collect::<Vec<_>>(), found, "the fold of the changes");
        assert_eq!(revision, state.poll().revision, "the revision");
    }
}

fn counts(change: &Envelope) -> bool {
    change.op != Op::Notice
}

fn check_image(expected: Option<&&Element>, found: Option<&Element>) {
    let same = match (expected, found) {
        (Some(expected), Some(found)) => EncodedElement::of(expected).same_as(&EncodedElement::of(found)),
        (None, None) => true,
        _ => false,
    };
    assert!(same, "expected {expected:?}, found {found:?}");
}

/// A deletion has its reason in the event.
fn check_license(happening: &Happening, change: &Envelope, changes: &[Envelope]) {
    let element = change.before.as_ref().expect("what is deleted was there");
    let key = &element.key;
    let held = happening.before.holds.get(key);
    match (&change.reason, &happening.event) {
        (Some(Reason::Absent), Event::Listing(listed)) => {
            assert_eq!(element.collection, listed.collection.to_string(), "whose {key} is");
            assert!(
                !listed.damaged && !listed.elements.contains_key(key),
                "{key} is absent from a whole listing"
            );
            assert!(held.is_none(), "{key} is held");
            assert!(!is_true_of(happening, listed, element), "{key} is still there");
        }
        (Some(Reason::EndDeleted), _) => {
            let is_deleted =
                |end: &str| changes.iter().any(|it| it.op == Op::Delete && it.element_key == end);
            assert!(element.ends().any(is_deleted), "an end of {key} is deleted with it");
        }
        (Some(Reason::Approved), Event::Decision(decision)) => {
            assert_eq!(decision.kind, DecisionKind::Approve);
            let held = held.expect("what is approved was held");
            assert_eq!(change.source.listing_id.as_ref(), Some(&held.listing_id));
            assert_eq!(change.source.collection, held.collection);
            assert_eq!(change.source.decision_by.as_ref(), Some(&decision.by));
            assert_eq!(change.ts_ms, decision.decided_ts_ms);
        }
        (Some(Reason::Forgotten), Event::Decision(decision)) => {
            assert_eq!(decision.kind, DecisionKind::Forget);
        }
        (reason, event) => panic!("{key} is deleted for {reason:?} by {event:?}"),
    }
}

/// Whether the organization had the element when it was listed, under whatever API and parameters.
fn is_true_of(happening: &Happening, listed: &Listed, element: &Element) -> bool {
    let world = happening.truth.as_ref().expect("a listing has a truth").told_whole();
    let asked_for_archived = listed.manifest.parameters.contains_key("include_archived");
    let context = graph::mapping::Context::new(
        &world.organization_id,
        &listed.collection,
        &listed.manifest.configuration,
    );
    let is_workspaces = listed.collection == schemas::collection::Collection::Workspaces;
    let with_archived = asked_for_archived || !is_workspaces;
    world
        .resources(&listed.collection, with_archived)
        .iter()
        .flat_map(|resource| crate::records::mapped(&context, resource))
        .any(|it| it.key == element.key)
}

/// A notice for each element that is held from now on, and no other: but for the relationships that are held with an
/// entity of their collection.
fn check_notices(happening: &Happening, changes: &[Envelope]) {
    let found: BTreeSet<&str> =
        changes.iter().filter(|it| !counts(it)).map(|it| it.element_key.as_str()).collect();
    let (before, after) = (&happening.before, &happening.after);
    let graph = after.graph();
    let is_new = |(key, hold): &(&String, &schemas::coverage::Hold)| {
        let is_with = |end: &str| after.holds.get(end).is_some_and(|it| it.collection == hold.collection);
        !before.holds.contains_key(*key) && !graph[key.as_str()].ends().any(is_with)
    };
    let expected: BTreeSet<&str> = after.holds.iter().filter(is_new).map(|(key, _)| key.as_str()).collect();
    assert_eq!(expected, found, "notices of holds");
    for notice in changes.iter().filter(|it| !counts(it)) {
        assert_eq!(notice.reason, Some(Reason::Held));
        assert_eq!(notice.before, notice.after);
    }
}

/// What a change of a listing says of itself: which listing, when, and since when it may have been so.
fn check_envelope(happening: &Happening, change: &Envelope) {
    let image = change.after.as_ref().or(change.before.as_ref()).expect("an image");
    assert_eq!((&*change.element_key, &*change.element_type), (&*image.key, image.kind()));
    assert_eq!(change.kind, if image.is_relationship() { Kind::Relationship } else { Kind::Entity });
    assert_eq!(change.op == Op::Update, !change.changed.is_empty(), "what changed of {}", image.key);
    let source = &change.source;
    let Event::Listing(listed) = &happening.event else {
        assert_eq!((&change.op, &source.snapshot), (&Op::Delete, &SnapshotRecord::False));
        assert!(source.decision_by.is_some() && change.not_before_ts_ms.is_none());
        return;
    };
    let collection = listed.collection.to_string();
    let whole = happening.before.coverage.get(&collection).and_then(|coverage| coverage.whole.as_ref());
    let ended = listed.manifest.ended_ts_ms;
    assert_eq!((&source.name, &source.collection), (&happening.before.name, &collection));
    assert_eq!((source.listing_id.as_ref(), &source.decision_by), (Some(&listed.listing_id), &None));
    assert_eq!((change.ts_ms, source.ts_ms, change.not_after_ts_ms), (ended, ended, Some(ended)));
    assert_eq!(change.not_before_ts_ms, whole.map(|whole| whole.started_ts_ms), "since when {}", image.key);
    assert_eq!(source.snapshot, whole.is_none().into());
    if change.before.is_none() {
        assert_eq!(change.op, if whole.is_none() { Op::Read } else { Op::Create }, "how {} came", image.key);
    }
}

fn coverage_of(expected: &Organization) -> BTreeMap<String, Coverage> {
    let polls = expected
        .poll
        .clone()
        .map(|poll| Coverage { poll: Some(poll), ..Coverage::new(&expected.id, &expected.name, "poll") });
    let polls = polls.map(|polls| ("poll".to_owned(), polls));
    expected.coverage.clone().into_iter().chain(polls).collect()
}

/// Coverage without the words of reasons, and without how far raw was read: the records that are read show that
/// twice.
fn plain((collection, coverage): (&String, &Coverage)) -> (String, Coverage) {
    let mut coverage = coverage.clone();
    if let Some(reason) = coverage.latest.as_mut().and_then(|latest| latest.reason.as_mut()) {
        reason.clear();
    }
    if let Some(poll) = &mut coverage.poll {
        poll.raw_offset = None;
    }
    let lines = coverage.poll.iter_mut().flat_map(|poll| &mut poll.incomplete);
    for line in lines {
        if let Some((collection, _)) = line.split_once(": ") {
            *line = collection.to_owned();
        }
    }
    (collection.clone(), coverage)
}
