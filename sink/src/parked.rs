//! `sink parked`: the objects that JupiterOne refuses, as the sync topic has them. Reads only.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use schemas::sync::{Parked, Sync, parked};
use serde_json::json;
use service::answer::{self, time};
use service::config::Config;
use service::exit::Outcome;

use crate::options::Options;
use crate::sync_topic;

/// Lists them on stdout, of one organization or of all, as text or as JSON lines.
pub async fn parked(
    config: Config,
    organization: Option<String>,
    is_json: bool,
    options: Options,
) -> anyhow::Result<Outcome> {
    if let Some(name) = &organization {
        config.organization(name)?;
    }
    let newest = tokio::task::spawn_blocking(move || newest(&config, &options)).await??;
    let wanted = newest
        .values()
        .filter(|sync| organization.as_ref().is_none_or(|name| *name == sync.organization_name));
    let lines = wanted.flat_map(|sync| {
        let line = if is_json { json_line } else { line };
        sync.parked.iter().map(move |parked| line(sync, parked))
    });
    let mut lines: Vec<String> = lines.collect();
    if lines.is_empty() && !is_json {
        lines.push("no parked objects: JupiterOne refuses none".to_owned());
    }
    answer::print(lines)
}

/// The newest record of each organization, by id: one that had another target before has an older one.
fn newest(config: &Config, options: &Options) -> anyhow::Result<BTreeMap<String, Sync>> {
    let mut newest: BTreeMap<String, Sync> = BTreeMap::new();
    let records = sync_topic::all(config, options)?;
    for sync in records.into_values() {
        match newest.entry(sync.organization_id.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(sync);
            }
            Entry::Occupied(mut entry) if written(entry.get()) < written(&sync) => {
                entry.insert(sync);
            }
            Entry::Occupied(_) => {}
        }
    }
    Ok(newest)
}

fn written(sync: &Sync) -> Option<i64> {
    let ended = sync.finished.as_ref().map(|finished| finished.ended_ts_ms);
    ended.max(sync.intent.as_ref().map(|intent| intent.started_ts_ms))
}

fn line(sync: &Sync, parked: &Parked) -> String {
    let what = if parked.state == parked::STRIPPED {
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
