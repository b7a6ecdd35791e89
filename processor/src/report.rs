//! What is told and counted of a transaction once it is committed: one that fails is done again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemas::{
    change::op,
    codec::GraphValue,
    coverage::{Coverage, Hold},
    raw::{Decision, outcome},
    state::{GraphKey, State, States},
};
use service::metrics::Metrics;
use tracing::{error, info, warn};

use crate::{
    listing::Listing,
    reconcile::{APPLIED, Reconciled, VOID},
};

/// The listings, decisions and dead letters of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Report {
    listings: Vec<Listed>,
    decisions: Vec<Decided>,
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
    ended_ts_ms: i64,
    /// Collections that end with their workspace.
    ended_collections: Vec<String>,
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
            ended_ts_ms: listing.manifest.ended_ts_ms,
            ended_collections: reconciled.records.iter().filter_map(ended_collection).collect(),
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
            void: reconciled.reason.clone(),
        });
    }

    /// Adds a dead letter.
    pub(crate) fn add_dead_letter(&mut self) {
        self.dead_letters += 1;
    }

    /// Tells and counts it, and returns how many dead letters there are.
    pub(crate) fn tell(self, metrics: &Metrics, partition: i32) -> u64 {
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

/// Shows of restored states when each collection was last listed whole.
pub(crate) fn show(metrics: &Metrics, states: &States) {
    for coverage in coverages(states) {
        if let Some(whole) = &coverage.whole {
            metrics.listed_whole(&coverage.organization_name, &coverage.collection, time(whole.ended_ts_ms));
        }
    }
}

/// Shows no more of these states: whoever has the partition next does, and an age that only grows would alarm.
pub(crate) fn forget(metrics: &Metrics, states: &States) {
    for coverage in coverages(states) {
        metrics.forget_collection(&coverage.organization_name, &coverage.collection);
    }
}

/// How many holds of a collection are in that state (of [`schemas::coverage::hold_state`]).
pub(crate) fn held(state: &State, collection: &str, hold_state: &str) -> usize {
    let is_meant = |hold: &&Hold| hold.collection == collection && hold.state == hold_state;
    state.holds().values().filter(is_meant).count()
}

fn coverages(states: &States) -> impl Iterator<Item = &Coverage> {
    states.iter().flat_map(|(_, state)| state.coverage().values())
}

fn ended_collection(record: &(GraphKey, Option<GraphValue>)) -> Option<String> {
    match record {
        (GraphKey::Coverage(collection), None) => Some(collection.clone()),
        _ => None,
    }
}

fn time(ts_ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ts_ms).unwrap_or_default())
}

impl Listed {
    fn count(&self, metrics: &Metrics) {
        let (name, collection) = (&self.organization_name, &self.collection);
        metrics.count_listing(name, collection, self.outcome);
        if self.outcome == outcome::WHOLE || self.outcome == outcome::GUARDED {
            metrics.listed_whole(name, collection, time(self.ended_ts_ms));
        }
        for collection in &self.ended_collections {
            metrics.forget_collection(name, collection);
        }
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

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use schemas::{
        coverage::WholeListing,
        state::{GraphKey, States},
    };
    use service::metrics::Metrics;

    use super::{Coverage, GraphValue, forget, show};

    #[test]
    fn a_partition_that_went_to_another_process_shows_no_age() {
        let coverage = Coverage {
            organization_id: "o".to_owned(),
            organization_name: "nimbus".to_owned(),
            collection: "users".to_owned(),
            whole: Some(WholeListing {
                listing_id: "l".to_owned(),
                raw_offset: 1,
                started_ts_ms: 1,
                ended_ts_ms: 2,
                count: 0,
                parameters: [].into(),
            }),
            latest: None,
            not_whole_since_ts_ms: None,
            poll: None,
        };
        let mut states = States::default();
        let key = GraphKey::Coverage("users".to_owned());
        states.entry("o").fold(&key, Some(GraphValue::Coverage(coverage.into()))).expect("a coverage");
        let (metrics, registry) = Metrics::new("processor");
        let shown = || {
            let mut text = String::new();
            encode(&mut text, &registry).expect("text");
            text.contains("collection=\"users\"")
        };
        show(&metrics, &states);
        assert!(shown());
        forget(&metrics, &states);
        assert!(!shown());
    }
}
