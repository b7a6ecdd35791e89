//! Histories at random: what happens to organizations, what the producer makes of it, and when the task dies.

use std::ops::RangeInclusive;

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::select,
    strategy::{Just, Union},
};
use schemas::raw::DecisionKind;

use crate::{
    step::{Choice, Fault, Listing, Spoil, Step},
    task::Act,
    world::Mutation,
};

/// Organizations in the partition (count): two can be mixed up, a third is left alone more often.
const ORGANIZATIONS: u8 = 3;
/// Users, of whom some join and leave, and one more whom only members and keys ever name (count).
const USERS: u8 = 5;
/// Workspaces, the default one among them (count).
const WORKSPACES: u8 = 4;
/// API keys (count).
const API_KEYS: u8 = 4;
/// Collections of an organization (count).
pub(crate) const COLLECTIONS: u8 = 4 + WORKSPACES;
/// Steps of a history (count): with a poll's seven listings enough for a workspace to come, go and return twice.
const STEPS: usize = 24;
/// Acts of a task (count): each takes some records, and what is left is taken in one go.
const ACTS: usize = 40;

/// One history: how many organizations, what happens, what the tasks do, and how the topic is compacted at the end.
pub(crate) type History = (u8, Vec<Step>, Vec<Act>, u32);

pub(crate) fn histories(organizations: RangeInclusive<u8>) -> impl Strategy<Value = History> {
    (organizations, vec(step(), 1..STEPS), vec(act(), 0..ACTS), any::<u32>())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (organization(), vec(mutation(), 1..4)).prop_map(|(of, mutations)| Step::Live(of, mutations)),
        8 => listing().prop_map(Step::List),
        5 => (organization(), vec((0..COLLECTIONS, fault()), 0..3)).prop_map(|(of, faults)| Step::Poll(of, faults)),
        1 => (organization(), any::<bool>(), option::of(0..COLLECTIONS))
            .prop_map(|(organization, starts, failed)| Step::Mark { organization, starts, failed }),
        3 => (organization(), choice()).prop_map(|(of, choice)| Step::Decide(of, choice)),
        1 => (organization(), 0..COLLECTIONS).prop_map(|(of, collection)| Step::Garbage(of, collection)),
    ]
}

/// Mostly the first.
fn organization() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(0), 1 => 0..ORGANIZATIONS]
}

fn listing() -> impl Strategy<Value = Listing> {
    let age = prop_oneof![6 => Just(0u8), 1 => 1..4u8];
    (organization(), 0..COLLECTIONS, age, fault(), option::weighted(0.1, choice())).prop_map(
        |(organization, collection, age, fault, within)| Listing {
            organization,
            collection,
            age,
            fault,
            within,
        },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    let spoil = select(vec![Spoil::Bytes, Spoil::NoListing, Spoil::Empty]);
    prop_oneof![
        10 => Just(Fault::None),
        2 => Just(Fault::Failed),
        1 => Just(Fault::Gone),
        1 => any::<u8>().prop_map(Fault::Missing),
        2 => (any::<u8>(), spoil).prop_map(|(position, spoil)| Fault::Spoiled(position, spoil)),
        1 => any::<u8>().prop_map(Fault::Twice),
        1 => Just(Fault::WithoutArchived),
    ]
}

fn choice() -> impl Strategy<Value = Choice> {
    let kind = prop_oneof![
        6 => Just(DecisionKind::Approve),
        4 => Just(DecisionKind::Reject),
        1 => Just(DecisionKind::Forget),
    ];
    let seen = prop_oneof![6 => (0..6u8).prop_map(Some), 1 => Just(None)];
    (kind, option::weighted(0.3, 0..COLLECTIONS), option::weighted(0.3, 0..6u8), seen)
        .prop_map(|(kind, collection, element, seen)| Choice { kind, collection, element, seen })
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let (user, workspace, key, two) = (0..USERS, 0..WORKSPACES, 0..API_KEYS, 0..2u8);
    let anyone = 0..=USERS;
    let within = option::weighted(0.8, workspace.clone());
    Union::new_weighted(vec![
        (4, (user.clone(), two.clone()).prop_map(|(user, role)| Mutation::Join(user, role)).boxed()),
        (2, user.prop_map(Mutation::Leave).boxed()),
        (1, (0..3u8).prop_map(Mutation::Exodus).boxed()),
        (3, workspace.clone().prop_map(Mutation::Open).boxed()),
        (1, workspace.clone().prop_map(Mutation::Archive).boxed()),
        (2, workspace.clone().prop_map(Mutation::Remove).boxed()),
        (
            4,
            (key.clone(), option::weighted(0.8, anyone.clone()), within.clone())
                .prop_map(|(id, by, within)| Mutation::Mint(id, by, within))
                .boxed(),
        ),
        (1, (key.clone(), within).prop_map(|(id, within)| Mutation::Scope(id, within)).boxed()),
        (1, (key.clone(), 0..3u8).prop_map(|(id, status)| Mutation::Status(id, status)).boxed()),
        (1, key.prop_map(Mutation::Delete).boxed()),
        (1, Just(Mutation::DeleteAll).boxed()),
        (
            4,
            (workspace.clone(), anyone.clone(), two)
                .prop_map(|(within, user, role)| Mutation::Assign(within, user, role))
                .boxed(),
        ),
        (1, (workspace.clone(), anyone).prop_map(|(within, user)| Mutation::Unassign(within, user)).boxed()),
        (1, workspace.prop_map(Mutation::UnassignAll).boxed()),
        (
            2,
            (1..=5u8, any::<bool>())
                .prop_map(|(number, honors)| Mutation::Generation(number, honors))
                .boxed(),
        ),
        (1, any::<bool>().prop_map(Mutation::Tag).boxed()),
        (3, limits().boxed()),
    ])
}

fn limits() -> impl Strategy<Value = Mutation> {
    (0..3u8, 0..10u8).prop_map(|(count, tenths)| Mutation::Limits(count, tenths))
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1..12u8).prop_map(Act::Take),
        3 => Just(Act::Commit),
        2 => any::<u32>().prop_map(Act::Crash),
        1 => (any::<u32>(), any::<u8>()).prop_map(|(seed, records)| Act::Rewind(seed, records % 40)),
    ]
}
