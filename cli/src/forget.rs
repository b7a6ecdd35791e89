//! `anthropic-graph forget`: the decision to delete everything known about an organization, shown first.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use graph::state::GraphKey;
use jiff::Timestamp;
use processor::graph_snapshot::GraphSnapshot;
use schemas::{
    collection::POLL,
    graph_value::GraphValue,
    raw::{Decision, DecisionKind},
    topics::partition,
};
use serde_json::json;
use service::{
    config::{Config, environment},
    exit::{Outcome, UsageError, filled},
    kafka::client_config,
    shell::{self, Program},
    stdout, wording,
};

use crate::{
    confirmation::Confirmation,
    decide::{self, Whose},
};

/// Options of `forget`.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    whose: Whose,
    /// Who decides: the changes will show it.
    #[arg(long, value_name = "WHO", required_if_eq("confirm", "true"))]
    by: Option<String>,
    /// Why, for later readers of the raw topic.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// What is known about an organization, in keys and counts.
#[derive(Debug, Default)]
struct Known {
    name: String,
    /// Types of elements by key.
    elements: BTreeMap<String, String>,
    coverage: BTreeSet<String>,
    holds: BTreeSet<String>,
    withheld: BTreeSet<String>,
}

/// Shows what would be deleted, or writes the decision; `program` is for the command that is shown.
pub async fn forget(config: Config, program: Program, arguments: Arguments) -> anyhow::Result<Outcome> {
    let Confirmation { confirm, json, .. } = arguments.confirmation;
    if confirm {
        let organization_id = decide::organization_id(&config, &arguments.whose)?;
        let decision = Decision {
            kind: DecisionKind::Forget,
            collection: None,
            element_key: None,
            listing_id: None,
            by: filled("--by", arguments.by.unwrap_or_default())?,
            why: arguments.why,
            decided_ts_ms: Timestamp::now().as_millisecond(),
        };
        return decide::write(config, organization_id, decision, json).await;
    }
    if let Some(name) = &arguments.whose.organization {
        config.organization(name)?;
    }
    tokio::task::spawn_blocking(move || {
        let client = client_config(&config.kafka, &environment())?;
        let mut graph = GraphSnapshot::open(&config, &client)?;
        let (organization_id, known) = find(&config, &mut graph, &arguments.whose)?;
        let is_configured = config
            .organizations
            .iter()
            .any(|it| it.name == known.name || it.organization_id.as_ref() == Some(&organization_id));
        if json {
            stdout::print([as_json(&organization_id, &known, is_configured)?])
        } else {
            stdout::print(text(&organization_id, &known, is_configured, &program))
        }
    })
    .await
    .context("the reading thread ended")?
}

/// Finds the organization: by its ID in its partition, or by its name in all partitions.
fn find(config: &Config, graph: &mut GraphSnapshot, whose: &Whose) -> anyhow::Result<(String, Known)> {
    let partitions = graph.partition_count();
    if let Ok(id) = decide::organization_id(config, whose) {
        let known = known(graph, partition(&id, partitions), &|it| it == id)?.remove(&id);
        return known.filter(|known| !known.is_empty()).map(|known| (id.clone(), known)).ok_or_else(|| {
            let error = format!(
                "the graph topic has nothing about the organization {id}: it was forgotten already, or never polled; \
                 `anthropic-graph changes --from earliest` shows which organizations existed"
            );
            UsageError(error).into()
        });
    }
    let name = whose.organization.as_deref().unwrap_or_default();
    let mut found = BTreeMap::new();
    for partition in 0..partitions {
        let named = known(graph, partition, &|_| true)?.into_iter();
        found.extend(named.filter(|(_, known)| known.name == name && !known.is_empty()));
    }
    if found.len() > 1 {
        let ids: Vec<String> = found.into_keys().collect();
        let error = format!("{name} is the name of {}; choose one with --organization-id", ids.join(" and "));
        return Err(UsageError(error).into());
    }
    found.pop_first().ok_or_else(|| {
        let error = format!(
            "the graph topic has nothing about an organization {name}: it was forgotten already, or never polled"
        );
        UsageError(error).into()
    })
}

