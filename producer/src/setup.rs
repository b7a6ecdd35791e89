//! Sets up what polls need from the configuration and the graph topic: organizations, and whose keys they have.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;
use rdkafka::ClientConfig;
use schemas::topics::Topic;
use service::api::Retry;
use service::config::{Config, Organization};
use service::http::{Clients, Settings};
use tracing::warn;

use crate::admin::{Admin, REQUEST_TIMEOUT};
use crate::history::{self, Known};
use crate::organization_claims::Claims;
use crate::poll::Source;
use crate::publish::group_id;

/// The configured organizations with their keys. Organizations with the same base URL share connections.
pub(crate) fn sources(
    config: &Config,
    environment: &Arc<BTreeMap<String, String>>,
    retry: Retry,
) -> anyhow::Result<Vec<Source>> {
    let mut keys = config.admin_keys(environment)?;
    let mut clients = Clients::default();
    let claims = Claims::default();
    let mut sources = Vec::new();
    for organization in &config.organizations {
        let Some(key) = keys.remove(&organization.name) else { continue };
        if let Some(warning) = organization.version_warning() {
            warn!(organization.name = organization.name, "{warning}");
        }
        let client = clients.of(Settings {
            base_url: &organization.base_url,
            root_certificate: config.http.root_certificate.as_deref(),
            request_timeout: REQUEST_TIMEOUT,
            what: "producer",
        })?;
        let admin = Admin::new(client, organization, key, Arc::clone(environment), retry);
        sources.push(Source::new(organization.clone(), admin).claiming(&claims));
    }
    Ok(sources)
}

/// What earlier polls left in the graph topic. Blocks; `None` if it is stopped.
pub(crate) fn known(
    client: &ClientConfig,
    prefix: &str,
    partition_count: i32,
    is_stopped: impl Fn() -> bool,
) -> anyhow::Result<Option<Known>> {
    let graph = Topic::Graph.name(prefix);
    Ok(history::read(client, &group_id(prefix), &graph, 0..partition_count, is_stopped)?)
}

/// Sets which organization each key must belong to, from the newest coverage, and claims the organizations of `others`,
/// which are configured but not polled now. Refuses topics whose partition count has grown: an organization would continue
/// in a partition that does not have its history.
pub(crate) fn pin(
    sources: &mut [Source],
    others: &[Organization],
    known: &Known,
    partition_count: i32,
) -> anyhow::Result<()> {
    for source in sources {
        if let Some(last) = known.newest(&source.organization().name) {
            if last.partition_count != partition_count {
                bail!(
                    "the organization {} was written when the topics had {} partitions, and they now have \
                     {partition_count}, which would split its history; set a new kafka.topic_prefix and poll \
                     again",
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
    Ok(())
}
