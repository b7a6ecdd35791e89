//! The raw records of a poll: its marks, and its listings with their manifests. Pure: IDs and time are arguments.

use schemas::collection::POLL;
use schemas::raw::{
    Configuration, ListingOutcome, Manifest, Mark, MarkKind, Outcome, RawBody, RawRecord, Resource, Trigger,
};
use service::config::Organization;

use crate::listing::Listing;
use crate::outcomes::bounded;

/// What all records of a poll have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    pub organization_id: String,
    /// Its name in the configuration.
    pub organization_name: String,
    pub poll_id: String,
    pub trigger: Trigger,
}

impl Poll {
    /// The poll's start mark.
    pub fn start(&self, ts_ms: i64) -> RawRecord {
        self.mark(MarkKind::Start, Vec::new(), None, ts_ms)
    }

    /// The poll's end mark, with as many lines about collections as fit. The poll is complete if each is whole or gone
    /// and there is no `reason`.
    pub fn end(&self, outcomes: Vec<ListingOutcome>, reason: Option<String>, ts_ms: i64) -> RawRecord {
        self.mark(MarkKind::End, bounded(outcomes), reason, ts_ms)
    }

    fn mark(
        &self,
        kind: MarkKind,
        outcomes: Vec<ListingOutcome>,
        reason: Option<String>,
        ts_ms: i64,
    ) -> RawRecord {
        let is_well = |line: &ListingOutcome| matches!(line.outcome, Outcome::Whole | Outcome::Gone);
        let complete = kind == MarkKind::End && reason.is_none() && outcomes.iter().all(is_well);
        let mark = Mark { kind, trigger: self.trigger.clone(), outcomes, complete, reason };
        self.record(POLL, None, ts_ms, RawBody::Mark(mark))
    }

    /// The records of a listing: its resources in the list's order, then its manifest.
    pub fn listing(
        &self,
        listing: Listing,
        listing_id: &str,
        configuration: Configuration,
    ) -> impl Iterator<Item = RawRecord> + Send + use<> {
        let (poll, listing_id) = (self.clone(), listing_id.to_owned());
        let collection = listing.collection.to_string();
        let body = RawBody::Manifest(manifest(&listing, configuration));
        let last = self.record(&collection, Some(&listing_id), listing.ended_ts_ms, body);
        let resource = move |(resource, observed_ts_ms): (Resource, i64)| {
            poll.record(&collection, Some(&listing_id), observed_ts_ms, RawBody::Resource(resource))
        };
        listing.resources.unpack().map(resource).chain([last])
    }

    fn record(
        &self,
        collection: &str,
        listing_id: Option<&str>,
        observed_ts_ms: i64,
        body: RawBody,
    ) -> RawRecord {
        RawRecord {
            organization_id: self.organization_id.clone(),
            organization_name: self.organization_name.clone(),
            collection: collection.to_owned(),
            poll_id: Some(self.poll_id.clone()),
            listing_id: listing_id.map(str::to_owned),
            observed_ts_ms,
            body,
        }
    }
}

fn manifest(listing: &Listing, configuration: Configuration) -> Manifest {
    Manifest {
        count: i64::try_from(listing.resources.len()).expect("a listing is bounded"),
        pages: listing.pages,
        parameters: listing.parameters.clone(),
        first_cursor: listing.first_cursor.clone(),
        last_cursor: listing.last_cursor.clone(),
        first_request_id: listing.first_request_id.clone(),
        last_request_id: listing.last_request_id.clone(),
        started_ts_ms: listing.started_ts_ms,
        ended_ts_ms: listing.ended_ts_ms,
        configuration,
    }
}

/// The configuration that the graph depends on.
pub fn configuration(organization: &Organization) -> Configuration {
    Configuration {
        account_name: Some(organization.account_name.clone()),
        tag_account_name: organization.tag_account_name,
        max_deleted_fraction: organization.max_deleted_fraction,
        max_deleted_count: i64::from(organization.max_deleted_count),
    }
}
