//! The three services while they run and nothing happens: no poll is due, and nothing is to be uploaded.

use std::time::Duration;

use anyhow::Result;

use super::{Bench, each_run};
use crate::{
    ends::JupiterOneEnd,
    figures::{Figures, OURS, Unit},
    progress,
    running_services::{RunningServices, Usage},
    scenario_name::Scenario,
    world::World,
};

/// API keys of the one organization, which has a twentieth as many users: ten.
const API_KEYS: u32 = 200;
/// API keys of each of many.
const API_KEYS_OF_MANY: u32 = 20;

/// CPU and threads of all three, and the memory of each in the order of their start.
const NAMES: [&str; 5] =
    ["idle", "idle-threads", "idle-processor-memory", "idle-sink-memory", "idle-producer-memory"];
/// The same of many organizations.
const NAMES_OF_MANY: [&str; 5] = [
    "organizations",
    "organizations-threads",
    "organizations-processor-memory",
    "organizations-sink-memory",
    "organizations-producer-memory",
];

/// Organizations whose polls are processed and uploaded.
pub(super) struct Deployment {
    world: World,
    // The sink may ask it.
    _end: JupiterOneEnd,
}

impl Deployment {
    /// One of ten users.
    pub(super) fn of_one(bench: &Bench) -> Result<Self> {
        Self::of(bench, 1, API_KEYS)
    }

    fn of(bench: &Bench, organizations: u32, api_keys: u32) -> Result<Self> {
        progress(&format!("polling, processing and uploading {organizations} organizations"));
        let world = World::of_many(&bench.broker.bootstrap_servers, organizations, api_keys)?;
        let end = JupiterOneEnd::start()?;
        world.connect(&end.jupiterone)?;
        world.write_poll()?;
        for service in ["processor", "sink"] {
            bench.services.run(service, &world.config(), &["run", "--until-end"])?;
        }
        Ok(Self { world, _end: end })
    }

    pub(super) fn start(&self, bench: &Bench) -> RunningServices {
        RunningServices::start(&bench.services, &self.world.config(), self.world.parts())
    }
}

pub(super) fn run(bench: &Bench, scenario: Scenario, figures: &mut Figures) -> Result<()> {
    let (deployment, names) = match scenario {
        Scenario::Organizations => {
            (Deployment::of(bench, bench.sizes.organizations, API_KEYS_OF_MANY)?, NAMES_OF_MANY)
        }
        _ => (Deployment::of_one(bench)?, NAMES),
    };
    let window = Duration::from_secs(bench.sizes.idle_seconds);
    each_run(bench.sizes.runs, |_| {
        progress(&format!("{}: watching for {} s", scenario.name(), window.as_secs()));
        let running = deployment.start(bench);
        let usage = running.usage(window)?;
        running.stop();
        add_usage(names, &usage, figures);
        Ok(())
    })
}

/// The sums of the CPU and the threads, and the memory of each.
fn add_usage(names: [&'static str; 5], usage: &[Usage], figures: &mut Figures) {
    let [cpu, threads, memories @ ..] = names;
    figures.add(cpu, Unit::Percent, OURS, usage.iter().map(|it| it.cpu).sum());
    figures.add(threads, Unit::Threads, OURS, usage.iter().map(|it| it.threads).sum());
    for (name, usage) in memories.into_iter().zip(usage) {
        figures.add(name, Unit::MebiBytes, OURS, usage.mib);
    }
}
