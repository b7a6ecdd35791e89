//! docs/concepts.md explains the words that the programs use for states.

use std::path::Path;

use graph::plan::Phase;
use schemas::change::Op;
use schemas::coverage::HoldState;
use schemas::raw::{DecisionKind, Outcome};
use schemas::sync::ParkedState;

use crate::text;

#[test]
fn each_state_that_people_see_is_among_the_concepts() {
    let page = text(Path::new("docs/concepts.md"));
    let words: Vec<&str> = page.split(|it: char| !it.is_alphanumeric() && it != '_').collect();
    let outcomes = Outcome::ALL.iter().map(Outcome::as_str);
    let holds = HoldState::ALL.iter().map(HoldState::as_str);
    let ops = Op::ALL.iter().map(Op::as_str);
    let decisions = DecisionKind::ALL.iter().map(DecisionKind::as_str);
    let parked = ParkedState::ALL.iter().map(ParkedState::as_str);
    let shown = outcomes.chain(holds).chain(ops).chain(decisions).chain(parked).chain(Phase::NAMES);
    let missing: Vec<&str> = shown.filter(|name| !words.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
