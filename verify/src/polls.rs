//! What the coverage of the polls should say: the fold of the marks.

use std::collections::BTreeMap;

use schemas::{
    coverage::Poll,
    raw::{MarkKind, Outcome},
};

use super::{
    graph_topic::GraphTopic,
    raw_topic::{Listing, PollMark},
    verdict::{Law, Verdict, Violation},
};

/// Longest line about one collection (characters).
const MAX_LINE: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Polls {
    /// Of the marks so far.
    poll: Poll,
    /// The newest start, the newest end: whether they were met.
    has_started: bool,
    has_ended: bool,
    /// How the newest try at each collection ended, and its last whole listing.
    tries: BTreeMap<String, Try>,
    /// Collections of which the newest end mark says that they were whole, and is not believed.
    doubtful: Vec<String>,
}

#[derive(Debug, Default)]
struct Try {
    is_whole: bool,
    listing_id: Option<String>,
}

impl Polls {
    /// Takes a listing, which may say nothing.
    pub(super) fn take_listing(&mut self, listing: &Listing, partial: Option<&str>, is_taken: bool) {
        if !is_taken {
            return;
        }
        let known = self.tries.entry(listing.collection.clone()).or_default();
        known.is_whole = partial.is_none();
        if known.is_whole {
            known.listing_id = Some(listing.id.clone());
        }
    }

    pub(super) fn take_mark(&mut self, mark: &PollMark) {
        let ts_ms = Some(mark.ts_ms);
        match mark.mark.kind {
            MarkKind::Start => {
                self.poll.poll_id.clone_from(&mark.poll_id);
                (self.poll.ended, self.poll.started_ts_ms) = (false, ts_ms);
                self.has_started = true;
            }
            MarkKind::End => {
                self.poll.poll_id.clone_from(&mark.poll_id);
                self.end(mark);
                (self.poll.ended, self.poll.ended_ts_ms) = (true, ts_ms);
                self.has_ended = true;
            }
            MarkKind::Other { .. } => {}
        }
    }

    fn end(&mut self, mark: &PollMark) {
        let mut incomplete: Vec<String> = mark.mark.reason.iter().cloned().collect();
        self.doubtful.clear();
        for line in &mark.mark.outcomes {
            let name = &line.collection;
            if line.outcome == Outcome::Whole {
                let known = self.tries.get(name);
                let is_other = |known: &Try| line.listing_id.is_some() && known.listing_id != line.listing_id;
                let is_kept = !name.starts_with("members/");
                if is_kept && known.is_some_and(|known| !known.is_whole || is_other(known)) {
                    self.doubtful.push(name.clone());
                }
                continue;
            }
            if line.outcome != Outcome::Gone {
                let reason = line.reason.as_deref().unwrap_or("no reason was given");
                incomplete.push(format!("{name}: {reason}").chars().take(MAX_LINE).collect());
            }
        }
        for line in mark.mark.outcomes.iter().filter(|line| line.outcome != Outcome::Whole) {
            self.tries.entry(line.collection.clone()).or_default().is_whole = false;
        }
        self.poll.complete = mark.mark.complete && incomplete.is_empty();
        self.poll.incomplete = incomplete;
    }

    /// The organization is forgotten.
    pub(super) fn forget(&mut self) {
        self.poll.complete = false;
        self.tries.clear();
    }

    /// Compares it with the graph topic. `is_cut`: raw has lost its beginning.
    pub(super) fn judge(&self, graph_topic: &GraphTopic, is_cut: bool, verdict: &mut Verdict) {
        let Some(found) = &graph_topic.poll else { return };
        if is_cut && !(self.has_started && self.has_ended) {
            return verdict.give_up(Law::Coverage, 1);
        }
        let expected = &self.poll;
        // What the processor doubts depends on all that came before. Beyond the lines of the mark it may name what the
        // mark calls whole, and nothing else.
        let own = |line: &&String| !expected.incomplete.contains(*line);
        let added: Vec<&String> = found.incomplete.iter().filter(own).collect();
        // There may be more lines than a message has room for.
        let is_shortened =
            found.incomplete.last().is_some_and(|it| it.starts_with("and ") && it.ends_with(" more"));
        let is_doubted = |name: &String| {
            found
                .incomplete
                .iter()
                .any(|line| line.strip_prefix(name.as_str()).is_some_and(|it| it.starts_with(": ")))
        };
        let wrong = if found.poll_id != expected.poll_id {
            "another poll"
        } else if found.ended != expected.ended {
            "another word on whether it has ended"
        } else if (found.started_ts_ms, found.ended_ts_ms) != (expected.started_ts_ms, expected.ended_ts_ms) {
            "other times"
        } else if !is_shortened && expected.incomplete.iter().any(|line| !found.incomplete.contains(line)) {
            "less that was incomplete"
        } else if !is_cut && !is_shortened && self.doubtful.iter().any(|name| !is_doubted(name)) {
            "a listing called whole that was not taken for whole"
        } else if found.complete != (expected.complete && added.is_empty()) {
            "another word on whether it was complete"
        } else {
            return verdict.judge(Law::Coverage, Ok(()));
        };
        let violation = Violation::new("poll", "what the newest marks say", wrong);
        verdict.judge(Law::Coverage, Err(violation));
    }
}
