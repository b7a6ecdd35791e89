//! `processor holds`: the deletions that the guard keeps back, and what is needed to decide about them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use schemas::{
    codec::GraphValue,
    coverage::{Coverage, Hold, hold_state},
    raw::outcome,
    state::GraphKey,
};
use serde_json::json;
use service::{
    answer::{self, time},
    config::{Config, environment},
    exit::Outcome,
    kafka::client_config,
};

use crate::{shell, stand::Stand};

/// What to list.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Only this organization.
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// As JSON lines, one for each hold.
    #[arg(long)]
    json: bool,
}

/// A hold with what a person wants to know of it.
#[derive(Debug, Clone)]
struct Held {
    hold: Hold,
    organization_name: String,
    why: String,
    element_type: String,
    display_name: String,
}

/// Lists the holds; `file` is the configuration's, for the commands that are shown.
pub async fn holds(config: Config, file: Option<PathBuf>, arguments: Arguments) -> anyhow::Result<Outcome> {
    if let Some(name) = &arguments.organization {
        config.organization(name)?;
    }
    tokio::task::spawn_blocking(move || {
        let client = client_config(&config.kafka, &environment())?;
        let mut stand = Stand::open(&config, &client)?;
        let mut all = Vec::new();
        for partition in 0..stand.partition_count() {
            all.extend(held(&mut stand, partition, arguments.organization.as_deref())?);
        }
        let lines = if arguments.json {
            all.iter().map(|held| as_json(held, file.as_deref())).collect::<Result<_, _>>()?
        } else if all.is_empty() {
            vec!["no holds: the guard keeps no deletion back".to_owned()]
        } else {
            told(&all, file.as_deref())
        };
        answer::print(lines)
    })
    .await
    .context("the reading thread ended")?
}

/// The holds of a partition, by organization, collection and key. Reads it once for the holds and, where there are
/// some, again for their elements: neither the graph nor the names of what is not held are kept.
fn held(stand: &mut Stand, partition: i32, name: Option<&str>) -> anyhow::Result<Vec<Held>> {
    let mut holds: BTreeMap<(String, String), Hold> = BTreeMap::new();
    let mut known: BTreeMap<(String, String), (String, Option<String>)> = BTreeMap::new();
    stand.read(partition, |organization_id, key, value| match (key, value) {
        (GraphKey::Hold(key), Some(GraphValue::Hold(hold))) => {
            holds.insert((organization_id.to_owned(), key), *hold);
        }
        (GraphKey::Hold(key), _) => drop(holds.remove(&(organization_id.to_owned(), key))),
        (GraphKey::Coverage(key), Some(GraphValue::Coverage(coverage))) => {
            let why = why(&coverage);
            known.insert((organization_id.to_owned(), key), (coverage.organization_name, why));
        }
        (GraphKey::Coverage(key), _) => drop(known.remove(&(organization_id.to_owned(), key))),
        _ => {}
    })?;
    let mut all: BTreeMap<(String, String, String), Held> = BTreeMap::new();
    for ((organization_id, key), hold) in holds {
        let coverage = known.get(&(organization_id.clone(), hold.collection.clone()));
        let (organization_name, why) = coverage.cloned().unwrap_or_default();
        let why = why.unwrap_or_else(|| "the guard held it when it was proposed".to_owned());
        let held =
            Held { hold, organization_name, why, element_type: String::new(), display_name: String::new() };
        if name.is_none_or(|name| name == held.organization_name) {
            all.insert((organization_id, held.hold.collection.clone(), key), held);
        }
    }
    if !all.is_empty() {
        stand.read(partition, |organization_id, _, value| {
            let Some(GraphValue::Element(element)) = value else { return };
            let key = (organization_id.to_owned(), element.collection.clone(), element.key.clone());
            if let Some(held) = all.get_mut(&key) {
                (held.element_type, held.display_name) = (element.kind, element.display_name);
            }
        })?;
    }
    Ok(all.into_values().collect())
}

