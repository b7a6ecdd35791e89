//! `anthropic-graph reset`: deletes the processor's output, so that it is rebuilt from what raw still has.
//!
//! It deletes the committed offsets of the group, the changes and the graph, because none of the three is valid without
//! the others. The group is deleted first; the broker refuses that while the group has members. After an interrupted
//! reset, the graph still says how far it has read raw. Brokers do not protect the topics, so the groups are deleted
//! again, which finds active members, before each deletion and after the last one. The sink's group has nothing to lose:
//! it commits no offsets.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use graph::state::{FoldError, GraphKey};
use processor::graph_snapshot::GraphSnapshot;
use rdkafka::ClientConfig;
use schemas::{collection::POLL, coverage::Coverage, graph_value::GraphValue, topics::Topic};
use serde_json::json;
use service::{
    config::{Config, environment},
    exit::Outcome,
    kafka::{
        client_config,
        cluster_admin::{self, ClusterAdmin},
        restore::RestoreError,
    },
    progress::Progress,
    shell::Program,
    stdout,
};

use crate::confirmation::Confirmation;

/// The topics that are deleted, and created again by the next run.
const DELETED: [Topic; 2] = [Topic::Changes, Topic::Graph];
/// Most collections of an organization that are named (count); the rest are counted.
const NAMED: usize = 5;

/// Shows what would be deleted, or deletes it; `program` is for the commands that are shown.
pub async fn reset(config: Config, program: Program, confirmation: Confirmation) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        let client = client_config(&config.kafka, &environment())?;
        let mut reset = Reset::look(&config, &client)?;
        let Confirmation { confirm, json, .. } = confirmation;
        if confirm {
            reset.work(&ClusterAdmin::new(&client)?)?;
        }
        let lines = if json { vec![reset.as_json(confirm)?] } else { reset.text(confirm, &program) };
        stdout::print(lines)
    })
    .await
    .context("the resetting thread ended")?
}

/// The state before a reset.
struct Reset {
    groups: Groups,
    members: Members,
    /// Topics to delete, with the number of their offsets, including transaction markers.
    topics: BTreeMap<String, i64>,
    raw: String,
    /// The first offset of each raw partition whose beginning was deleted.
    cut: BTreeMap<i32, i64>,
    /// Collections by organization whose last whole listing is no longer complete in raw, or why the graph cannot be
    /// read. An unreadable graph is not an error: a reset fixes it.
    lost: Result<BTreeMap<String, Vec<String>>, String>,
}

impl Reset {
    fn look(config: &Config, client: &ClientConfig) -> anyhow::Result<Self> {
        let cluster = ClusterAdmin::new(client)?;
        let prefix = &config.kafka.topic_prefix;
        let raw = Topic::Raw.name(prefix);
        let Some(partitions) = cluster.partition_count(&raw)? else {
            bail!("the topic {raw} does not exist, so there is nothing to rebuild from; nothing was deleted");
        };
        let begins: BTreeMap<i32, i64> = (0..partitions)
            .map(|partition| Ok((partition, cluster.offsets(&raw, partition)?.0)))
            .collect::<anyhow::Result<_>>()?;
        let mut topics = BTreeMap::new();
        for topic in DELETED.map(|topic| topic.name(prefix)) {
            let Some(partitions) = cluster.partition_count(&topic)? else { continue };
            let spans = (0..partitions).map(|partition| cluster.offsets(&topic, partition));
            let spans = spans.map(|offsets| offsets.map(|(beginning, end)| end - beginning));
            let span = spans.sum::<Result<i64, _>>()?;
            topics.insert(topic, span);
        }
        let groups = Groups::of(prefix);
        let members = groups.members(&cluster)?;
        let lost = if topics.contains_key(&Topic::Graph.name(prefix)) {
            lost(&mut GraphSnapshot::open(config, client)?, &begins)?
        } else {
            Ok(BTreeMap::new())
        };
        let cut = begins.into_iter().filter(|(_, beginning)| *beginning > 0).collect();
        Ok(Self { groups, members, topics, raw, cut, lost })
    }

    fn work(&mut self, cluster: &ClusterAdmin) -> anyhow::Result<()> {
        // Reading the graph may have taken minutes.
        self.members = self.groups.members(cluster)?;
        if !self.members.active.is_empty() {
            bail!("nothing was deleted: {}", self.members.refusal());
        }
        self.groups.delete(cluster).context("nothing was deleted")?;
        let topics = u64::try_from(self.topics.len()).unwrap_or(u64::MAX);
        let mut progress = Progress::begin("deleting topics", "topics", topics);
        for (topic, deleted) in self.topics.keys().zip(0..) {
            progress.reach(deleted);
            self.groups.still(cluster)?;
            cluster.delete_topic(topic).context("the reset is not complete; run it again")?;
        }
        // A service that started since the last check may have read deleted topics, or created them again.
        self.groups.still(cluster)
    }

