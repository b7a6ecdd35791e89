//! End marks of polls with more workspaces than there is room for.

use graph::state::GraphKey;
use schemas::{
    coverage::{Coverage, Latest},
    graph_value::GraphValue,
    raw::{ListingOutcome, Outcome},
};

use crate::{
    end_of, failed,
    world::{Book, ORGANIZATION, World},
};

/// How many workspaces an organization has whose end mark has no room for a line each (count).
const MANY: usize = 20_000;

/// A book with that many members collections, of which the newest listing, in `poll_id`, ended so.
fn many(poll_id: &str, outcome: &Outcome) -> Book {
    let mut book = Book::of(&World::small());
    for number in 0..MANY {
        let collection = format!("members/wrkspc_{number:05}");
        let coverage = Coverage {
            latest: Some(Latest {
                outcome: outcome.clone(),
                reason: Some("the last whole listing was made with more".to_owned()),
                poll_id: Some(poll_id.to_owned()),
                raw_offset: book.offset,
                ended_ts_ms: 0,
            }),
            ..Coverage::new(ORGANIZATION, "nimbus", &collection)
        };
        let (key, value) = (GraphKey::Coverage(collection), GraphValue::Coverage(coverage.into()));
        book.state.fold(&key, Some(value)).expect("a coverage");
    }
    book
}

fn all_members(outcome: &Outcome) -> ListingOutcome {
    let reason = Some("too many workspaces to name each".to_owned());
    ListingOutcome { outcome: outcome.clone(), reason, ..failed("members") }
}

/// How many members collections have that as the newest listing's outcome.
fn count(book: &Book, outcome: &Outcome) -> usize {
    let coverage = book.state.coverage().iter().filter(|(name, _)| name.starts_with("members/wrkspc_"));
    coverage.filter(|(_, it)| it.latest.as_ref().is_some_and(|latest| latest.outcome == *outcome)).count()
}

#[test]
fn an_end_mark_without_a_line_for_each_workspace_leaves_their_listings_as_they_were_judged() {
    let mut book = many("poll-1", &Outcome::Whole);
    book.mark(&end_of(vec![all_members(&Outcome::Whole)]));
    assert_eq!(count(&book, &Outcome::Whole), MANY);
    assert!(book.state.poll().complete, "{:?}", book.state.poll().incomplete);

    // The line about all is about those that were not listed in this poll, and says nothing of them if it is well.
    book.mark(&end_of(vec![all_members(&Outcome::Failed)]));
    assert_eq!(count(&book, &Outcome::Whole), MANY);
    let mut book = many("poll-0", &Outcome::Whole);
    book.mark(&end_of(vec![all_members(&Outcome::Whole)]));
    assert_eq!(book.state.coverage()["members/wrkspc_19999"].not_whole_since_ts_ms, None);
    book.mark(&end_of(vec![all_members(&Outcome::Failed)]));
    assert_eq!(count(&book, &Outcome::Failed), MANY);
    let since = book.state.coverage()["members/wrkspc_19999"].not_whole_since_ts_ms;
    assert!(since.is_some(), "it is known since when it has not been whole");
}

#[test]
fn a_poll_whose_listings_were_not_taken_for_whole_is_incomplete_and_its_coverage_fits_its_message() {
    let mut book = many("poll-1", &Outcome::Partial);
    book.mark(&end_of(vec![all_members(&Outcome::Whole)]));
    let poll = book.state.poll();
    assert!(!poll.complete);
    let expected = "members/wrkspc_00000: the last whole listing was made with more";
    assert_eq!(poll.incomplete[0], expected);
    assert_eq!(poll.incomplete[100], format!("and {} more", MANY - 100));
    assert_eq!(poll.incomplete.len(), 101);
}
