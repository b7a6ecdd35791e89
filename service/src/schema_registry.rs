//! A schema registry that speaks Confluent's REST API: the IDs that it gives the schemas of what a process writes.
//!
//! They are asked for once, at the start, and kept. Only who writes needs them: a reader of ours finds the schema by
//! the record's header ([`schemas::framing`]).

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Method, StatusCode};
use schemas::codec::{Registered, schemas_of};
use schemas::topics::Topic;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::{info, warn};

use crate::admin::Health;
use crate::check::Line;
use crate::config::{Config, Credentials, SecretError, SecretSource};
use crate::exit::one_line;
use crate::http::{self, BaseUrl, ClientError, Received, Settings};
use crate::kafka::client::set_schema_id;
use crate::redaction::redact_remembered;
use crate::shutdown::CancellationToken;

/// Of one request, its answer read whole: a registry answers from memory, or asks its topic.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Pause before a registry that did not answer is asked again.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest answer that is read (bytes). The largest schema has 20 KiB.
const MAX_ANSWER: usize = 1024 * 1024;
/// Longest message of a registry that is shown (characters).
const MAX_MESSAGE: usize = 300;
/// What our schemas keep: old and new read each other, whatever is between them.
const COMPATIBILITY: &str = "FULL_TRANSITIVE";
/// Both media types of the API.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// The check of `/readyz`.
const CHECK: &str = "schema registry";