    fn text(&self, is_done: bool, program: &Program) -> Vec<String> {
        let verb = if is_done { "deleted" } else { "would delete" };
        let mut lines =
            vec![format!("reset {verb}: the committed offsets of the group {}", self.groups.processor)];
        lines.extend(
            self.topics
                .iter()
                .map(|(topic, span)| format!("reset {verb}: the topic {topic} ({span} offsets)")),
        );
        lines.push(format!(
            "kept: {}, the dead letters (those of records still in raw are written again), and the sync topic",
            self.raw
        ));
        let cut = self.cut.iter().map(|(partition, offset)| {
            format!(
                "lost: changes from before offset {offset} of {} partition {partition}, the first that raw still has",
                self.raw
            )
        });
        lines.extend(cut);
        if let Err(reason) = &self.lost {
            lines.push(format!(
                "the graph cannot be read ({reason}), so it is unknown what raw no longer has; the next poll restores \
                 what is lost"
            ));
        }
        lines.extend(self.lost.iter().flatten().map(|(organization, collections)| {
            let named = collections.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = collections.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("lost until the next poll: {named}{more} of {organization}, because raw no longer has their last whole listings")
        }));
        lines.push(
            "readers of changes must start over too, because its offsets and revisions restart".to_owned(),
        );
        if !is_done && !self.members.active.is_empty() {
            lines.push(format!("reset would be refused now: {}", self.members.refusal()));
        }
        if !is_done && !self.members.unknown.is_empty() {
            lines.push(format!(
                "reset is refused while a processor or a sink runs, which is not known of groups of the protocol `consumer` \
                 ({}); stop them first",
                self.members.unknown.join(", ")
            ));
        }
        lines.push(if is_done {
            let run = program.beside("anthropic-graph", "processor").command("run --until-end");
            format!(
                "next: {run}, then start the services; if JupiterOne holds a different graph, the sink asks for an \
                 `anthropic-graph sync approve`"
            )
        } else {
            format!("nothing was deleted; to delete it: {}", program.command("reset --confirm"))
        });
        lines
    }

    fn as_json(&self, is_done: bool) -> anyhow::Result<String> {
        let line = json!({
            "group": self.groups.processor,
            "topics": self.topics,
            "raw_begins": self.cut,
            "lost_until_next_poll": self.lost.as_ref().ok(),
            "lost_unknown": self.lost.as_ref().err(),
            "active": self.members.active,
            "members_unknown": self.members.unknown,
            "deleted": is_done,
        });
        serde_json::to_string(&line).context("failed to write JSON")
    }
}

/// The groups that use what a reset deletes.
struct Groups {
    processor: String,
    /// Reads the graph topic: its state would be that of a deleted topic.
    sink: String,
}

impl Groups {
    fn of(prefix: &str) -> Self {
        Self { processor: format!("{prefix}.processor"), sink: format!("{prefix}.sink") }
    }

    fn members(&self, cluster: &ClusterAdmin) -> anyhow::Result<Members> {
        let mut members = Members::default();
        for group in [&self.processor, &self.sink] {
            match cluster.members(group)? {
                Some(0) => {}
                Some(count) => {
                    members.active.insert(group.clone(), count);
                }
                None => members.unknown.push(group.clone()),
            }
        }
        Ok(members)
    }

    /// Deletes the groups. Fails if one has members.
    fn delete(&self, cluster: &ClusterAdmin) -> Result<(), cluster_admin::Error> {
        cluster.delete_group(&self.sink)?;
        cluster.delete_group(&self.processor)?;
        Ok(())
    }

    /// Fails if a group has members.
    fn still(&self, cluster: &ClusterAdmin) -> anyhow::Result<()> {
        self.delete(cluster).context(
            "a service started during the reset and may have seen partly deleted topics: stop it and run reset again",
        )
    }
}

/// Who is active in the groups.
#[derive(Debug, Default)]
struct Members {
    /// Members of the groups that have any (count).
    active: BTreeMap<String, usize>,
    /// Groups whose members cannot be listed.
    unknown: Vec<String>,
}

impl Members {
    fn refusal(&self) -> String {
        let groups = self.active.iter().map(|(group, members)| format!("{group} has {members}"));
        format!(
            "a group has active members ({}); stop the processors and sinks first (a killed one counts until its session \
             times out, after ten seconds)",
            groups.collect::<Vec<_>>().join(", ")
        )
    }
}

/// Collections whose last whole listing begins before raw does, or why the graph cannot be read.
fn lost(
    graph: &mut GraphSnapshot,
    begins: &BTreeMap<i32, i64>,
) -> anyhow::Result<Result<BTreeMap<String, Vec<String>>, String>> {
    match lost_collections(graph, begins) {
        Ok(lost) => Ok(Ok(lost)),
        Err(error) => match error.downcast_ref() {
            Some(RestoreError::<FoldError>::Apply { .. }) => Ok(Err(format!("{error:#}"))),
            _ => Err(error),
        },
    }
}

fn lost_collections(
    graph: &mut GraphSnapshot,
    begins: &BTreeMap<i32, i64>,
) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let mut lost: BTreeSet<(String, String)> = BTreeSet::new();
    for partition in 0..graph.partition_count() {
        let begins = begins.get(&partition).copied().unwrap_or_default();
        graph.read(partition, |organization_id, key, value| {
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
    // A listing's resources precede its manifest.
    whole.is_some_and(|whole| whole.raw_offset - whole.count < begins)
}
