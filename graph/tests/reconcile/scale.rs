//! What a listing costs where other collections have many holds.

use std::time::{Duration, Instant};

use graph::{
    reconcile::{Position, reconcile, reconcile_mark},
    state::GraphKey,
};
use schemas::{
    collection::Collection,
    coverage::{Coverage, Hold, HoldState},
    graph_value::GraphValue,
};

use crate::{
    end_of, failed,
    world::{Book, ORGANIZATION, PARTITIONS, World, user_key, workspace_key},
};

const HOLDS: usize = 100_000;
const LISTINGS: usize = 200;
/// How much slower a listing may be: a machine that is busy, not one that looks at every hold.
const FACTOR: u32 = 50;

fn hold(number: usize, collection: &str, state: HoldState) -> (GraphKey, Option<GraphValue>) {
    hold_of(user_key(&number.to_string()), collection, state)
}

fn hold_of(element_key: String, collection: &str, state: HoldState) -> (GraphKey, Option<GraphValue>) {
    let hold = Hold {
        organization_id: ORGANIZATION.to_owned(),
        element_key,
        collection: collection.to_owned(),
        listing_id: "l".to_owned(),
        raw_offset: 1,
        proposed_ts_ms: 2,
        state,
        agreeing: 1,
    };
    (GraphKey::Hold(hold.element_key.clone()), Some(GraphValue::Hold(hold.into())))
}

fn never_listed(collection: String) -> (GraphKey, Option<GraphValue>) {
    let coverage = Coverage::new(ORGANIZATION, "nimbus", &collection);
    (GraphKey::Coverage(collection), Some(GraphValue::Coverage(coverage.into())))
}

fn fold(book: &mut Book, (key, value): (GraphKey, Option<GraphValue>)) {
    book.state.fold(&key, value).expect("a record of the graph topic");
}

#[test]
fn a_listing_does_not_look_at_the_holds_of_other_collections() {
    let world = World::small();
    let mut few = Book::of(&world);
    let mut many = few.clone();
    (0..HOLDS).for_each(|number| fold(&mut many, hold(number, "users", HoldState::Proposed)));
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
fn an_end_mark_does_not_compare_each_held_workspace_with_each_line() {
    let time = |workspaces: usize| -> Duration {
        let mut world = World::small();
        let ids: Vec<_> = (0..workspaces).map(|number| format!("held-{number:05}")).collect();
        world.workspaces.extend(ids.iter().map(|id| (id.clone(), "Held".to_owned())));
        let mut book = Book::default();
        book.list(&world, &Collection::Organization);
        book.list(&world, &Collection::Workspaces);
        for id in ids {
            fold(&mut book, hold_of(workspace_key(&id), "workspaces", HoldState::Proposed));
            fold(&mut book, never_listed(Collection::Members(id).to_string()));
        }
        let lines = (0..workspaces).map(|number| failed(&format!("members/other-{number:05}")));
        let mark = end_of(lines.collect());
        book.offset += 10;
        let position = Position { poll_id: Some("poll-2"), ..book.position() };
        let times = (0..9).map(|_| {
            let began = Instant::now();
            let reconciled = reconcile_mark(&book.state, &mark, position, PARTITIONS);
            let time = began.elapsed();
            assert_eq!(reconciled.others.len(), workspaces + 1, "the members of each, and the poll");
            time
        });
        times.min().expect("some runs")
    };
    let (few, many) = (time(1_000), time(8_000));
    assert!(many < few * 20, "{many:?} for 8,000 workspaces, {few:?} for 1,000");
}

#[test]
fn holds_are_counted_by_collection_and_state_as_they_come_change_and_go() {
    let mut book = Book::default();
    let counted = |book: &Book| {
        ["users", "api_keys"].map(|collection| {
            [HoldState::Proposed, HoldState::Rejected].map(|state| book.state.held(collection, &state))
        })
    };
    (0..3).for_each(|number| fold(&mut book, hold(number, "users", HoldState::Proposed)));
    fold(&mut book, hold(3, "api_keys", HoldState::Rejected));
    assert_eq!(counted(&book), [[3, 0], [0, 1]]);
    fold(&mut book, hold(0, "users", HoldState::Rejected));
    fold(&mut book, hold(1, "users", HoldState::Proposed));
    assert_eq!(counted(&book), [[2, 1], [0, 1]]);
    for number in 0..4 {
        fold(&mut book, (hold(number, "users", HoldState::Proposed).0, None));
    }
    assert_eq!(counted(&book), [[0, 0], [0, 0]]);
    assert_eq!(book.state, Book::default().state);
}
