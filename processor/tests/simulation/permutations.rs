//! The graph is a function of the last whole listings: in whatever order they come, and whatever failed in between.

use graph::{
    listing::{Assembler, Listing, Unit},
    mapping::{self, Context},
    reconcile::{Ending, reconcile},
    state::State,
};
use std::collections::BTreeMap;

use schemas::{collection::Collection, element::Element, encoded::EncodedElement};

use crate::{
    script::Script,
    step::{self, Fault, Step},
    world::{Mutation, World, workspace_id},
};

/// What was, what happened, and whether the members of workspace 1 are listed whole after it.
struct Scenario {
    name: &'static str,
    before: Vec<Mutation>,
    then: Vec<Mutation>,
    members_fail: bool,
}

/// Two workspaces have members in each, so there are six collections in 720 orders.
fn scenarios() -> Vec<Scenario> {
    let scenario = |name, before, then| Scenario { name, before, then, members_fail: false };
    let second = || vec![Mutation::Open(2), Mutation::Assign(2, 1, 0), Mutation::Mint(1, Some(1), Some(2))];
    let stranger = [second(), vec![Mutation::Assign(1, 3, 0), Mutation::Mint(2, Some(3), Some(1))]].concat();
    let departed = vec![Mutation::Leave(0), Mutation::Assign(1, 0, 0)];
    vec![
        scenario("a workspace is deleted between the listings", second(), vec![Mutation::Remove(2)]),
        scenario("a workspace is archived between the listings", second(), vec![Mutation::Archive(2)]),
        scenario("a member and a key of a workspace that is not listed yet", vec![], second()),
        scenario("a user is removed and still listed as a member", second(), departed),
        scenario(
            "a creator returns",
            [second(), vec![Mutation::Leave(0)]].concat(),
            vec![Mutation::Join(0, 1)],
        ),
        scenario("the API is of its first generation", second(), vec![Mutation::Generation(1, false)]),
        Scenario {
            members_fail: true,
            ..scenario("an end appears while its collection fails", stranger, vec![Mutation::Join(3, 0)])
        },
    ]
}

#[test]
fn the_last_whole_listings_give_one_graph_in_all_orders() {
    for scenario in scenarios() {
        let (before, old, new) = listings(&scenario);
        let expected = function_of(&old, &new);
        let mut orders = 0;
        permute(&mut (0..new.len()).collect::<Vec<_>>(), 0, &mut |order| {
            orders += 1;
            let state = after(&before, &old, &new, order);
            assert!(is_same(&state, &expected), "{}: {order:?}: {state:?}", scenario.name);
        });
        assert!(orders >= 120, "{}: {orders} orders", scenario.name);
    }
}

/// Digests do not count.
fn is_same(state: &State, expected: &BTreeMap<String, Element>) -> bool {
    let mut both = state.graph().elements().zip(expected.values());
    state.graph().len() == expected.len()
        && both.all(|(found, expected)| found.same_as(&EncodedElement::of(expected)))
}

/// What the last whole listings have, as far as both ends are among it.
fn function_of(old: &[Listing], new: &[Listing]) -> BTreeMap<String, Element> {
    let is_whole = |listing: &&Listing| {
        listing.collection != Collection::Workspaces
            || listing.manifest.parameters.contains_key("include_default")
    };
    let new: Vec<&Listing> = new.iter().filter(is_whole).collect();
    let is_last = |listing: &&Listing| !new.iter().any(|newer| newer.collection == listing.collection);
    let last: Vec<&Listing> = new.iter().copied().chain(old.iter().filter(is_last)).collect();
    let elements = last.into_iter().flat_map(|listing| {
        let context =
            Context::new(&listing.organization_id, &listing.collection, &listing.manifest.configuration);
        let resources = listing.resources.iter();
        resources.flat_map(|it| mapping::elements(&context, &it.decode(), it.digest())).collect::<Vec<_>>()
    });
    let listed: BTreeMap<String, Element> = elements.map(|element| (element.key.clone(), element)).collect();
    let has_ends = |element: &Element| element.ends().all(|end| listed.contains_key(end));
    let whole = listed.iter().filter(|(_, element)| has_ends(element));
    whole.map(|(key, element)| (key.clone(), element.clone())).collect()
}

