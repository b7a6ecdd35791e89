//! `processor reset`: the processor begins anew, from what raw still has.
//!
//! Deleted are the committed offsets of its group, the changes and the graph: with any one of the three left, the
//! others would not fit it. The group goes first, and by the broker's own refusal never from under a live member: a
//! reset that ends in between leaves a graph that says itself what of raw it has. No broker guards the topics, so
//! whether somebody works with them is asked again before each deletion and behind the last one.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use graph::state::{FoldError, GraphKey};
use rdkafka::ClientConfig;
use schemas::{codec::GraphValue, collection::POLL, coverage::Coverage, topics::Topic};
use serde_json::json;
use service::{
    answer,
    config::{Config, environment},
    exit::Outcome,
    kafka::{client_config, restore::RestoreError, upkeep::Upkeep},
    shell::Program,
};

use crate::{confirmation::Confirmation, stand::Stand};

/// The topics that are deleted, and made anew by the next run.
const DELETED: [Topic; 2] = [Topic::Changes, Topic::Graph];
/// So many collections of an organization are named (count): the rest are counted.
const NAMED: usize = 5;

/// Shows what is deleted, or deletes it; `program` is for the commands that are shown.
pub async fn reset(config: Config, program: Program, confirmation: Confirmation) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        let client = client_config(&config.kafka, &environment())?;
        let mut reset = Reset::look(&config, &client)?;
        let Confirmation { confirm, json, .. } = confirmation;
        if confirm {
            reset.work(&Upkeep::new(&client)?)?;
        }
        let lines = if json { vec![reset.as_json(confirm)?] } else { reset.told(confirm, &program) };
        answer::print(lines)
    })
    .await
    .context("the resetting thread ended")?
}

/// What there is before a reset.
struct Reset {
    groups: Groups,
    /// Members of the groups that have some.
    active: BTreeMap<String, usize>,
    /// Topics to delete, with the spans of their offsets, which count transaction markers too.
    topics: BTreeMap<String, i64>,
    raw: String,
    /// The first offsets of raw by partition where it is no longer the first of all.
    cut: BTreeMap<i32, i64>,
    /// Collections by organization whose last whole listing raw no longer has whole; why that cannot be told, where the
    /// graph, which says so, cannot be read: a reset is what mends it.
    lost: Result<BTreeMap<String, Vec<String>>, String>,
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
        let groups = Groups::of(prefix);
        let active = groups.active(&upkeep)?;
        let lost = if topics.contains_key(&Topic::Graph.name(prefix)) {
            lost(&mut Stand::open(config, client)?, &begins)?
        } else {
            Ok(BTreeMap::new())
        };
        let cut = begins.into_iter().filter(|(_, beginning)| *beginning > 0).collect();
        Ok(Self { groups, active, topics, raw, cut, lost })
    }

    fn work(&mut self, upkeep: &Upkeep) -> anyhow::Result<()> {
        // To look may have taken minutes.
        self.active = self.groups.active(upkeep)?;
        if !self.active.is_empty() {
            bail!("nothing was deleted: {}", self.refusal());
        }
        upkeep.delete_group(&self.groups.processor)?;
        for topic in self.topics.keys() {
            self.groups.still(upkeep)?;
            upkeep.delete_topic(topic).context("the reset is not complete; run it again")?;
        }
        // Who came behind the last question may have read what is gone, or begun to write it anew.
        self.groups.still(upkeep)
    }

    fn refusal(&self) -> String {
        format!(
            "a group has active members ({}); stop the processors and sinks first (one that was killed counts until \
             its session ends, ten seconds)",
            counted(&self.active)
        )
    }

    fn told(&self, is_done: bool, program: &Program) -> Vec<String> {
        let verb = if is_done { "deleted" } else { "would delete" };
        let mut lines =
            vec![format!("reset {verb}: the committed offsets of the group {}", self.groups.processor)];
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
        if let Err(reason) = &self.lost {
            lines.push(format!(
                "what raw no longer has cannot be told, for the graph cannot be read ({reason}): the next poll brings \
                 back what is lost"
            ));
        }
        lines.extend(self.lost.iter().flatten().map(|(organization, collections)| {
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
            let run = program.command("run --until-end");
            format!(
                "next: {run}, then start the services; where the graph is another one than JupiterOne holds, the sink \
                 asks for a `sink approve`"
            )
        } else {
            format!("nothing was deleted; to do it: {}", program.command("reset --confirm"))
        });
        lines
    }

    fn as_json(&self, is_done: bool) -> anyhow::Result<String> {
        let line = json!({
            "group": self.groups.processor,
            "topics": self.topics,
            "raw_begins": self.cut,
            "lost_until_next_poll": self.lost.as_ref().ok(),
            "cannot_be_told": self.lost.as_ref().err(),
            "active": self.active,
            "deleted": is_done,
        });
        serde_json::to_string(&line).context("failed to write JSON")
    }
}

/// Who works with what a reset deletes.
struct Groups {
    processor: String,
    /// Folds the graph topic: its state would be of one that is gone.
    sink: String,
}

impl Groups {
    fn of(prefix: &str) -> Self {
        Self { processor: format!("{prefix}.processor"), sink: format!("{prefix}.sink") }
    }

    /// Members of the groups that have some.
    fn active(&self, upkeep: &Upkeep) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut active = BTreeMap::new();
        for group in [&self.processor, &self.sink] {
            let members = upkeep.members(group)?;
            if members > 0 {
                active.insert(group.clone(), members);
            }
        }
        Ok(active)
    }

    /// Refuses to go on once there are members.
    fn still(&self, upkeep: &Upkeep) -> anyhow::Result<()> {
        let active = self.active(upkeep)?;
        if !active.is_empty() {
            bail!(
                "a service was started during the reset, which may have met topics half gone ({}): stop it and run \
                 reset again",
                counted(&active)
            );
        }
        Ok(())
    }
}

fn counted(active: &BTreeMap<String, usize>) -> String {
    let groups: Vec<String> =
        active.iter().map(|(group, members)| format!("{group} has {members}")).collect();
    groups.join(", ")
}

/// Collections whose last whole listing begins before raw does; why nobody can tell, where the graph has a record that
/// cannot be read.
fn lost(
    stand: &mut Stand,
    begins: &BTreeMap<i32, i64>,
) -> anyhow::Result<Result<BTreeMap<String, Vec<String>>, String>> {
    match told_lost(stand, begins) {
        Ok(lost) => Ok(Ok(lost)),
        Err(error) => match error.downcast_ref() {
            Some(RestoreError::<FoldError>::Apply { .. }) => Ok(Err(format!("{error:#}"))),
            _ => Err(error),
        },
    }
}

fn told_lost(
    stand: &mut Stand,
    begins: &BTreeMap<i32, i64>,
) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
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
