//! What is told and counted of a transaction once it is committed: one that fails is done again.

use std::time::{Duration, UNIX_EPOCH};

use schemas::{change::op, raw::outcome};
use service::metrics::Metrics;
use tracing::{error, info, warn};

use crate::{
    listing::Listing,
    reconcile::{APPLIED, Reconciled, VOID},
};

/// The listings and dead letters of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Report {
    listings: Vec<Listed>,
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
    /// How many changes there are of each op.
    changes: Vec<(&'static str, u64)>,
    outcome: &'static str,
    reason: String,
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
            changes: [op::READ, op::CREATE, op::UPDATE, op::DELETE]
                .into_iter()
                .map(|op| (op, count(&op) as u64))
                .collect(),
            outcome: reconciled.outcome,
            reason: reconciled.reason.clone().unwrap_or_default(),
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
        if self.outcome == outcome::WHOLE {
            let ended = u64::try_from(self.ended_ts_ms).unwrap_or_default();
            metrics.listed_whole(name, collection, UNIX_EPOCH + Duration::from_millis(ended));
        }
        for (op, count) in self.changes.iter().filter(|(_, count)| *count > 0) {
            metrics.count_changes(name, op, *count);
        }
    }

    fn log(&self, partition: i32) {
        let changes: u64 = self.changes.iter().map(|(_, count)| count).sum();
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
