//! What was read from the topics so far.

use std::collections::BTreeMap;

use graph::state::{FoldError, State, States};
use schemas::change::{Envelope, Op};
use schemas::coverage::Poll;
use schemas::element::ElementType;
use schemas::sync::{Finished, Sync};
use serde::Serialize;

use crate::access_counts::AccessCounts;

/// Changes by what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    /// Seen in a first whole listing.
    pub(crate) r: u64,
    pub(crate) c: u64,
    pub(crate) u: u64,
    pub(crate) d: u64,
}

/// Entities and relationships (count).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Size {
    pub(crate) entities: u64,
    pub(crate) relationships: u64,
}

/// What was read from the topics so far.
#[derive(Debug, Default)]
pub(crate) struct View {
    states: States,
    names: BTreeMap<String, String>,
    sync: Option<Sync>,
    last_ended_poll: Option<String>,
    last_revision: i64,
    /// Polls that have ended.
    pub(crate) polls: u64,
    pub(crate) changes: Tally,
    /// Records that a service could not decode.
    pub(crate) dead_letters: u64,
    /// Bytes of all topics as the broker keeps them, and a little more.
    pub(crate) received: u64,
}

impl View {
    /// Takes a change in.
    pub(crate) fn change(&mut self, change: &Envelope) {
        self.last_revision = self.last_revision.max(change.revision);
        match change.op {
            Op::Read => self.changes.r += 1,
            Op::Create => self.changes.c += 1,
            Op::Update => self.changes.u += 1,
            Op::Delete => self.changes.d += 1,
            Op::Notice | Op::Other { .. } => {}
        }
        for element in change.before.iter().chain(&change.after).filter(|element| !element.is_relationship())
        {
            self.names.insert(element.key.clone(), element.display_name.clone());
        }
    }

    /// Folds a record of the graph topic.
    pub(crate) fn graph(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), FoldError> {
        self.states.fold_record(key, value)?;
        let poll = self.poll();
        if poll.ended && poll.poll_id != self.last_ended_poll {
            self.last_ended_poll = poll.poll_id;
            self.polls += 1;
        }
        Ok(())
    }

    /// Takes in what JupiterOne holds.
    pub(crate) fn sync(&mut self, sync: Sync) {
        self.sync = Some(sync);
    }

    /// The one organization, once something is known of it.
    pub(crate) fn organization(&self) -> Option<(&str, &State)> {
        self.states.iter().next()
    }

    pub(crate) fn poll(&self) -> Poll {
        self.organization().map(|(_, state)| state.poll()).unwrap_or_default()
    }

    /// The last display name of an entity.
    pub(crate) fn name(&self, key: &str) -> Option<&str> {
        self.names.get(key).map(String::as_str)
    }

    /// The sync job that JupiterOne finished last.
    pub(crate) fn finished(&self) -> Option<&Finished> {
        self.sync.as_ref()?.finished.as_ref()
    }

    /// Why nothing is uploaded, if nothing is.
    pub(crate) fn paused(&self) -> Option<&str> {
        self.sync.as_ref()?.paused.as_deref()
    }

    /// Whether that many polls have ended, and JupiterOne holds what the newest one found. Every change up to there
    /// has been read here too.
    pub(crate) fn is_in_sync(&self, polls: u64) -> bool {
        let poll = self.poll();
        self.polls >= polls
            && poll.ended
            && self.last_revision == poll.revision
            && self.finished().is_some_and(|finished| finished.revision == poll.revision)
    }

    /// As the last, for a poll that began after that time (ms since 1970).
    pub(crate) fn is_in_sync_since(&self, time_ms: i64) -> bool {
        self.is_in_sync(1) && self.poll().started_ts_ms.is_some_and(|started| started > time_ms)
    }

    /// What the folded graph says about access now.
    pub(crate) fn access_counts(&self) -> AccessCounts {
        let now_ms = jiff::Timestamp::now().as_millisecond();
        self.organization().map(|(_, state)| AccessCounts::of(state, now_ms)).unwrap_or_default()
    }

    /// Of the folded graph.
    pub(crate) fn size(&self) -> Size {
        let mut size = Size::default();
        for element in self.organization().into_iter().flat_map(|(_, state)| state.graph().iter()) {
            if element.is_relationship() {
                size.relationships += 1;
            } else {
                size.entities += 1;
            }
        }
        size
    }

    /// Of what JupiterOne holds, as the sink recorded it.
    pub(crate) fn held(&self) -> Size {
        let mut size = Size::default();
        for (name, count) in self.finished().into_iter().flat_map(|finished| &finished.counts) {
            let count = u64::try_from(*count).unwrap_or_default();
            let is_entity = ElementType::ALL[..4].iter().any(|kind| kind.name() == name);
            if is_entity {
                size.entities += count;
            } else {
                size.relationships += count;
            }
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use graph::state::GraphKey;
    use schemas::collection::POLL;
    use schemas::coverage::{Coverage, Poll};
    use schemas::graph_value::GraphValue;
    use schemas::sync::{Finished, Sync};

    use super::{Size, View};

    fn poll(view: &mut View, id: &str, ended: bool) {
        let poll =
            Poll { poll_id: Some(id.to_owned()), ended, started_ts_ms: Some(1_000), ..Poll::default() };
        let coverage = Coverage { poll: Some(poll), ..Coverage::new("one", "nimbus", POLL) };
        let value = GraphValue::Coverage(Box::new(coverage)).encode();
        let key = GraphKey::Coverage(POLL.to_owned()).format("one");
        view.graph(&key, Some(&value)).expect("it folds");
    }

    fn finished(revision: i64) -> Sync {
        let counts = BTreeMap::from([
            ("anthropic_user".to_owned(), 3),
            ("anthropic_account".to_owned(), 1),
            ("anthropic_account_has_user".to_owned(), 3),
        ]);
        let finished = Finished {
            job_id: "job".to_owned(),
            revision,
            ended_ts_ms: 2_000,
            counts,
            partial_types: Vec::new(),
            ..Finished::default()
        };
        Sync { finished: Some(finished), ..Sync::default() }
    }

    #[test]
    fn in_sync_is_a_poll_that_ended_and_a_job_of_its_revision() {
        let mut view = View::default();
        assert!(!view.is_in_sync(0));
        poll(&mut view, "first", false);
        view.sync(finished(0));
        assert!(!view.is_in_sync(0), "the poll has not ended");
        poll(&mut view, "first", true);
        poll(&mut view, "first", true);
        assert_eq!(view.polls, 1, "its mark counts once");
        assert!(view.is_in_sync(1) && !view.is_in_sync(2));
        assert!(view.is_in_sync_since(999) && !view.is_in_sync_since(1_000));
        view.sync(finished(7));
        assert!(!view.is_in_sync(1), "JupiterOne holds another revision");
    }

    #[test]
    fn what_jupiterone_holds_is_counted_by_type() {
        let mut view = View::default();
        view.sync(finished(0));
        assert_eq!(view.held(), Size { entities: 4, relationships: 3 });
    }
}
