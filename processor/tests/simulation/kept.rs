//! Histories in which the auditor once found violations, though the processor was right. Retention cuts raw or the log
//! anywhere.

use schemas::raw::DecisionKind;

use crate::{
    auditor::{partition, violations},
    script::Script,
    step::{Choice, Fault, Listing, Step},
    task::Topics,
    world::Mutation,
};

/// A key whose deletion is held returns without its creator and its workspace. Its relationships stay held. Where the
/// listing that held them is cut off, only the notice of the key shows it.
#[test]
fn relationships_stay_held_when_their_key_returns_without_them() {
    let steps = [
        Step::Poll(0, Vec::new()),
        Step::Live(0, vec![Mutation::DeleteAll, Mutation::Limits(0, 0)]),
        Step::Poll(0, Vec::new()),
        Step::Live(0, vec![Mutation::Mint(0, None, None), Mutation::Join(2, 0)]),
        Step::Poll(0, Vec::new()),
    ];
    check_raw_cuts(1, &steps);
}

/// The organization was forgotten before the first change that the log still has.
#[test]
fn a_forgotten_organization_begins_again_in_a_cut_log() {
    let steps = [
        list(1, 0),
        forget(),
        Step::Poll(0, Vec::new()),
        Step::Live(0, vec![Mutation::Leave(0)]),
        Step::Live(0, vec![Mutation::DeleteAll, Mutation::Mint(0, None, Some(0))]),
        Step::Poll(0, Vec::new()),
    ];
    check_log_cuts(1, &steps);
}

/// The same, with an older listing of the workspaces in between.
#[test]
fn a_workspace_that_a_late_listing_lacks_begins_again_in_a_cut_log() {
    let steps = [
        Step::Poll(1, Vec::new()),
        Step::Poll(0, Vec::new()),
        Step::Live(0, vec![Mutation::Open(2), Mutation::Tag(true)]),
        forget(),
        Step::Live(0, vec![Mutation::Assign(0, 0, 0)]),
        Step::Poll(0, Vec::new()),
        list(2, 2),
        Step::Live(0, vec![Mutation::DeleteAll, Mutation::Join(2, 0)]),
        Step::Poll(0, Vec::new()),
    ];
    check_log_cuts(2, &steps);
}

fn list(collection: u8, age: u8) -> Step {
    Step::List(Listing { organization: 0, collection, age, fault: Fault::None, within: None })
}

fn forget() -> Step {
    Step::Decide(0, Choice { kind: DecisionKind::Forget, collection: None, element: None, seen: Some(0) })
}

fn check_raw_cuts(organizations: u8, steps: &[Step]) {
    let (script, topics) = history(organizations, steps);
    check_cuts(&script, &topics, (0..=script.end()).map(|begin| (begin, 0)));
}

fn check_log_cuts(organizations: u8, steps: &[Step]) {
    let (script, topics) = history(organizations, steps);
    let end = i64::try_from(topics.changes.len()).expect("few changes");
    check_cuts(&script, &topics, (0..=end).map(|begin| (0, begin)));
}

fn history(organizations: u8, steps: &[Step]) -> (Script, Topics) {
    let script = Script::of(organizations, steps);
    let topics = Topics::of_the_processor(&script);
    (script, topics)
}

/// `cuts`: where raw begins, and where the log does.
fn check_cuts(script: &Script, topics: &Topics, cuts: impl Iterator<Item = (i64, i64)>) {
    let mut partition = partition(script, topics);
    for (raw, changes) in cuts {
        (partition.raw_begins, partition.changes_begin) = (raw, changes);
        let found = violations(&partition.verify());
        assert_eq!(found, Vec::<String>::new(), "raw begins at {raw}, changes at {changes}");
    }
}
