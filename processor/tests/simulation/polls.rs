//! What a poll's marks should lead to: the reference's other half.

use schemas::{
    collection::Collection,
    coverage::{Coverage, Latest},
    raw::{Mark, MarkKind, Outcome},
};

use crate::reference::Organization;

impl Organization {
    pub(crate) fn mark(&mut self, mark: &Mark, poll_id: Option<&String>, ts_ms: i64, offset: i64) {
        self.poll().poll_id = poll_id.cloned();
        if mark.kind == MarkKind::Start {
            self.poll().ended = false;
            self.poll().started_ts_ms = Some(ts_ms);
            return;
        }
        let mut incomplete: Vec<String> = mark.reason.iter().cloned().collect();
        for line in &mark.outcomes {
            let judged = self.coverage.get(&line.collection).and_then(|coverage| coverage.latest.as_ref());
            let is_whole = judged.is_none_or(|it| [Outcome::Whole, Outcome::Guarded].contains(&it.outcome));
            match line.outcome {
                Outcome::Whole if is_whole => continue,
                Outcome::Gone => {}
                _ => incomplete.push(line.collection.clone()),
            }
            if line.outcome == Outcome::Whole {
                continue;
            }
            let latest = Latest {
                outcome: line.outcome.clone(),
                reason: line.reason.as_ref().map(|_| String::new()),
                poll_id: poll_id.cloned(),
                raw_offset: offset,
                ended_ts_ms: ts_ms,
            };
            for name in self.told_of(mark, &line.collection, poll_id) {
                let coverage = self.cover(&name, latest.clone());
                if line.outcome == Outcome::Gone {
                    coverage.not_whole_since_ts_ms = None;
                } else {
                    coverage.not_whole_since_ts_ms.get_or_insert(ts_ms);
                }
            }
        }
        self.skip_held_workspaces(mark, poll_id, ts_ms, offset);
        let poll = self.poll();
        poll.ended = true;
        poll.ended_ts_ms = Some(ts_ms);
        poll.complete = mark.complete && incomplete.is_empty();
        poll.incomplete = incomplete;
    }

    /// The collections that an end mark's line is about: the one that it names, or all members that the poll says
    /// nothing else of and that are there to be listed.
    fn told_of(&self, mark: &Mark, name: &str, poll_id: Option<&String>) -> Vec<String> {
        let is_open = |(name, coverage): &(&String, &Coverage)| {
            name.starts_with("members/") && Self::is_untold(name, coverage, mark, poll_id)
        };
        match Collection::parse(name) {
            Some(collection) if self.has_workspace_of(&collection) => vec![name.to_owned()],
            Some(_) => Vec::new(),
            None => self.coverage.iter().filter(is_open).map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Whether a poll says nothing of those members, which are there to be listed.
    fn is_untold(name: &str, coverage: &Coverage, mark: &Mark, poll_id: Option<&String>) -> bool {
        mark.outcomes.iter().all(|line| line.collection != name)
            && coverage
                .latest
                .as_ref()
                .is_none_or(|latest| latest.poll_id.as_ref() != poll_id && latest.outcome != Outcome::Gone)
    }

    /// Nobody lists the members of a workspace that is not listed itself.
    fn skip_held_workspaces(&mut self, mark: &Mark, poll_id: Option<&String>, ts_ms: i64, offset: i64) {
        let held: Vec<String> = self
            .holds
            .keys()
            .filter_map(|key| key.strip_prefix("anthropic_workspace:"))
            .map(str::to_owned)
            .collect();
        for id in held {
            let name = format!("members/{id}");
            let is_untold = |coverage: &Coverage| Self::is_untold(&name, coverage, mark, poll_id);
            if self.coverage.get(&name).is_some_and(is_untold)
                && mark.outcomes.iter().all(|line| line.collection != "members")
            {
                let latest = Latest {
                    outcome: Outcome::Skipped,
                    reason: Some(String::new()),
                    poll_id: poll_id.cloned(),
                    raw_offset: offset,
                    ended_ts_ms: ts_ms,
                };
                self.cover(&name, latest).not_whole_since_ts_ms.get_or_insert(ts_ms);
            }
        }
    }
}