fn known(
    graph: &mut GraphSnapshot,
    partition: i32,
    wanted: &dyn Fn(&str) -> bool,
) -> anyhow::Result<BTreeMap<String, Known>> {
    let mut all: BTreeMap<String, Known> = BTreeMap::new();
    graph.read(partition, |organization_id, key, value| {
        if wanted(organization_id) {
            all.entry(organization_id.to_owned()).or_default().fold(key, value);
        }
    })?;
    Ok(all)
}

impl Known {
    fn fold(&mut self, key: GraphKey, value: Option<GraphValue>) {
        if let Some(GraphValue::Coverage(coverage)) = &value {
            self.name.clone_from(&coverage.organization_name);
        }
        let (set, key) = match (key, value) {
            (GraphKey::Element(key), Some(GraphValue::Element(element))) => {
                self.elements.insert(key, element.kind().to_owned());
                return;
            }
            (GraphKey::Element(key), _) => {
                self.elements.remove(&key);
                return;
            }
            (GraphKey::Coverage(key), value) => ((&mut self.coverage, value.is_some()), key),
            (GraphKey::Hold(key), value) => ((&mut self.holds, value.is_some()), key),
            (GraphKey::Withheld(key), value) => ((&mut self.withheld, value.is_some()), key),
            (GraphKey::Barrier, _) => return,
        };
        match set {
            (set, true) => drop(set.insert(key)),
            (set, false) => drop(set.remove(&key)),
        }
    }

    fn by_type(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for kind in self.elements.values() {
            *counts.entry(kind.as_str()).or_default() += 1;
        }
        counts
    }

    /// Whether nothing is left to delete. The coverage of its polls stays after an organization was forgotten.
    fn is_empty(&self) -> bool {
        let left = self.elements.len() + self.holds.len() + self.withheld.len() + self.collections();
        left == 0
    }

    /// Coverage records of collections (count), without the polls' record, which stays.
    fn collections(&self) -> usize {
        self.coverage.iter().filter(|it| *it != POLL).count()
    }
}

/// What forgetting does not do.
const LEFT: [&str; 3] = [
    "records in raw and changes stay until their retention ends; the changes contain what was deleted",
    "JupiterOne's scope is not emptied: delete its content in JupiterOne or with its API",
    "anyone who may write to raw can bring it back",
];

fn text(organization_id: &str, known: &Known, is_configured: bool, program: &Program) -> Vec<String> {
    let mut lines = vec![format!("forget {} ({organization_id}) would delete", known.name)];
    lines.extend(known.by_type().into_iter().map(|(kind, count)| format!("  {count:>8}  {kind}")));
    lines.push(format!("  {:>8}  in total, each with its own change", known.elements.len()));
    let more = [
        (known.collections(), "coverage record"),
        (known.holds.len(), "hold"),
        (known.withheld.len(), "withheld relationship"),
    ];
    let more = more.map(|(number, thing)| wording::count(number, thing)).join(", ");
    lines.push(format!("  and {more}"));
    lines.extend(LEFT.iter().map(|line| format!("not done: {line}")));
    if is_configured {
        let name = &known.name;
        lines.push(format!(
            "first remove {name} from the producer's configuration: the next poll would bring it back"
        ));
    }
    let forget = format!("forget --organization-id {} {} --confirm", shell::word(organization_id), shell::BY);
    lines.push(format!("nothing was written; to forget it: {}", program.command(&forget)));
    lines
}

fn as_json(organization_id: &str, known: &Known, is_configured: bool) -> anyhow::Result<String> {
    let line = json!({
        "organization_id": organization_id,
        "organization_name": known.name,
        "elements": known.elements.len(),
        "by_type": known.by_type(),
        "collections": known.collections(),
        "holds": known.holds.len(),
        "withheld": known.withheld.len(),
        "is_configured": is_configured,
        "written": false,
    });
    serde_json::to_string(&line).context("failed to write the counts as JSON")
}
