//! When the changes were observed that JupiterOne does not have yet.

use graph::state::State;

/// Most changes that are waited for separately (count): those of a week in which each poll brings some. Later ones
/// are not measured.
const MOST_WAITING: usize = 1_000;

/// Revisions of an organization's graph that were seen, and when the listings that brought them ended.
#[derive(Debug)]
pub(crate) struct UnsyncedChanges {
    revision: i64,
    /// Revision and time (ms).
    waiting: Vec<(i64, i64)>,
}

impl UnsyncedChanges {
    /// JupiterOne has all up to this revision.
    pub(crate) fn after(revision: i64) -> Self {
        Self { revision, waiting: Vec::new() }
    }

    /// The newest revision that was seen.
    pub(crate) fn revision(&self) -> i64 {
        self.revision
    }

    /// Notes the graph's revision, with the end of its newest whole listing. Says whether it is another one than before.
    pub(crate) fn note(&mut self, state: &State) -> bool {
        let revision = state.revision();
        if revision == self.revision {
            return false;
        }
        let whole = state.coverage().values().filter_map(|coverage| coverage.whole.as_ref());
        if revision > self.revision
            && self.waiting.len() < MOST_WAITING
            && let Some(observed_ms) = whole.map(|whole| whole.ended_ts_ms).max()
        {
            self.waiting.push((revision, observed_ms));
        }
        self.revision = revision;
        true
    }

    /// When those were observed (ms) that are up to this revision, which JupiterOne has now.
    pub(crate) fn synced(&mut self, revision: i64) -> Vec<i64> {
        let (synced, waiting) = self.waiting.drain(..).partition(|(of, _)| *of <= revision);
        self.waiting = waiting;
        let synced: Vec<(i64, i64)> = synced;
        synced.into_iter().map(|(_, observed_ms)| observed_ms).collect()
    }
}
