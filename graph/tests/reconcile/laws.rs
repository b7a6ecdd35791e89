//! What holds whatever happens: histories of random worlds, collections listed in any order, some of them partial.

use std::collections::{BTreeMap, BTreeSet};

use graph::state::State;
use proptest::{prelude::*, sample::Index};
use schemas::{
    change::{Envelope, Op},
    collection::Collection,
    element::Element,
    encoded::EncodedElement,
    raw::{Decision, DecisionKind},
};

use crate::world::{Book, World, elements};

const USERS: [&str; 4] = ["ada", "bo", "cy", "di"];
const WORKSPACES: [&str; 3] = ["prod", "lab", "old"];

prop_compose! {
    fn world()(
        users in prop::collection::btree_map(prop::sample::select(&USERS[..]), prop::sample::select(vec!["user", "admin"]), 1..4),
        workspaces in prop::collection::btree_map(prop::sample::select(&WORKSPACES[..]), prop::sample::select(vec!["A", "B"]), 0..3),
        api_keys in prop::collection::btree_map(prop::sample::select(vec!["k1", "k2", "k3"]), (prop::sample::select(&USERS[..]), prop::sample::select(&WORKSPACES[..])), 1..3),
        members in prop::collection::btree_map((prop::sample::select(&WORKSPACES[..]), prop::sample::select(&USERS[..])), prop::sample::select(vec!["x", "y"]), 0..8),
    ) -> World {
        let own = |text: &str| text.to_owned();
        World {
            users: users.into_iter().map(|(id, role)| (own(id), own(role))).collect(),
            workspaces: workspaces.into_iter().map(|(id, name)| (own(id), own(name))).collect(),
            api_keys: api_keys.into_iter().map(|(id, (by, within))| (own(id), (own(by), own(within)))).collect(),
            members: members.into_iter().map(|((within, id), role)| ((own(within), own(id)), own(role))).collect(),
        }
    }
}

/// What happens next to one of a few worlds.
#[derive(Debug, Clone)]
enum Step {
    /// A world and one of its collections; whether a record is missing; whether the guard allows no deletion.
    List { world: Index, collection: Index, partial: bool, tight: bool },
    /// A kind of decision; of which hold it names the collection or the key, if it does; how many listings ago the
    /// person looked.
    Decide { kind: DecisionKind, hold: Index, by_collection: bool, by_key: bool, ago: usize },
}

fn steps() -> impl Strategy<Value = Step> {
    let list = (any::<Index>(), any::<Index>(), prop::bool::weighted(0.2), prop::bool::weighted(0.4));
    let kinds = prop::sample::select(vec![
        DecisionKind::Approve,
        DecisionKind::Approve,
        DecisionKind::Reject,
        DecisionKind::Forget,
    ]);
    let decide = (kinds, any::<Index>(), any::<bool>(), any::<bool>(), 0..4usize);
    prop_oneof![
        5 => list.prop_map(|(world, collection, partial, tight)| Step::List { world, collection, partial, tight }),
        1 => decide.prop_map(|(kind, hold, by_collection, by_key, ago)| Step::Decide { kind, hold, by_collection, by_key, ago }),
    ]
}

fn histories() -> impl Strategy<Value = (Vec<World>, Vec<Step>)> {
    (prop::collection::vec(world(), 1..4), prop::collection::vec(steps(), 1..50))
}

fn live(worlds: &[World], history: &[Step]) -> Book {
    let mut book = Book::default();
    let mut listing_ids: Vec<String> = Vec::new();
    for step in history {
        match step {
            Step::List { world, collection, partial, tight } => {
                let world = world.get(worlds);
                let collections = world.collections();
                let mut listing = book.listing(world, collection.get(&collections));
                listing.damage = partial.then(|| "a record is missing".to_owned());
                if *tight {
                    listing.manifest.configuration.max_deleted_count = 0;
                    listing.manifest.configuration.max_deleted_fraction = 0.0;
                }
                listing_ids.push(listing.listing_id.clone());
                book.take(&listing);
            }
            Step::Decide { kind, hold, by_collection, by_key, ago } => {
                let holds: Vec<_> = book.state.holds().values().cloned().collect();
                let named = (!holds.is_empty() && *kind != DecisionKind::Forget).then(|| hold.get(&holds));
                let decision = Decision {
                    collection: named.filter(|_| *by_collection).map(|hold| hold.collection.clone()),
                    element_key: named.filter(|_| *by_key).map(|hold| hold.element_key.clone()),
                    listing_id: listing_ids.iter().rev().nth(*ago).cloned(),
                    ..book.decision(kind.clone())
                };
                book.decide(&decision);
            }
        }
    }
    book
}

