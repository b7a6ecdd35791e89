//! What licenses each deletion: a whole listing without the element, the end of an end, or a person's decision.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    change::{Envelope, op, reason},
    element::Element,
    raw::Decision,
};

use super::{
    evidence::Listing,
    known::Reach,
    verdict::{Law, Verdict, Violation},
};

/// Below a raw topic's cut, clocks of several machines tell what was before it: this far apart at most (ms).
const CLOCKS: i64 = 60 * 60 * 1000;

/// One organization's deletions.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    /// By what they rest on: a listing's id, or a decision.
    rests: BTreeMap<Rest, Group>,
    current: Option<Rest>,
    /// How many primary elements each collection has, by the log so far.
    primary: BTreeMap<String, i64>,
    /// Offsets of the listings that were met, by id.
    listings: BTreeMap<String, i64>,
    /// Workspaces that each listing created.
    born: BTreeMap<String, BTreeSet<String>>,
    /// When the organization's first raw record was observed.
    begins: Option<i64>,
    /// The log has lost its beginning, so nothing can be counted by it.
    is_log_cut: bool,
}

/// What changes rest on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Rest {
    Listing(String),
    /// By whom and when.
    Decision(String, i64),
}

/// Deletions that rest on one thing.
#[derive(Debug, Default)]
struct Group {
    deletions: Vec<Deletion>,
    /// Keys of the entities among them.
    entities: BTreeSet<String>,
    /// Of its collection, before the first of its changes.
    primary_before: i64,
    /// Deleted for their absence, of those.
    primary_deleted: i64,
}

#[derive(Debug)]
struct Deletion {
    element: Element,
    reason: String,
    listing_id: Option<String>,
    revision: i64,
    ts_ms: i64,
    standing: Standing,
}

/// What the raw records that were met make of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// Nothing was met that it could rest on.
    Open,
    Licensed,
    /// What was met does not license it.
    Refused(String),
}

impl Standing {
    fn of(refusal: Option<String>) -> Self {
        refusal.map_or(Self::Licensed, Self::Refused)
    }
}

impl Deletions {
    /// Notes a change of the log, before it is folded.
    pub(super) fn note(&mut self, change: &Envelope, is_log_cut: bool) {
        self.is_log_cut = is_log_cut;
        let source = &change.source;
        let rest = match (&source.decision_by, &source.listing_id) {
            (Some(by), _) => Rest::Decision(by.clone(), change.ts_ms),
            (None, Some(listing_id)) => Rest::Listing(listing_id.clone()),
            (None, None) => Rest::Listing(String::new()),
        };
        let owner = |element: &Element| {
            let is_primary = element.is_relationship() == element.collection.starts_with("members/");
            is_primary.then(|| element.collection.clone())
        };
        let of_source = self.primary.get(&source.collection).copied().unwrap_or_default();
        match (change.op.as_str(), &change.before, &change.after) {
            (op::CREATE | op::READ, _, Some(after)) => {
                if let Some(collection) = owner(after) {
                    *self.primary.entry(collection).or_default() += 1;
                }
                if let (Some(workspace), Some(listing_id)) = (&after.workspace, &source.listing_id) {
                    self.born.entry(listing_id.clone()).or_default().insert(workspace.id.clone());
                }
                // Deletions come first: what rests on it from here on deletes nothing.
                self.current = Some(rest);
            }
            (op::DELETE, Some(before), _) => {
                let is_new = self.current.as_ref() != Some(&rest);
                let group = self.rests.entry(rest.clone()).or_default();
                if is_new && group.deletions.is_empty() {
                    group.primary_before = of_source;
                }
                self.current = Some(rest);
                if let Some(collection) = owner(before) {
                    let is_absent = change.reason.as_deref() == Some(reason::ABSENT);
                    group.primary_deleted += i64::from(is_absent && collection == source.collection);
                    *self.primary.entry(collection).or_default() -= 1;
                }
                if !before.is_relationship() {
                    group.entities.insert(before.key.clone());
                }
                group.deletions.push(Deletion {
                    element: before.clone(),
                    reason: change.reason.clone().unwrap_or_default(),
                    listing_id: source.listing_id.clone(),
                    revision: change.revision,
                    ts_ms: change.ts_ms,
                    standing: Standing::Open,
                });
            }
            _ => {}
        }
    }

    /// Notes when the organization's first raw record was observed.
    pub(super) fn begin(&mut self, ts_ms: i64) {
        self.begins.get_or_insert(ts_ms);
    }

    /// Ids of the workspaces that a listing created, told once.
    pub(super) fn take_born(&mut self, listing_id: &str) -> BTreeSet<String> {
        self.born.remove(listing_id).unwrap_or_default()
    }

