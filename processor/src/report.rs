//! Logs and metrics of a transaction, written after its commit: a failed transaction is repeated.

use graph::{
    listing::Listing,
    reconcile::{Ending, Reconciled},
    state::{GraphRecord, State, States},
    text::clean,
};
use schemas::{
    change::Op,
    raw::{Decision, DecisionKind},
};
use service::metrics::Metrics;
use tracing::{error, info, warn};

use crate::gauges::Touched;

/// The listings, decisions and dead letters of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Report {
    listings: Vec<Listed>,
    decisions: Vec<Decided>,
    touched: Touched,
    dead_letters: u64,
}

#[derive(Debug)]
struct Listed {
    organization_id: String,
    organization_name: String,
    collection: String,
    listing_id: String,
    offset: i64,
    resources: usize,
    /// Changes of each op (count).
    changes: Vec<(&'static Op, u64)>,
    /// Held deletions of the collection (count).
    held: usize,
    outcome: Ending,
    reason: String,
}

/// A decision. Who made it is in its changes only: it may be an email address.
#[derive(Debug)]
struct Decided {
    organization_id: String,
    kind: DecisionKind,
    offset: i64,
    /// Holds that it decided (count).
    holds: usize,
    changes: usize,
    /// Why it had no effect.
    void: Option<String>,
}

impl Report {
    pub(crate) fn add(&mut self, listing: &Listing, reconciled: &Reconciled) {
        let count = |op: &Op| reconciled.changes.iter().filter(|change| change.op == *op).count();
        self.listings.push(Listed {
            organization_id: listing.organization_id.clone(),
            organization_name: listing.organization_name.clone(),
            collection: listing.collection.to_string(),
            listing_id: listing.listing_id.clone(),
            offset: listing.offset,
            resources: listing.resources.len(),
            changes: Op::ALL.iter().map(|op| (op, count(op) as u64)).collect(),
            held: reconciled.holds,
            outcome: reconciled.outcome,
            reason: reconciled.reason.clone().unwrap_or_default(),
        });
    }

    pub(crate) fn add_decision(
        &mut self,
        organization_id: &str,
        decision: &Decision,
        offset: i64,
        reconciled: &Reconciled,
    ) {
        self.decisions.push(Decided {
            organization_id: organization_id.to_owned(),
            kind: decision.kind.clone(),
            offset,
            holds: reconciled.holds,
            changes: reconciled.changes.len(),
            void: if reconciled.outcome == Ending::Applied {
                Some("the decision was already applied".to_owned())
            } else {
                reconciled.reason.clone()
            },
        });
    }

    /// Adds the collections of these records, which are not yet folded into the state.
    pub(crate) fn touch(&mut self, organization_id: &str, state: Option<&State>, records: &[GraphRecord]) {
        self.touched.note(organization_id, state, records);
    }

    /// Adds a dead letter.
    pub(crate) fn add_dead_letter(&mut self) {
        self.dead_letters += 1;
    }

    pub(crate) fn append(&mut self, mut other: Self) {
        self.listings.append(&mut other.listings);
        self.decisions.append(&mut other.decisions);
        self.touched.append(other.touched);
        self.dead_letters += other.dead_letters;
    }

    /// Writes logs and metrics, now that the states have the records. Returns the number of dead letters.
    pub(crate) fn publish(self, metrics: &Metrics, partition: i32, states: &States) -> u64 {
        self.touched.show(metrics, states);
        for listed in &self.listings {
            listed.count(metrics);
            listed.log(partition);
        }
        for decided in &self.decisions {
            decided.log(partition);
        }
        if self.dead_letters > 0 {
            metrics.count_dead_letters(partition, self.dead_letters);
        }
        self.dead_letters
    }
}

impl Listed {
    fn count(&self, metrics: &Metrics) {
        let (name, collection) = (&self.organization_name, &self.collection);
        metrics.count_reconciled(name, collection, self.outcome.as_str());
        for (op, count) in self.changes.iter().filter(|(_, count)| *count > 0) {
            metrics.count_changes(name, op.as_str(), *count);
        }
    }

    fn log(&self, partition: i32) {
        let counted = self.changes.iter().filter(|(op, _)| **op != Op::Notice);
        let changes: u64 = counted.map(|(_, count)| count).sum();
        let listing = format!("{} of {}", clean(&self.collection), clean(&self.organization_name));
        match self.outcome {
            Ending::Whole | Ending::Applied => info!(
                organization.name = self.organization_name,
                organization.id = self.organization_id,
                collection = self.collection,
                listing.id = self.listing_id,
                partition,
                offset = self.offset,
                resources = self.resources,
                changes,
                outcome = self.outcome.as_str(),
                "reconciled {listing}: {changes} changes"
            ),
            Ending::Void => warn!(
                organization.name = self.organization_name,
                organization.id = self.organization_id,
                collection = self.collection,
                listing.id = self.listing_id,
                partition,
                offset = self.offset,
                reason = self.reason,
                "ignored {listing}: {}",
                clean(&self.reason)
            ),
            Ending::Guarded => warn!(
                organization.name = self.organization_name,
                organization.id = self.organization_id,
                collection = self.collection,
                listing.id = self.listing_id,
                partition,
                offset = self.offset,
                resources = self.resources,
                changes,
                held = self.held,
                outcome = self.outcome.as_str(),
                reason = self.reason,
                "reconciled {listing}: {changes} changes, and {} deletions are held",
                self.held
            ),
            Ending::Partial | Ending::Decided => error!(
                organization.name = self.organization_name,
                organization.id = self.organization_id,
                collection = self.collection,
                listing.id = self.listing_id,
                partition,
                offset = self.offset,
                changes,
                outcome = self.outcome.as_str(),
                reason = self.reason,
                "reconciled {listing}, which is incomplete and deleted nothing: {changes} changes"
            ),
        }
    }
}

impl Decided {
    fn log(&self, partition: i32) {
        match &self.void {
            None => info!(
                organization.id = self.organization_id,
                partition,
                offset = self.offset,
                kind = self.kind.as_str(),
                holds = self.holds,
                changes = self.changes,
                "applied a decision about organization {}: {} changes",
                clean(&self.organization_id),
                self.changes
            ),
            Some(reason) => warn!(
                organization.id = self.organization_id,
                partition,
                offset = self.offset,
                kind = self.kind.as_str(),
                reason,
                "a decision about organization {} had no effect: {}",
                clean(&self.organization_id),
                clean(reason)
            ),
        }
    }
}
