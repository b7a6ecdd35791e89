//! One listing of a million API keys. They are written into the raw topic as the producer writes them: a simulated Admin
//! API would take minutes for their pages.

use anyhow::Result;

use super::{Bench, work::work};
use crate::{
    figures::{Figures, OURS, Unit},
    progress,
    world::World,
};

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let api_keys = bench.sizes.most_api_keys;
    progress(&format!("million: writing {api_keys} API keys"));
    let world = World::new(&bench.broker.bootstrap_servers, api_keys)?;
    world.write_poll()?;
    progress("million: first sync");
    let worked = work(&bench.services, &world, 1)?;
    figures.add("million", Unit::Seconds, OURS, worked.took.as_secs_f64());
    figures.add("million-peak", Unit::MebiBytes, OURS, worked.peak_mib);
    Ok(())
}
