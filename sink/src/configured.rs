//! The configured organizations, each with its target in JupiterOne and its client.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use service::config::{Config, Destination, Organization};
use service::exit::UsageError;
use service::http;

use crate::jupiterone::{Credentials, JupiterOne, REQUEST_TIMEOUT};
use crate::plan::Rules;

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
        match (&self.destination, self.destination.scope(organization_id)) {
            (Destination::Instance(id), _) => format!("{}:instance:{id}", self.account_id),
            (Destination::Scope(_), scope) => {
                format!("{}:scope:{}", self.account_id, scope.unwrap_or_default())
            }
        }
    }
}

/// All of them, or everything that is missing for it.
pub(crate) fn all(
    config: &Config,
    environment: &Arc<BTreeMap<String, String>>,
) -> anyhow::Result<Vec<Arc<Configured>>> {
    let mut all = Vec::new();
    let mut problems = Vec::new();
    for organization in &config.organizations {
        match credentials(organization, environment) {
            Ok((account_id, credentials)) => {
                all.push(Arc::new(configured(config, organization, account_id, credentials)?));
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

fn configured(
    config: &Config,
    organization: &Organization,
    account_id: String,
    credentials: Credentials,
) -> anyhow::Result<Configured> {
    let target = &organization.jupiterone;
    let client = http::client(http::Settings {
        base_url: &target.base_url,
        root_certificate: config.http.root_certificate.as_deref().map(Path::new),
        request_timeout: REQUEST_TIMEOUT,
        what: "sink",
    })
    .context("failed to make the HTTP client for JupiterOne")?;
    Ok(Configured {
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
    })
}
