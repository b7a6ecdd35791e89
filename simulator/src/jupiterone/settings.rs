//! What this JupiterOne account accepts, and how it behaves where JupiterOne's documentation is silent.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The account and every switch. Where the documentation leaves a behaviour open, the default is the likeliest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The account id that requests must name in `JupiterOne-Account` or `LifeOmic-Account`.
    pub account_id: String,
    /// The API key that requests must bear. Made up; JupiterOne's own clients refuse fewer than 10 characters.
    pub api_key: String,
    /// When a finalized job is finished.
    pub finalize: Finalize,
    /// What becomes of a batch that arrives twice.
    pub resent_batches: ResentBatches,
    /// What becomes of a job started while another of its scope awaits uploads or is being finalized.
    pub second_open_job: SecondOpenJob,
    /// Whether `deleteEntities` and `deleteRelationships` are taken.
    pub explicit_deletes: ExplicitDeletes,
    /// Whether the retired sync mode `CREATE_OR_UPDATE` still works.
    pub legacy_create_or_update: bool,
    /// What becomes of an object with an illegal property.
    pub illegal_properties: IllegalProperties,
    /// Whether PATCH creates an entity that it does not find.
    pub patch_creates: bool,
    /// Whether `CROSS_SCOPE` deletes the relationships of its scope that were not uploaded.
    pub cross_scope_deletes: bool,
    /// The integration instances that exist; `None` accepts any UUID.
    pub integration_instances: Option<BTreeSet<String>>,
    /// The one integration instance that the API key may synchronize, as an integration API key; `None` for an
    /// account's key.
    pub key_bound_to_instance: Option<String>,
    /// The value of `tag.AccountName` that the platform adds to entities of integration instances.
    pub account_name_tag: Option<String>,
    /// The size in bytes above which a request is answered with 413.
    pub body_limit: usize,
    /// Which size of a compressed body counts against [`Settings::body_limit`].
    pub body_limit_counts: BodyLimitCounts,
}

/// What an AWS Lambda function takes in one invocation, in bytes: the ceiling that clients of JupiterOne observe.
pub const BODY_LIMIT: usize = 6_291_456;

impl Default for Settings {
    fn default() -> Self {
        Self {
            account_id: "nimbus".into(),
            api_key: "j1-simulated-api-key".into(),
            finalize: Finalize::default(),
            resent_batches: ResentBatches::default(),
            second_open_job: SecondOpenJob::default(),
            explicit_deletes: ExplicitDeletes::default(),
            legacy_create_or_update: false,
            illegal_properties: IllegalProperties::default(),
            patch_creates: true,
            cross_scope_deletes: false,
            integration_instances: None,
            key_bound_to_instance: None,
            account_name_tag: None,
            body_limit: BODY_LIMIT,
            body_limit_counts: BodyLimitCounts::default(),
        }
    }
}

/// When a finalized job is finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finalize {
    /// Within the finalize request, as a persister run locally does.
    #[default]
    AtOnce,
    /// At the nth status request after it, by way of the states in between.
    AfterPolls(u32),
}

/// What becomes of a batch that arrives twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResentBatches {
    /// The second copy, known by its `JupiterOne-Correlation-Id` and equal in content, changes nothing.
    #[default]
    DedupeByCorrelationId,
    /// Its objects are duplicates like any other.
    TreatAsDuplicates,
}

/// What becomes of a second open job of a scope.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondOpenJob {
    /// Both go on; the one finalized last decides.
    #[default]
    LastFinalizeWins,
    /// It cannot be started: 409.
    Reject,
    /// It cannot be started: 400.
    RejectAsBad,
}

/// Whether explicit deletions are taken (in the sync modes that delete at all).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExplicitDeletes {
    /// Carried out at finalize.
    #[default]
    Accept,
    /// The upload is refused.
    Reject,
}

/// What becomes of an object with a reserved name, a nested object or a mixed array in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IllegalProperties {
    /// The request is refused, unless it says `ignoreIllegalProperties=true`.
    #[default]
    Reject,
    /// The property is dropped, as the documentation of 2023 says.
    Ignore,
}

/// Which size of a compressed body counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyLimitCounts {
    /// The size after decompression.
    #[default]
    Inflated,
    /// The size on the wire.
    AsSent,
}
