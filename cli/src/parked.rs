//! `anthropic-graph sync parked`: the objects that JupiterOne refuses, from the sync topic.

use anyhow::Context as _;
use schemas::sync::{Parked, ParkedState, Sync};
use serde_json::json;
use service::config::{Config, environment, is_asked_for};
use service::exit::Outcome;
use service::kafka::client_config;
use service::stdout;
use service::wording::time;

use crate::selection::Selection;
use crate::sync_topic::newest;

/// Lists the refused objects.
pub async fn parked(config: Config, arguments: Selection) -> anyhow::Result<Outcome> {
    let Selection { organization, json } = arguments;
    tokio::task::spawn_blocking(move || {
        let newest = newest(&config, &client_config(&config.kafka, &environment())?)?;
        let asked = organization.as_deref();
        let is_wanted =
            |sync: &&Sync| is_asked_for(asked, &sync.organization_name, Some(&sync.organization_id));
        let wanted: Vec<&Sync> = newest.values().filter(is_wanted).collect();
        if let Some(asked) = asked.filter(|_| wanted.is_empty()) {
            config.organization(asked)?;
        }
        let lines = wanted.into_iter().flat_map(|sync| {
            let line = if json { json_line } else { line };
            sync.parked.iter().map(move |parked| line(sync, parked))
        });
        let mut lines: Vec<String> = lines.collect();
        if lines.is_empty() && !json {
            lines.push("no parked objects: JupiterOne refuses none".to_owned());
        }
        stdout::print(lines)
    })
    .await
    .context("the reading thread ended")?
}

fn line(sync: &Sync, parked: &Parked) -> String {
    let what = if parked.state == ParkedState::Stripped {
        "uploaded without its optional properties"
    } else {
        "not uploaded; nothing of its type and its relationships' types is deleted"
    };
    let Parked { element_key, since_ts_ms, reason, .. } = parked;
    format!("{}  {element_key}  since {}  {what}: {reason}", sync.organization_name, time(*since_ts_ms))
}

fn json_line(sync: &Sync, parked: &Parked) -> String {
    json!({
        "organization": sync.organization_name,
        "organization_id": sync.organization_id,
        "target": sync.target,
        "key": parked.element_key,
        "type": parked.element_type,
        "state": parked.state,
        "since": time(parked.since_ts_ms),
        "reason": parked.reason,
    })
    .to_string()
}
