//! The exposure window of each change, and whether it is one of a first listing: what the whole listings before say.

use std::collections::{BTreeMap, BTreeSet};

use super::{change_summary::ChangeSummary, raw_topic::Listing, verdict::Violation};

/// One organization's last whole listings, as the raw records show them.
#[derive(Debug, Default)]
pub(super) struct Windows {
    wholes: BTreeMap<String, Whole>,
    /// Collections without one above have none: nothing that was before is cut off.
    is_complete: bool,
    /// Collections that are unknown: members of workspaces that another version of the processor created, or of
    /// which a cut log does not show when they were there.
    unknown: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Whole {
    started_ts_ms: i64,
    parameters: BTreeMap<String, String>,
}

/// What there was before a listing.
enum Before<'a> {
    Unknown,
    /// No whole listing of the collection.
    Never,
    Whole(&'a Whole),
}

impl Windows {
    pub(super) fn begin(&mut self, is_complete: bool) {
        self.is_complete = is_complete;
    }

    /// Why the listing is not whole, if it is not.
    pub(super) fn partial(&self, listing: &Listing) -> Option<String> {
        let before = self.wholes.get(&listing.collection).map(|whole| &whole.parameters);
        listing.damage.clone().or_else(|| listing.narrower(before))
    }

    /// Whether it is unknown how wide the last whole listing was, and so whether this one is whole.
    pub(super) fn is_unsure(&self, listing: &Listing) -> bool {
        let is_widened = listing.collection == "workspaces" && !listing.is_widest();
        is_widened && matches!(self.before(&listing.collection), Before::Unknown)
    }

    pub(super) fn take(&mut self, listing: &Listing, is_whole: bool) {
        if !is_whole || listing.is_cut || self.is_unsure(listing) {
            return;
        }
        let whole = Whole {
            started_ts_ms: listing.manifest.started_ts_ms,
            parameters: listing.manifest.parameters.clone(),
        };
        self.wholes.insert(listing.collection.clone(), whole);
        self.unknown.remove(&listing.collection);
    }

    /// A workspace is new: the last whole listing of the workspaces says that it had no members then.
    pub(super) fn begin_members(&mut self, workspace_id: &str, is_of_this_version: bool) {
        let collection = format!("members/{workspace_id}");
        match self.wholes.get("workspaces") {
            _ if !is_of_this_version => drop(self.unknown.insert(collection)),
            Some(whole) => {
                let nobody = Whole { parameters: BTreeMap::new(), ..whole.clone() };
                self.wholes.insert(collection, nobody);
            }
            None => {}
        }
    }

    /// It is unknown whether a listing of that collection counted.
    pub(super) fn doubt(&mut self, collection: &str) {
        self.wholes.remove(collection);
        self.unknown.insert(collection.to_owned());
    }

    /// A workspace is gone, and its members' collection with it.
    pub(super) fn end_members(&mut self, workspace_id: &str) {
        let collection = format!("members/{workspace_id}");
        self.wholes.remove(&collection);
        self.unknown.remove(&collection);
    }

    /// The organization is forgotten: all begins again.
    pub(super) fn forget(&mut self) {
        *self = Self { is_complete: true, ..Self::default() };
    }

    /// Holds what a change says of itself to the listing on which it rests.
    pub(super) fn judge(&self, note: &ChangeSummary, listing: &Listing) -> Result<(), Violation> {
        let source = &note.source;
        let wrong = |expected: String, found: String| Err(Violation::new(note.key(), expected, found));
        let ended = listing.manifest.ended_ts_ms;
        if (source.ts_ms, source.not_after_ts_ms) != (ended, Some(ended)) {
            let found = format!("{} and {:?}", source.ts_ms, source.not_after_ts_ms);
            return wrong(format!("the time {ended} of its listing, and no later"), found);
        }
        if source.collection != listing.collection {
            return wrong(format!("the collection {}", listing.collection), source.collection.clone());
        }
        if source.name != listing.organization_name {
            return wrong("the organization's name as in the listing".to_owned(), "another one".to_owned());
        }
        let since = match self.before(&listing.collection) {
            Before::Unknown => return Ok(()),
            Before::Never => None,
            Before::Whole(whole) => Some(whole.started_ts_ms),
        };
        if source.not_before_ts_ms != since {
            let expected = format!("no earlier than {since:?}, when the whole listing before began");
            return wrong(expected, format!("{:?}", source.not_before_ts_ms));
        }
        let is_first = since.is_none();
        if source.is_snapshot != is_first || source.is_read != (is_first && note.is_creation) {
            let expected =
                if is_first { "the op and the snapshot of a first listing" } else { "no snapshot" };
            return wrong(expected.to_owned(), "the other".to_owned());
        }
        Ok(())
    }

    fn before(&self, collection: &str) -> Before<'_> {
        match self.wholes.get(collection) {
            _ if self.unknown.contains(collection) => Before::Unknown,
            Some(whole) => Before::Whole(whole),
            None if self.is_complete => Before::Never,
            None => Before::Unknown,
        }
    }
}

/// Holds what a change says of itself to the decision on which it rests.
pub(super) fn judge_decided(note: &ChangeSummary) -> Result<(), Violation> {
    let source = &note.source;
    let is_of_listing = source.listing_id.is_some();
    let is_so = source.not_before_ts_ms.is_none() && source.not_after_ts_ms.is_some() == is_of_listing;
    if is_so && !source.is_snapshot && !source.is_read {
        return Ok(());
    }
    let expected = "no snapshot, and of a window only the end, if a listing had proposed the deletion";
    Err(Violation::new(note.key(), expected, "something else"))
}
