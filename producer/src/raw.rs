//! The raw records of a poll: its marks, and its listings with their manifests. Pure: ids and time are arguments.

use schemas::collection::POLL;
use schemas::raw::{Configuration, END, ListingOutcome, Manifest, Mark, RawRecord, Resource, START, outcome};
use service::config::Organization;

use crate::listing::Listing;
use crate::outcomes::bounded;

/// `Mark::trigger` of a poll that its interval began.
pub const INTERVAL: &str = "interval";
/// `Mark::trigger` of `producer poll`.
pub const MANUAL: &str = "manual";

/// What all records of one poll have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// The organization's id.
    pub organization_id: String,
    /// Its name in the configuration.
    pub organization_name: String,
    /// The poll's id.
    pub poll_id: String,
    /// [`INTERVAL`] or [`MANUAL`].
    pub trigger: &'static str,
}

impl Poll {
    /// The mark that begins the poll.
    pub fn start(&self, ts_ms: i64) -> RawRecord {
        self.mark(START, Vec::new(), None, ts_ms)
    }

    /// The mark that ends the poll, with a line for each collection, as many as fit; complete if each is whole or gone and there is no
    /// `reason`.
    pub fn end(&self, outcomes: Vec<ListingOutcome>, reason: Option<String>, ts_ms: i64) -> RawRecord {
        self.mark(END, bounded(outcomes), reason, ts_ms)
    }

    fn mark(
        &self,
        kind: &str,
        outcomes: Vec<ListingOutcome>,
        reason: Option<String>,
        ts_ms: i64,
    ) -> RawRecord {
        let is_well = |line: &ListingOutcome| [outcome::WHOLE, outcome::GONE].contains(&&*line.outcome);
        let complete = kind == END && reason.is_none() && outcomes.iter().all(is_well);
        let mark =
            Mark { kind: kind.to_owned(), trigger: self.trigger.to_owned(), outcomes, complete, reason };
        RawRecord { mark: Some(mark), ..self.record(POLL, None, ts_ms) }
    }

    /// The records of a listing: its resources in the list's order, then its manifest.
    pub fn listing(
        &self,
        listing: Listing,
        listing_id: &str,
        configuration: Configuration,
    ) -> impl Iterator<Item = RawRecord> + Send + use<> {
        let blank = self.record(&listing.collection.to_string(), Some(listing_id), listing.ended_ts_ms);
        let last = RawRecord { manifest: Some(manifest(&listing, configuration)), ..blank.clone() };
        let resource = move |(resource, observed_ts_ms): (Resource, i64)| RawRecord {
            resource: Some(resource),
            observed_ts_ms,
            ..blank.clone()
        };
        listing.resources.unpack().map(resource).chain([last])
    }

    fn record(&self, collection: &str, listing_id: Option<&str>, observed_ts_ms: i64) -> RawRecord {
        RawRecord {
            organization_id: self.organization_id.clone(),
            organization_name: self.organization_name.clone(),
            collection: collection.to_owned(),
            poll_id: Some(self.poll_id.clone()),
            listing_id: listing_id.map(str::to_owned),
            observed_ts_ms,
            mark: None,
            manifest: None,
            decision: None,
            resource: None,
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
