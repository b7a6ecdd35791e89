//! What the raw topic carries (`avro/raw_record.avsc`, where each field is explained).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Unknown fields of a resource: name to canonical JSON text.
pub type Extra = BTreeMap<String, String>;

/// One record of the raw topic: exactly one of `mark`, `manifest`, `decision` and `resource` is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct RawRecord {
    pub organization_id: String,
    pub organization_name: String,
    pub collection: String,
    pub poll_id: Option<String>,
    pub listing_id: Option<String>,
    pub observed_ts_ms: i64,
    pub mark: Option<Mark>,
    pub manifest: Option<Manifest>,
    pub decision: Option<Decision>,
    pub resource: Option<Resource>,
}

impl RawRecord {
    /// The record's key: organization id `/` collection `/` resource id, or what the record is.
    pub fn key(&self) -> String {
        let id = match (&self.resource, &self.mark) {
            (Some(resource), _) => resource.id(),
            (None, Some(mark)) => mark.kind.as_str(),
            (None, None) if self.manifest.is_some() => "manifest",
            (None, None) => "decision",
        };
        format!("{}/{}/{id}", self.organization_id, self.collection)
    }
}

/// The start or the end of a poll.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Mark {
    pub kind: String,
    pub trigger: String,
    pub outcomes: Vec<ListingOutcome>,
    pub complete: bool,
    pub reason: Option<String>,
}

/// `Mark::kind` of a start mark.
pub const START: &str = "start";
/// `Mark::kind` of an end mark.
pub const END: &str = "end";

/// How one collection's listing ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct ListingOutcome {
    pub collection: String,
    pub outcome: String,
    pub reason: Option<String>,
    pub http_status: Option<i32>,
    pub request_id: Option<String>,
    pub listing_id: Option<String>,
}

/// The values of `ListingOutcome::outcome` and of `Latest::outcome`.
pub mod outcome {
    /// Seen whole.
    pub const WHOLE: &str = "whole";
    /// The listing failed; nothing of it was written.
    pub const FAILED: &str = "failed";
    /// The members of an archived workspace answered 404 or 400: frozen, no alarm.
    pub const GONE: &str = "gone";
    /// Never begun, since what it depends on failed.
    pub const SKIPPED: &str = "skipped";
    /// A resource is missing or unreadable, or the parameters are narrower: creations and updates, no deletions.
    pub const PARTIAL: &str = "partial";
    /// Seen whole; the guard holds deletions of its collection until a person decides.
    pub const GUARDED: &str = "guarded";
}

/// What people are told where a `reason` is missing.
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
    pub kind: String,
    pub collection: Option<String>,
    pub element_key: Option<String>,
    pub listing_id: Option<String>,
    pub by: String,
    pub why: Option<String>,
    pub decided_ts_ms: i64,
}

/// The values of `Decision::kind`.
pub mod decision {
    /// Delete what the guard holds.
    pub const APPROVE: &str = "approve";
    /// Keep what the guard holds, until it returns or is approved after all.
    pub const REJECT: &str = "reject";
    /// Delete everything that is known of the organization.
    pub const FORGET: &str = "forget";
}

/// One object as the Admin API returned it: exactly one field is set. Boxed, so that a listing costs what it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the .avsc documents the fields")]
pub struct Resource {
    pub organization: Option<Box<Organization>>,
    pub user: Option<Box<User>>,
    pub workspace: Option<Box<Workspace>>,
    pub api_key: Option<Box<ApiKey>>,
    pub member: Option<Box<Member>>,
}

impl Resource {
    /// The id that tells it from the others of its collection; empty if no field is set.
    pub fn id(&self) -> &str {
        let Self { organization, user, workspace, api_key, member } = self;
        organization
            .as_ref()
            .map(|organization| organization.id.as_str())
            .or_else(|| user.as_ref().map(|user| user.id.as_str()))
            .or_else(|| workspace.as_ref().map(|workspace| workspace.id.as_str()))
            .or_else(|| api_key.as_ref().map(|api_key| api_key.id.as_str()))
            .or_else(|| member.as_ref().map(|member| member.user_id.as_str()))
            .unwrap_or_default()
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
