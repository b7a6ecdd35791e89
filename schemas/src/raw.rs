//! What the raw topic carries (`avro/raw_record.avsc`, where each field is explained).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::closed_set::closed_set;

/// Unknown fields of a resource: name to canonical JSON text.
pub type Extra = BTreeMap<String, String>;

/// One record of the raw topic.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct RawRecord {
    pub organization_id: String,
    pub organization_name: String,
    pub collection: String,
    pub poll_id: Option<String>,
    pub listing_id: Option<String>,
    pub observed_ts_ms: i64,
    pub body: RawBody,
}

/// What a raw record carries.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each is named after what it carries")]
pub enum RawBody {
    Mark(Mark),
    Manifest(Manifest),
    Decision(Decision),
    Resource(Resource),
}

/// A value that follows the schema but is not a raw record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// None or several of the four are set.
    #[error(
        "a raw record must have exactly one of a resource, a manifest, a mark and a decision; this one has {0}"
    )]
    Parts(usize),
    /// The resource is of no kind, of several, or of another one than its collection has.
    #[error("a resource that does not belong in the collection {0:?}")]
    Kind(String),
}

impl RawRecord {
    /// The record's key: organization ID `/` collection `/` resource id, or what the record is.
    pub fn key(&self) -> String {
        let id = match &self.body {
            RawBody::Resource(resource) => resource.id(),
            RawBody::Mark(mark) => mark.kind.as_str(),
            RawBody::Manifest(_) => "manifest",
            RawBody::Decision(_) => "decision",
        };
        format!("{}/{}/{id}", self.organization_id, self.collection)
    }
}

impl RawBody {
    /// The mark, if it is one.
    pub fn mark(self) -> Option<Mark> {
        if let Self::Mark(mark) = self { Some(mark) } else { None }
    }

    /// The manifest, if it is one.
    pub fn manifest(self) -> Option<Manifest> {
        if let Self::Manifest(manifest) = self { Some(manifest) } else { None }
    }

    /// The decision, if it is one.
    pub fn decision(self) -> Option<Decision> {
        if let Self::Decision(decision) = self { Some(decision) } else { None }
    }

    /// The resource, if it is one.
    pub fn resource(self) -> Option<Resource> {
        if let Self::Resource(resource) = self { Some(resource) } else { None }
    }
}

/// The start or the end of a poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Mark {
    pub kind: MarkKind,
    pub trigger: Trigger,
    pub outcomes: Vec<ListingOutcome>,
    pub complete: bool,
    pub reason: Option<String>,
}

closed_set! {
    /// Which end of a poll a mark is.
    pub enum MarkKind {
        /// The poll begins.
        Start = "start",
        /// The poll has ended.
        End = "end",
    }
}

closed_set! {
    /// What began a poll.
    pub enum Trigger {
        /// Its interval.
        Interval = "interval",
        /// `producer poll`.
        Manual = "manual",
    }
}

/// How one collection's listing ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct ListingOutcome {
    pub collection: String,
    pub outcome: Outcome,
    pub reason: Option<String>,
    pub http_status: Option<i32>,
    pub request_id: Option<String>,
    pub listing_id: Option<String>,
}

closed_set! {
    /// How a listing ended.
    pub enum Outcome {
        /// Seen whole.
        Whole = "whole",
        /// The listing failed; nothing of it was written.
        Failed = "failed",
        /// The members of an archived workspace answered 404 or 400: frozen, no alarm.
        Gone = "gone",
        /// Never begun, since what it depends on failed.
        Skipped = "skipped",
        /// A resource is missing or unreadable, or the parameters are narrower: creations and updates, no deletions.
        Partial = "partial",
        /// Seen whole; the guard holds deletions of its collection until a person decides.
        Guarded = "guarded",
    }
}

/// Shown to people if a `reason` is missing.
pub const NO_REASON: &str = "no reason was given";

