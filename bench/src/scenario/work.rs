//! The processor's work on listings that lie in the raw topic.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;

use crate::{
    services::{Log, Services, between},
    world::World,
};

pub(super) struct Work {
    /// From the partition's opening to its last listing's commit.
    pub(super) took: Duration,
    /// Peak of the processor's resident memory (MiB).
    pub(super) peak_mib: f64,
}

/// Has the processor work on so many polls of the one organization.
pub(super) fn work(services: &Services, world: &World, polls: u32) -> Result<Work> {
    let ended = services.run("processor", &world.config(), &["run", "--until-end"])?;
    let log = Log::of(&ended.stderr);
    let listings = world.organization().collections().len() * polls as usize;
    let reconciled = log.count("reconciled ");
    ensure!(reconciled == listings, "{reconciled} of {listings} listings were reconciled:\n{}", ended.stderr);
    let took = between(opened(&log, world)?, log.last("reconciled ")?)?;
    Ok(Work { took, peak_mib: ended.peak_mib })
}

/// When the organization's partition was open.
pub(super) fn opened(log: &Log, world: &World) -> Result<Timestamp> {
    let partition = world.partition();
    log.first("opened the task of", |line| line["partition"] == partition)
}
