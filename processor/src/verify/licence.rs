//! What licenses each deletion: a whole listing without the element, the end of an end, or a person's decision.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    change::{Envelope, op, reason},
    element::Element,
    raw::{Decision, decision},
};

use super::{
    evidence::{Listing, is_default},
    known::Reach,
    proposals::{Finding, Proposals},
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
    /// Workspaces that each listing created.
    born: BTreeMap<String, BTreeSet<String>>,
    /// When the organization's first raw record was observed.
    begins: Option<i64>,
    /// Deletions from before all that raw tells (count).
    lost: usize,
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

/// A deletion, with what of its element the laws ask for.
#[derive(Debug)]
struct Deletion {
    key: String,
    kind: String,
    collection: String,
    ends: Vec<String>,
    is_default: bool,
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
    /// What would tell is cut off.
    Lost,
}

impl Deletions {
    /// Notes a change of the log, before it is folded. `raw_since`: when the first raw record was observed, if what was
    /// before it is cut off (ms since 1970).
    pub(super) fn note(&mut self, change: &Envelope, raw_since: Option<i64>, proposals: &mut Proposals) {
        // Nothing tells of what is so old: no need to remember it.
        let is_lost = raw_since.is_some_and(|since| change.ts_ms < since.saturating_sub(CLOCKS));
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
                if let (Some(workspace), Some(listing_id), false) =
                    (&after.workspace, &source.listing_id, is_lost)
                {
                    self.born.entry(listing_id.clone()).or_default().insert(workspace.id.clone());
                }
                // Deletions come first: what rests on it from here on deletes nothing.
                self.current = Some(rest);
            }
            (op::DELETE, Some(before), _) => {
                let whose = owner(before);
                if !is_lost {
                    let is_counted = whose.as_ref() == Some(&source.collection);
                    self.note_deletion(change, before, rest, is_counted, of_source);
                    if change.reason.as_deref() == Some(reason::APPROVED)
                        && let Some(listing_id) = &source.listing_id
                    {
                        proposals.ask(listing_id, before, &before.collection);
                    }
                }
                self.lost += usize::from(is_lost);
                if let Some(collection) = whose {
                    *self.primary.entry(collection).or_default() -= 1;
                }
            }
            _ => {}
        }
    }

    fn note_deletion(
        &mut self,
        change: &Envelope,
        before: &Element,
        rest: Rest,
        is_counted: bool,
        of_source: i64,
    ) {
        let is_new = self.current.as_ref() != Some(&rest);
        let group = self.rests.entry(rest.clone()).or_default();
        if is_new && group.deletions.is_empty() {
            group.primary_before = of_source;
        }
        self.current = Some(rest);
        let is_absent = change.reason.as_deref() == Some(reason::ABSENT);
        group.primary_deleted += i64::from(is_absent && is_counted);
        if !before.is_relationship() {
            group.entities.insert(before.key.clone());
        }
        group.deletions.push(Deletion {
            key: before.key.clone(),
            kind: before.kind.clone(),
            collection: before.collection.clone(),
            ends: before.ends().map(str::to_owned).collect(),
            is_default: is_default(before),
            reason: change.reason.clone().unwrap_or_default(),
            listing_id: change.source.listing_id.clone(),
            revision: change.revision,
            ts_ms: change.ts_ms,
            standing: Standing::Open,
        });
    }

    /// Notes when the organization's first raw record was observed.
    pub(super) fn begin(&mut self, ts_ms: i64) {
        self.begins.get_or_insert(ts_ms);
    }

    /// Ids of the workspaces that a listing created, told once.
    pub(super) fn take_born(&mut self, listing_id: &str) -> BTreeSet<String> {
        self.born.remove(listing_id).unwrap_or_default()
    }

    /// Takes a listing, and why it is not whole, if it is not. `is_log_cut`: nothing can be counted by the log.
    pub(super) fn take_listing(&mut self, listing: &Listing, partial: Option<&str>, is_log_cut: bool) {
        if listing.is_cut {
            return;
        }
        let Some(group) = self.rests.get_mut(&Rest::Listing(listing.id.clone())) else { return };
        let over = group.over(listing).filter(|_| !is_log_cut);
        for deletion in group.deletions.iter_mut().filter(|it| it.reason == reason::ABSENT) {
            if deletion.standing == Standing::Licensed {
                continue;
            }
            let ends = deletion.ends.iter().map(String::as_str);
            let refusal = if let Some(partial) = partial {
                Some(format!("a listing that is not whole: {partial}"))
            } else if deletion.collection != listing.collection {
                Some(format!("a listing of {}", listing.collection))
            } else if listing.elements.contains_key(&deletion.key) {
                Some("a listing that has it".to_owned())
            } else if listing.is_silent_about(&deletion.kind, ends, deletion.is_default) {
                Some("a listing that is silent about it".to_owned())
            } else {
                over.clone()
            };
            deletion.standing = refusal.map_or(Standing::Licensed, Standing::Refused);
        }
    }

    /// Takes a decision, of which the listings that it and the changes name have been met before, where raw has them.
    /// `is_cut`: raw has lost its beginning.
    pub(super) fn take_decision(&mut self, decision: &Decision, proposals: &Proposals, is_cut: bool) {
        let rest = Rest::Decision(decision.by.clone(), decision.decided_ts_ms);
        let Some(group) = self.rests.get_mut(&rest) else { return };
        let seen = decision.listing_id.as_deref().map(|id| proposals.offset(id));
        let is_of_a_part = decision.collection.is_some() || decision.element_key.is_some();
        for deletion in &mut group.deletions {
            let standing = match (deletion.reason.as_str(), decision.kind.as_str()) {
                (reason::FORGOTTEN, decision::FORGET) if is_of_a_part => {
                    Standing::Refused("a decision that names a part of the organization".to_owned())
                }
                (reason::FORGOTTEN, decision::FORGET) => Standing::Licensed,
                (reason::APPROVED, decision::APPROVE) => match seen {
                    Some(seen) => deletion.approved(decision, seen, proposals, is_cut),
                    None => Standing::Refused("a decision that names no listing".to_owned()),
                },
                _ => continue,
            };
            if deletion.standing != Standing::Licensed {
                deletion.standing = standing;
            }
        }
    }

    /// Judges all of them.
    pub(super) fn judge(self, reach: Reach, verdict: &mut Verdict) {
        let begins = self.begins.unwrap_or(i64::MAX);
        verdict.give_up(Law::Licence, self.lost);
        for Group { deletions, entities, .. } in self.rests.into_values() {
            for mut deletion in deletions {
                if deletion.reason == reason::END_DELETED {
                    let has_ended = deletion.ends.iter().any(|end| entities.contains(end));
                    deletion.standing = if has_ended {
                        Standing::Licensed
                    } else {
                        Standing::Refused("none of its ends deleted with it".to_owned())
                    };
                }
                let is_before = reach.beginning > 0 && deletion.ts_ms < begins.saturating_add(CLOCKS);
                let found = match deletion.standing {
                    Standing::Licensed => Ok(()),
                    Standing::Refused(found) => Err(found),
                    Standing::Lost => {
                        verdict.give_up(Law::Licence, 1);
                        continue;
                    }
                    Standing::Open if is_before => {
                        verdict.give_up(Law::Licence, 1);
                        continue;
                    }
                    Standing::Open => Err("nothing in the raw topic".to_owned()),
                };
                let violation = |found| {
                    let expected = expected(&deletion.reason);
                    Violation::new(&deletion.key, expected, found).at_revision(deletion.revision)
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

impl Deletion {
    /// What an approval makes of it. `seen`: the offset of the listing that it names, if that was met.
    fn approved(
        &self,
        decision: &Decision,
        seen: Option<i64>,
        proposals: &Proposals,
        is_cut: bool,
    ) -> Standing {
        let is_other =
            |named: &Option<String>, own: &String| named.as_ref().is_some_and(|named| named != own);
        let refused = |found: &str| Standing::Refused(found.to_owned());
        if is_other(&decision.element_key, &self.key) || is_other(&decision.collection, &self.collection) {
            return refused("a decision about something else");
        }
        let held = self.listing_id.as_deref().and_then(|id| proposals.finding(id, &self.key));
        match (seen, held) {
            (_, Some(Finding { refusal: Some(refusal), .. })) => refused(refusal),
            (Some(seen), Some(held)) if held.offset > seen => {
                refused("a decision by a person who had not seen that it was held")
            }
            (Some(_), Some(_)) => Standing::Licensed,
            _ if is_cut => Standing::Lost,
            (None, _) => refused("a decision that names a listing that is nowhere"),
            (_, None) => refused("no listing that lacked it"),
        }
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
