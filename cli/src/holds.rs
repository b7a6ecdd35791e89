//! `anthropic-graph holds list`: the deletions that the guard holds, and what is needed to decide about them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use graph::state::GraphKey;
use processor::graph_snapshot::GraphSnapshot;
use schemas::{
    coverage::{Coverage, Hold, HoldState},
    graph_value::GraphValue,
    raw,
};
use serde_json::json;
use service::{
    config::{Config, environment, is_asked_for},
    exit::Outcome,
    kafka::client_config,
    shell::{self, Program},
    stdout,
    wording::{self, time},
};

use crate::selection::Selection;

/// A hold, and what a person needs to know about it.
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
pub async fn list(config: Config, program: Program, arguments: Selection) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        let client = client_config(&config.kafka, &environment())?;
        let mut graph = GraphSnapshot::open(&config, &client)?;
        let asked = arguments.organization.as_deref();
        let (mut all, mut is_known) = (Vec::new(), false);
        for partition in 0..graph.partition_count() {
            let (held, is_here) = held(&mut graph, partition, asked)?;
            all.extend(held);
            is_known |= is_here;
        }
        if let Some(asked) = asked.filter(|_| !is_known) {
            config.organization(asked)?;
        }
        let lines = if arguments.json {
            all.iter().map(|held| as_json(held, &program)).collect::<Result<_, _>>()?
        } else if all.is_empty() {
            vec!["no holds: no deletion waits for a decision".to_owned()]
        } else {
            text(&all, &program)
        };
        stdout::print(lines)
    })
    .await
    .context("the reading thread ended")?
}

/// The holds of a partition, by organization, collection and key, and whether it has an organization that is asked for.
/// Reads the partition once for the holds and, if there are any, again for their elements: elements that are not held
/// are not kept in memory.
fn held(graph: &mut GraphSnapshot, partition: i32, asked: Option<&str>) -> anyhow::Result<(Vec<Held>, bool)> {
    let mut holds: BTreeMap<(String, String), Hold> = BTreeMap::new();
    let mut known: BTreeMap<(String, String), (String, Option<String>)> = BTreeMap::new();
    graph.read(partition, |organization_id, key, value| match (key, value) {
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
    let is_known = known.iter().any(|((id, _), (name, _))| is_asked_for(asked, name, Some(id)));
    let mut all: BTreeMap<(String, String, String), Held> = BTreeMap::new();
    for ((organization_id, key), hold) in holds {
        let coverage = known.get(&(organization_id.clone(), hold.collection.clone()));
        let (organization_name, why) = coverage.cloned().unwrap_or_default();
        let why = why.unwrap_or_else(|| "an earlier listing exceeded the guard's limits".to_owned());
        let (element_type, display_name, ends) = Default::default();
        let held = Held { hold, organization_name, why, element_type, display_name, ends };
        if is_asked_for(asked, &held.organization_name, Some(&organization_id)) {
            all.insert((organization_id, held.hold.collection.clone(), key), held);
        }
    }
    if !all.is_empty() {
        graph.read(partition, |organization_id, _, value| {
            let Some(GraphValue::Element(element)) = value else { return };
            let collection = element.collection().to_owned();
            let key = (organization_id.to_owned(), collection, element.key().to_owned());
            if let Some(held) = all.get_mut(&key) {
                held.ends = element.ends().map(str::to_owned).collect();
                let element = element.decode();
                element.kind().clone_into(&mut held.element_type);
                held.display_name = element.display_name;
            }
        })?;
    }
    Ok((all.into_values().collect(), is_known))
}

/// Why the newest listing left holds. The reason begins with a count that decisions may have changed, and ends with the
/// command that is running now; both are removed.
fn why(coverage: &Coverage) -> Option<String> {
    let latest = coverage.latest.as_ref().filter(|latest| latest.outcome == raw::Outcome::Guarded)?;
    let (_, rest) = latest.reason.as_ref()?.split_once(", because ")?;
    Some(rest.rsplit_once("; `anthropic-graph holds list`").map_or(rest, |(why, _)| why).to_owned())
}

fn text(all: &[Held], program: &Program) -> Vec<String> {
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
        let included = included(group).count();
        if included > 0 {
            lines.push(format!("  and {} of these", wording::count(included, "relationship")));
        }
        if let Some(newest) = newest(group) {
            lines.push(format!("  to delete them: {}", command("approve", newest, None, program)));
            lines.push(format!("  to keep them:   {}", command("reject", newest, None, program)));
        }
        // A rejected hold ends only if the element returns, or by a decision about its key.
        let rejected = shown(group).map(|held| &held.hold).filter(|hold| hold.state == HoldState::Rejected);
        lines.extend(rejected.map(|hold| {
            format!("  to delete after all: {}", command("approve", hold, Some(&hold.element_key), program))
        }));
    }
    lines.push("to decide about one element only, add --key ELEMENT_KEY".to_owned());
    lines.push("deletions held after the listing in a command stay held".to_owned());
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

/// Holds with their own line: entities, then relationships that are held without one of their ends.
fn shown(group: &[Held]) -> impl Iterator<Item = &Held> {
    let alone = group.iter().filter(|held| !held.ends.is_empty() && !goes_with_an_end(held, group));
    group.iter().filter(|held| held.ends.is_empty()).chain(alone)
}

/// The relationships that are held, in the same state, with one of their ends. A decision about the end includes them.
fn included(group: &[Held]) -> impl Iterator<Item = &Held> {
    group.iter().filter(|held| goes_with_an_end(held, group))
}

fn goes_with_an_end(held: &Held, group: &[Held]) -> bool {
    // The groups are sorted by key.
    held.ends.iter().any(|key| {
        let place = group.binary_search_by(|other| other.hold.element_key.cmp(key));
        place.is_ok_and(|index| group[index].hold.state == held.hold.state)
    })
}

/// A hold, with its own time and listing if they differ from the oldest hold's.
fn line(one: &Held, oldest: &Hold) -> String {
    let hold = &one.hold;
    let key = hold.element_key.escape_debug();
    // The words of the console.
    let state = if hold.state == HoldState::Rejected { "kept" } else { "to decide" };
    let line = format!("  {state:<9}  {:?}  {key}", one.display_name);
    if hold.listing_id == oldest.listing_id {
        line
    } else {
        format!("{line}  since {}, listing {}", time(hold.proposed_ts_ms), hold.listing_id)
    }
}

fn place(held: &Held) -> (&str, &str) {
    (&held.hold.organization_id, &held.hold.collection)
}

/// The undecided hold with the newest listing.
fn newest(group: &[Held]) -> Option<&Hold> {
    let proposed = group.iter().map(|held| &held.hold).filter(|hold| hold.state == HoldState::Proposed);
    proposed.max_by_key(|hold| hold.raw_offset)
}

/// The command that decides, quoted for a shell.
fn command(kind: &str, hold: &Hold, key: Option<&str>, program: &Program) -> String {
    let key = key.map(|key| format!(" --key {}", shell::word(key))).unwrap_or_default();
    program.command(&format!(
        "holds {kind} --organization-id {} --collection {}{key} --listing {} {}",
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
