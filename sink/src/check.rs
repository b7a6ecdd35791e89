//! `sink check`: what a person must fix before the sink can run, one line per thing, changing nothing.

use schemas::sync::Sync;
use service::check::{self, Line};
use service::config::{Config, Destination};
use service::exit::Outcome;
use service::kafka::client_config;
use service::kafka::topics::Wanted;
use service::schema_registry;
use service::shell::{Program, pasteable_later};
use service::startup::Options;

use crate::needs::NEEDS;
use crate::organizations::{self, Configured};
use crate::sync_topic;
use graph::plan;

/// Checks, and prints a line for each thing on stdout; the configuration's own mistakes are errors.
pub(crate) async fn check(config: Config, options: Options) -> anyhow::Result<Outcome> {
    let configured = organizations::all(&config, &options.environment)?;
    let mut lines = vec![check::configuration(configured.len())];
    let kafka = kafka(&config, &options).await?;
    let syncs = if kafka.iter().all(Line::is_good) { syncs(&config, &options).await? } else { Vec::new() };
    lines.extend(kafka);
    lines.extend(schema_registry::check(&config, &options.environment, NEEDS.writes, "sink").await);
    for organization in &configured {
        lines.push(jupiterone(organization).await);
        // With another ID it shows what was before the organization was pinned to its own.
        let is_its = |sync: &&Sync| {
            let Sync { organization_id, organization_name, target, .. } = sync;
            *organization_name == organization.name
                && *target == organization.target(organization_id)
                && organization.pin.as_ref().is_none_or(|pin| pin == organization_id)
        };
        let unsynced = syncs.iter().filter(is_its).filter_map(|sync| unsynced(sync, &options.program));
        lines.extend(
            unsynced.map(|reason| Line::Failed(format!("organization {}: {reason}", organization.name))),
        );
    }
    check::print(&lines)
}

async fn kafka(config: &Config, options: &Options) -> anyhow::Result<Vec<Line>> {
    let client = client_config(&config.kafka, &options.environment)?;
    let (config, broker) = (config.clone(), options.broker);
    let asked = move || check::kafka(&client, &Wanted::by(&NEEDS, &config, broker), "sink");
    Ok(tokio::task::spawn_blocking(asked).await?)
}

async fn syncs(config: &Config, options: &Options) -> anyhow::Result<Vec<Sync>> {
    let (config, options) = (config.clone(), options.clone());
    let records = tokio::task::spawn_blocking(move || sync_topic::all(&config, &options)).await??;
    Ok(records.into_values().collect())
}

/// Why a sink last kept JupiterOne from being the graph.
fn unsynced(sync: &Sync, program: &Program) -> Option<String> {
    let paused = sync.paused.as_ref().map(|reason| format!("paused: {}", pasteable_later(reason, program)));
    paused.or_else(|| plan::unwritten(sync))
}

async fn jupiterone(organization: &Configured) -> Line {
    let name = &organization.name;
    let target = match &organization.destination {
        Destination::Instance(id) => format!("integration instance {id}"),
        Destination::Scope(Some(scope)) => format!("scope {scope}"),
        Destination::Scope(None) => "scope anthropic-graph:<organization id>".to_owned(),
    };
    match organization.client.check().await {
        Ok(()) => Line::Good(format!("organization {name}: JupiterOne accepts the API key; target {target}")),
        Err(error) => Line::Failed(format!("organization {name}: {error}")),
    }
}
