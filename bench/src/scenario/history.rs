//! A long history in the changes topic: read into the console's store, and asked, with the store and without.

use std::{path::Path, time::Instant};

use anyhow::{Result, ensure};
use schemas::topics::Topic;
use serde_json::Value;
use tests::services::{Service, get};

use super::Bench;
use crate::{
    changes_topic::{self, DEFAULT_WORKSPACE, key_id, user_id, workspace_id},
    figures::{Figures, OURS, Unit},
    process::last_line,
    progress, raw_topic,
    world::{PARTITIONS, World},
};

/// Revisions at which each page is asked for (count).
const REVISIONS: u64 = 21;
/// What a page has that answers, and one that searches has not.
const ANSWER: &str = "id=\"picture\"";
/// Largest page (bytes).
const LARGEST: usize = 200_000;
/// What the console logs once the store has the whole topic.
const READ: &str = "read the history of changes to its end";

pub(super) struct History {
    world: World,
    changes: u64,
}

impl History {
    pub(super) fn new(bench: &Bench) -> Result<Self> {
        let (servers, changes) = (&bench.broker.bootstrap_servers, bench.sizes.changes);
        progress(&format!("history: writing {changes} changes"));
        // The organization's own resources are not asked for.
        let world = World::new(servers, 100)?;
        raw_topic::create(servers, &world.prefix, Topic::Changes, PARTITIONS);
        let organization = world.organization();
        let of = (organization.id.as_str(), organization.name.as_str());
        changes_topic::write(servers, &world.topic(Topic::Changes), world.partition(), of, changes)?;
        Ok(Self { world, changes })
    }

    pub(super) fn run(&self, bench: &Bench, run: u32, figures: &mut Figures) -> Result<()> {
        let store = self.world.folder().join(format!("store-{run}.sqlite"));
        self.world.serve(&store)?;
        progress("history: reading it into the store");
        let config = self.world.config().display().to_string();
        let began = Instant::now();
        let mut console = Service::start(
            "anthropic-graph",
            &bench.services.program("anthropic-graph"),
            ["--config", &config, "console"],
            &[("RUST_LOG", "info")],
        );
        console.logged(READ);
        figures.add("history", Unit::Seconds, OURS, began.elapsed().as_secs_f64());
        let line = console.printed("the console is at http://");
        let address = line.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let [page, page_of_everyone] = self.slowest_pages(&address)?;
        figures.add("history-page", Unit::Milliseconds, OURS, page);
        figures.add("history-page-everyone", Unit::Milliseconds, OURS, page_of_everyone);
        console.terminate().expect(0);
        self.who_can(bench, &store, figures)
    }

    /// The longest time (ms) that a page about a workspace, a person or a key takes, and that one about the workspace takes
    /// that everyone can reach.
    fn slowest_pages(&self, address: &str) -> Result<[f64; 2]> {
        progress("history: pages");
        let mut slowest = [(0.0, String::new()), (0.0, String::new())];
        for number in 0..REVISIONS {
            let at = self.changes - self.changes * number / 50;
            let number = usize::try_from(number)?;
            for (kind, about) in [
                (0, format!("workspace={}", workspace_id(number * 7 + 1))),
                (0, format!("user={}", user_id(number * 31))),
                (0, format!("api_key={}", key_id(number * 57))),
                (1, format!("workspace={}", workspace_id(DEFAULT_WORKSPACE))),
            ] {
                let path = format!("/access?{about}&at={at}");
                let began = Instant::now();
                let (status, body) = get(address, &path)?;
                let milliseconds = began.elapsed().as_secs_f64() * 1_000.0;
                let is_found = status == 200 && body.contains(ANSWER);
                ensure!(is_found, "{path} is answered {status}:\n{body}");
                ensure!(body.len() <= LARGEST, "{path} has {} bytes", body.len());
                if milliseconds > slowest[kind].0 {
                    slowest[kind] = (milliseconds, path);
                }
            }
        }
        for (milliseconds, path) in &slowest {
            progress(&format!("history: {path} took {milliseconds:.1} ms, the longest of its kind"));
        }
        Ok(slowest.map(|(milliseconds, _)| milliseconds))
    }

    /// The same question to the topic and to the store: the answers have to be equal.
    fn who_can(&self, bench: &Bench, store: &Path, figures: &mut Figures) -> Result<()> {
        progress("history: who-can");
        let (config, store) = (self.world.config(), store.display().to_string());
        let (at, workspace) = ((self.changes / 2).to_string(), workspace_id(7));
        let question = ["who-can", "--workspace", &workspace, "--at", &at, "--json"];
        let cold = bench.services.run("anthropic-graph", &config, &question)?;
        let stored = bench.services.run(
            "anthropic-graph",
            &config,
            &[&question[..], &["--store", &store]].concat(),
        )?;
        let (expected, mut found) = (last_line(&cold.stdout)?, last_line(&stored.stdout)?);
        let reached = found.as_object_mut().and_then(|answer| answer.remove("store"));
        ensure!(expected == found, "the topic says {expected}, and the store says {found}");
        let reached = reached.map_or(Value::Null, |store| store["revision"].clone());
        ensure!(reached == self.changes, "the store has reached {reached}");
        let milliseconds = stored.took.as_secs_f64() * 1_000.0;
        figures.add("history-who-can", Unit::Seconds, OURS, cold.took.as_secs_f64());
        figures.add("history-who-can-peak", Unit::MebiBytes, OURS, cold.peak_mib);
        figures.add("history-who-can-store", Unit::Milliseconds, OURS, milliseconds);
        Ok(())
    }
}
