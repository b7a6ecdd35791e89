//! `processor reset`: the processor begins anew, from what raw still has.
//!
//! Deleted are the committed offsets of its group, the changes and the graph: with any one of the three left, the
//! others would not fit it. The group goes first, and by the broker's own refusal never from under a live member: a
//! reset that ends in between leaves a graph that says itself what of raw it has.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use rdkafka::ClientConfig;
use schemas::{codec::GraphValue, collection::POLL, coverage::Coverage, state::GraphKey, topics::Topic};
use serde_json::json;
use service::{
    answer,
    config::{Config, environment},
    exit::Outcome,
    kafka::{client_config, upkeep::Upkeep},
};

use crate::stand::Stand;

/// The topics that are deleted, and made anew by the next run.
const DELETED: [Topic; 2] = [Topic::Changes, Topic::Graph];
/// So many collections of an organization are named (count): the rest are counted.
const NAMED: usize = 5;

/// Whether to do it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Arguments {
    /// Show what would be deleted and delete nothing; so it is without --confirm too.
    #[arg(long, conflicts_with = "confirm")]
    dry_run: bool,
    /// Delete it.
    #[arg(long)]
    confirm: bool,
    /// As a JSON line.
    #[arg(long)]
    json: bool,
}

/// Shows what is deleted, or deletes it.
pub async fn reset(config: Config, arguments: Arguments) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        let client = client_config(&config.kafka, &environment())?;
        let reset = Reset::look(&config, &client)?;
        if arguments.confirm {
            reset.work(&Upkeep::new(&client)?)?;
        }
        let lines = if arguments.json {
            vec![reset.as_json(arguments.confirm)?]
        } else {
            reset.told(arguments.confirm)
        };
        answer::print(lines)
    })
    .await
    .context("the resetting thread ended")?
}

/// What there is before a reset.
struct Reset {
    group_id: String,
    /// Members of the groups that have some.
    active: BTreeMap<String, usize>,
    /// Topics to delete, with the spans of their offsets, which count transaction markers too.
    topics: BTreeMap<String, i64>,
    raw: String,
    /// The first offsets of raw by partition where it is no longer the first of all.
    cut: BTreeMap<i32, i64>,
    /// Collections by organization whose last whole listing raw no longer has whole.
    lost: BTreeMap<String, Vec<String>>,
}

impl Reset {
    fn look(config: &Config, client: &ClientConfig) -> anyhow::Result<Self> {
        let upkeep = Upkeep::new(client)?;
        let prefix = &config.kafka.topic_prefix;
        let raw = Topic::Raw.name(prefix);
        let Some(partitions) = upkeep.partition_count(&raw)? else {
            bail!(
                "the topic {raw} does not exist: there is nothing to begin anew from, and nothing is deleted"
            );
        };
        let begins: BTreeMap<i32, i64> = (0..partitions)
            .map(|partition| Ok((partition, upkeep.offsets(&raw, partition)?.0)))
            .collect::<anyhow::Result<_>>()?;
        let mut topics = BTreeMap::new();
        for topic in DELETED.map(|topic| topic.name(prefix)) {
            let Some(partitions) = upkeep.partition_count(&topic)? else { continue };
            let spans = (0..partitions).map(|partition| upkeep.offsets(&topic, partition));
            let spans = spans.map(|offsets| offsets.map(|(beginning, end)| end - beginning));
            let span = spans.sum::<Result<i64, _>>()?;
            topics.insert(topic, span);
        }
        let group_id = format!("{prefix}.processor");
        let mut active = BTreeMap::new();
        // The sink folds the graph topic: its state would be of one that is gone.
        for group in [group_id.clone(), format!("{prefix}.sink")] {
            let members = upkeep.members(&group)?;
            if members > 0 {
                active.insert(group, members);
            }
        }
        let lost = if topics.contains_key(&Topic::Graph.name(prefix)) {
            lost(&mut Stand::open(config, client)?, &begins)?
        } else {
            BTreeMap::new()
        };
        let cut = begins.into_iter().filter(|(_, beginning)| *beginning > 0).collect();
        Ok(Self { group_id, active, topics, raw, cut, lost })
    }

