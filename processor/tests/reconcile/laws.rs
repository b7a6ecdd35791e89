//! What holds whatever happens: histories of random worlds, collections listed in any order, some of them partial.

use std::collections::BTreeSet;

use proptest::{prelude::*, sample::Index};
use schemas::{collection::Collection, graph::Graph};

use crate::world::{Book, World};

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

/// One listing of one of a few worlds.
fn histories() -> impl Strategy<Value = (Vec<World>, Vec<(Index, Index, bool)>)> {
    let listing = (any::<Index>(), any::<Index>(), prop::bool::weighted(0.2));
    (prop::collection::vec(world(), 1..4), prop::collection::vec(listing, 1..40))
}

fn live(worlds: &[World], history: &[(Index, Index, bool)]) -> Book {
    let mut book = Book::default();
    for (of_worlds, of_collections, partial) in history {
        let world = of_worlds.get(worlds);
        let collections = world.collections();
        let mut listing = book.listing(world, of_collections.get(&collections));
        listing.damage = partial.then(|| "a record is missing".to_owned());
        book.take(&listing);
    }
    book
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_graph_is_the_fold_of_the_changes((worlds, history) in histories()) {
        let book = live(&worlds, &history);
        let mut graph = Graph::default();
        for change in &book.changes {
            prop_assert_eq!(graph.get(&change.element_key), change.before.as_ref());
            match &change.after {
                Some(after) => drop(graph.put(after.clone())),
                None => drop(graph.remove(&change.element_key)),
            }
        }
        prop_assert_eq!(&graph, book.state.graph());
    }

    #[test]
    fn revisions_have_no_gap_and_ids_are_unique((worlds, history) in histories()) {
        let book = live(&worlds, &history);
        let revisions: Vec<i64> = book.changes.iter().map(|change| change.revision).collect();
        let expected: Vec<i64> = (1..).take(revisions.len()).collect();
        prop_assert_eq!(revisions, expected);
        let ids: BTreeSet<&str> = book.changes.iter().map(|change| change.id.as_str()).collect();
        prop_assert_eq!(ids.len(), book.changes.len());
        prop_assert_eq!(book.state.poll().revision, i64::try_from(book.changes.len()).expect("few"));
    }

    #[test]
    fn a_relationship_has_both_ends_and_a_withheld_one_has_not((worlds, history) in histories()) {
        let state = live(&worlds, &history).state;
        for relationship in state.graph().elements().filter(|element| element.is_relationship()) {
            prop_assert!(relationship.ends().all(|end| state.graph().contains(end)), "{}", relationship.key);
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
    fn a_poll_leads_to_the_same_graph_whatever_was_before((worlds, history) in histories(), end in world()) {
        let mut book = live(&worlds, &history);
        book.poll(&end);
        // The account and what only an unlisted workspace's coverage would know are the same by then.
        let fresh = Book::of(&end);
        let keys = |graph: &Graph| graph.elements().map(|element| element.key.clone()).collect::<Vec<_>>();
        prop_assume!(!guarded(&book));
        prop_assert_eq!(keys(book.state.graph()), keys(fresh.state.graph()));
        prop_assert!(book.state.graph().diff(fresh.state.graph()).is_empty());
    }

    #[test]
    fn the_order_of_the_collections_does_not_matter(end in world(), order in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle()) {
        let collections = end.collections();
        let mut shuffled: Vec<&Collection> = order.iter().filter_map(|position| collections.get(*position)).collect();
        // Members of a workspace that is not in the graph yet are void, so they come behind it.
        shuffled.sort_by_key(|collection| matches!(collection, Collection::Members(_)));
        let mut book = Book::default();
        for collection in shuffled {
            book.list(&end, collection);
        }
        prop_assert!(book.state.graph().diff(Book::of(&end).state.graph()).is_empty());
    }
}

/// Whether the guard refused the newest listing of a collection: it compares with what was before.
fn guarded(book: &Book) -> bool {
    book.state
        .coverage()
        .values()
        .filter_map(|coverage| coverage.latest.as_ref())
        .any(|latest| latest.outcome == schemas::raw::outcome::GUARDED)
}
