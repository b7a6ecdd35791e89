//! The simulated ends, in this process.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use simulator::{
    anthropic::{self, Anthropic},
    jupiterone::{self, JupiterOne},
    oracle::Graph,
};
use tokio::runtime::Runtime;

pub(crate) struct JupiterOneEnd {
    pub(crate) jupiterone: JupiterOne,
    // Last: the end runs on it.
    pub(crate) runtime: Runtime,
}

impl JupiterOneEnd {
    pub(crate) fn start() -> Result<Self> {
        let runtime = Runtime::new()?;
        let jupiterone = runtime.block_on(jupiterone::start(jupiterone::Settings::default(), loopback()))?;
        Ok(Self { jupiterone, runtime })
    }

    /// What a scope holds, as it was uploaded.
    pub(crate) fn graph(&self, scope: &str) -> Graph {
        let held = self.jupiterone.graph(scope);
        Graph::uploaded(held.entities, held.relationships)
    }

    /// How long a scope's newest sync job was, from its start to its end (s); it must have taken so many objects.
    pub(crate) fn job_seconds(&self, scope: &str, objects: u64) -> Result<f64> {
        let jobs = self.jupiterone.jobs();
        let job = jobs.iter().rfind(|job| job["scope"] == scope);
        let job = job.with_context(|| format!("no sync job of the scope {scope}"))?;
        ensure!(job["status"] == "FINISHED", "the sync job is not finished: {job}");
        let count = |name: &str| job[name].as_u64().unwrap_or_default();
        let taken = count("numEntitiesUploaded") + count("numRelationshipsUploaded");
        ensure!(taken == objects, "the sync job has {taken} of {objects} objects; nothing is compared");
        let milliseconds = job["durationMs"].as_f64().context("a finished job has its duration")?;
        Ok(milliseconds / 1_000.0)
    }
}

/// The Admin API's end.
pub(crate) struct AnthropicEnd {
    pub(crate) anthropic: Anthropic,
    // Last: the end runs on it.
    pub(crate) runtime: Runtime,
}

impl AnthropicEnd {
    pub(crate) fn start(settings: anthropic::Settings) -> Result<Self> {
        let runtime = Runtime::new()?;
        let anthropic = runtime.block_on(anthropic::start(settings, loopback()))?;
        Ok(Self { anthropic, runtime })
    }
}

/// A graph's objects as they are uploaded: the entities, and the relationships.
pub(crate) fn objects(graph: Graph) -> [Vec<Value>; 2] {
    [graph.entities, graph.relationships].map(|objects| objects.into_values().map(Value::Object).collect())
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}
