//! Whether JupiterOne is in sync with the graph, and what an approval would allow, according to the topics `sync` and
//! `graph`: for people. Pure.

use std::collections::BTreeMap;

use schemas::{coverage::Poll, sync::Sync};
use serde::Serialize;

use super::is_recreated;

/// Whether JupiterOne is in sync with an organization's graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// JupiterOne holds the graph's revision.
    InSync,
    /// JupiterOne holds an earlier revision.
    Behind,
    /// JupiterOne holds the revision, but did not write all objects. The sink repeats the job.
    Incomplete,
    /// JupiterOne holds another graph: the revisions restarted.
    OtherGraph,
    /// The sink is paused; its reason says until when.
    Paused,
    /// No sync job is recorded.
    Never,
}

impl SyncState {
    /// From the newest record of the sync topic, if there is one.
    pub fn of(sync: Option<&Sync>, poll: &Poll) -> Self {
        let Some(sync) = sync else { return Self::Never };
        match &sync.finished {
            _ if sync.paused.is_some() => Self::Paused,
            None => Self::Never,
            Some(_) if is_recreated(sync, poll) => Self::OtherGraph,
            Some(finished) if finished.revision < poll.revision => Self::Behind,
            Some(finished) if finished.unwritten > 0 => Self::Incomplete,
            Some(_) => Self::InSync,
        }
    }

    /// In a few words.
    pub fn label(self, behind: i64) -> String {
        match self {
            Self::InSync => "in sync".to_owned(),
            Self::Behind => format!("{behind} behind"),
            Self::Incomplete => "incomplete".to_owned(),
            Self::OtherGraph => "other graph".to_owned(),
            Self::Paused => "paused".to_owned(),
            Self::Never => "never synced".to_owned(),
        }
    }
}

/// How many revisions JupiterOne lacks (count).
pub fn behind(sync: Option<&Sync>, poll: &Poll) -> i64 {
    let held = sync.and_then(|sync| sync.finished.as_ref()).map_or(0, |finished| finished.revision);
    (poll.revision - held).max(0)
}

/// What an approval would allow, to be completed with how to give it. `deletions` are those of [`super::deletions`].
pub fn would_allow(sync: Option<&Sync>, deletions: &BTreeMap<String, i64>) -> String {
    let Some(finished) = sync.and_then(|sync| sync.finished.as_ref()) else {
        return "would let the first sync job delete whatever else the target holds".to_owned();
    };
    let before = |kind: &str| finished.counts.get(kind).copied().unwrap_or_default();
    let text: Vec<String> =
        deletions.iter().map(|(kind, deleted)| format!("{deleted} of {} {kind}", before(kind))).collect();
    let text = if text.is_empty() { "nothing".to_owned() } else { text.join(", ") };
    format!("would let the next sync job delete {text}")
}

#[cfg(test)]
mod tests {
    use schemas::{
        coverage::Poll,
        sync::{Finished, Sync},
    };

    use super::{SyncState, behind, would_allow};

    #[test]
    fn the_standing_follows_from_the_two_topics() {
        let poll = Poll { revision: 9, element_count: 2, ..Poll::default() };
        let finished = |revision, elements, unwritten| {
            let counts = [("anthropic_user".to_owned(), elements)].into();
            Sync {
                finished: Some(Finished { revision, counts, unwritten, ..Finished::default() }),
                ..Sync::default()
            }
        };
        let paused = Sync { paused: Some("403".to_owned()), ..finished(9, 2, 0) };
        for (sync, expected, label, revisions) in [
            (None, SyncState::Never, "never synced", 9),
            (Some(Sync::default()), SyncState::Never, "never synced", 9),
            (Some(finished(9, 2, 0)), SyncState::InSync, "in sync", 0),
            (Some(finished(6, 1, 0)), SyncState::Behind, "3 behind", 3),
            (Some(finished(9, 2, 1)), SyncState::Incomplete, "incomplete", 0),
            (Some(finished(9, 3, 0)), SyncState::OtherGraph, "other graph", 0),
            (Some(finished(12, 2, 0)), SyncState::OtherGraph, "other graph", 0),
            (Some(paused), SyncState::Paused, "paused", 0),
        ] {
            let state = SyncState::of(sync.as_ref(), &poll);
            assert_eq!(state, expected);
            assert_eq!(state.label(behind(sync.as_ref(), &poll)), label);
            assert_eq!(behind(sync.as_ref(), &poll), revisions);
        }
    }

    #[test]
    fn an_approval_allows_what_the_next_job_would_delete() {
        let counts = [("anthropic_user".to_owned(), 62)].into();
        let synced = Sync { finished: Some(Finished { counts, ..Finished::default() }), ..Sync::default() };
        let users = [("anthropic_user".to_owned(), 30)].into();
        let none = [].into();
        for (sync, deletions, text) in [
            (Some(&synced), &users, "the next sync job delete 30 of 62 anthropic_user"),
            (Some(&synced), &none, "the next sync job delete nothing"),
            (None, &none, "the first sync job delete whatever else the target holds"),
            (Some(&Sync::default()), &none, "the first sync job delete whatever else the target holds"),
        ] {
            assert_eq!(would_allow(sync, deletions), format!("would let {text}"));
        }
    }
}
