//! Whether the coverage has everything that the graph has read from the raw topic: an ignored record leaves no other trace.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    coverage::{Coverage, Latest},
    raw::{ListingOutcome, MarkKind, Outcome},
};

use super::{
    elements::workspace,
    graph_topic::GraphTopic,
    raw_topic::{Listing, PollMark},
    verdict::{Law, Verdict, Violation},
};

/// What begins the name of the members of a workspace.
const MEMBERS: &str = "members/";
/// The name in an end mark for the members of all workspaces, which were not listed.
const ALL_MEMBERS: &str = "members";

/// By collection, what its coverage should have and does not, if the graph has read that far.
#[derive(Debug, Default)]
pub(super) struct CoverageCheck {
    missed: BTreeMap<String, Missed>,
}

/// The oldest of a collection: where any was read, that one was.
#[derive(Debug)]
struct Missed {
    what: &'static str,
    /// Of its last record.
    offset: i64,
}

/// How far the graph has read the raw topic at least (offset). One transaction moves all of an organization's coverage
/// in the order of raw, so everything up to the newest was read.
pub(super) fn horizon(graph_topic: &GraphTopic) -> i64 {
    let polls = graph_topic.poll.as_ref().and_then(|poll| poll.raw_offset);
    let listed = graph_topic.coverage.values().map(newest).max();
    listed.max(polls).unwrap_or(-1)
}

/// The newest record that a coverage mentions (offset).
pub(super) fn newest(coverage: &Coverage) -> i64 {
    coverage.latest.as_ref().map_or(-1, |latest| latest.raw_offset).max(whole(coverage))
}

fn whole(coverage: &Coverage) -> i64 {
    coverage.whole.as_ref().map_or(-1, |whole| whole.raw_offset)
}

impl CoverageCheck {
    /// Takes a listing, and why it is not whole, if it is not.
    pub(super) fn take_listing(
        &mut self,
        listing: &Listing,
        offset: i64,
        partial: Option<&str>,
        graph_topic: &GraphTopic,
    ) {
        let coverage = graph_topic.coverage.get(&listing.collection);
        let is_whole = partial.is_none() && !listing.is_cut;
        let what = if is_whole && offset > coverage.map_or(-1, whole) {
            "last whole listing"
        } else if offset > coverage.map_or(-1, newest) {
            "last try"
        } else {
            return;
        };
        self.miss(&listing.collection, what, offset);
    }

    /// Takes a poll's mark.
    pub(super) fn take_mark(&mut self, mark: &PollMark, offset: i64, graph_topic: &GraphTopic) {
        for collection in mark.failed() {
            if collection == ALL_MEMBERS {
                let frozen =
                    graph_topic.coverage.iter().filter(|(_, coverage)| mark.freezes(coverage, offset));
                for (name, _) in frozen {
                    self.miss(name, "last try", offset);
                }
            } else if is_coverable(collection)
                && offset > graph_topic.coverage.get(collection).map_or(-1, newest)
            {
                self.miss(collection, "last try", offset);
            }
        }
        for name in mark.leaves_held(graph_topic, offset) {
            self.miss(&name, "last try", offset);
        }
    }

    /// Forgets a collection that ended, or that could not begin yet.
    pub(super) fn end(&mut self, collection: &str) {
        self.missed.remove(collection);
    }

    /// Judges what was missed up to the graph's horizon.
    ///
    /// `begun`, where the log is cut: the members collections for which it shows when they could begin.
    pub(super) fn judge(
        &self,
        graph_topic: &GraphTopic,
        begun: Option<&BTreeSet<String>>,
        verdict: &mut Verdict,
    ) {
        let horizon = horizon(graph_topic);
        for (collection, Missed { what, offset }) in &self.missed {
            if is_of_unknown_beginning(collection, begun) {
                verdict.give_up(Law::Coverage, 1);
                continue;
            }
            let is_read = *offset <= horizon;
            verdict.hold(Law::Coverage, !is_read || !is_kept(collection, graph_topic), || {
                let expected =
                    format!("its {what} at raw offset {offset}, for the graph has read to {horizon}");
                let found = graph_topic.coverage.get(collection).map_or("no coverage", |_| "an older one");
                Violation::new(collection, expected, found).at_offset(*offset)
            });
        }
    }

