//! What licenses each deletion: a whole listing without the element, the end of an end, or a person's decision.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    change::{Envelope, Op, Reason},
    element::ElementType,
    encoded::{EncodedChange, EncodedElement},
    raw::{Decision, DecisionKind},
};

use super::{
    elements::{is_default, origin_of, workspace},
    expected_graph::Reach,
    holds::{Finding, Proposals},
    raw_topic::Listing,
    reference_mapping::origin,
    verdict::{Law, Verdict, Violation},
};

/// Below a raw topic's cut, clocks of several machines show what was before it: this far apart at most (ms).
pub(super) const CLOCKS: i64 = 60 * 60 * 1000;

#[derive(Debug, Default)]
pub(super) struct Deletions {
    /// By what they rest on: a listing's id, or a decision.
    rests: BTreeMap<Rest, Group>,
    current: Option<Rest>,
    /// How many elements each collection has, by type and by the log so far.
    counts: BTreeMap<String, BTreeMap<String, i64>>,
    /// Workspaces that each listing created.
    born: BTreeMap<String, BTreeSet<String>>,
    /// When the organization's first raw record was observed.
    begins: Option<i64>,
    /// Deletions from before all raw records (count).
    lost: usize,
}

/// What changes rest on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rest {
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
    /// How many elements its collection had before the first of its changes, by type.
    before: BTreeMap<String, i64>,
    /// How many of those were deleted for their absence.
    deleted: BTreeMap<String, i64>,
    /// By type, which mappings and configurations the deleted ones are of.
    origins: BTreeMap<String, BTreeSet<String>>,
}

/// A deletion, with what of its element the laws ask for.
#[derive(Debug)]
struct Deletion {
    key: String,
    kind: String,
    collection: String,
    ends: Vec<String>,
    is_default: bool,
    reason: Option<Reason>,
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
    /// What would show it is cut off.
    Lost,
}

impl Rest {
    pub(super) fn of(change: &Envelope) -> Self {
        let source = &change.source;
        match (&source.decision_by, &source.listing_id) {
            (Some(by), _) => Self::Decision(by.clone(), change.ts_ms),
            (None, Some(listing_id)) => Self::Listing(listing_id.clone()),
            (None, None) => Self::Listing(String::new()),
        }
    }
}

impl Deletions {
    /// Notes a change of the log, before it is folded. `is_lost`: it is older than all raw records, and need not be
    /// remembered.
    pub(super) fn note(
        &mut self,
        EncodedChange { envelope, before, after }: &EncodedChange,
        is_lost: bool,
        proposals: &mut Proposals,
    ) {
        let rest = Rest::of(envelope);
        match (&envelope.op, before, after) {
            (Op::Create | Op::Read, _, Some(after)) => {
                *self.count(after) += 1;
                if let (Some(workspace), Some(listing_id), false) =
                    (workspace(after), &envelope.source.listing_id, is_lost)
                {
                    self.born.entry(listing_id.clone()).or_default().insert(workspace.id);
                }
                // Deletions come first: what rests on it from here on deletes nothing.
                self.current = Some(rest);
            }
            (Op::Delete, Some(before), _) => {
                if !is_lost {
                    self.note_deletion(envelope, before, rest);
                    if envelope.reason == Some(Reason::Approved)
                        && let Some(listing_id) = &envelope.source.listing_id
                    {
                        proposals.ask(listing_id, before, before.collection());
                    }
                }
                self.lost += usize::from(is_lost);
                *self.count(before) -= 1;
            }
            _ => {}
        }
    }

    /// How many elements of its type its collection has.
    fn count(&mut self, element: &EncodedElement) -> &mut i64 {
        let counts = self.counts.entry(element.collection().to_owned()).or_default();
        counts.entry(element.kind().to_owned()).or_default()
    }