/// Digests do not count.
fn is_same(one: &State, other: &State) -> bool {
    let (one, other) = (one.graph(), other.graph());
    one.len() == other.len() && one.elements().zip(other.elements()).all(|(one, other)| one.same_as(other))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_graph_is_the_fold_of_the_changes((worlds, history) in histories()) {
        let book = live(&worlds, &history);
        let mut graph: BTreeMap<&str, &Element> = BTreeMap::new();
        for change in &book.changes {
            prop_assert_eq!(graph.get(change.element_key.as_str()).copied(), change.before.as_ref());
            if change.op == Op::Notice {
                prop_assert_eq!(&change.before, &change.after);
                continue;
            }
            let _before = match &change.after {
                Some(after) => graph.insert(&change.element_key, after),
                None => graph.remove(change.element_key.as_str()),
            };
        }
        prop_assert_eq!(graph.into_values().cloned().collect::<Vec<_>>(), elements(&book.state));
    }

    #[test]
    fn revisions_have_no_gap_and_ids_are_unique((worlds, history) in histories()) {
        let book = live(&worlds, &history);
        let mut revision = 0;
        for change in &book.changes {
            // A notice has the revision of the change before it.
            revision += i64::from(change.op != Op::Notice);
            prop_assert_eq!(change.revision, revision);
        }
        let ids: BTreeSet<&str> = book.changes.iter().map(|change| change.id.as_str()).collect();
        prop_assert_eq!(ids.len(), book.changes.len());
        prop_assert_eq!(book.state.poll().revision, revision);
    }

    #[test]
    fn a_relationship_has_both_ends_and_a_withheld_one_has_not((worlds, history) in histories()) {
        let state = live(&worlds, &history).state;
        for relationship in state.graph().elements().filter(|element| element.is_relationship()) {
            prop_assert!(relationship.ends().all(|end| state.graph().contains(end)), "{}", relationship.key());
        }
        for (key, withheld) in state.withheld() {
            let missing: Vec<&str> = withheld.element.ends().filter(|end| !state.graph().contains(end)).collect();
            prop_assert!(!missing.is_empty(), "{}", key);
            prop_assert_eq!(&missing, &withheld.missing);
            prop_assert!(!state.graph().contains(key));
        }
        prop_assert_eq!(state.poll().element_count, i64::try_from(state.graph().len()).expect("few"));
    }

    #[test]
    fn what_is_held_is_in_the_graph_and_has_a_notice((worlds, history) in histories()) {
        let book = live(&worlds, &history);
        for (key, hold) in book.state.holds() {
            let element = book.state.graph().get(key);
            prop_assert_eq!(element.map(EncodedElement::collection), Some(hold.collection.as_str()), "{}", key);
            let is_primary = element.is_some_and(EncodedElement::is_relationship) == hold.collection.starts_with("members/");
            let notices_of = |key: &str| book.changes.iter().filter(|it| it.op == Op::Notice && it.element_key == key).count();
            let by_its_listing = |change: &&Envelope| {
                let listing_id = change.source.listing_id.as_ref();
                change.op == Op::Notice && change.element_key == *key && listing_id == Some(&hold.listing_id)
            };
            let notices = book.changes.iter().filter(by_its_listing).count();
            let is_implied_by_its_entity = element.is_some_and(|it| it.ends().any(|end| notices_of(end) > 0));
            prop_assert!(notices == 1 || notices == 0 && !is_primary && is_implied_by_its_entity, "{} has {} notices", key, notices);
        }
    }

    #[test]
    fn a_poll_leads_to_the_same_graph_whatever_was_before((worlds, history) in histories(), end in world()) {
        let mut book = live(&worlds, &history);
        book.poll(&end);
        // The account and what only an unlisted workspace's coverage would know are the same by then.
        let fresh = Book::of(&end);
        let keys = |state: &State| elements(state).into_iter().map(|element| element.key).collect::<Vec<_>>();
        // The guard compares with what was before, and what a person keeps stays.
        prop_assume!(book.state.holds().is_empty());
        prop_assert_eq!(keys(&book.state), keys(&fresh.state));
        prop_assert!(is_same(&book.state, &fresh.state));
    }

    #[test]
    fn the_order_of_the_collections_does_not_matter(end in world(), order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle()) {
        let collections = end.collections();
        let mut shuffled: Vec<&Collection> = order.iter().filter_map(|position| collections.get(*position)).collect();
        // Members of a workspace that is not in the graph yet are void, so they come after it.
        shuffled.sort_by_key(|collection| matches!(collection, Collection::Members(_)));
        let mut book = Book::default();
        for collection in shuffled {
            book.list(&end, collection);
        }
        prop_assert!(is_same(&book.state, &Book::of(&end).state));
    }
}
