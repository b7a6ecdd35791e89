//! `[schema_registry]`: where the schemas of the topics' values are registered.

use super::secret::SecretSource;
use super::table_reader::TableReader;
use crate::http::{BaseUrl, check_url};

const KEYS: [&str; 5] = ["url", "allow_http", "username", "password", "token"];

/// A schema registry that speaks Confluent's REST API.
#[derive(Debug, Clone)]
pub struct SchemaRegistry {
    /// Where its API begins.
    pub url: BaseUrl,
    /// What a request says of who asks.
    pub credentials: Credentials,
}

/// How a process proves to the registry who it is.
#[derive(Debug, Clone)]
pub enum Credentials {
    None,
    Basic {
        /// The user's name, or a managed registry's API key.
        username: String,
        /// Where the password is.
        password: SecretSource,
    },
    Bearer(SecretSource),
}

impl SchemaRegistry {
    /// `None` without a `url`: values name their schemas by fingerprint.
    pub(super) fn read(root: &mut TableReader<'_>) -> Option<Self> {
        let mut section = root.section("schema_registry", &KEYS);
        let allow_http = section.boolean("allow_http").unwrap_or(false);
        let is_given = section.table.contains_key("url");
        let url =
            section.parsed("url", |text| check_url(text, allow_http).map_err(|error| error.to_string()));
        let (username, password, token) =
            (section.header("username"), section.secret("password"), section.secret("token"));
        if !is_given && (username.is_some() || password.is_some() || token.is_some()) {
            section.report("url", "is missing; write the registry's URL, or remove [schema_registry]");
        }
        let credentials = match (username, password, token) {
            (None, None, None) => Credentials::None,
            (Some(username), Some(password), None) => Credentials::Basic { username, password },
            (None, None, Some(token)) => Credentials::Bearer(token),
            (_, _, Some(_)) => {
                section.report(
                    "token",
                    "cannot be combined with username or password; keep the token, or the \
                                      other two",
                );
                Credentials::None
            }
            (Some(_), None, None) => {
                section.report("password", "is missing; write { env = \"NAME\" } or { file = \"PATH\" }");
                Credentials::None
            }
            (None, Some(_), None) => {
                section.report("username", "is missing; write the user name that belongs to the password");
                Credentials::None
            }
        };
        url.map(|url| Self { url, credentials })
    }
}
