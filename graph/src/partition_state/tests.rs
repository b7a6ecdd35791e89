use std::collections::BTreeMap;

use schemas::{
    collection::POLL,
    coverage::{Coverage, Latest, Poll},
    graph_value::GraphValue,
    raw::{Decision, DecisionKind, Outcome},
};

use super::{PartitionState, Unfit};
use crate::{listing::Unit, reconcile::Reconciled, state::GraphKey};

/// Coverage that says nothing.
fn coverage(collection: &str) -> Coverage {
    Coverage::new("o", "nimbus", collection)
}

fn of_polls(poll: Poll) -> Coverage {
    Coverage { poll: Some(poll), ..coverage(POLL) }
}

fn fold(state: &mut PartitionState, coverage: Coverage) {
    let key = GraphKey::Coverage(coverage.collection.clone());
    let others = vec![(key, Some(GraphValue::Coverage(coverage.into())))];
    state.fold("o", &mut Reconciled { others, ..Reconciled::default() });
}

#[test]
fn a_decision_about_an_unknown_organization_leaves_nothing_behind() {
    let mut state = PartitionState::new(0, 1);
    for number in 0..3 {
        let decision = Decision {
            kind: DecisionKind::Forget,
            collection: None,
            element_key: None,
            listing_id: None,
            by: "ada".to_owned(),
            why: None,
            decided_ts_ms: 1,
        };
        let organization_id = format!("invented-{number}");
        let organization_name = String::new();
        let unit = Unit::Decision { organization_id, organization_name, decision, offset: number };
        let mut reconciled = state.reconcile(&unit);
        state.fold(unit.organization_id(), &mut reconciled);
    }
    assert_eq!(state.states().iter().count(), 0);
}

#[test]
fn a_raw_topic_that_ends_before_what_was_read_of_it_is_refused() {
    let mut state = PartitionState::new(0, 1);
    let latest =
        Latest { outcome: Outcome::Whole, reason: None, poll_id: None, raw_offset: 7, ended_ts_ms: 1 };
    fold(&mut state, Coverage { latest: Some(latest), ..coverage("users") });
    assert_eq!(state.check_raw_end(8), Ok(()));
    let refused = Unfit::RawOffset { organization_id: "o".to_owned(), read: 7, end: 7 };
    assert_eq!(state.check_raw_end(7), Err(refused));
}

#[test]
fn a_log_that_has_no_room_for_what_the_graph_has_had_is_refused() {
    let mut state = PartitionState::new(0, 1);
    assert!(state.is_blank());
    assert_eq!(state.check_log(0), Ok(()));
    fold(&mut state, of_polls(Poll { revision: 3, ..Poll::default() }));
    assert!(!state.is_blank());
    assert_eq!(state.check_log(4), Ok(()));
    for end in [0, 2] {
        let refused = state.check_log(end).unwrap_err();
        assert!(
            refused.to_string().contains("3 changes") && refused.to_string().contains("kafka.topic_prefix"),
            "{refused}"
        );
    }
}

#[test]
fn a_raw_topic_that_begins_after_what_was_read_is_refused_where_the_gap_is_unknown() {
    let mut state = PartitionState::new(0, 1);
    let check = |state: &PartitionState, beginning| state.check_unread("g", "t", beginning);
    assert_eq!(check(&state, 99), Ok(()), "nothing was ever read");
    fold(&mut state, of_polls(Poll { raw_offset: Some(7), ..Poll::default() }));
    assert_eq!(check(&state, 9), Ok(()), "only the marker of the transaction is gone");
    assert_eq!((state.maybe_unread(8), state.maybe_unread(9)), (None, Some(8)), "or a decision");
    let refused = check(&state, 10).unwrap_err().to_string();
    assert!(refused.contains("up to offset 7") && refused.contains("begins at 10"), "{refused}");
    assert!(refused.contains("--group g --topic t:0 --reset-offsets --to-earliest"), "{refused}");
}

#[test]
fn a_log_whose_newest_change_is_not_the_graph_s_last_is_refused_whichever_is_short() {
    let mut state = PartitionState::new(0, 1);
    fold(&mut state, of_polls(Poll { revision: 3, ..Poll::default() }));
    let newest = |id: &str, revision| BTreeMap::from([(id.to_owned(), revision)]);
    assert_eq!(state.check_revisions(&BTreeMap::new()), Ok(()), "nothing of it is near the end of the log");
    assert!(!state.has_no_other_change(&BTreeMap::new()));
    assert_eq!(state.check_revisions(&newest("o", 3)), Ok(()));
    assert!(state.has_no_other_change(&newest("o", 3)));
    for (id, log, graph) in [("o", 4, 3), ("o", 2, 3), ("another", 1, 0)] {
        let refused = state.check_revisions(&newest(id, log)).unwrap_err();
        let expected = Unfit::Revision { organization_id: id.to_owned(), partition: 0, graph, log };
        assert_eq!(refused, expected);
        assert!(refused.to_string().contains("`anthropic-graph reset`"), "{refused}");
    }
}
