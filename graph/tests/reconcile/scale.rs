//! What a listing costs where other collections have many holds.

use std::time::{Duration, Instant};

use graph::{reconcile::reconcile, state::GraphKey};
use schemas::{
    codec::GraphValue,
    collection::Collection,
    coverage::{Hold, hold_state},
};

use crate::world::{Book, ORGANIZATION, PARTITIONS, World, user_key};

const HOLDS: usize = 100_000;
const LISTINGS: usize = 200;
/// How much slower a listing may be: a machine that is busy, not one that looks at every hold.
const FACTOR: u32 = 50;

fn hold(number: usize, collection: &str, state: &str) -> (GraphKey, Option<GraphValue>) {
    let hold = Hold {
        organization_id: ORGANIZATION.to_owned(),
        element_key: user_key(&number.to_string()),
        collection: collection.to_owned(),
        listing_id: "l".to_owned(),
        raw_offset: 1,
        proposed_ts_ms: 2,
        state: state.to_owned(),
        agreeing: 1,
    };
    (GraphKey::Hold(hold.element_key.clone()), Some(GraphValue::Hold(hold.into())))
}

fn fold(book: &mut Book, (key, value): (GraphKey, Option<GraphValue>)) {
    book.state.fold(&key, value).expect("a record of the graph topic");
}

#[test]
fn a_listing_does_not_look_at_the_holds_of_other_collections() {
    let world = World::small();
    let mut few = Book::of(&world);
    let mut many = few.clone();
    (0..HOLDS).for_each(|number| fold(&mut many, hold(number, "users", hold_state::PROPOSED)));
    let time = |book: &mut Book| -> Duration {
        let listing = book.listing(&world, &Collection::Members("lab".to_owned()));
        let began = Instant::now();
        for _ in 0..LISTINGS {
            reconcile(&book.state, &listing, PARTITIONS);
        }
        began.elapsed()
    };
    let (few, many) = (time(&mut few), time(&mut many));
    assert!(many < few * FACTOR, "{many:?} with {HOLDS} holds, {few:?} without");
}

#[test]
fn holds_are_counted_by_collection_and_state_as_they_come_change_and_go() {
    let mut book = Book::default();
    let counted = |book: &Book| {
        ["users", "api_keys"].map(|collection| {
            [hold_state::PROPOSED, hold_state::REJECTED].map(|state| book.state.held(collection, state))
        })
    };
    (0..3).for_each(|number| fold(&mut book, hold(number, "users", hold_state::PROPOSED)));
    fold(&mut book, hold(3, "api_keys", hold_state::REJECTED));
    assert_eq!(counted(&book), [[3, 0], [0, 1]]);
    fold(&mut book, hold(0, "users", hold_state::REJECTED));
    fold(&mut book, hold(1, "users", hold_state::PROPOSED));
    assert_eq!(counted(&book), [[2, 1], [0, 1]]);
    for number in 0..4 {
        fold(&mut book, (hold(number, "users", hold_state::PROPOSED).0, None));
    }
    assert_eq!(counted(&book), [[0, 0], [0, 0]]);
    assert_eq!(book.state, Book::default().state);
}
