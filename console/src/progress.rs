//! How far the topics are read.

use std::sync::{Mutex, PoisonError};

use service::admin::Health;
use tokio::sync::watch;

/// How far the topics are read; pages show it, and live ones wait for it.
#[derive(Debug)]
pub struct Progress {
    newest_change: watch::Sender<i64>,
    state: Mutex<State>,
    /// Why decisions are not possible yet.
    pub decisions: Health,
}

/// What a page says about the reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Offsets of the changes topic that are read, and those that there are, while the history is read for the first time.
    pub restoring: Option<(i64, i64)>,
    /// Why nothing is read now.
    pub trouble: Option<String>,
}

impl Default for Progress {
    fn default() -> Self {
        let decisions = Health::default();
        // Without any check it would not be ready.
        decisions.set("pages", Ok(()));
        Self { newest_change: watch::Sender::new(0), state: Mutex::default(), decisions }
    }
}

impl Progress {
    /// Changes were read up to that one.
    pub fn advance(&self, newest_change: i64) {
        self.newest_change.send_replace(newest_change);
    }

    /// A receiver that is notified of each advance from now on.
    pub fn watch(&self) -> watch::Receiver<i64> {
        self.newest_change.subscribe()
    }

    /// Changes what pages say.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What every page has to say.
    pub(crate) fn notices(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut notices = Vec::new();
        if let Some((read, all)) = state.restoring {
            let percent = if all > 0 { read.saturating_mul(100) / all } else { 0 };
            notices
                .push(format!("The history is being read: {percent} %. Answers are incomplete until it is."));
        }
        if let Some(trouble) = state.trouble {
            notices.push(format!("Nothing new is read at the moment: {trouble}"));
        }
        if let Err(reason) = self.decisions.readiness() {
            notices.push(format!("Decisions are not possible at the moment. {reason}"));
        }
        notices
    }
}
