//! Resolves the producer's secrets, and finds the organization of `--organization`.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::ENVIRONMENT_PREFIX;
use super::errors::{Errors, Problem};
use super::secret::{SecretError, SecretSource};
use super::{Config, Organization};

/// Whether an organization is the one that `--organization` asks for: by its name in the configuration, or by its ID.
/// Without the option, every organization is.
pub fn is_asked_for(asked: Option<&str>, name: &str, id: Option<&str>) -> bool {
    asked.is_none_or(|asked| asked == name || Some(asked) == id)
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
                    message: format!(
                        "is the same key as that of {other}; each organization needs its own key"
                    ),
                }),
                None => {
                    keys.insert(organization.name.clone(), key);
                }
            }
        }
        Errors::unless_empty(problems, keys).map_err(|errors| errors.of_file(self.file.as_deref()))
    }

    /// The configured organization that `--organization` names, or an error that lists those that it could name.
    pub fn organization(&self, asked: &str) -> Result<&Organization, Errors> {
        let is_asked = |organization: &&Organization| {
            is_asked_for(Some(asked), &organization.name, organization.organization_id.as_deref())
        };
        self.organizations.iter().find(is_asked).ok_or_else(|| {
            let names: Vec<&str> =
                self.organizations.iter().map(|organization| organization.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Errors::one("--organization", format!("\"{asked}\" is not configured; configured: {names}"))
        })
    }

    fn no_organization(&self) -> Vec<Problem> {
        let message = format!(
            "is missing; add [[organizations]], or set {ENVIRONMENT_PREFIX}ORGANIZATIONS__NAME__API_KEY"
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
    // A key is sent as a header, which allows only these characters.
    let result = result.and_then(|key| {
        if key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(key)
        } else {
            Err("is not a valid key: it contains white space or other characters; enter only the key"
                .to_owned())
        }
    });
    result.map_err(|message| problems.push(Problem { key: path.to_owned(), message })).ok()
}

/// The error with its cause in one message: a configuration problem has no chain of causes.
fn whole_message(error: &SecretError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::is_asked_for;
    use crate::config::Config;

    #[test]
    fn an_organization_is_asked_for_by_its_name_or_its_id() {
        let asked = |asked| is_asked_for(asked, "nimbus", Some("o-1"));
        assert!(asked(None) && asked(Some("nimbus")) && asked(Some("o-1")));
        assert!(!asked(Some("o-2")) && !asked(Some("")));
        assert!(!is_asked_for(Some(""), "nimbus", None));
    }

    #[test]
    fn a_configured_organization_is_found_by_the_id_that_pins_it() {
        let text = "[kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\n\
                    [[organizations]]\nname = \"pinned\"\norganization_id = \"o-1\"\n\
                    [[organizations]]\nname = \"free\"\n";
        let config = Config::from_toml(text, Path::new(""), &BTreeMap::new()).expect("a configuration");
        let found = |asked| config.organization(asked).map(|organization| organization.name.clone());
        for (asked, name) in [("pinned", "pinned"), ("o-1", "pinned"), ("free", "free")] {
            assert_eq!(found(asked).expect("it is configured"), name);
        }
        let error = found("o-2").expect_err("it is not configured").to_string();
        assert!(error.contains("pinned, free"), "{error}");
        let nothing = Config { organizations: Vec::new(), ..config };
        let error = nothing.organization("o-2").expect_err("none is configured").to_string();
        assert!(error.ends_with("configured: none"), "{error}");
    }
}
