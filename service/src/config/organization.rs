//! `[[organizations]]`: the Anthropic organizations that are polled.

use std::time::Duration;

use toml::{Table, Value};

use super::interval::{PollingInterval, parse_polling_interval};
use super::jupiterone::{JupiterOne, Target};
use super::secret::SecretSource;
use super::table_reader::{Context, TableReader, kind};
use crate::http::{BaseUrl, check_url};

/// Default of `polling_interval`.
const DEFAULT_POLLING_INTERVAL: PollingInterval = PollingInterval::Every(Duration::from_hours(1));
/// Default of `anthropic_version`: the older of the known versions.
const DEFAULT_VERSION: &str = "2023-06-01";
/// The versions of the Admin API that are tested (<https://platform.claude.com/docs/en/api/versioning>).
const KNOWN_VERSIONS: [&str; 2] = [DEFAULT_VERSION, "2026-10-21"];
/// Default of `requests_per_minute` (count): Anthropic allows an organization 100, and other clients need some.
const DEFAULT_REQUESTS_PER_MINUTE: u32 = 90;
/// Largest `requests_per_minute` (count): beyond it, a token bucket limits nothing.
const MAX_REQUESTS_PER_MINUTE: u32 = 60_000;
/// Default of `max_deleted_fraction` (of a collection).
const DEFAULT_MAX_DELETED_FRACTION: f64 = 0.3;
/// Default of `max_deleted_count` (count).
const DEFAULT_MAX_DELETED_COUNT: u32 = 20;
/// Longest name (characters): a Kubernetes label value has 63.
const MAX_NAME: usize = 63;

const KEYS: [&str; 14] = [
    "name",
    "organization_id",
    "account_name",
    "tag_account_name",
    "description",
    "polling_interval",
    "api_key",
    "base_url",
    "anthropic_version",
    "requests_per_minute",
    "max_deleted_fraction",
    "max_deleted_count",
    "allow_http",
    "jupiterone",
];

/// One Anthropic organization: one Admin API key, one JupiterOne scope.
#[derive(Debug, Clone)]
pub struct Organization {
    /// A unique slug: `--organization`, logs, environment variables.
    pub name: String,
    /// Pins the organization's ID: a key of another organization stops it.
    pub organization_id: Option<String>,
    /// The value of `tag.AccountName`; defaults to `name`.
    pub account_name: String,
    /// Whether every entity carries `tag.AccountName`.
    pub tag_account_name: bool,
    pub description: Option<String>,
    /// How often it is polled.
    pub polling_interval: PollingInterval,
    /// Where the Admin API key is; the producer refuses to start without it.
    pub api_key: Option<SecretSource>,
    /// The base URL of the Admin API.
    pub base_url: BaseUrl,
    /// The `anthropic-version` header.
    pub anthropic_version: String,
    /// The request budget of all its endpoints together (requests per minute).
    pub requests_per_minute: u32,
    /// The guard: largest part of a collection that a listing may delete (0 to 1).
    pub max_deleted_fraction: f64,
    /// The guard: how many elements a listing may delete regardless of the fraction (count).
    pub max_deleted_count: u32,
    /// Whether plain http to a host that is not loopback is allowed.
    pub allow_http: bool,
    /// Where its graph goes.
    pub jupiterone: Target,
}

/// Reads all organizations, and reports what two of them must not share.
pub(super) fn read_all(root: &mut TableReader<'_>, jupiterone: &JupiterOne) -> Vec<Organization> {
    let tables = match root.table.remove("organizations") {
        Some(Value::Array(tables)) => tables,
        Some(Value::String(text)) if text.is_empty() => Vec::new(),
        None => Vec::new(),
        Some(other) => {
            root.report(
                "organizations",
                format!("is {}; begin each organization with [[organizations]]", kind(&other)),
            );
            Vec::new()
        }
    };
    let mut organizations: Vec<Organization> = Vec::new();
    let mut labels: Vec<String> = Vec::new();
    for (position, table) in tables.into_iter().enumerate() {
        let Value::Table(table) = table else {
            let path = format!("organizations[{position}]");
            root.context.report(&path, format!("is {}; begin it with [[organizations]]", kind(&table)));
            continue;
        };
        let label = label(position, &table);
        let organization = Organization::read(root.context, &label, table, jupiterone);
        for (other, other_label) in organizations.iter().zip(&labels) {
            organization.report_shared(&label, other, other_label, root.context);
        }
        organizations.push(organization);
        labels.push(label);
    }
    organizations
}

