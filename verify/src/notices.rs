//! Whether the log has one notice for each hold.

use std::collections::{BTreeMap, BTreeSet};

use schemas::change::Reason;

use super::{
    change_summary::{ChangeSummary, ends},
    graph_topic::GraphTopic,
    raw_topic::Listing,
    verdict::{Law, Verdict, Violation},
};

/// One organization's held elements, as the notices and the listings show them.
#[derive(Debug, Default)]
pub(super) struct Notices {
    noticed: BTreeMap<String, BTreeSet<Box<str>>>,
    /// No record about a hold, or about its end, is deleted by retention.
    is_complete: bool,
}

impl Notices {
    pub(super) fn begin(&mut self, is_complete: bool) {
        self.is_complete = is_complete;
    }

    /// Holds a notice to the listing on which it rests, and why that is not whole, if it is not.
    pub(super) fn judge(
        &self,
        note: &ChangeSummary,
        listing: &Listing,
        partial: Option<&str>,
    ) -> Result<(), Violation> {
        let is_noticed =
            || self.noticed.get(&listing.collection).is_some_and(|noticed| noticed.contains(note.key()));
        let found = if note.source.reason != Some(Reason::Held) {
            "another reason"
        } else if listing.elements.contains_key(note.key()) {
            "a listing that has it"
        } else if partial.is_some() {
            "a listing that is not whole"
        } else if self.is_complete && is_noticed() {
            "a second one, though it was held since the first"
        } else {
            return Ok(());
        };
        Err(Violation::new(note.key(), "a notice of what a whole listing lacks", found))
    }

    /// What is listed again is no longer held.
    pub(super) fn end(&mut self, listing: &Listing) {
        if let Some(noticed) = self.noticed.get_mut(&listing.collection) {
            noticed.retain(|key| !listing.elements.contains_key(key));
        }
    }

    pub(super) fn add(&mut self, collection: &str, key: &str) {
        self.noticed.entry(collection.to_owned()).or_default().insert(key.into());
    }

    pub(super) fn forget(&mut self, collection: &str, key: &str) {
        if let Some(noticed) = self.noticed.get_mut(collection) {
            noticed.remove(key);
        }
    }

    /// Whether a notice reports that the element is held. A relationship is reported with its entity; an older version
    /// reported no relationship of the entities' collections, but some entity of the collection.
    pub(super) fn is_held(&self, collection: &str, key: &str) -> bool {
        let Some(noticed) = self.noticed.get(collection) else { return false };
        let is_noticed_with_another = ends(key).next().is_some() && !collection.starts_with("members/");
        noticed.contains(key) || is_noticed_with_another && !noticed.is_empty()
    }

    /// Each hold of the graph topic has a notice.
    pub(super) fn judge_holds(&self, graph_topic: &GraphTopic, verdict: &mut Verdict) {
        for (key, hold) in &graph_topic.holds {
            if !self.is_complete {
                verdict.give_up(Law::Notices, 1);
                continue;
            }
            verdict.hold(Law::Notices, self.is_held(&hold.collection, key), || {
                Violation::new(key, "a notice that it is held", "none").at_offset(hold.raw_offset)
            });
        }
    }
}
