//! Five million elements in many organizations: their first sync, a restore, a replay, and `verify`.

use anyhow::{Result, ensure};

use super::Bench;
use crate::{
    figures::{Figures, OURS, Unit},
    progress,
    services::{Log, between},
    world::World,
};

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let (organizations, api_keys) = (bench.sizes.large_organizations, bench.sizes.api_keys);
    progress(&format!("large: writing {organizations} organizations of {api_keys} API keys each"));
    let world = World::of_many(&bench.broker.bootstrap_servers, organizations, api_keys)?;
    world.write_poll()?;
    let (services, config) = (&bench.services, world.config());
    let mut add = |name, unit, figure| figures.add(name, unit, OURS, figure);

    progress("large: first sync");
    let ended = services.run("processor", &config, &["run", "--until-end"])?;
    add("large", Unit::Seconds, ended.took.as_secs_f64());
    add("large-peak", Unit::MebiBytes, ended.peak_mib);

    progress("large: restore");
    let ended = services.run("processor", &config, &["run", "--until-end"])?;
    let log = Log::of(&ended.stderr);
    ensure!(log.count("reconciled ") == 0, "a listing was reconciled again:\n{}", ended.stderr);
    let restored = between(log.first("partitions assigned", |_| true)?, log.last("opened the task of")?)?;
    add("large-restore", Unit::Seconds, restored.as_secs_f64());
    add("large-restore-peak", Unit::MebiBytes, ended.peak_mib);

    progress("large: replay");
    let into = tests::prefix();
    let ended =
        services.run("anthropic-graph", &config, &["replay", "--from", "earliest", "--into", &into])?;
    add("large-replay", Unit::Seconds, ended.took.as_secs_f64());
    add("large-replay-peak", Unit::MebiBytes, ended.peak_mib);

    progress("large: verify");
    let ended = services.run("anthropic-graph", &config, &["verify"])?;
    add("large-verify", Unit::Seconds, ended.took.as_secs_f64());
    add("large-verify-peak", Unit::MebiBytes, ended.peak_mib);
    Ok(())
}
