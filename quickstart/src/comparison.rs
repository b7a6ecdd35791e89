//! Whether three things obtained separately are equal, property by property: what JupiterOne answers over HTTP, the
//! graph topic folded by a reader of its own, and the simulator's truth.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Context as _;
use graph::{jupiterone::properties, state::State};
use reqwest::Client;
use schemas::{element::Element, encoded::EncodedElement};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use service::http::{self, Settings, check_url};
use simulator::anthropic::Truth;
use simulator::oracle::{self, Graph, Options, expected};

use crate::view::{Size, View};
use crate::world::{World, scope};

/// How long an answer from this process may take.
const ANSWER_BOUND: Duration = Duration::from_secs(10);

/// The result of a comparison.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// Polls that had ended.
    pub(crate) polls: u64,
    /// Of what JupiterOne held.
    pub(crate) jupiterone: Size,
    /// Of the folded graph topic.
    pub(crate) topic: Size,
    /// One line a difference, bounded; none if all are equal.
    pub(crate) differences: Vec<String>,
}

impl Verdict {
    /// Whether all are equal.
    pub(crate) fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

#[derive(Deserialize)]
struct Uploaded {
    entities: Vec<Map<String, Value>>,
    relationships: Vec<Map<String, Value>>,
}

/// Compares. Of an organization that is not simulated the truth is unknown: then it is JupiterOne and the topic. What is
/// held is compared between the two only: it is gone from the organization.
pub(crate) async fn compare(world: &World, view: &View) -> anyhow::Result<Verdict> {
    let (organization_id, state) = view.organization().context("the graph topic holds no organization")?;
    let jupiterone_url = check_url(&world.jupiterone_url(), false)?;
    let client = http::client(Settings {
        base_url: &jupiterone_url,
        root_certificate: None,
        request_timeout: ANSWER_BOUND,
        what: "quickstart",
    })?;
    let address = format!("{jupiterone_url}/_simulator/graph");
    let uploaded: Uploaded = get(&client, &address, &[("scope", &scope(organization_id))]).await?;
    let jupiterone = Graph::uploaded(uploaded.entities, uploaded.relationships);
    let (relationships, entities): (Vec<_>, Vec<_>) =
        state.graph().elements().map(EncodedElement::decode).partition(Element::is_relationship);
    let topic = Graph::uploaded(
        entities.iter().map(properties).collect(),
        relationships.iter().map(properties).collect(),
    );
    let mut differences = named("JupiterOne against the graph topic", oracle::compare(&topic, &jupiterone));
    if let Some(url) = world.anthropic_url() {
        let truth: Truth = get(&client, &format!("{url}/_simulator/organization"), &[]).await?;
        let truth = expected(&truth, &Options { account_name: world.account_name(), ..Options::default() });
        let held = held(state);
        let truth = without(&truth, &held);
        differences.extend(named(
            "JupiterOne against the truth",
            oracle::compare(&truth, &without(&jupiterone, &held)),
        ));
        differences.extend(named(
            "the graph topic against the truth",
            oracle::compare(&truth, &without(&topic, &held)),
        ));
    }
    Ok(Verdict { polls: view.polls, jupiterone: size(&jupiterone), topic: size(&topic), differences })
}

/// Keys of the elements whose deletion waits for a decision, and of their relationships.
fn held(state: &State) -> BTreeSet<&str> {
    let held = state.holds().keys().map(String::as_str);
    held.flat_map(|key| state.relationships_of(key).chain([key])).collect()
}

fn without(graph: &Graph, keys: &BTreeSet<&str>) -> Graph {
    let mut graph = graph.clone();
    graph.entities.retain(|key, _| !keys.contains(key.as_str()));
    graph.relationships.retain(|key, _| !keys.contains(key.as_str()));
    graph
}

fn size(graph: &Graph) -> Size {
    let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    Size { entities: count(graph.entities.len()), relationships: count(graph.relationships.len()) }
}

fn named(pair: &str, differences: Vec<String>) -> Vec<String> {
    differences.into_iter().map(|difference| format!("{pair}: {difference}")).collect()
}

async fn get<T: DeserializeOwned>(client: &Client, url: &str, query: &[(&str, &str)]) -> anyhow::Result<T> {
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let address = if query.is_empty() { url.to_owned() } else { format!("{url}?{}", query.join("&")) };
    let answer = client.get(&address).send().await.and_then(reqwest::Response::error_for_status);
    answer
        .with_context(|| format!("failed to ask {url}"))?
        .json()
        .await
        .with_context(|| format!("failed to read {url}"))
}
