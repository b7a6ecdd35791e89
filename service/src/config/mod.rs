//! The configuration: one TOML file for the three services, overridden by the environment.
//!
//! All of it is parsed, and all problems are reported at once. It has no secrets, only where they are stored: each
//! service resolves its own.

mod access;
mod console;
mod environment;
mod errors;
mod interval;
mod jupiterone;
mod kafka;
mod organization;
mod schema_registry;
mod secret;
mod table_reader;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemas::topics::Retention;
use toml::{Table, Value};

pub use self::access::is_asked_for;
pub use self::console::{Auth, Console};
pub use self::errors::{Errors, Problem};
pub use self::interval::PollingInterval;
pub use self::jupiterone::{Destination, JupiterOne, Target};
pub(crate) use self::kafka::RESERVED;
pub use self::kafka::{GroupProtocol, Kafka, parse_prefix};
pub use self::organization::Organization;
pub use self::schema_registry::{Credentials, SchemaRegistry};
pub use self::secret::{SecretError, SecretOrText, SecretSource};
use self::table_reader::{Context, TableReader};

/// Prefix of each variable that overrides a key. The parts of the key follow, separated by two underscores.
pub const ENVIRONMENT_PREFIX: &str = "ANTHROPIC_GRAPH__";

const KEYS: [&str; 8] = [
    "kafka",
    "schema_registry",
    "organizations",
    "jupiterone",
    "retention",
    "admin_listen",
    "console",
    "http",
];
const SERVICES: [&str; 3] = ["producer", "processor", "sink"];

/// The configuration of all three services.
#[derive(Debug, Clone)]
pub struct Config {
    pub kafka: Kafka,
    /// Where the schemas of what is written are registered.
    pub schema_registry: Option<SchemaRegistry>,
    /// The organizations, in the order of the file; those that only the environment knows follow.
    pub organizations: Vec<Organization>,
    /// Settings that their targets in JupiterOne share.
    pub jupiterone: JupiterOne,
    /// How long the records of topics that are created stay.
    pub retention: Retention,
    /// Where each service's admin endpoint listens.
    pub admin_listen: AdminListen,
    /// The pages of `anthropic-graph console`.
    pub console: Console,
    /// Of all HTTP clients.
    pub http: Http,
    /// The file that it was read from.
    pub file: Option<PathBuf>,
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

/// Of the HTTP clients of both ends and the schema registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Http {
    /// A PEM file of certificates that are trusted in addition to the system's.
    pub root_certificate: Option<PathBuf>,
}

impl Config {
    /// Reads the file, if any, and overrides it with the `ANTHROPIC_GRAPH__…` variables.
    pub fn load(path: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Self, Errors> {
        if path.is_none() && !environment.keys().any(|variable| variable.starts_with(ENVIRONMENT_PREFIX)) {
            return Err(Errors::one(
                "no configuration",
                format!(
                    "name a file with --config FILE, or set {ENVIRONMENT_PREFIX}KAFKA__BOOTSTRAP_SERVERS"
                ),
            ));
        }
        Self::load_table(path, environment, Context::default())
    }

    /// Like [`Config::load`], for a command that asks no broker: nothing has to be configured.
    pub fn load_without_brokers(
        path: Option<&Path>,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Errors> {
        Self::load_table(path, environment, Context { asks_no_broker: true, ..Context::default() })
    }

    fn load_table(
        path: Option<&Path>,
        environment: &BTreeMap<String, String>,
        context: Context,
    ) -> Result<Self, Errors> {
        let (text, folder) = match path {
            Some(path) => (read(path)?, path.parent().unwrap_or(Path::new("")).to_owned()),
            None => (String::new(), PathBuf::new()),
        };
        let config = Self::from_table(parse(path, &text)?, environment, Context { folder, ..context });
        let config = config.map_err(|errors| errors.of_file(path))?;
        Ok(Self { file: path.map(Path::to_owned), ..config })
    }

    /// Like [`Config::load`], from the text of a file in `folder`, where relative paths start.
    pub fn from_toml(
        text: &str,
        folder: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, Errors> {
        let context = Context { folder: folder.to_owned(), ..Context::default() };
        Self::from_table(parse(None, text)?, environment, context)
    }

    fn from_table(
        mut table: Table,
        environment: &BTreeMap<String, String>,
        mut context: Context,
    ) -> Result<Self, Errors> {
        environment::lay_over(&mut table, environment, &mut context);
        let mut root = TableReader::new(&context, "", table, &KEYS);
        let kafka = Kafka::read(&mut root);
        let jupiterone = JupiterOne::read(&mut root);
        let config = Self {
            kafka,
            schema_registry: SchemaRegistry::read(&mut root),
            organizations: organization::read_all(&mut root, &jupiterone),
            jupiterone,
            retention: retention(&mut root),
            admin_listen: AdminListen::read(&mut root),
            console: Console::read(&mut root),
            http: Http {
                root_certificate: root.section("http", &["root_certificate"]).path("root_certificate"),
            },
            file: None,
        };
        Errors::unless_empty(context.problems.into_inner(), config)
    }
}

/// The process's environment without non-UTF-8 entries, which cannot be settings of this program.
pub fn environment() -> BTreeMap<String, String> {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

impl AdminListen {
    fn read(root: &mut TableReader<'_>) -> Self {
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

/// An absent key means the default port on loopback. `none`, or an empty string in the file, means no endpoint.
fn listen(section: &mut TableReader<'_>, key: &str, port: u16) -> Option<SocketAddr> {
    if !section.table.contains_key(key) {
        return Some(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let address = section.parsed(key, |text| match text {
        "none" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            format!(
                "\"{text}\" is not an address; use one such as \"127.0.0.1:9101\", or \"none\" for no admin endpoint"
            )
        }),
    });
    address.flatten()
}

fn retention(root: &mut TableReader<'_>) -> Retention {
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
                "the file does not exist; create it, choose another with --config, or set ANTHROPIC_GRAPH__… variables"
                    .to_owned()
            }
            _ => format!("cannot be read; check its permissions ({error})"),
        };
        Errors::one(path.display().to_string(), message)
    })
}

/// An error has the line number and the reason, without the line's text, which may contain a secret.
fn parse(path: Option<&Path>, text: &str) -> Result<Table, Errors> {
    text.parse().map_err(|error: toml::de::Error| {
        let file = path.map_or_else(|| "configuration".to_owned(), |path| path.display().to_string());
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Errors::one(format!("{file}:{line}"), format!("is not TOML: {}", error.message().replace('\n', " ")))
    })
}
