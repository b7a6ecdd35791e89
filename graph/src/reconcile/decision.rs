//! What a person decided: about what the guard holds, or about the whole organization.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{
    change::Reason,
    codec::digest,
    collection::POLL,
    coverage::{Hold, HoldState, Poll},
    encoded::EncodedElement,
    graph_value::GraphValue,
    raw::{Decision, DecisionKind},
};

use crate::{
    change::Images,
    state::{GraphKey, State},
};

use super::{
    Ending, Origin, Position, Reconciled, Targets, in_order, is_applied, poll_record, write_poll, written,
};

/// Reconciles an organization's state with a decision. One that is read once more decides nothing.
pub fn reconcile_decision(
    state: &State,
    decision: &Decision,
    position: Position<'_>,
    partition_count: i32,
) -> Reconciled {
    if is_applied(state, position.offset) {
        return Reconciled::applied();
    }
    let digest = digest_of(decision);
    // A person who decides may know only the organization's ID: its name is what its polls say.
    let organization_name =
        state.coverage().get(POLL).map_or(position.organization_name, |poll| poll.organization_name.as_str());
    let position = Position { organization_name, ..position };
    let deciding = Deciding { state, decision, digest: &digest, position, partition_count };
    let decided = match &decision.kind {
        DecisionKind::Approve => deciding.approve(),
        DecisionKind::Reject => deciding.reject(),
        DecisionKind::Forget => deciding.forget(),
        DecisionKind::Other { text, .. } => Err(format!("the decision has the unknown kind {text:?}")),
    };
    decided.unwrap_or_else(|reason| Reconciled {
        outcome: Ending::Void,
        reason: Some(reason),
        ..Reconciled::default()
    })
}

struct Deciding<'a> {
    state: &'a State,
    decision: &'a Decision,
    digest: &'a str,
    position: Position<'a>,
    partition_count: i32,
}