    fn miss(&mut self, collection: &str, what: &'static str, offset: i64) {
        self.missed.entry(collection.to_owned()).or_insert(Missed { what, offset });
    }
}

impl PollMark {
    /// Collections that it says were not listed whole.
    fn failed(&self) -> impl Iterator<Item = &str> {
        let lines = self.mark.outcomes.iter().filter(|_| self.mark.kind == MarkKind::End);
        lines.filter(|line| line.outcome != Outcome::Whole).map(|line| line.collection.as_str())
    }

    /// Members collections of which it says nothing, since their workspace is held and so they are not listed.
    fn leaves_held<'a>(&'a self, graph_topic: &'a GraphTopic, offset: i64) -> impl Iterator<Item = String> {
        let is_silent = self.mark.kind == MarkKind::End && !self.is_about_all();
        let holds = graph_topic.holds.iter().filter(move |(_, hold)| is_silent && hold.raw_offset < offset);
        let held = holds.filter_map(|(key, _)| workspace(graph_topic.elements.get(key)?));
        let members = held.map(|workspace| format!("{MEMBERS}{}", workspace.id));
        members.filter(move |name| graph_topic.coverage.get(name).is_some_and(|it| self.freezes(it, offset)))
    }

    /// Whether it says something of all members that it does not name, other than how many were listed whole.
    fn is_about_all(&self) -> bool {
        self.failed().any(|collection| collection == ALL_MEMBERS)
    }

    fn names(&self, collection: &str) -> bool {
        self.mark.outcomes.iter().any(|line| line.collection == collection)
    }

    /// Whether it says of a collection what the coverage has as its newest try.
    pub(super) fn explains(&self, collection: &str, latest: &Latest) -> bool {
        let is_its =
            |name: &str| name == collection || name == ALL_MEMBERS && collection.starts_with(MEMBERS);
        // The members of a workspace whose deletion is held are not named.
        let is_left = collection.starts_with(MEMBERS)
            && latest.outcome == Outcome::Skipped
            && latest.reason.is_some()
            && !self.is_about_all()
            && !self.names(collection);
        let is_line = |line: &ListingOutcome| {
            is_its(&line.collection)
                && line.outcome != Outcome::Whole
                && line.outcome == latest.outcome
                && line.reason == latest.reason
        };
        self.mark.kind == MarkKind::End
            && self.poll_id == latest.poll_id
            && self.ts_ms == latest.ended_ts_ms
            && (is_left || self.mark.outcomes.iter().any(is_line))
    }

    /// Whether a line for the members of all workspaces should have moved this coverage, and has not: what this poll
    /// said of them already stays, and so does what is gone.
    fn freezes(&self, coverage: &Coverage, offset: i64) -> bool {
        coverage.collection.starts_with(MEMBERS)
            && offset > newest(coverage)
            && !self.names(&coverage.collection)
            && coverage
                .latest
                .as_ref()
                .is_none_or(|latest| latest.poll_id != self.poll_id && latest.outcome != Outcome::Gone)
    }
}

/// Whether it is unknown when a workspace in the graph first had members: listings before that do not count.
pub(super) fn is_of_unknown_beginning(collection: &str, begun: Option<&BTreeSet<String>>) -> bool {
    collection.starts_with(MEMBERS) && begun.is_some_and(|begun| !begun.contains(collection))
}

/// Whether the collection is kept now: the members of a workspace are, as long as that is in the graph. It has been
/// there since the listing that created it, with which all that was said before is forgotten.
fn is_kept(collection: &str, graph_topic: &GraphTopic) -> bool {
    let Some(workspace_id) = collection.strip_prefix(MEMBERS) else { return true };
    graph_topic
        .elements
        .contains_key(&super::reference_mapping::entity_key("anthropic_workspace", workspace_id))
}

fn is_coverable(collection: &str) -> bool {
    let is_members = collection.strip_prefix(MEMBERS).is_some_and(|id| !id.is_empty());
    is_members || matches!(collection, "organization" | "users" | "workspaces" | "api_keys")
}