    fn work(&self, upkeep: &Upkeep) -> anyhow::Result<()> {
        if !self.active.is_empty() {
            bail!("nothing was deleted: {}", self.refusal());
        }
        upkeep.delete_group(&self.group_id)?;
        for topic in self.topics.keys() {
            upkeep.delete_topic(topic).context("the reset is not complete; run it again")?;
        }
        Ok(())
    }

    fn refusal(&self) -> String {
        let groups: Vec<String> =
            self.active.iter().map(|(group, members)| format!("{group} has {members}")).collect();
        format!(
            "a group has active members ({}); stop the processors and sinks first (one that was killed counts until \
             its session ends, ten seconds)",
            groups.join(", ")
        )
    }

    fn told(&self, is_done: bool) -> Vec<String> {
        let verb = if is_done { "deleted" } else { "would delete" };
        let mut lines = vec![format!("reset {verb}: the committed offsets of the group {}", self.group_id)];
        lines.extend(self.topics.iter().map(|(topic, span)| {
            format!("reset {verb}: the topic {topic} with what is in it ({span} offsets)")
        }));
        lines.push(format!(
            "kept: {}, the dead letters (those of records that raw still has are written once more), and what the \
             sink recorded",
            self.raw
        ));
        let cut = self.cut.iter().map(|(partition, offset)| {
            format!(
                "lost: changes from before offset {offset} of {} partition {partition}, where raw begins",
                self.raw
            )
        });
        lines.extend(cut);
        lines.extend(self.lost.iter().map(|(organization, collections)| {
            let named = collections.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = collections.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("lost until the next poll: {named}{more} of {organization}, whose last whole listings raw no longer has")
        }));
        lines.push("readers of changes must begin anew too: its offsets and revisions do".to_owned());
        if !is_done && !self.active.is_empty() {
            lines.push(format!("refused for now: {}", self.refusal()));
        }
        lines.push(if is_done {
            "next: processor run --until-end, then sink resync and the services".to_owned()
        } else {
            "nothing was deleted; to do it: processor reset --confirm".to_owned()
        });
        lines
    }

    fn as_json(&self, is_done: bool) -> anyhow::Result<String> {
        let line = json!({
            "group": self.group_id,
            "topics": self.topics,
            "raw_begins": self.cut,
            "lost_until_next_poll": self.lost,
            "active": self.active,
            "deleted": is_done,
        });
        serde_json::to_string(&line).context("failed to write JSON")
    }
}

/// Collections whose last whole listing begins before raw does.
fn lost(stand: &mut Stand, begins: &BTreeMap<i32, i64>) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut lost: BTreeSet<(String, String)> = BTreeSet::new();
    for partition in 0..stand.partition_count() {
        let begins = begins.get(&partition).copied().unwrap_or_default();
        stand.read(partition, |organization_id, key, value| {
            let GraphKey::Coverage(collection) = key else { return };
            let key = (organization_id.to_owned(), collection);
            match value {
                Some(GraphValue::Coverage(coverage)) if is_lost(&coverage, begins) => {
                    lost.insert(key);
                }
                _ => {
                    lost.remove(&key);
                }
            }
        })?;
    }
    let mut by_organization: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (organization_id, collection) in lost {
        by_organization.entry(organization_id).or_default().push(collection);
    }
    Ok(by_organization)
}

fn is_lost(coverage: &Coverage, begins: i64) -> bool {
    let whole = coverage.whole.as_ref().filter(|_| coverage.collection != POLL);
    // Its resources stand right before its manifest.
    whole.is_some_and(|whole| whole.raw_offset - whole.count < begins)
}