/// The limits as the newest listing that left holds told them.
fn why(coverage: &Coverage) -> Option<String> {
    let latest = coverage.latest.as_ref()?;
    latest.reason.clone().filter(|_| latest.outcome == outcome::GUARDED)
}

fn told(all: &[Held], file: Option<&Path>) -> Vec<String> {
    let mut lines = Vec::new();
    for group in all.chunk_by(|one, other| place(one) == place(other)) {
        let first = &group[0];
        let (organization_id, collection) = place(first);
        let since = group.iter().map(|held| held.hold.proposed_ts_ms).min().unwrap_or_default();
        lines.push(format!(
            "{} ({organization_id}), {collection}: {} held since {}",
            first.organization_name,
            group.len(),
            time(since)
        ));
        lines.push(format!("  why: {}", first.why));
        lines.extend(group.iter().map(|held| {
            let hold = &held.hold;
            format!(
                "  {:<8}  {}  {:?}  since {}  listing {}",
                hold.state,
                hold.element_key.escape_debug(),
                held.display_name,
                time(hold.proposed_ts_ms),
                hold.listing_id
            )
        }));
        if let Some(newest) = newest(group) {
            lines.push(format!("  to delete them: {}", command("approve", newest, None, file)));
            lines.push(format!("  to keep them:   {}", command("reject", newest, None, file)));
        }
        // A rejection ends only by the element's return, or by its own key.
        let rejected = group.iter().map(|held| &held.hold).filter(|hold| hold.state == hold_state::REJECTED);
        lines.extend(rejected.map(|hold| {
            format!("  to delete after all: {}", command("approve", hold, Some(&hold.element_key), file))
        }));
    }
    lines.push(
        "--key ELEMENT_KEY in place of all of a collection; what was held after that listing stays held"
            .to_owned(),
    );
    lines
}

fn place(held: &Held) -> (&str, &str) {
    (&held.hold.organization_id, &held.hold.collection)
}

/// Whose listing is the newest of those that wait for a decision.
fn newest(group: &[Held]) -> Option<&Hold> {
    let proposed = group.iter().map(|held| &held.hold).filter(|hold| hold.state == hold_state::PROPOSED);
    proposed.max_by_key(|hold| hold.raw_offset)
}

/// The command that decides, as a shell takes it.
fn command(kind: &str, hold: &Hold, key: Option<&str>, file: Option<&Path>) -> String {
    let mut words = vec!["processor".to_owned()];
    if let Some(file) = file {
        words.extend(["--config".to_owned(), shell::word(&file.display().to_string())]);
    }
    words.extend([kind.to_owned(), "--organization-id".to_owned(), shell::word(&hold.organization_id)]);
    words.extend(["--collection".to_owned(), shell::word(&hold.collection)]);
    words.extend(key.into_iter().flat_map(|key| ["--key".to_owned(), shell::word(key)]));
    words.extend(["--listing".to_owned(), shell::word(&hold.listing_id), "--by \"$USER\"".to_owned()]);
    words.join(" ")
}

fn as_json(one: &Held, file: Option<&Path>) -> anyhow::Result<String> {
    let hold = &one.hold;
    let line = json!({
        "organization_id": hold.organization_id,
        "organization_name": one.organization_name,
        "collection": hold.collection,
        "element_key": hold.element_key,
        "element_type": one.element_type,
        "display_name": one.display_name,
        "state": hold.state,
        "since": time(hold.proposed_ts_ms),
        "why": one.why,
        "listing_id": hold.listing_id,
        "raw_offset": hold.raw_offset,
        "approve": command("approve", hold, Some(&hold.element_key), file),
        "reject": command("reject", hold, Some(&hold.element_key), file),
    });
    serde_json::to_string(&line).context("failed to write a hold as JSON")
}

#[cfg(test)]
mod tests;
