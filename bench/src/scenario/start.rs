//! From the start of a service's process until it is ready.

use anyhow::Result;

use super::{Bench, each_run, idle};
use crate::{
    figures::{Figures, OURS, Unit},
    progress,
};

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let deployment = idle::Deployment::of_one(bench)?;
    each_run(bench.sizes.runs, |_| {
        progress("start");
        let running = deployment.start(bench);
        for (name, seconds) in ["start", "start-sink", "start-producer"].into_iter().zip(&running.until_ready)
        {
            figures.add(name, Unit::Seconds, OURS, *seconds);
        }
        running.stop();
        Ok(())
    })
}
