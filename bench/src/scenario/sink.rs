//! The sink's upload of a whole graph, compared to JupiterOne's own SDK, and to a client that sends finished bodies: the
//! limit of JupiterOne's simulated end.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Result, ensure};
use serde_json::json;
use simulator::oracle;

use super::{Bench, in_turns, settled::Settled};
use crate::{
    ends::{JupiterOneEnd, objects},
    figures::{Figures, OURS, Unit, per_second},
    peers::{
        http::{self, Body},
        jupiterone_sdk::Encoding,
    },
    process::Ended,
    progress,
};

const PREPARED: &str = "bare HTTP client, bodies prepared";
/// Where the peers upload to.
const SCOPE_OF_SDK: &str = "bench:sdk";
const SCOPE_OF_PREPARED: &str = "bench:prepared";

const OBJECTS: Unit = Unit::PerSecond("objects");

/// The sides whose turns alternate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Sdk(Encoding),
    Prepared,
}

/// A JupiterOne that holds the graph in each side's scope.
pub(super) struct Sink<'a> {
    settled: &'a Settled,
    end: JupiterOneEnd,
    /// Where the sink uploads to.
    scope: String,
    count: u64,
    /// The objects for the SDK, and for the client without one.
    file: PathBuf,
    bodies: Vec<Body>,
    client: reqwest::Client,
}

impl<'a> Sink<'a> {
    /// Uploads once what is replaced in the runs: the first job of a scope creates, all others compare.
    pub(super) fn new(bench: &Bench, settled: &'a Settled) -> Result<Self> {
        progress("sink: uploading for the first time");
        let end = JupiterOneEnd::start()?;
        settled.world.connect(&end.jupiterone)?;
        bench.services.run("sink", &settled.world.config(), &["run", "--until-end"])?;
        let scope = format!("anthropic-graph:{}", settled.world.organization().id);
        let objects = objects(end.graph(&scope));
        let count = objects.iter().map(|kind| kind.len() as u64).sum();
        ensure!(
            count == settled.elements.count,
            "JupiterOne's end has {count} objects of {} elements",
            settled.elements.count
        );
        let file = settled.world.folder().join("objects.json");
        let [entities, relationships] = &objects;
        fs::write(&file, json!({ "entities": entities, "relationships": relationships }).to_string())?;
        let (bodies, client) = (http::bodies(&objects)?, http::client()?);
        let sink = Self { settled, end, scope, count, file, bodies, client };
        sink.upload(bench, Side::Prepared)?;
        if bench.sdk.is_some() {
            sink.upload(bench, Side::Sdk(Encoding::Plain))?;
        }
        Ok(sink)
    }

    pub(super) fn run(&self, bench: &Bench, number: u32, figures: &mut Figures) -> Result<()> {
        let mut sides = vec![Side::Ours];
        if bench.sdk.is_some() {
            sides.extend(Encoding::ALL.map(Side::Sdk));
        }
        sides.push(Side::Prepared);
        for side in in_turns(sides, number) {
            progress(&format!("sink: {side:?}"));
            let (scope, name) = self.scope_and_name(side);
            let ended = self.upload(bench, side)?;
            let job = Duration::from_secs_f64(self.end.job_seconds(scope, self.count)?);
            figures.add("sink", OBJECTS, name, per_second(self.count, job));
            if let Some(ended) = ended {
                figures.add("sink-command", OBJECTS, name, per_second(self.count, ended.took));
                figures.add("sink-peak", Unit::MebiBytes, name, ended.peak_mib);
            }
        }
        self.ensure_equal(bench)
    }

    /// One sync job; the process, where there was one.
    fn upload(&self, bench: &Bench, side: Side) -> Result<Option<Ended>> {
        let (scope, _) = self.scope_and_name(side);
        match side {
            Side::Ours => {
                let config = self.settled.world.config();
                bench.services.run("anthropic-graph", &config, &["sync", "resync"]).map(Some)
            }
            Side::Sdk(encoding) => {
                let sdk = bench.sdk.as_ref().expect("a side of the SDK comes with it");
                sdk.upload(&self.end.jupiterone, scope, &self.file, encoding).map(Some)
            }
            Side::Prepared => http::upload(&self.client, &self.end, scope, &self.bodies).map(|()| None),
        }
    }

    fn scope_and_name(&self, side: Side) -> (&str, &'static str) {
        match side {
            Side::Ours => (&self.scope, OURS),
            Side::Sdk(encoding) => (SCOPE_OF_SDK, encoding.name()),
            Side::Prepared => (SCOPE_OF_PREPARED, PREPARED),
        }
    }

    /// Refuses to compare unequal work: each scope holds the same objects, property by property.
    fn ensure_equal(&self, bench: &Bench) -> Result<()> {
        let ours = self.end.graph(&self.scope);
        let scopes =
            [(PREPARED, SCOPE_OF_PREPARED, true), ("JupiterOne's SDK", SCOPE_OF_SDK, bench.sdk.is_some())];
        for (name, scope, _) in scopes.into_iter().filter(|(.., is_there)| *is_there) {
            let differences = oracle::compare(&ours, &self.end.graph(scope));
            ensure!(
                differences.is_empty(),
                "{name} does another job; nothing is compared:\n{}",
                differences.join("\n")
            );
        }
        Ok(())
    }
}
