//! A run of the harness: worlds one after the other until enough was killed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::brokers::Brokers;
use super::dice::Dice;
use super::killer::Killer;
use super::life::{Departures, live};
use super::options::Options;
use super::places::{PLACES, service};
use super::statistics::{Statistics, Summary};
use super::steady_state::bring_to_steady_state;
use super::system::System;
use crate::services::binaries::SERVICES;

/// Kills in one world (count): topics stay small enough to be read whole at each rest.
const KILLS_OF_A_WORLD: u64 = 200;
/// Kills between two rests (count).
const KILLS_BETWEEN_RESTS: u64 = 100;
/// Of so many kills one is the broker's, or one of three brokers'.
const BROKER_EVERY: u64 = 33;
const BROKER_OF_THREE_EVERY: u64 = 20;

/// Kills, and judges what is left.
pub fn run(options: &Options) -> Result<Summary> {
    let began = Instant::now();
    let statistics = Statistics::of(options);
    let folder = tempfile::tempdir().context("no folder for the brokers")?;
    let mut brokers = Brokers::start(folder.path(), options.is_cluster)?;
    let (mut done, deadline) = (0, began + options.longest);
    while done < options.kills
        && Instant::now() < deadline
        && !(options.stops_early && statistics.violations() > 0)
    {
        let kills = KILLS_OF_A_WORLD.min(options.kills - done);
        let seed = options.seed.wrapping_mul(1_000_003).wrapping_add(done);
        let system = System::new(&brokers, options.programs.clone(), seed)?;
        let options = Options { kills, seed, ..options.clone() };
        world(&system, &mut brokers, &statistics, &options, deadline)?;
        done += kills;
    }
    Ok(statistics.summary())
}

fn world(
    system: &System,
    brokers: &mut Brokers,
    statistics: &Statistics,
    options: &Options,
    deadline: Instant,
) -> Result<()> {
    let departures = Departures::default();
    let mut done = 0;
    loop {
        let stretch = KILLS_BETWEEN_RESTS.min(options.kills - done);
        done += stretch;
        let began = Instant::now();
        kill(
            system,
            brokers,
            statistics,
            &departures,
            &Stretch {
                kills: stretch,
                of_brokers: of_brokers(options, done) - of_brokers(options, done - stretch),
                seed: options.seed.wrapping_add(done),
                deadline,
            },
        )?;
        let killed = began.elapsed();
        let stops = options.stops_early && statistics.violations() > 0;
        let is_last = done == options.kills || stops || Instant::now() >= deadline;
        bring_to_steady_state(system, &departures, statistics, is_last);
        statistics.log(&format!(
            "at rest: {stretch} kills took {} s and the rest {} s, {} violations so far",
            killed.as_secs(),
            began.elapsed().saturating_sub(killed).as_secs(),
            statistics.violations()
        ));
        if is_last || options.stops_early && statistics.violations() > 0 {
            return Ok(());
        }
    }
}

/// What is killed between two rests.
struct Stretch {
    kills: u64,
    of_brokers: u64,
    seed: u64,
    deadline: Instant,
}

/// How many of the world's first kills are a broker's.
fn of_brokers(options: &Options, kills: u64) -> u64 {
    if options.is_cluster { kills.div_ceil(BROKER_OF_THREE_EVERY) } else { kills / BROKER_EVERY }
}

/// Three killers at once, while organizations change, ends fail, and brokers are killed.
fn kill(
    system: &System,
    brokers: &mut Brokers,
    statistics: &Statistics,
    departures: &Departures,
    stretch: &Stretch,
) -> Result<()> {
    let Stretch { kills, of_brokers, seed, deadline } = *stretch;
    let (stop, at_work) = (AtomicBool::new(false), AtomicUsize::new(SERVICES.len()));
    system.trouble();
    let shares = shares(kills - of_brokers);
    thread::scope(|scope| {
        scope.spawn(|| live(system, departures, Dice::of(seed, "life"), &stop));
        for (service, share) in SERVICES.into_iter().zip(shares) {
            let at_work = &at_work;
            scope.spawn(move || {
                let mut killer = Killer::new(system, service, statistics, seed);
                killer.kill(share, deadline);
                at_work.fetch_sub(1, Ordering::Relaxed);
                // What is killed longer needs something to do.
                killer.keep_running(|| at_work.load(Ordering::Relaxed) == 0);
            });
        }
        let dice = Dice::of(seed, "broker");
        let result = brokers.kill(&system.world, statistics, of_brokers, dice, || Instant::now() >= deadline);
        while at_work.load(Ordering::Relaxed) > 0 {
            thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// So many kills for each service, as it has places.
fn shares(kills: u64) -> [u64; 3] {
    let places = |of: &str| PLACES.iter().filter(|place| service(place) == of).count() as u64;
    let of = |service: &str| kills * places(service) / PLACES.len() as u64;
    let (producer, processor) = (of("producer"), of("processor"));
    [producer, processor, kills - producer - processor]
}
