//! `processor holds`: the deletions that the guard keeps back, and what is needed to decide about them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use graph::state::GraphKey;
use schemas::{
    codec::GraphValue,
    coverage::{Coverage, Hold, hold_state},
    raw::outcome,
};
use serde_json::json;
use service::{
    answer::{self, time},
    config::{Config, environment},
    exit::Outcome,
    kafka::client_config,
    shell::{self, Program},
};

use crate::stand::Stand;

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
    /// Keys of a relationship's ends.
    ends: Vec<String>,
}

/// Lists the holds; `program` is for the commands that are shown.
pub async fn holds(config: Config, program: Program, arguments: Arguments) -> anyhow::Result<Outcome> {
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
            all.iter().map(|held| as_json(held, &program)).collect::<Result<_, _>>()?
        } else if all.is_empty() {
            vec!["no holds: no deletion waits for a decision".to_owned()]
        } else {
            told(&all, &program)
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
        let why = why.unwrap_or_else(|| "an earlier listing was over the guard's limits".to_owned());
        let (element_type, display_name, ends) = Default::default();
        let held = Held { hold, organization_name, why, element_type, display_name, ends };
        if name.is_none_or(|name| name == held.organization_name) {
            all.insert((organization_id, held.hold.collection.clone(), key), held);
        }
    }
    if !all.is_empty() {
        stand.read(partition, |organization_id, _, value| {
            let Some(GraphValue::Element(element)) = value else { return };
            let key = (organization_id.to_owned(), element.collection.clone(), element.key.clone());
            if let Some(held) = all.get_mut(&key) {
                held.ends = element.ends().map(str::to_owned).collect();
                (held.element_type, held.display_name) = (element.kind, element.display_name);
            }
        })?;
    }
    Ok(all.into_values().collect())
}

/// What the newest listing that left holds would have done. Its reason begins with how many deletions were held then,
/// of which some may be decided, and ends with the command that the person has just run.
fn why(coverage: &Coverage) -> Option<String> {
    let latest = coverage.latest.as_ref().filter(|latest| latest.outcome == outcome::GUARDED)?;
    let (_, rest) = latest.reason.as_ref()?.split_once(", for ")?;
    Some(rest.rsplit_once("; `processor holds`").map_or(rest, |(why, _)| why).to_owned())
}

fn told(all: &[Held], program: &Program) -> Vec<String> {
    let mut lines = Vec::new();
    for group in all.chunk_by(|one, other| place(one) == place(other)) {
        let first = &group[0];
        let (organization_id, collection) = place(first);
        let oldest = group.iter().map(|held| &held.hold).min_by_key(|hold| hold.proposed_ts_ms);
        let oldest = oldest.unwrap_or(&first.hold);
        lines.push(format!(
            "{} ({organization_id}), {collection}: {} held since {}, listing {}",
            first.organization_name,
            counted(group),
            time(oldest.proposed_ts_ms),
            oldest.listing_id
        ));
        lines.push(format!("  why: {}", first.why));
        lines.extend(shown(group).map(|held| line(held, oldest)));
        let beside = beside(group).count();
        if beside > 0 {
            lines.push(format!("  and {} of these", answer::count(beside, "relationship")));
        }
        if let Some(newest) = newest(group) {
            lines.push(format!("  to delete them: {}", command("approve", newest, None, program)));
            lines.push(format!("  to keep them:   {}", command("reject", newest, None, program)));
        }
        // A rejection ends only by the element's return, or by its own key.
        let rejected = shown(group).map(|held| &held.hold).filter(|hold| hold.state == hold_state::REJECTED);
        lines.extend(rejected.map(|hold| {
            format!("  to delete after all: {}", command("approve", hold, Some(&hold.element_key), program))
        }));
    }
    lines.push("to decide about one element only: add --key ELEMENT_KEY".to_owned());
    lines.push("what is held after the listing that a command names stays held".to_owned());
    lines
}

/// How many elements there are of each type, entities first.
fn counted(group: &[Held]) -> String {
    let mut counts: BTreeMap<(bool, &str), usize> = BTreeMap::new();
    for held in group {
        *counts.entry((!held.ends.is_empty(), held.element_type.as_str())).or_default() += 1;
    }
    let counts = counts.into_iter().map(|((_, kind), number)| format!("{number} {kind}"));
    counts.collect::<Vec<_>>().join(", ")
}

/// What has a line of its own: entities, then the relationships that are held without one of their ends.
fn shown(group: &[Held]) -> impl Iterator<Item = &Held> {
    let alone = group.iter().filter(|held| !held.ends.is_empty() && !goes_with_an_end(held, group));
    group.iter().filter(|held| held.ends.is_empty()).chain(alone)
}

/// The relationships that are held, in the same state, with one of their ends: a decision about it is one about them.
fn beside(group: &[Held]) -> impl Iterator<Item = &Held> {
    group.iter().filter(|held| goes_with_an_end(held, group))
}

fn goes_with_an_end(held: &Held, group: &[Held]) -> bool {
    // The groups are sorted by key.
    held.ends.iter().any(|key| {
        let place = group.binary_search_by(|other| other.hold.element_key.cmp(key));
        place.is_ok_and(|index| group[index].hold.state == held.hold.state)
    })
}

/// What is held, and since when, where it is not as long as the oldest.
fn line(one: &Held, oldest: &Hold) -> String {
    let hold = &one.hold;
    let key = hold.element_key.escape_debug();
    let line = format!("  {:<8}  {:?}  {key}", hold.state, one.display_name);
    if hold.listing_id == oldest.listing_id {
        line
    } else {
        format!("{line}  since {}, listing {}", time(hold.proposed_ts_ms), hold.listing_id)
    }
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
fn command(kind: &str, hold: &Hold, key: Option<&str>, program: &Program) -> String {
    let key = key.map(|key| format!(" --key {}", shell::word(key))).unwrap_or_default();
    program.command(&format!(
        "{kind} --organization-id {} --collection {}{key} --listing {} {}",
        shell::word(&hold.organization_id),
        shell::word(&hold.collection),
        shell::word(&hold.listing_id),
        shell::BY
    ))
}

fn as_json(one: &Held, program: &Program) -> anyhow::Result<String> {
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
        "approve": command("approve", hold, Some(&hold.element_key), program),
        "reject": command("reject", hold, Some(&hold.element_key), program),
    });
    serde_json::to_string(&line).context("failed to write a hold as JSON")
}

#[cfg(test)]
mod tests;