    fn note_deletion(&mut self, change: &Envelope, before: &EncodedElement, rest: Rest) {
        let is_new = self.current.as_ref() != Some(&rest);
        let group = self.rests.entry(rest.clone()).or_default();
        if is_new && group.deletions.is_empty() {
            group.before = self.counts.get(&change.source.collection).cloned().unwrap_or_default();
        }
        self.current = Some(rest);
        if change.reason == Some(Reason::Absent) && before.collection() == change.source.collection {
            *group.deleted.entry(before.kind().to_owned()).or_default() += 1;
            // An older mapping's relationships were not counted by the guard.
            let origins = group.origins.entry(before.kind().to_owned()).or_default();
            origins.insert(origin_of(before).to_owned());
        }
        if !before.is_relationship() {
            group.entities.insert(before.key().to_owned());
        }
        group.deletions.push(Deletion {
            key: before.key().to_owned(),
            kind: before.kind().to_owned(),
            collection: before.collection().to_owned(),
            ends: before.ends().map(str::to_owned).collect(),
            is_default: is_default(before),
            reason: change.reason.clone(),
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

    /// IDs of the workspaces that a listing created, each once.
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
        for deletion in group.deletions.iter_mut().filter(|it| it.reason == Some(Reason::Absent)) {
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
            let standing = match (&deletion.reason, &decision.kind) {
                (Some(Reason::Forgotten), DecisionKind::Forget) if is_of_a_part => {
                    Standing::Refused("a decision that names a part of the organization".to_owned())
                }
                (Some(Reason::Forgotten), DecisionKind::Forget) => Standing::Licensed,
                (Some(Reason::Approved), DecisionKind::Approve) => match seen {
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
        verdict.give_up(Law::Justification, self.lost);
        for Group { deletions, entities, .. } in self.rests.into_values() {
            for mut deletion in deletions {
                if deletion.reason == Some(Reason::EndDeleted) {
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
                        verdict.give_up(Law::Justification, 1);
                        continue;
                    }
                    Standing::Open if is_before => {
                        verdict.give_up(Law::Justification, 1);
                        continue;
                    }
                    Standing::Open => Err("nothing in the raw topic".to_owned()),
                };
                let violation = |found| {
                    let expected = expected(deletion.reason.as_ref());
                    Violation::new(&deletion.key, expected, found).at_revision(deletion.revision)
                };
                verdict.judge(Law::Justification, found.map_err(violation));
            }
        }
    }
}

/// What licenses a deletion of that reason.
fn expected(reason: Option<&Reason>) -> &'static str {
    match reason {
        Some(Reason::Absent) => "a whole listing without it",
        Some(Reason::EndDeleted) => "the deletion of an end",
        Some(Reason::Approved) => "an approval of what was held",
        Some(Reason::Forgotten) => "a decision to forget the organization",
        Some(Reason::EndAppeared | Reason::Held | Reason::Other { .. }) | None => {
            "a reason that licenses a deletion"
        }
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
    /// The guard's limit that the listing is over, by what it deleted of one type: what is held would come on top.
    fn over(&self, listing: &Listing) -> Option<String> {
        let configuration = &listing.manifest.configuration;
        self.deleted.iter().find_map(|(kind, deleted)| {
            let before = self.before.get(kind).copied().unwrap_or_default();
            #[expect(clippy::cast_precision_loss, reason = "a fraction of fewer than 2^52 elements")]
            let is_large = *deleted as f64 > configuration.max_deleted_fraction * before as f64;
            let is_over =
                *deleted > configuration.max_deleted_count && is_large && self.is_counted(kind, listing);
            let is_everybody = kind == "anthropic_user" && *deleted > 0 && *deleted == before;
            (is_over || is_everybody).then(|| {
                format!("a listing that deletes {deleted} of {before} {kind}, which the guard holds")
            })
        })
    }

    /// Whether the guard counts elements of that type: relationships as well as entities only since this mapping, or one
    /// that has the configuration of the listing.
    fn is_counted(&self, kind: &str, listing: &Listing) -> bool {
        let is_primary = !is_relationship(kind) || listing.collection.starts_with("members/");
        let own = [listing.origin(), origin(None)];
        is_primary || self.origins.get(kind).is_some_and(|origins| origins.iter().all(|it| own.contains(it)))
    }
}

fn is_relationship(kind: &str) -> bool {
    ElementType::parse(kind).is_some_and(ElementType::is_relationship)
}
