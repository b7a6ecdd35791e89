//! Resolving the secrets of one service, and what it alone cannot do without.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::environment::PREFIX;
use super::errors::{Errors, Problem};
use super::secret::{SecretError, SecretSource};
use super::{Config, Organization};

/// Who the sink is to JupiterOne when it writes one organization's graph.
#[derive(Debug, Clone)]
pub struct JupiterOneAccess {
    /// The JupiterOne account's id.
    pub account_id: String,
    /// Its API key.
    pub api_key: SecretString,
}

impl Config {
    /// The producer's secrets: each organization's Admin API key, by the organization's name.
    pub fn admin_keys(
        &self,
        environment: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, SecretString>, Errors> {
        let mut problems = self.no_organization();
        let mut keys: BTreeMap<String, SecretString> = BTreeMap::new();
        for organization in &self.organizations {
            let path = format!("organizations.{}.api_key", organization.name);
            let Some(key) = key(organization.api_key.as_ref(), &path, environment, &mut problems) else {
                continue;
            };
            match keys.iter().find(|(_, other)| other.expose_secret() == key.expose_secret()) {
                Some((other, _)) => problems.push(Problem {
                    key: path,
                    message: format!("is the same key as that of {other}; one key is one organization's"),
                }),
                None => {
                    keys.insert(organization.name.clone(), key);
                }
            }
        }
        Errors::unless_empty(problems, keys)
    }

    /// The sink's secrets: each organization's access to JupiterOne, by the organization's name.
    pub fn jupiterone_access(
        &self,
        environment: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, JupiterOneAccess>, Errors> {
        let mut problems = self.no_organization();
        let mut access = BTreeMap::new();
        for Organization { name, jupiterone, .. } in &self.organizations {
            // One line for a mistake in [jupiterone], however many organizations share it.
            let path = |key: &str, own: bool| {
                if own {
                    format!("organizations.{name}.jupiterone.{key}")
                } else {
                    format!("jupiterone.{key}")
                }
            };
            let own_account = jupiterone.account_id != self.jupiterone.account_id;
            let account_id = jupiterone.account_id.clone();
            if account_id.is_none() {
                problems.push(Problem {
                    key: path("account_id", own_account),
                    message: "is missing; write the JupiterOne account's id".to_owned(),
                });
            }
            let own_key = match (&jupiterone.api_key, &self.jupiterone.api_key) {
                (Some(one), Some(common)) => !one.is_same_place(common),
                (one, _) => one.is_some(),
            };
            let path = path("api_key", own_key);
            let key = key(jupiterone.api_key.as_ref(), &path, environment, &mut problems);
            if let (Some(account_id), Some(api_key)) = (account_id, key) {
                access.insert(name.clone(), JupiterOneAccess { account_id, api_key });
            }
        }
        let mut seen: Vec<Problem> = Vec::new();
        problems.retain(|problem| {
            let is_new = !seen.contains(problem);
            seen.push(problem.clone());
            is_new
        });
        Errors::unless_empty(problems, access)
    }

    /// The organization of a `--organization` argument, or what else could have been written.
    pub fn organization(&self, name: &str) -> Result<&Organization, Errors> {
        self.organizations.iter().find(|organization| organization.name == name).ok_or_else(|| {
            let names: Vec<&str> =
                self.organizations.iter().map(|organization| organization.name.as_str()).collect();
            Errors::one(
                "--organization",
                format!("\"{name}\" is not configured; configured: {}", names.join(", ")),
            )
        })
    }

    fn no_organization(&self) -> Vec<Problem> {
        let message = format!(
            "there is none; begin one with [[organizations]], or set {PREFIX}ORGANIZATIONS__NAME__API_KEY"
        );
        let problem = Problem { key: "organizations".to_owned(), message };
        if self.organizations.is_empty() { vec![problem] } else { Vec::new() }
    }
}

fn key(
    source: Option<&SecretSource>,
    path: &str,
    environment: &BTreeMap<String, String>,
    problems: &mut Vec<Problem>,
) -> Option<SecretString> {
    let result = match source {
        None => {
            let variable = path.to_ascii_uppercase().replace('-', "_").replace('.', "__");
            Err(format!(
                "is missing; write {{ env = \"NAME\" }} or {{ file = \"PATH\" }}, or set {PREFIX}{variable}"
            ))
        }
        Some(source) => source.resolve(environment).map_err(|error| whole_message(&error)),
    };
    // A key goes into a header, where nothing else may.
    let result = result.and_then(|key| {
        if key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(key)
        } else {
            Err("is no key, for it has white space or other signs within; give the key and nothing else"
                .to_owned())
        }
    });
    result.map_err(|message| problems.push(Problem { key: path.to_owned(), message })).ok()
}

/// A line of a configuration has no chain of causes after it.
fn whole_message(error: &SecretError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}
