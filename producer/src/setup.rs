//! From the configuration to what polls: Kafka, topics, organizations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::bail;
use rdkafka::ClientConfig;
use reqwest::Client;
use schemas::topics::Topic;
use service::config::{Config, Organization};
use service::http::{self, Settings};
use service::kafka::topics::{Broker, Wanted};
use tracing::warn;

use crate::admin::{Admin, REQUEST_TIMEOUT};
use crate::backoff::Backoff;
use crate::claims::Claims;
use crate::history;
use crate::poll::Source;
use crate::publish::group_id;

/// The topics that the producer writes and reads.
const TOPICS: [Topic; 2] = [Topic::Raw, Topic::Graph];

/// How to run.
#[derive(Clone)]
pub struct Options {
    /// Where secrets named by a variable are.
    pub environment: BTreeMap<String, String>,
    /// What broker it is.
    pub broker: Broker,
}

impl fmt::Debug for Options {
    /// Without the environment, which holds the keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { environment: _, broker } = self;
        formatter.debug_struct("Options").field("broker", broker).finish_non_exhaustive()
    }
}

impl Options {
    /// A Kafka cluster, and the process's environment.
    pub fn of_process() -> Self {
        Self { environment: service::config::environment(), broker: Broker::Kafka }
    }
}

/// The topics that the producer wants.
pub(crate) fn wanted(config: &Config, broker: Broker) -> Wanted<'_> {
    Wanted { must_see_settings: true, ..Wanted::of(config, &TOPICS, broker) }
}

/// The configured organizations, each with its key. Those of one API share connections.
pub(crate) fn sources(
    config: &Config,
    environment: &BTreeMap<String, String>,
    backoff: Backoff,
) -> anyhow::Result<Vec<Source>> {
    let mut keys = config.admin_keys(environment)?;
    let environment = Arc::new(environment.clone());
    let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
    let claims = Claims::default();
    let mut sources = Vec::new();
    for organization in &config.organizations {
        let Some(key) = keys.remove(&organization.name) else { continue };
        if let Some(warning) = organization.version_warning() {
            warn!(organization.name = organization.name, "{warning}");
        }
        let base_url = &organization.base_url;
        let client = if let Some(client) = clients.get(base_url.as_str()) {
            client.clone()
        } else {
            let client = http::client(Settings {
                base_url,
                root_certificate: config.http.root_certificate.as_deref(),
                request_timeout: REQUEST_TIMEOUT,
                what: "producer",
            })?;
            clients.insert(base_url.as_str(), client.clone());
            client
        };
        let admin = Admin::new(client, organization, key, Arc::clone(&environment), backoff);
        sources.push(Source::new(organization.clone(), admin).claiming(&claims));
    }
    Ok(sources)
}

/// Tells each organization which one its key must be of, as the newest coverage says, and which ones are those of the
/// `others` that the configuration lists and that are not polled now. Blocks; `false` if it is stopped.
/// Refuses topics that have grown: an organization would go on in another partition than the one that has its history.
pub(crate) fn pin(
    sources: &mut [Source],
    others: &[Organization],
    client: &ClientConfig,
    prefix: &str,
    partition_count: i32,
    is_stopped: impl Fn() -> bool,
) -> anyhow::Result<bool> {
    let graph = Topic::Graph.name(prefix);
    let group = group_id(prefix);
    let Some(known) = history::read(client, &group, &graph, 0..partition_count, is_stopped)? else {
        return Ok(false);
    };
    for source in sources {
        if let Some(last) = known.newest(&source.organization().name) {
            if last.partition_count != partition_count {
                bail!(
                    "the organization {} was written when the topics had {} partitions, they have {partition_count}: its \
                     history would be split; give the topics a new prefix (kafka.topic_prefix) and poll again",
                    source.organization().name,
                    last.partition_count
                );
            }
            source.expect(&last.organization_id);
        }
        for Organization { name, organization_id: pinned, .. } in others {
            let polled = known.newest(name).map(|last| &last.organization_id);
            if let Some(organization_id) = pinned.as_ref().or(polled) {
                source.leave_to(name, organization_id);
            }
        }
    }
    Ok(true)
}
