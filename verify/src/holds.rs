//! What proposes a deletion that a person decides about: the listing that a hold or an approved deletion names.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use schemas::{
    coverage::{Hold, HoldState},
    encoded::EncodedElement,
    raw::{Decision, DecisionKind},
};

use super::{
    coverage_check::horizon,
    coverage_claims::collection_of,
    elements::is_default,
    expected_graph::Reach,
    graph_topic::GraphTopic,
    raw_topic::Listing,
    verdict::{Law, Verdict, Violation},
};

#[derive(Debug, Default)]
pub(super) struct Proposals {
    /// By listing and element.
    asked: BTreeMap<String, BTreeMap<String, Asked>>,
    /// A hash of each listing's id, and its offset: 16 bytes for each listing in raw, since a decision may name any that
    /// came before it.
    met: Vec<(u64, i64)>,
    /// Keys of held elements that a decision rejects, so far as it may be one that counts.
    rejected: BTreeSet<String>,
    /// Those among them that the graph must know to be rejected, with the decision's offset.
    known_rejected: BTreeMap<String, i64>,
}

/// Whether a listing lacks an element.
#[derive(Debug)]
struct Asked {
    kind: String,
    collection: String,
    ends: Vec<String>,
    is_default: bool,
    found: Option<Finding>,
}

/// What a listing proves.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) offset: i64,
    ended_ts_ms: i64,
    /// Why it does not prove that the element is absent.
    pub(super) refusal: Option<String>,
    /// Retention may have cut into it.
    is_cut: bool,
}

impl Proposals {
    /// Asks whether a listing lacks an element.
    pub(super) fn ask(&mut self, listing_id: &str, element: &EncodedElement, collection: &str) {
        let asked = Asked {
            kind: element.kind().to_owned(),
            collection: collection.to_owned(),
            ends: element.ends().map(str::to_owned).collect(),
            is_default: is_default(element),
            found: None,
        };
        self.asked.entry(listing_id.to_owned()).or_default().insert(element.key().to_owned(), asked);
    }

    /// Asks it for each hold.
    pub(super) fn ask_for_holds(&mut self, graph_topic: &GraphTopic) {
        for (key, hold) in &graph_topic.holds {
            if let Some(element) = graph_topic.elements.get(key) {
                self.ask(&hold.listing_id, element, &hold.collection);
            }
        }
    }

    /// Takes a listing, and why it is not whole, if it is not.
    pub(super) fn take_listing(&mut self, listing: &Listing, offset: i64, partial: Option<&str>) {
        self.met.push((hash(&listing.id), offset));
        for (key, asked) in self.asked.get_mut(&listing.id).into_iter().flatten() {
            let ends = asked.ends.iter().map(String::as_str);
            let refusal = if let Some(partial) = partial.filter(|_| !listing.is_cut) {
                Some(format!("a listing that is not whole: {partial}"))
            } else if asked.collection != listing.collection {
                Some(format!("a listing of {}", listing.collection))
            } else if listing.elements.contains_key(key) {
                Some("a listing that has it".to_owned())
            } else if listing.is_silent_about(&asked.kind, ends, asked.is_default) {
                Some("a listing that is silent about it".to_owned())
            } else {
                None
            };
            let (ended_ts_ms, is_cut) = (listing.manifest.ended_ts_ms, listing.is_cut);
            asked.found = Some(Finding { offset, ended_ts_ms, refusal, is_cut });
        }
    }

    /// Takes a decision; of a rejection, which holds it may be about.
    pub(super) fn take_decision(&mut self, decision: &Decision, offset: i64, graph_topic: &GraphTopic) {
        let Some(listing_id) = decision.listing_id.as_ref().filter(|_| decision.kind == DecisionKind::Reject)
        else {
            return;
        };
        // Of a listing that is cut off, it is unknown which ones it came before.
        let seen = self.offset(listing_id).unwrap_or(offset);
        for (key, hold) in &graph_topic.holds {
            let is_of_another = decision.collection.as_ref().is_some_and(|it| *it != hold.collection);
            if is_of_another || hold.raw_offset > seen || hold.raw_offset > offset {
                continue;
            }
            let named = decision.element_key.as_ref();
            let is_named = named.is_none_or(|named| named == key);
            if is_named && *listing_id == hold.listing_id && offset < horizon(graph_topic) {
                self.known_rejected.entry(key.clone()).or_insert(offset);
            }
            let is_end = |named: &String| {
                let held = graph_topic.elements.get(key);
                held.is_some_and(|held| held.ends().any(|end| end == named))
                    && collection_of(named) == hold.collection
            };
            if is_named || named.is_some_and(is_end) {
                self.rejected.insert(key.clone());
            }
        }
    }

    /// Where a listing ended that was met so far.
    pub(super) fn offset(&self, listing_id: &str) -> Option<i64> {
        let wanted = hash(listing_id);
        self.met.iter().find(|(met, _)| *met == wanted).map(|(_, offset)| *offset)
    }

    /// What a listing that was met proves of an element that was asked for; nothing if it is cut.
    pub(super) fn finding(&self, listing_id: &str, key: &str) -> Option<&Finding> {
        self.asked.get(listing_id)?.get(key)?.found.as_ref().filter(|found| !found.is_cut)
    }

    pub(super) fn judge(&self, graph_topic: &GraphTopic, reach: Reach, verdict: &mut Verdict) {
        for (key, hold) in &graph_topic.holds {
            let asked = self.asked.get(&hold.listing_id).and_then(|asked| asked.get(key));
            let found = asked.and_then(|asked| asked.found.as_ref());
            if hold.raw_offset < reach.beginning || found.is_some_and(|found| found.is_cut) {
                verdict.give_up(Law::Justification, 1);
                continue;
            }
            let judgement = judge_proposal(hold, found).and_then(|()| self.judge_state(key, hold));
            verdict.judge(
                Law::Justification,
                judgement.map_err(|(expected, found)| {
                    Violation::new(key, expected, found).at_offset(hold.raw_offset)
                }),
            );
        }
    }

    fn judge_state(&self, key: &str, hold: &Hold) -> Result<(), (String, String)> {
        let rejection = self.known_rejected.get(key);
        match &hold.state {
            HoldState::Rejected if !self.rejected.contains(key) => {
                Err(("a decision that rejects it".to_owned(), "none".to_owned()))
            }
            HoldState::Rejected => Ok(()),
            HoldState::Proposed => rejection.map_or(Ok(()), |offset| {
                let expected = format!("a hold that is rejected, as was decided at raw offset {offset}");
                Err((expected, "one that is not".to_owned()))
            }),
            HoldState::Other { text, .. } => {
                Err(("a hold that is proposed or rejected".to_owned(), text.to_string()))
            }
        }
    }
}

fn judge_proposal(hold: &Hold, found: Option<&Finding>) -> Result<(), (String, String)> {
    let expected = || "a hold by a whole listing without it".to_owned();
    let Some(found) = found else { return Err((expected(), "nothing in the raw topic".to_owned())) };
    if let Some(refusal) = &found.refusal {
        return Err((expected(), refusal.clone()));
    }
    if (found.offset, found.ended_ts_ms) != (hold.raw_offset, hold.proposed_ts_ms) {
        let expected = format!("raw offset {} and the time of the listing", found.offset);
        return Err((expected, "others".to_owned()));
    }
    Ok(())
}

fn hash(listing_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    listing_id.hash(&mut hasher);
    hasher.finish()
}