impl Deciding<'_> {
    /// Deletes what is held, as a listing would have.
    fn approve(&self) -> Result<Reconciled, String> {
        let holds = self.seen(|hold| {
            // What a person keeps does not go with the rest: only an approval that names it takes it.
            let is_open = hold.state == HoldState::Proposed || self.decision.element_key.is_some();
            is_open && self.is_named(hold)
        })?;
        let deleted: BTreeSet<String> = holds.iter().map(|hold| hold.element_key.clone()).collect();
        let targets = Targets::of(self.state, BTreeMap::new(), deleted);
        let mut reconciled = written(self.state, targets, |targets, images, revision| {
            let key = images.key();
            let reason = if targets.is_deleted(key) { Reason::Approved } else { Reason::EndDeleted };
            let hold = self.licensing(targets, images.element());
            let origin = Origin {
                collection: &hold.collection,
                listing_id: Some(&hold.listing_id),
                not_after_ts_ms: Some(hold.proposed_ts_ms),
                ..self.origin()
            };
            origin.shared().change(images, Some(reason), revision)
        });
        write_poll(self.state, &mut reconciled, self.position, self.partition_count);
        Ok(Reconciled { outcome: Ending::Decided, holds: holds.len(), ..reconciled })
    }

    /// Keeps what is held until it returns or is approved after all; an entity with its relationships, which the same
    /// approval of all the others would take from it.
    fn reject(&self) -> Result<Reconciled, String> {
        let holds = self.seen(|hold| {
            let is_meant = self.is_named(hold) || self.is_of_the_named_listing_too(hold);
            is_meant && hold.state == HoldState::Proposed
        })?;
        let rejected = |hold: &&Hold| {
            let hold = Hold { state: HoldState::Rejected, ..(*hold).clone() };
            (GraphKey::Hold(hold.element_key.clone()), Some(GraphValue::Hold(Box::new(hold))))
        };
        let others = holds.iter().map(rejected).collect();
        Ok(Reconciled { others, outcome: Ending::Decided, holds: holds.len(), ..Reconciled::default() })
    }

    /// Deletes all that is known of the organization. Its revisions go on; its next poll begins as the first one did.
    fn forget(&self) -> Result<Reconciled, String> {
        let state = self.state;
        if self.decision.collection.is_some() || self.decision.element_key.is_some() {
            return Err(
                "an organization can only be forgotten as a whole, but the decision names a part of it"
                    .to_owned(),
            );
        }
        if state.coverage().is_empty() {
            return Err("the organization is not in the graph".to_owned());
        }
        let gone = |element: &EncodedElement| Images { before: Some(element.clone()), after: None };
        let changes = in_order(state.graph().elements().map(gone).collect());
        let mut reconciled =
            Reconciled { outcome: Ending::Decided, holds: state.holds().len(), ..Reconciled::default() };
        let before = state.poll();
        let mut revision = before.revision;
        for images in changes {
            revision += 1;
            let collection = images.element().collection().to_owned();
            let origin = Origin { collection: &collection, ..self.origin() };
            let change = origin.shared().change(images, Some(Reason::Forgotten), revision);
            reconciled.changes.push(change);
        }
        let withheld = state.withheld().keys().cloned().map(GraphKey::Withheld);
        let holds = state.holds().keys().cloned().map(GraphKey::Hold);
        let coverage = state.coverage().keys().filter(|it| *it != POLL).cloned().map(GraphKey::Coverage);
        reconciled.others.extend(withheld.chain(holds).chain(coverage).map(|key| (key, None)));
        let poll = Poll {
            revision,
            element_count: 0,
            complete: false,
            partition_count: self.partition_count,
            ..before
        };
        reconciled.others.push(poll_record(self.position, poll));
        Ok(reconciled)
    }

    /// The holds that the decision is about: none that was proposed after what the person saw.
    fn seen(&self, is_meant: impl Fn(&Hold) -> bool) -> Result<Vec<&Hold>, String> {
        let of_collection = |hold: &&Hold| {
            self.decision.collection.as_ref().is_none_or(|collection| *collection == hold.collection)
        };
        let holds = self.state.holds().values().filter(of_collection);
        let meant: Vec<&Hold> = holds.filter(|hold| is_meant(hold)).collect();
        if meant.is_empty() {
            // First: the listing of an earlier decision may no longer be known.
            return Err(
                "nothing that it names waits for a decision: it was decided before, or the element returned"
                    .to_owned(),
            );
        }
        let Some(seen) = self.seen_offset() else {
            return Err(
                "no hold is from the listing that it names; run `anthropic-graph holds list` and decide again"
                    .to_owned(),
            );
        };
        let seen: Vec<&Hold> = meant.into_iter().filter(|hold| hold.raw_offset <= seen).collect();
        if seen.is_empty() {
            return Err(
                "the holds that it names are newer than the listing that the person saw; run `anthropic-graph \
                 holds list` and decide again"
                    .to_owned(),
            );
        }
        Ok(seen)
    }

    fn is_named(&self, hold: &Hold) -> bool {
        self.decision.element_key.as_ref().is_none_or(|key| *key == hold.element_key)
    }

    /// Whether it holds a relationship of the element that the decision names, by the same collection.
    fn is_of_the_named_listing_too(&self, hold: &Hold) -> bool {
        let Some(key) = &self.decision.element_key else { return false };
        let known = |key: &str| self.state.known(key);
        known(key).is_some_and(|named| named.collection() == hold.collection)
            && known(&hold.element_key).is_some_and(|held| held.ends().any(|end| end == key))
    }

    /// Offset of the newest listing that the person saw; `None`: it is no longer known.
    fn seen_offset(&self) -> Option<i64> {
        let listing_id = self.decision.listing_id.as_deref()?;
        let of_holds = self.state.holds().values().filter(|hold| hold.listing_id == listing_id);
        let wholes = self.state.coverage().values().filter_map(|coverage| coverage.whole.as_ref());
        let mut of_wholes = wholes.filter(|whole| whole.listing_id == listing_id);
        let newest = of_holds.map(|hold| hold.raw_offset).max();
        newest.or_else(|| of_wholes.next().map(|whole| whole.raw_offset))
    }

    /// The approved hold that licenses the deletion of an element: its own, or that of an end.
    fn licensing(&self, targets: &Targets, element: &EncodedElement) -> &Hold {
        let mut keys = std::iter::once(element.key()).chain(element.ends());
        let key = keys.find(|key| targets.is_deleted(key));
        key.and_then(|key| self.state.holds().get(key))
            .expect("a decision deletes what is held, and what ends there")
    }

    fn origin(&self) -> Origin<'_> {
        Origin {
            id: self.digest,
            organization_id: self.position.organization_id,
            organization_name: self.position.organization_name,
            collection: "",
            listing_id: None,
            decision_by: Some(&self.decision.by),
            is_first: false,
            ts_ms: self.decision.decided_ts_ms,
            not_before_ts_ms: None,
            not_after_ts_ms: None,
        }
    }
}

/// Names a decision by what it says: the same one read twice has the same digest.
fn digest_of(decision: &Decision) -> String {
    let Decision { kind, collection, element_key, listing_id, by, why, decided_ts_ms } = decision;
    let optional = [collection, element_key, listing_id, why];
    // None and an empty string are two things.
    let optional = optional.map(|text| text.as_ref().map_or_else(String::new, |text| format!("={text}")));
    let decided = decided_ts_ms.to_le_bytes();
    let own = [kind.as_str().as_bytes(), by.as_bytes(), decided.as_slice()];
    digest(own.into_iter().chain(optional.iter().map(String::as_bytes)))
}
