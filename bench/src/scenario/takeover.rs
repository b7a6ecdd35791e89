//! A processor is killed, and another one takes over the partition of a million elements.

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;
use tests::services::Service;

use super::{
    Bench,
    work::{opened, work},
};
use crate::{
    figures::{Figures, OURS, Unit},
    progress,
    services::{Log, between, time},
    world::{PARTITIONS, World},
};

const OPENED: &str = "opened the task of";

pub(super) fn run(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let api_keys = bench.sizes.takeover_api_keys;
    progress(&format!("takeover: writing {api_keys} API keys"));
    let world = World::new(&bench.broker.bootstrap_servers, api_keys)?;
    world.write_poll()?;
    work(&bench.services, &world, 1)?;

    progress("takeover: two processors share the partitions");
    let start = || bench.services.start("processor", &world.config());
    let count = |service: &Service| Log::of(&service.log()).count(OPENED);
    let partitions = PARTITIONS.unsigned_abs() as usize;
    let mut one = start();
    one.until("have all partitions", |it| count(it) >= partitions);
    let mut other = start();
    other.until("have half of the partitions", |it| count(it) >= partitions / 2);
    let is_others = opened(&Log::of(&other.log()), &world).is_ok();
    let (owner, mut successor) = if is_others { (other, one) } else { (one, other) };

    progress("takeover: one is killed");
    let killed = Timestamp::now();
    owner.kill();
    let partition = world.partition();
    let is_later = |line: &Value| time(line).is_ok_and(|time| time > killed);
    let took_over = |log: &Log| log.first(OPENED, |line| line["partition"] == partition && is_later(line));
    successor.until("take over", |it| took_over(&Log::of(&it.log())).is_ok());
    let log = Log::of(&successor.log());
    let (assigned, opened) = (log.first("partitions assigned", is_later)?, took_over(&log)?);
    successor.terminate().expect(0);
    for (name, begin, end) in [
        ("takeover", killed, opened),
        ("takeover-session", killed, assigned),
        ("takeover-restore", assigned, opened),
    ] {
        figures.add(name, Unit::Seconds, OURS, between(begin, end)?.as_secs_f64());
    }
    Ok(())
}