impl Organization {
    /// The one with that ID, or else the one with that name and no ID.
    pub fn find<'a>(configured: &'a [Self], id: &str, name: &str) -> Option<&'a Self> {
        let pinned = configured.iter().find(|it| it.organization_id.as_deref() == Some(id));
        pinned.or_else(|| configured.iter().find(|it| it.organization_id.is_none() && it.name == name))
    }

    fn read(context: &Context, label: &str, table: Table, jupiterone: &JupiterOne) -> Self {
        let mut section = TableReader::new(context, label, table, &KEYS);
        let is_given = section.table.contains_key("name");
        let name = section.parsed("name", slug).unwrap_or_default();
        if name.is_empty() && !is_given {
            section.report("name", "is missing; write a short name of a-z, 0-9 and -, such as \"nimbus\"");
        }
        let allow_http = section.boolean("allow_http").unwrap_or(false);
        Self {
            organization_id: section.parsed("organization_id", organization_id),
            account_name: section.text("account_name").unwrap_or_else(|| name.clone()),
            name,
            tag_account_name: section.boolean("tag_account_name").unwrap_or(false),
            description: section.text("description"),
            polling_interval: section
                .parsed("polling_interval", parse_polling_interval)
                .unwrap_or(DEFAULT_POLLING_INTERVAL),
            api_key: section.secret("api_key"),
            base_url: section
                .parsed("base_url", |text| check_url(text, allow_http).map_err(|error| error.to_string()))
                .unwrap_or_else(BaseUrl::anthropic),
            anthropic_version: section
                .header("anthropic_version")
                .unwrap_or_else(|| DEFAULT_VERSION.to_owned()),
            requests_per_minute: section
                .number("requests_per_minute", 1..=MAX_REQUESTS_PER_MINUTE)
                .unwrap_or(DEFAULT_REQUESTS_PER_MINUTE),
            max_deleted_fraction: section
                .number("max_deleted_fraction", 0.0..=1.0)
                .unwrap_or(DEFAULT_MAX_DELETED_FRACTION),
            max_deleted_count: section
                .number("max_deleted_count", 0..=u32::MAX)
                .unwrap_or(DEFAULT_MAX_DELETED_COUNT),
            allow_http,
            jupiterone: Target::read(&mut section, jupiterone),
        }
    }

    /// A warning about an unknown version, which is sent anyway.
    pub fn version_warning(&self) -> Option<String> {
        let version = &self.anthropic_version;
        if KNOWN_VERSIONS.contains(&version.as_str()) {
            return None;
        }
        Some(format!(
            "anthropic_version {version:?} is not one of the tested versions {}; it is sent unchanged",
            KNOWN_VERSIONS.join(", ")
        ))
    }

    /// Reports a name, ID, key or target that two organizations share. A name may be missing or invalid, so the labels
    /// say which two.
    fn report_shared(&self, label: &str, other: &Self, other_label: &str, context: &Context) {
        let path = |key: &str| format!("{label}.{key}");
        let other_name = other_label.strip_prefix("organizations.").unwrap_or(other_label);
        if label == other_label {
            context.report(&path("name"), "is used twice; give each organization its own name");
            return;
        }
        if self.organization_id.is_some() && self.organization_id == other.organization_id {
            let message = format!("is also that of {other_name}; configure each organization once");
            context.report(&path("organization_id"), message);
            return;
        }
        if let (Some(key), Some(other_key)) = (&self.api_key, &other.api_key)
            && key.is_same_place(other_key)
        {
            let message = format!("is also that of {other_name}; each organization needs its own key");
            context.report(&path("api_key"), message);
        }
        let ids = (self.organization_id.as_deref(), other.organization_id.as_deref());
        if self.jupiterone.is_same(ids.0, &other.jupiterone, ids.1) {
            let message = format!(
                "is also the target of {other_name}, and each would delete the other's graph; give each its \
                 own target"
            );
            context.report(&path("jupiterone"), message);
        }
    }
}

/// An entry by its name as it is written, or else by its position.
fn label(position: usize, table: &Table) -> String {
    match table.get("name").and_then(Value::as_str).map(str::trim) {
        Some(name) if !name.is_empty() => format!("organizations.{name}"),
        _ => format!("organizations[{position}]"),
    }
}

/// Every Kafka key begins with the ID, up to the first slash.
fn organization_id(text: &str) -> Result<String, String> {
    if text.contains('/') {
        Err("must be an organization ID without slashes".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

fn slug(text: &str) -> Result<String, String> {
    let legal =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    let ends = text.starts_with('-') || text.ends_with('-') || text.contains("--");
    if text.len() <= MAX_NAME && text.chars().all(legal) && !ends {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "\"{text}\" is not a valid name; use at most {MAX_NAME} of a-z, 0-9 and single hyphens between them"
        ))
    }
}
