//! What is told and counted of a transaction once it is committed: one that fails is done again.

use graph::{
    listing::Listing,
    reconcile::{APPLIED, Reconciled, VOID},
    state::{State, States},
};
use schemas::{
    change::op,
    raw::{Decision, outcome},
};
use service::metrics::Metrics;
use tracing::{error, info, warn};

use crate::gauges::{GraphRecord, Touched};

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
    /// How many changes there are of each op.
    changes: Vec<(&'static str, u64)>,
    /// How many deletions of the collection are left to a person.
    held: usize,
    outcome: &'static str,
    reason: String,
}

/// A decision. Who made it is in the changes that it licensed: it may be an address.
#[derive(Debug)]
struct Decided {
    organization_id: String,
    kind: String,
    offset: i64,
    /// How many holds it has decided.
    holds: usize,
    changes: usize,
    /// Why it has decided nothing.
    void: Option<String>,
}

impl Report {
    /// Adds a listing.
    pub(crate) fn add(&mut self, listing: &Listing, reconciled: &Reconciled) {
        let count = |op: &&str| reconciled.changes.iter().filter(|(change, _)| change.op == **op).count();
        self.listings.push(Listed {
            organization_id: listing.organization_id.clone(),
            organization_name: listing.organization_name.clone(),
            collection: listing.collection.to_string(),
            listing_id: listing.listing_id.clone(),
            offset: listing.offset,
            resources: listing.resources.len(),
            changes: [op::READ, op::CREATE, op::UPDATE, op::DELETE, op::NOTICE]
                .into_iter()
                .map(|op| (op, count(&op) as u64))
                .collect(),
            held: reconciled.holds,
            outcome: reconciled.outcome,
            reason: reconciled.reason.clone().unwrap_or_default(),
        });
    }

    /// Adds a decision.
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
            void: match reconciled.outcome {
                APPLIED => Some("it was read before".to_owned()),
                _ => reconciled.reason.clone(),
            },
        });
    }

    /// Notes what these records, which are not folded into the state yet, will show of collections.
    pub(crate) fn touch(&mut self, organization_id: &str, state: Option<&State>, records: &[GraphRecord]) {
        self.touched.note(organization_id, state, records);
    }

    /// Adds a dead letter.
    pub(crate) fn add_dead_letter(&mut self) {
        self.dead_letters += 1;
    }

    /// Adds what another one has.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.listings.append(&mut other.listings);
        self.decisions.append(&mut other.decisions);
        self.touched.append(other.touched);
        self.dead_letters += other.dead_letters;
    }

    /// Tells, counts and shows it, now that it is in the states, and returns how many dead letters there are.
    pub(crate) fn tell(self, metrics: &Metrics, partition: i32, states: &States) -> u64 {
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
        metrics.count_listing(name, collection, self.outcome);
        for (op, count) in self.changes.iter().filter(|(_, count)| *count > 0) {
            metrics.count_changes(name, op, *count);
        }
    }

    fn log(&self, partition: i32) {
        let counted = self.changes.iter().filter(|(op, _)| *op != op::NOTICE);
        let changes: u64 = counted.map(|(_, count)| count).sum();
        match self.outcome {
            outcome::WHOLE | APPLIED => info!(
                organization.name = self.organization_name,
                organization.id = self.organization_id,
                collection = self.collection,
                listing.id = self.listing_id,
                partition,
                offset = self.offset,
                resources = self.resources,
                changes,
                outcome = self.outcome,
                "listing reconciled"
            ),
            VOID => warn!(
                organization.name = self.organization_name,
                organization.id = self.organization_id,
                collection = self.collection,
                listing.id = self.listing_id,
                partition,
                offset = self.offset,
                reason = self.reason,
                "listing is void"
            ),
            outcome::GUARDED => warn!(
                organization.name = self.organization_name,
                organization.id = self.organization_id,
                collection = self.collection,
                listing.id = self.listing_id,
                partition,
                offset = self.offset,
                resources = self.resources,
                changes,
                held = self.held,
                outcome = self.outcome,
                reason = self.reason,
                "listing reconciled; deletions are held"
            ),
            _ => error!(
                organization.name = self.organization_name,
                organization.id = self.organization_id,
                collection = self.collection,
                listing.id = self.listing_id,
                partition,
                offset = self.offset,
                changes,
                outcome = self.outcome,
                reason = self.reason,
                "listing deletes nothing"
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
                kind = self.kind,
                holds = self.holds,
                changes = self.changes,
                "decision carried out"
            ),
            Some(reason) => warn!(
                organization.id = self.organization_id,
                partition,
                offset = self.offset,
                kind = self.kind,
                reason,
                "the decision decided nothing"
            ),
        }
    }
}
