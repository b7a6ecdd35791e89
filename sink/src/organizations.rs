//! The configured organizations, each with its target in JupiterOne and its client.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Client;
use schemas::sync::Sync;
use service::api::Api;
use service::config::{Config, Destination, Organization, is_asked_for};
use service::exit::UsageError;
use service::http::{Clients, Settings};

use crate::jupiterone::{JupiterOne, REQUEST_TIMEOUT, RETRY};
use crate::sync_topic::Records;
use graph::plan::Rules;

/// Stands between an account and an integration instance's ID.
const INSTANCE: &str = ":instance:";

/// An organization of the configuration.
#[derive(Debug)]
pub(crate) struct Configured {
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
    let mut clients = Clients::default();
    for organization in &config.organizations {
        match credentials(organization, environment) {
            Ok((account_id, api)) => {
                let client = clients.of(Settings {
                    base_url: &organization.jupiterone.base_url,
                    root_certificate: config.http.root_certificate.as_deref(),
                    request_timeout: REQUEST_TIMEOUT,
                    what: "sink",
                })?;
                all.push(Arc::new(configured(config, organization, client, account_id, api)));
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

/// An error that lists the configured organizations, unless one of them is asked for.
pub(crate) fn check_asked(all: &[Arc<Configured>], asked: &str) -> Result<(), UsageError> {
    if all.iter().any(|it| is_asked_for(Some(asked), &it.name, it.pin.as_deref())) {
        return Ok(());
    }
    let names: Vec<&str> = all.iter().map(|it| it.name.as_str()).collect();
    let names = names.join(", ");
    Err(UsageError(format!("--organization: \"{asked}\" is not configured; configured: {names}")))
}

fn credentials(
    organization: &Organization,
    environment: &Arc<BTreeMap<String, String>>,
) -> Result<(String, Api), Vec<String>> {
    let target = &organization.jupiterone;
    let mut problems = Vec::new();
    let path = format!("organizations.{}.jupiterone", organization.name);
    if target.account_id.is_none() {
        problems.push(format!("jupiterone.account_id: is missing; write it there, or in {path}"));
    }
    let api = match &target.api_key {
        None => {
            problems.push(format!(
                "jupiterone.api_key: is missing; write {{ env = \"…\" }} or {{ file = \"…\" }} there, or in {path}"
            ));
            None
        }
        Some(source) => match source.resolve(environment) {
            Ok(key) => {
                Some(Api::new(&organization.name, key, source.clone(), Arc::clone(environment), RETRY))
            }
            Err(error) => {
                problems.push(format!("{path}.api_key: {:#}", anyhow::Error::from(error)));
                None
            }
        },
    };
    target.account_id.clone().zip(api).ok_or(problems)
}

fn configured(
    config: &Config,
    organization: &Organization,
    client: Client,
    account_id: String,
    api: Api,
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
            nhi_class: target.nhi_class,
        },
        destination: target.destination.clone(),
        client: Arc::new(JupiterOne::new(client, &target.base_url, &account_id, api)),
        account_id,
    }
}
