//! Raw records as the producer writes them, for the tests that read them.

use schemas::raw::{Configuration, Manifest, Mark, MarkKind, RawBody, RawRecord, Resource, Trigger, User};

pub(crate) const ORGANIZATION: &str = "o";

/// A record that carries this.
pub(crate) fn record(collection: &str, listing_id: Option<&str>, body: RawBody) -> RawRecord {
    RawRecord {
        organization_id: ORGANIZATION.to_owned(),
        organization_name: "nimbus".to_owned(),
        collection: collection.to_owned(),
        poll_id: Some("p".to_owned()),
        listing_id: listing_id.map(str::to_owned),
        observed_ts_ms: 1,
        body,
    }
}

/// A resource of the listing `users`.
pub(crate) fn user(id: &str) -> Resource {
    let email = Some("ada@nimbus.example".to_owned());
    let user = User { id: id.to_owned(), email, ..User::default() };
    Resource::User(user.into())
}

/// Of a listing of one page.
pub(crate) fn manifest(count: i64) -> Manifest {
    let configuration = Configuration {
        account_name: None,
        tag_account_name: false,
        max_deleted_fraction: 0.3,
        max_deleted_count: 20,
    };
    Manifest {
        count,
        pages: 1,
        parameters: [].into(),
        first_cursor: None,
        last_cursor: None,
        first_request_id: None,
        last_request_id: None,
        started_ts_ms: 1,
        ended_ts_ms: 2,
        configuration,
    }
}

/// A mark without lines.
pub(crate) fn mark(kind: MarkKind) -> Mark {
    Mark { kind, trigger: Trigger::Manual, outcomes: vec![], complete: false, reason: None }
}