    /// Takes a listing, and why it is not whole, if it is not.
    pub(super) fn take_listing(&mut self, listing: &Listing, offset: i64, partial: Option<&str>) {
        self.listings.entry(listing.id.clone()).or_insert(offset);
        if listing.is_cut {
            return;
        }
        let Some(group) = self.rests.get_mut(&Rest::Listing(listing.id.clone())) else { return };
        let over = group.over(listing).filter(|_| !self.is_log_cut);
        for deletion in group.deletions.iter_mut().filter(|it| it.reason == reason::ABSENT) {
            if deletion.standing == Standing::Licensed {
                continue;
            }
            let refusal = if let Some(partial) = partial {
                Some(format!("a listing that is not whole: {partial}"))
            } else if deletion.element.collection != listing.collection {
                Some(format!("a listing of {}", listing.collection))
            } else if listing.elements.contains_key(&deletion.element.key) {
                Some("a listing that has it".to_owned())
            } else if listing.is_silent_about(&deletion.element, &BTreeMap::new()) {
                Some("a listing that is silent about it".to_owned())
            } else {
                over.clone()
            };
            deletion.standing = Standing::of(refusal);
        }
    }

    /// Takes a decision.
    pub(super) fn take_decision(&mut self, decision: &Decision) {
        let rest = Rest::Decision(decision.by.clone(), decision.decided_ts_ms);
        let listings = &self.listings;
        let Some(group) = self.rests.get_mut(&rest) else { return };
        let seen = decision.listing_id.as_ref().map(|id| listings.get(id));
        for deletion in &mut group.deletions {
            let is_named = decision.element_key.as_ref().is_none_or(|key| *key == deletion.element.key)
                && decision
                    .collection
                    .as_ref()
                    .is_none_or(|collection| *collection == deletion.element.collection);
            let held = deletion.listing_id.as_ref().and_then(|id| listings.get(id));
            let refusal = match (deletion.reason.as_str(), decision.kind.as_str()) {
                (reason::FORGOTTEN, "forget") => None,
                (reason::APPROVED, "approve") if !is_named => Some("a decision about something else"),
                (reason::APPROVED, "approve") => match (seen, held) {
                    (None, _) => Some("a decision that names no listing"),
                    (Some(Some(seen)), Some(held)) if held > seen => {
                        Some("a decision by a person who had not seen that it was held")
                    }
                    _ => None,
                },
                _ => continue,
            };
            if deletion.standing != Standing::Licensed {
                deletion.standing = Standing::of(refusal.map(str::to_owned));
            }
        }
    }

    /// Judges all of them.
    pub(super) fn judge(self, reach: Reach, verdict: &mut Verdict) {
        let begins = self.begins.unwrap_or(i64::MAX);
        for Group { deletions, entities, .. } in self.rests.into_values() {
            for mut deletion in deletions {
                if deletion.reason == reason::END_DELETED {
                    let has_ended = deletion.element.ends().any(|end| entities.contains(end));
                    let refusal = (!has_ended).then(|| "none of its ends deleted with it".to_owned());
                    deletion.standing = Standing::of(refusal);
                }
                let is_before = reach.beginning > 0 && deletion.ts_ms < begins.saturating_add(CLOCKS);
                let found = match deletion.standing {
                    Standing::Licensed => Ok(()),
                    Standing::Refused(found) => Err(found),
                    Standing::Open if is_before => {
                        verdict.give_up(Law::Licence, 1);
                        continue;
                    }
                    Standing::Open => Err("nothing in the raw topic".to_owned()),
                };
                let violation = |found| {
                    let expected = expected(&deletion.reason);
                    Violation::new(&deletion.element.key, expected, found).at_revision(deletion.revision)
                };
                verdict.judge(Law::Licence, found.map_err(violation));
            }
        }
    }
}

/// What licenses a deletion of that reason.
fn expected(reason: &str) -> &'static str {
    match reason {
        reason::ABSENT => "a whole listing without it",
        reason::END_DELETED => "the deletion of an end",
        reason::APPROVED => "an approval of what was held",
        reason::FORGOTTEN => "a decision to forget the organization",
        _ => "a reason that licenses a deletion",
    }
}

impl Group {
    /// The guard's limit that the listing is over, by what it deleted: what is held would come on top.
    fn over(&self, listing: &Listing) -> Option<String> {
        let configuration = &listing.manifest.configuration;
        let (deleted, before) = (self.primary_deleted, self.primary_before);
        #[expect(clippy::cast_precision_loss, reason = "a fraction of fewer than 2^52 elements")]
        let is_large = deleted as f64 > configuration.max_deleted_fraction * before as f64;
        let is_over = deleted > configuration.max_deleted_count && is_large;
        let is_everybody = listing.collection == "users" && deleted > 0 && deleted == before;
        (is_over || is_everybody)
            .then(|| format!("a listing that deletes {deleted} of {before}, which the guard holds"))
    }
}
