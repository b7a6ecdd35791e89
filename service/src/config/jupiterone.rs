//! `[jupiterone]` and each organization's `jupiterone`: where its graph goes.

use std::time::Duration;

use super::interval::parse_duration;
use super::secret::SecretSource;
use super::table_reader::TableReader;
use crate::http::{BaseUrl, check_url};

/// Default of `jupiterone.full_sync_interval`: a DIFF per day reverts what others changed in the scope.
const DEFAULT_FULL_SYNC_INTERVAL: Duration = Duration::from_hours(24);
/// Default of `jupiterone.region`, without a base URL.
const DEFAULT_REGION: &str = "us";

const KEYS: [&str; 7] =
    ["account_id", "api_key", "region", "base_url", "allow_http", "full_sync_interval", "nhi_class"];
const TARGET_KEYS: [&str; 8] = [
    "integration_instance_id",
    "scope",
    "account_id",
    "api_key",
    "region",
    "base_url",
    "allow_http",
    "nhi_class",
];

/// Settings that the organizations' targets share.
#[derive(Debug, Clone)]
pub struct JupiterOne {
    /// The JupiterOne account's id.
    pub account_id: Option<String>,
    /// Where its API key is.
    pub api_key: Option<SecretSource>,
    /// From `base_url`, else from `region`.
    pub base_url: BaseUrl,
    /// Whether plain http to a host that is not loopback is allowed.
    pub allow_http: bool,
    /// Longest time between two sync jobs of a scope.
    pub full_sync_interval: Duration,
    /// Whether API keys have the class `NHI` too.
    pub nhi_class: bool,
}

/// Where one organization's graph goes in JupiterOne, with the account's settings filled in from `[jupiterone]`.
#[derive(Debug, Clone)]
pub struct Target {
    /// What holds the graph.
    pub destination: Destination,
    /// The JupiterOne account's id; the sink refuses to start without it.
    pub account_id: Option<String>,
    /// Where its API key is; the sink refuses to start without it.
    pub api_key: Option<SecretSource>,
    pub base_url: BaseUrl,
    /// Whether API keys have the class `NHI` too.
    pub nhi_class: bool,
}

/// What holds an organization's graph in JupiterOne.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A configured integration instance, by its id.
    Instance(String),
    /// A scope of `source: api`; without a name, `anthropic-graph:<organization id>`.
    Scope(Option<String>),
}

impl Destination {
    /// The scope's name for an organization, `None` for an integration instance.
    pub fn scope(&self, organization_id: &str) -> Option<String> {
        match self {
            Self::Instance(_) => None,
            Self::Scope(Some(scope)) => Some(scope.clone()),
            Self::Scope(None) => Some(format!("anthropic-graph:{organization_id}")),
        }
    }
}

impl JupiterOne {
    pub(super) fn read(root: &mut TableReader<'_>) -> Self {
        let mut section = root.section("jupiterone", &KEYS);
        let allow_http = section.boolean("allow_http").unwrap_or(false);
        Self {
            account_id: section.header("account_id"),
            api_key: section.secret("api_key"),
            base_url: base_url(&mut section, allow_http)
                .or_else(|| BaseUrl::of_region(DEFAULT_REGION))
                .expect("the default region is a part of a host's name"),
            allow_http,
            full_sync_interval: section
                .parsed("full_sync_interval", parse_duration)
                .unwrap_or(DEFAULT_FULL_SYNC_INTERVAL),
            nhi_class: section.boolean("nhi_class").unwrap_or(false),
        }
    }
}

impl Target {
    pub(super) fn read(organization: &mut TableReader<'_>, common: &JupiterOne) -> Self {
        let mut section = organization.section("jupiterone", &TARGET_KEYS);
        let allow_http = section.boolean("allow_http").unwrap_or(common.allow_http);
        let destination = match (section.text("integration_instance_id"), section.text("scope")) {
            (Some(_), Some(_)) => {
                organization
                    .report("jupiterone", "has both integration_instance_id and scope; keep one of them");
                Destination::Scope(None)
            }
            (Some(instance), None) => Destination::Instance(instance),
            (None, scope) => Destination::Scope(scope),
        };
        Self {
            destination,
            account_id: section.header("account_id").or_else(|| common.account_id.clone()),
            api_key: section.secret("api_key").or_else(|| common.api_key.clone()),
            base_url: base_url(&mut section, allow_http).unwrap_or_else(|| common.base_url.clone()),
            nhi_class: section.boolean("nhi_class").unwrap_or(common.nhi_class),
        }
    }

    /// Whether the two would replace each other's graph. Known only if both organizations' IDs or the scopes' names are
    /// known.
    pub(super) fn is_same(&self, id: Option<&str>, other: &Self, other_id: Option<&str>) -> bool {
        let name = |destination: &Destination, id: Option<&str>| match destination {
            Destination::Scope(None) => id.map(|id| Destination::Scope(destination.scope(id))),
            // A UUID in capitals is the same one.
            Destination::Instance(instance) => Some(Destination::Instance(instance.to_ascii_lowercase())),
            named @ Destination::Scope(_) => Some(named.clone()),
        };
        let destination = name(&self.destination, id);
        self.account_id == other.account_id
            && self.base_url == other.base_url
            && destination.is_some()
            && destination == name(&other.destination, other_id)
    }
}

fn base_url(section: &mut TableReader<'_>, allow_http: bool) -> Option<BaseUrl> {
    let region = section.parsed("region", |region| {
        BaseUrl::of_region(region)
            .ok_or_else(|| "is not a region; use \"us\" or \"eu\", or a base_url".to_owned())
    });
    let url =
        section.parsed("base_url", |text| check_url(text, allow_http).map_err(|error| error.to_string()));
    if region.is_some() && url.is_some() {
        section.report("region", "cannot be combined with base_url; keep one of them");
    }
    url.or(region)
}
