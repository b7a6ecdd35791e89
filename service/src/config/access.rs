//! Resolving the producer's secrets, and what it alone cannot do without.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::ENVIRONMENT_PREFIX;
use super::errors::{Errors, Problem};
use super::secret::{SecretError, SecretSource};
use super::{Config, Organization};

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
            "there is none; begin one with [[organizations]], or set {ENVIRONMENT_PREFIX}ORGANIZATIONS__NAME__API_KEY"
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
                "is missing; write {{ env = \"NAME\" }} or {{ file = \"PATH\" }}, or set {ENVIRONMENT_PREFIX}{variable}"
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