/// Why the IDs are not known.
#[derive(Debug, Error)]
pub enum Error {
    /// The HTTP client cannot be created.
    #[error("cannot ask the schema registry")]
    Client(#[from] ClientError),
    /// The password or the token cannot be had.
    #[error("cannot resolve schema_registry.{key}")]
    Secret {
        key: &'static str,
        #[source]
        source: SecretError,
    },
    /// It did not answer, or asks to come back later. Ask again.
    #[error("the schema registry {url} is not available: {reason}")]
    Unreachable {
        url: String,
        /// What the last try met.
        reason: String,
    },
    /// It refused for good. A person fixes it.
    #[error("the schema registry {url} refused subject {subject} ({reason}); {advice}")]
    Refused { url: String, subject: String, reason: String, advice: &'static str },
}

/// Registers the schemas of the topics that the process `writes` to where a registry is configured, and has the producers
/// that are made of `client` name them by ID. Call it last: other changes of `client` forget the IDs.
pub async fn register(
    config: &Config,
    environment: &BTreeMap<String, String>,
    writes: &[Topic],
    client: &mut ClientConfig,
) -> Result<(), Error> {
    let Some(registry) = Registry::of(config, environment)? else { return Ok(()) };
    for (subject, schema) in subjects(&config.kafka.topic_prefix, writes) {
        let id = registry.id(&subject, schema).await?;
        set_schema_id(client, schema.fingerprint, id);
    }
    Ok(())
}

/// As [`register`]. With patience, a registry that does not answer is waited for, which `/readyz` shows, and `false` is
/// the shutdown.
pub async fn register_unless(
    config: &Config,
    environment: &BTreeMap<String, String>,
    writes: &[Topic],
    client: &mut ClientConfig,
    patience: Option<(&Health, &CancellationToken)>,
) -> Result<bool, Error> {
    loop {
        let registered = register(config, environment, writes, client).await;
        let Some((health, shutdown)) = patience else { return registered.map(|()| true) };
        match registered {
            Ok(()) => {
                health.clear(CHECK);
                return Ok(true);
            }
            Err(problem @ Error::Unreachable { .. }) => {
                warn!("{problem}; trying again");
                health.set(CHECK, Err(problem.to_string()));
            }
            Err(problem) => return Err(problem),
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = shutdown.cancelled() => return Ok(false),
        }
    }
}

/// What a `check` command says of the registry, without registering anything; nothing where none is configured.
pub async fn check(
    config: &Config,
    environment: &BTreeMap<String, String>,
    writes: &[Topic],
    service: &str,
) -> Vec<Line> {
    let failed = |error: Error| Line::Failed(format!("{CHECK}: {:#}", anyhow::Error::from(error)));
    let registry = match Registry::of(config, environment) {
        Ok(Some(registry)) => registry,
        Ok(None) => return Vec::new(),
        Err(error) => return vec![failed(error)],
    };
    let mut lines = Vec::new();
    for (subject, schema) in subjects(&config.kafka.topic_prefix, writes) {
        lines.push(match registry.look_up(&subject, &Schema::of(schema)).await {
            Ok(Some(id)) => Line::Good(format!("{CHECK}: subject {subject} has the schema, ID {id}")),
            Ok(None) => Line::Note(format!(
                "{CHECK}: subject {subject} does not have the schema yet; `{service} run` registers it"
            )),
            Err(error) => failed(error),
        });
    }
    lines
}

/// Confluent's `TopicRecordNameStrategy`: a topic may have several records, each with versions of its own.
fn subjects(prefix: &str, topics: &[Topic]) -> impl Iterator<Item = (String, &'static Registered)> {
    topics.iter().flat_map(move |topic| {
        let name = topic.name(prefix);
        schemas_of(*topic).into_iter().map(move |schema| (format!("{name}-{}", schema.name), schema))
    })
}

struct Registry {
    url: BaseUrl,
    client: Client,
    authorization: Authorization,
}

enum Authorization {
    None,
    Basic(String, SecretString),
    Bearer(SecretString),
}

/// What is registered or looked up.
#[derive(Debug, Serialize)]
struct Schema {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: &'static str,
}

impl Schema {
    fn of(schema: &Registered) -> Self {
        Self { schema: schema.registry_text(), kind: "AVRO" }
    }
}

#[derive(Debug, Deserialize)]
struct Known {
    id: u32,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    message: String,
}

/// The status with the registry's message, which may quote what it was sent.
fn reason(answer: &Received) -> String {
    let refusal: Option<Refusal> = serde_json::from_slice(&answer.body).ok();
    let message = refusal.map_or_else(String::new, |refusal| {
        let message: String = one_line(&refusal.message).chars().take(MAX_MESSAGE).collect();
        format!(": {}", redact_remembered(&message))
    });
    format!("HTTP {}{message}", answer.status.as_u16())
}

/// Whether the same request may be answered otherwise in a while.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}

impl Registry {
    fn of(config: &Config, environment: &BTreeMap<String, String>) -> Result<Option<Self>, Error> {
        let Some(registry) = &config.schema_registry else { return Ok(None) };
        let client = http::client(Settings {
            base_url: &registry.url,
            root_certificate: config.http.root_certificate.as_deref(),
            request_timeout: REQUEST_TIMEOUT,
            what: "schema registry",
        })?;
        let secret = |key, source: &SecretSource| {
            source.resolve(environment).map_err(|source| Error::Secret { key, source })
        };
        let authorization = match &registry.credentials {
            Credentials::None => Authorization::None,
            Credentials::Basic { username, password } => {
                Authorization::Basic(username.clone(), secret("password", password)?)
            }
            Credentials::Bearer(token) => Authorization::Bearer(secret("token", token)?),
        };
        Ok(Some(Self { url: registry.url.clone(), client, authorization }))
    }

    /// The ID of the schema in the subject, registered if it is not there: a principal that may only read gets along
    /// with what others registered.
    async fn id(&self, subject: &str, schema: &Registered) -> Result<u32, Error> {
        let wanted = Schema::of(schema);
        if let Some(id) = self.look_up(subject, &wanted).await? {
            return Ok(id);
        }
        let path = format!("subjects/{subject}/versions");
        let answer = self.ask(Method::POST, &path, &wanted).await?;
        let advice = match answer.status {
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                "another schema is registered there; delete that subject, or set another kafka.topic_prefix"
            }
            _ => "register the schema there, or allow schema_registry's credentials to do so",
        };
        let id = self.read_id(subject, &answer, advice)?;
        info!(subject, schema.id = id, "registered a schema");
        self.set_compatibility(subject).await?;
        Ok(id)
    }

    async fn look_up(&self, subject: &str, wanted: &Schema) -> Result<Option<u32>, Error> {
        let answer = self.ask(Method::POST, &format!("subjects/{subject}"), wanted).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.read_id(subject, &answer, "check schema_registry's url and credentials").map(Some)
    }

    /// Not every registry lets everyone set it, and nothing written depends on it: it keeps others from registering
    /// what our readers could not read.
    async fn set_compatibility(&self, subject: &str) -> Result<(), Error> {
        let wanted = serde_json::json!({ "compatibility": COMPATIBILITY });
        let answer = self.ask(Method::PUT, &format!("config/{subject}"), &wanted).await?;
        if !answer.status.is_success() {
            let reason = reason(&answer);
            warn!(
                subject,
                reason,
                "cannot set the compatibility of {subject} to {COMPATIBILITY}; set it in the registry"
            );
        }
        Ok(())
    }

    async fn ask(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Received, Error> {
        let request = self
            .client
            .request(method, format!("{}/{path}", self.url))
            .header(CONTENT_TYPE, MEDIA_TYPE)
            .header(ACCEPT, MEDIA_TYPE)
            .json(body);
        let (request, secret) = match &self.authorization {
            Authorization::None => (request, ""),
            Authorization::Basic(username, password) => {
                let password = password.expose_secret();
                (request.basic_auth(username, Some(password)), password)
            }
            Authorization::Bearer(token) => {
                let token = token.expose_secret();
                (request.bearer_auth(token), token)
            }
        };
        let answer = http::exchange(request, MAX_ANSWER, secret)
            .await
            .map_err(|lost| self.unreachable(lost.to_string()))?;
        if is_passing(answer.status) { Err(self.unreachable(reason(&answer))) } else { Ok(answer) }
    }

    fn read_id(&self, subject: &str, answer: &Received, advice: &'static str) -> Result<u32, Error> {
        let known: Option<Known> =
            answer.status.is_success().then(|| serde_json::from_slice(&answer.body).ok()).flatten();
        known.map(|known| known.id).ok_or_else(|| Error::Refused {
            url: self.url.to_string(),
            subject: subject.to_owned(),
            reason: reason(answer),
            advice,
        })
    }

    fn unreachable(&self, reason: String) -> Error {
        Error::Unreachable { url: self.url.to_string(), reason }
    }
}
