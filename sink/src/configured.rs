//! The configured organizations, each with its target in JupiterOne and its client.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use reqwest::Client;
use schemas::sync::Sync;
use service::config::{Config, Destination, Organization};
use service::exit::UsageError;
use service::http;

use crate::jupiterone::{Credentials, JupiterOne, REQUEST_TIMEOUT};
use crate::sync_topic::Records;
use graph::plan::Rules;

/// Stands between an account and an integration instance's ID.
const INSTANCE: &str = ":instance:";

/// An organization of the configuration.
#[derive(Debug)]
pub(crate) struct Configured {
    /// Its name.
    pub(crate) name: String,
    /// The id that it must have.
    pub(crate) pin: Option<String>,
    /// For its sync jobs.
    pub(crate) rules: Rules,
    /// What holds its graph.
    pub(crate) destination: Destination,
    account_id: String,
    /// Of its JupiterOne account.
    pub(crate) client: Arc<JupiterOne>,
}

impl Configured {
    /// What JupiterOne holds the organization's graph in: account, and scope or integration instance.
    pub(crate) fn target(&self, organization_id: &str) -> String {
        one_case(&self.written_target(organization_id))
    }

    /// The organization's record. An earlier version kept the case in which an integration instance's ID was written.
    pub(crate) fn record<'a>(&self, records: &'a Records, organization_id: &str) -> Option<&'a Sync> {
        let of = |target: String| records.get(&format!("{organization_id}/{target}"));
        of(self.target(organization_id)).or_else(|| of(self.written_target(organization_id)))
    }

    fn written_target(&self, organization_id: &str) -> String {
        match (&self.destination, self.destination.scope(organization_id)) {
            (Destination::Instance(id), _) => format!("{}{INSTANCE}{id}", self.account_id),
            (Destination::Scope(_), scope) => {
                format!("{}:scope:{}", self.account_id, scope.unwrap_or_default())
            }
        }
    }
}

/// The target with an integration instance's ID in one case: a UUID in capitals is the same one.
pub(crate) fn one_case(target: &str) -> String {
    match target.split_once(INSTANCE) {
        Some((account_id, id)) => format!("{account_id}{INSTANCE}{}", id.to_ascii_lowercase()),
        None => target.to_owned(),
    }
}

/// All of them, or everything that is missing for it.
pub(crate) fn all(
    config: &Config,
    environment: &Arc<BTreeMap<String, String>>,
) -> anyhow::Result<Vec<Arc<Configured>>> {
    let mut all = Vec::new();
    let mut problems = Vec::new();
    // Each has connections and threads of its own.
    let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
    for organization in &config.organizations {
        match credentials(organization, environment) {
            Ok((account_id, credentials)) => {
                let base_url = organization.jupiterone.base_url.as_str();
                let client = match clients.get(base_url) {
                    Some(client) => client.clone(),
                    None => clients.entry(base_url).or_insert(client(config, organization)?).clone(),
                };
                all.push(Arc::new(configured(config, organization, client, account_id, credentials)));
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(UsageError(problems.join("\n")).into()) }
}

/// The configured organization that an organization of the graph is: by id where the configuration pins it, else by
/// name.
pub(crate) fn matching<'a>(
    all: &'a [Arc<Configured>],
    organization_id: &str,
    name: &str,
) -> Option<&'a Arc<Configured>> {
    all.iter()
        .find(|configured| configured.pin.as_deref() == Some(organization_id))
        .or_else(|| all.iter().find(|configured| configured.pin.is_none() && configured.name == name))
}

fn credentials(
    organization: &Organization,
    environment: &Arc<BTreeMap<String, String>>,
) -> Result<(String, Credentials), Vec<String>> {
    let target = &organization.jupiterone;
    let mut problems = Vec::new();
    let path = format!("organizations.{}.jupiterone", organization.name);
    if target.account_id.is_none() {
        problems.push(format!("jupiterone.account_id: is missing; write it there, or in {path}"));
    }
    let credentials = match &target.api_key {
        None => {
            problems.push(format!(
                "jupiterone.api_key: is missing; write {{ env = \"…\" }} or {{ file = \"…\" }} there, or in {path}"
            ));
            None
        }
        Some(source) => match Credentials::read(source.clone(), Arc::clone(environment)) {
            Ok(credentials) => Some(credentials),
            Err(error) => {
                problems.push(format!("{path}.api_key: {:#}", anyhow::Error::from(error)));
                None
            }
        },
    };
    target.account_id.clone().zip(credentials).ok_or(problems)
}

fn client(config: &Config, organization: &Organization) -> anyhow::Result<Client> {
    http::client(http::Settings {
        base_url: &organization.jupiterone.base_url,
        root_certificate: config.http.root_certificate.as_deref().map(Path::new),
        request_timeout: REQUEST_TIMEOUT,
        what: "sink",
    })
    .context("failed to make the HTTP client for JupiterOne")
}

fn configured(
    config: &Config,
    organization: &Organization,
    client: Client,
    account_id: String,
    credentials: Credentials,
) -> Configured {
    let target = &organization.jupiterone;
    Configured {
        name: organization.name.clone(),
        pin: organization.organization_id.clone(),
        rules: Rules {
            full_sync_interval_ms: i64::try_from(config.jupiterone.full_sync_interval.as_millis())
                .unwrap_or(i64::MAX),
            max_deleted_fraction: organization.max_deleted_fraction,
            max_deleted_count: organization.max_deleted_count,
        },
        destination: target.destination.clone(),
        client: Arc::new(JupiterOne::new(client, &target.base_url, &account_id, credentials)),
        account_id,
    }
}