/// Largest listing (bytes of its raw records' values). A million API keys have less than half of it: a raw record
/// repeats the listing's IDs, and that of a key has less than 1,000 bytes.
pub const MAX_LISTING_BYTES: usize = 2 * 1024 * 1024 * 1024;
/// The same in resources (count): each costs a processor about 2 KB while its listing is open, whatever few bytes it has.
/// A processor reconciles a million new API keys in about 90 s, and may be silent for five minutes.
pub const MAX_LISTING_RECORDS: usize = 2_000_000;

/// The last raw record of a listing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Manifest {
    pub count: i64,
    pub pages: i64,
    pub parameters: BTreeMap<String, String>,
    pub first_cursor: Option<String>,
    pub last_cursor: Option<String>,
    pub first_request_id: Option<String>,
    pub last_request_id: Option<String>,
    pub started_ts_ms: i64,
    pub ended_ts_ms: i64,
    pub configuration: Configuration,
}

/// The configuration that the graph depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Configuration {
    pub account_name: Option<String>,
    pub tag_account_name: bool,
    pub max_deleted_fraction: f64,
    pub max_deleted_count: i64,
}

/// What a person decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Decision {
    pub kind: DecisionKind,
    pub collection: Option<String>,
    pub element_key: Option<String>,
    pub listing_id: Option<String>,
    pub by: String,
    pub why: Option<String>,
    pub decided_ts_ms: i64,
}

closed_set! {
    /// What a person decides to do.
    pub enum DecisionKind {
        /// Delete what the guard holds.
        Approve = "approve",
        /// Keep what the guard holds, until it returns or is approved after all.
        Reject = "reject",
        /// Delete everything that is known of the organization.
        Forget = "forget",
    }
}

/// One object as the Admin API returned it. Boxed, so that a listing costs what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after its object")]
pub enum Resource {
    Organization(Box<Organization>),
    User(Box<User>),
    Workspace(Box<Workspace>),
    ApiKey(Box<ApiKey>),
    Member(Box<Member>),
}

impl Resource {
    /// The ID that distinguishes it from the others of its collection.
    pub fn id(&self) -> &str {
        match self {
            Self::Organization(organization) => &organization.id,
            Self::User(user) => &user.id,
            Self::Workspace(workspace) => &workspace.id,
            Self::ApiKey(api_key) => &api_key.id,
            Self::Member(member) => &member.user_id,
        }
    }
}

/// `GET /v1/organizations/me`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Organization {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub name: Option<String>,
    pub extra: Extra,
}

/// One of `GET /v1/organizations/users`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct User {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub email: Option<String>,
    pub name: Option<String>,
    pub role: Option<String>,
    pub added_at: Option<String>,
    pub extra: Extra,
}

/// One of `GET /v1/organizations/workspaces`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Workspace {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub name: Option<String>,
    pub display_color: Option<String>,
    pub created_at: Option<String>,
    pub archived_at: Option<String>,
    pub compartment_id: Option<String>,
    pub external_key_id: Option<String>,
    pub data_residency: Option<DataResidency>,
    pub tags: BTreeMap<String, String>,
    pub inference_data_retention: Option<String>,
    pub user_profile_id: Option<String>,
    pub extra: Extra,
}

/// Where a workspace's data lives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct DataResidency {
    pub workspace_geo: Option<String>,
    pub default_inference_geo: Option<String>,
    pub allowed_inference_geos: Vec<String>,
}

/// One of `GET /v1/organizations/api_keys`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct ApiKey {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub name: Option<String>,
    pub status: Option<String>,
    pub created_at: Option<String>,
    pub expires_at: Option<String>,
    pub created_by: Option<Actor>,
    pub partial_key_hint: Option<String>,
    pub principal: Option<Actor>,
    pub scope: Option<Scope>,
    pub workspace_id: Option<String>,
    pub extra: Extra,
}

/// Who made an API key, or as whom it acts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Actor {
    pub id: Option<String>,
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// Where an API key belongs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Scope {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub workspace_id: Option<String>,
}

/// One of `GET /v1/organizations/workspaces/{workspace_id}/members`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Member {
    pub user_id: String,
    pub workspace_id: String,
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub workspace_role: Option<String>,
    pub extra: Extra,
}
