//! The configuration: one TOML file for the three services, overridden by the environment.
//!
//! It is parsed whole, and every problem is reported at once. Secrets are not in it, only where they are: each
//! service resolves its own.

mod access;
mod environment;
mod errors;
mod interval;
mod jupiterone;
mod kafka;
mod organization;
mod secret;
mod section;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemas::topics::Retention;
use toml::{Table, Value};

pub use self::errors::{Errors, Problem};
pub use self::interval::PollingInterval;
pub use self::jupiterone::{Destination, JupiterOne, Target};
pub(crate) use self::kafka::RESERVED;
pub use self::kafka::{Kafka, parse_prefix};
pub use self::organization::Organization;
pub use self::secret::{SecretError, SecretOrText, SecretSource};
use self::section::{Context, Section};

/// Begins each variable that overrides a key; the parts of the key follow, separated by two underscores.
pub const ENVIRONMENT_PREFIX: &str = "ANTHROPIC_GRAPH__";

const KEYS: [&str; 6] = ["kafka", "organizations", "jupiterone", "retention", "admin_listen", "http"];
const SERVICES: [&str; 3] = ["producer", "processor", "sink"];

/// What all three services are told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The Kafka cluster.
    pub kafka: Kafka,
    /// The organizations, in the order of the file; those that only the environment knows follow.
    pub organizations: Vec<Organization>,
    /// What their targets in JupiterOne have in common.
    pub jupiterone: JupiterOne,
    /// How long the records of topics that are created stay.
    pub retention: Retention,
    /// Where each service's admin endpoint listens.
    pub admin_listen: AdminListen,
    /// Of both ends' HTTP clients.
    pub http: Http,
}

/// Where each service's admin endpoint listens; `None`, written `"none"`, is nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdminListen {
    /// By default `127.0.0.1:9101`.
    pub producer: Option<SocketAddr>,
    /// By default `127.0.0.1:9102`.
    pub processor: Option<SocketAddr>,
    /// By default `127.0.0.1:9103`.
    pub sink: Option<SocketAddr>,
}

/// Of the HTTP clients of both ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Http {
    /// A PEM file of certificates that are trusted beside the system's.
    pub root_certificate: Option<PathBuf>,
}

impl Config {
    /// Reads the file, if one is given, and lays the environment's `ANTHROPIC_GRAPH__…` over it.
    pub fn load(path: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Self, Errors> {
        let (text, folder) = match path {
            Some(path) => (read(path)?, path.parent().unwrap_or(Path::new("")).to_owned()),
            None => (String::new(), PathBuf::new()),
        };
        Self::from_table(parse(path, &text)?, folder, environment)
    }

    /// As [`Config::load`], from the text of a file in `folder`, where relative paths start.
    pub fn from_toml(
        text: &str,
        folder: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Errors> {
        Self::from_table(parse(None, text)?, folder.to_owned(), environment)
    }

    fn from_table(
        mut table: Table,
        folder: PathBuf,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Errors> {
        let mut context = Context { folder, ..Context::default() };
        environment::lay_over(&mut table, environment, &mut context);
        let mut root = Section::new(&context, "", table, &KEYS);
        let kafka = Kafka::read(&mut root);
        let jupiterone = JupiterOne::read(&mut root);
        let config = Self {
            kafka,
            organizations: organization::read_all(&mut root, &jupiterone),
            jupiterone,
            retention: retention(&mut root),
            admin_listen: AdminListen::read(&mut root),
            http: Http {
                root_certificate: root.section("http", &["root_certificate"]).path("root_certificate"),
            },
        };
        Errors::unless_empty(context.problems.into_inner(), config)
    }
}

/// The process's environment, without what is not UTF-8: no name and no value of ours is.
pub fn environment() -> BTreeMap<String, String> {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

impl AdminListen {
    fn read(root: &mut Section<'_>) -> Self {
        // One address for every service suits containers, each of which has its own ports.
        if matches!(root.table.get("admin_listen"), Some(Value::String(_))) {
            let address = listen(root, "admin_listen", 0);
            return Self { producer: address, processor: address, sink: address };
        }
        let mut section = root.section("admin_listen", &SERVICES);
        Self {
            producer: listen(&mut section, "producer", 9101),
            processor: listen(&mut section, "processor", 9102),
            sink: listen(&mut section, "sink", 9103),
        }
    }
}

/// An absent key is the default port on loopback; `none`, or an empty text in the file, is no endpoint.
fn listen(section: &mut Section<'_>, key: &str, port: u16) -> Option<SocketAddr> {
    if !section.table.contains_key(key) {
        return Some(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let address = section.parsed(key, |text| match text {
        "none" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            format!(
                "\"{text}\" is no address; write one such as \"127.0.0.1:9101\", or \"none\" for no admin endpoint"
            )
        }),
    });
    address.flatten()
}

fn retention(root: &mut Section<'_>) -> Retention {
    let default = Retention::default();
    let mut section = root.section("retention", &["raw", "deadletters", "changes"]);
    let mut read = |key, default| section.parsed(key, interval::parse_retention).unwrap_or(default);
    Retention {
        raw_ms: read("raw", default.raw_ms),
        deadletters_ms: read("deadletters", default.deadletters_ms),
        changes_ms: read("changes", default.changes_ms),
    }
}

fn read(path: &Path) -> Result<String, Errors> {
    std::fs::read_to_string(path).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "there is no such file; write one, give another with --config, or set ANTHROPIC_GRAPH__… variables"
                    .to_owned()
            }
            _ => format!("cannot be read; check its permissions ({error})"),
        };
        Errors::one(path.display().to_string(), message)
    })
}

/// A refusal has the line and the reason, without the line's text, which may hold a secret.
fn parse(path: Option<&Path>, text: &str) -> Result<Table, Errors> {
    text.parse().map_err(|error: toml::de::Error| {
        let file = path.map_or_else(|| "configuration".to_owned(), |path| path.display().to_string());
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Errors::one(format!("{file}:{line}"), format!("is not TOML: {}", error.message().replace('\n', " ")))
    })
}