/// The state before, and the listings of the organization as it was and as it is.
fn listings(scenario: &Scenario) -> (State, Vec<Listing>, Vec<Listing>) {
    let mut world = World::new("org0");
    scenario.before.iter().for_each(|mutation| world.mutate(mutation));
    let poll = [Step::Live(0, scenario.before.clone()), Step::Poll(0, Vec::new())];
    let mut state = State::default();
    let old = listings_of(&Script::of(1, &poll));
    for listing in &old {
        move_on(&mut state, listing);
    }
    let mut steps = vec![Step::Live(0, scenario.before.clone()), Step::Live(0, scenario.then.clone())];
    // Past the offsets of the first poll.
    steps.extend((0..40).map(|_| Step::Mark { organization: 0, starts: true, failed: None }));
    let collections = [0, 1, 2, 3, 5, 6];
    let whole = collections.into_iter().filter(|number| !(scenario.members_fail && *number == 5));
    steps.extend(whole.map(|collection| {
        Step::List(step::Listing { organization: 0, collection, age: 0, fault: Fault::None, within: None })
    }));
    let mut new = listings_of(&Script::of(1, &steps));
    scenario.then.iter().for_each(|mutation| world.mutate(mutation));
    let exists = |listing: &Listing| match &listing.collection {
        Collection::Members(id) => world.workspaces.keys().any(|it| workspace_id(*it) == *id),
        _ => true,
    };
    new.retain(exists);
    (state, old, new)
}

fn listings_of(script: &Script) -> Vec<Listing> {
    let mut assembler = Assembler::default();
    let entries = script.entries.iter();
    let units = entries.filter_map(|entry| {
        let raw = entry.raw.clone().expect("nothing is spoiled here");
        assembler.take(raw, entry.offset).expect("nothing is spoiled here")
    });
    units
        .filter_map(|unit| match unit {
            Unit::Listing(listing) => Some(*listing),
            _ => None,
        })
        .collect()
}

/// The graph after the listings in that order, between them damaged ones of the past and of the present.
fn after(before: &State, old: &[Listing], new: &[Listing], order: &[usize]) -> State {
    let mut state = before.clone();
    let mut offset = 1_000;
    let mut take = |listing: &Listing, damage: Option<&str>| {
        offset += 10;
        let damage = damage.map(str::to_owned);
        move_on(&mut state, &Listing { offset, damage, ..listing.clone() })
    };
    let mut is_listed = vec![false; new.len()];
    let mut void = Vec::new();
    for (position, number) in order.iter().enumerate() {
        let other = order[(position * 5 + 3) % order.len()];
        let collection = &new[other].collection;
        let past = old.iter().find(|listing| listing.collection == *collection);
        if let Some(damaged) = if is_listed[other] { Some(&new[other]) } else { past } {
            take(damaged, Some("a record is missing"));
        }
        // A collection that is no longer listed whole continues to fail.
        let fails = |past: &&Listing| !new.iter().any(|it| it.collection == past.collection);
        for past in old.iter().filter(fails) {
            take(past, Some("a record is missing"));
        }
        is_listed[*number] = true;
        if take(&new[*number], None) == Ending::Void {
            void.push(*number);
        }
    }
    // Members of a workspace that was not known are not listed whole: the next poll does that.
    for number in void {
        take(&new[number], None);
    }
    state
}

fn move_on(state: &mut State, listing: &Listing) -> Ending {
    let mut reconciled = reconcile(state, listing, 1);
    reconciled.fold_into(state);
    reconciled.outcome
}

/// All orders of what follows the place.
fn permute(items: &mut [usize], place: usize, visit: &mut impl FnMut(&[usize])) {
    if place == items.len() {
        visit(items);
        return;
    }
    for other in place..items.len() {
        items.swap(place, other);
        permute(items, place + 1, visit);
        items.swap(place, other);
    }
}
