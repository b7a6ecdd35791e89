//! A run of the harness: worlds one after the other until enough was killed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::arena::Arena;
use super::dice::Dice;
use super::killer::Killer;
use super::life::{Departures, live};
use super::places::{PLACES, service};
use super::rest::rest;
use super::tally::{Summary, Tally};
use crate::broker::jars::JarBroker;
use crate::kafka;
use crate::services::binaries::SERVICES;

/// Kills in one world (count): topics stay small enough to be read whole at each rest.
const KILLS_OF_A_WORLD: u64 = 200;
/// Kills between two rests (count).
const KILLS_BETWEEN_RESTS: u64 = 100;
/// Of so many kills one is the broker's.
const BROKER_EVERY: u64 = 33;
/// A broker that was killed is back within this, however busy the machine is.
const BROKER_BOUND: Duration = Duration::from_mins(1);
/// Pauses between two kills of the broker, at least: what a kill left open is settled meanwhile.
const BROKER_PAUSE: (u64, u64) = (2_000, 9_000);

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Order {
    /// How many kills.
    pub kills: u64,
    /// What the choices follow from.
    pub seed: u64,
    /// The folder of the three programs.
    pub programs: PathBuf,
    /// After how long no kill is begun any more.
    pub longest: Duration,
    /// Whether the first violations end the run.
    pub stops_early: bool,
}

/// Kills, and judges what is left.
pub fn run(order: &Order) -> Result<Summary> {
    let began = Instant::now();
    let tally = Tally::default();
    let folder = tempfile::tempdir().context("no folder for the broker")?;
    let mut broker = JarBroker::start(folder.path())?;
    kafka::until_it_answers(broker.address(), BROKER_BOUND);
    let (mut done, deadline) = (0, began + order.longest);
    while done < order.kills && Instant::now() < deadline && !(order.stops_early && tally.violations() > 0) {
        let kills = KILLS_OF_A_WORLD.min(order.kills - done);
        let seed = order.seed.wrapping_mul(1_000_003).wrapping_add(done);
        let arena = Arena::new(broker.address().to_owned(), order.programs.clone(), seed)?;
        let order = Order { kills, seed, ..order.clone() };
        world(&arena, &mut broker, &tally, &order, deadline)?;
        done += kills;
    }
    Ok(tally.summary(order.seed, began.elapsed().as_secs()))
}

fn world(
    arena: &Arena,
    broker: &mut JarBroker,
    tally: &Tally,
    order: &Order,
    deadline: Instant,
) -> Result<()> {
    let departures = Departures::default();
    let mut done = 0;
    loop {
        let stretch = KILLS_BETWEEN_RESTS.min(order.kills - done);
        done += stretch;
        let began = Instant::now();
        kill(
            arena,
            broker,
            tally,
            &departures,
            &Stretch { kills: stretch, seed: order.seed.wrapping_add(done), deadline },
        )?;
        let killed = began.elapsed();
        let stops = order.stops_early && tally.violations() > 0;
        let is_last = done == order.kills || stops || Instant::now() >= deadline;
        rest(arena, &departures, tally, is_last);
        tell(&format!(
            "{} kills in {} s, at rest after {} s, {} violations so far",
            stretch,
            killed.as_secs(),
            began.elapsed().as_secs(),
            tally.violations()
        ));
        if is_last || order.stops_early && tally.violations() > 0 {
            return Ok(());
        }
    }
}

/// What is killed between two rests.
struct Stretch {
    kills: u64,
    seed: u64,
    deadline: Instant,
}

/// Three killers at once, life and faults beside them, and the broker's kills.
fn kill(
    arena: &Arena,
    broker: &mut JarBroker,
    tally: &Tally,
    departures: &Departures,
    stretch: &Stretch,
) -> Result<()> {
    let Stretch { kills, seed, deadline } = *stretch;
    let (stop, at_work) = (AtomicBool::new(false), AtomicUsize::new(SERVICES.len()));
    arena.trouble();
    let of_broker = kills / BROKER_EVERY;
    let shares = shares(kills - of_broker);
    thread::scope(|scope| {
        scope.spawn(|| live(arena, departures, Dice::of(seed, "life"), &stop));
        for (service, share) in SERVICES.into_iter().zip(shares) {
            let at_work = &at_work;
            scope.spawn(move || {
                let mut killer = Killer::new(arena, service, tally, seed);
                killer.kill(share, deadline);
                at_work.fetch_sub(1, Ordering::Relaxed);
                // What is killed longer needs something to do.
                killer.keep_running(|| at_work.load(Ordering::Relaxed) == 0);
            });
        }
        let result = kill_broker(broker, tally, of_broker, Dice::of(seed, "broker"));
        while at_work.load(Ordering::Relaxed) > 0 {
            thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// From the thread that started it: the kernel ends the broker with that thread.
fn kill_broker(broker: &mut JarBroker, tally: &Tally, kills: u64, mut dice: Dice) -> Result<()> {
    for _ in 0..kills {
        thread::sleep(dice.milliseconds(BROKER_PAUSE.0, BROKER_PAUSE.1));
        broker.kill()?;
        broker.start_again()?;
        kafka::until_it_answers(broker.address(), BROKER_BOUND);
        tally.kill("broker");
    }
    Ok(())
}

/// So many kills for each service, as it has places.
fn shares(kills: u64) -> [u64; 3] {
    let places = |of: &str| PLACES.iter().filter(|place| service(place) == of).count() as u64;
    let of = |service: &str| kills * places(service) / PLACES.len() as u64;
    let (producer, processor) = (of("producer"), of("processor"));
    [producer, processor, kills - producer - processor]
}

#[expect(clippy::print_stderr, reason = "the progress of a long run")]
pub(super) fn tell(line: &str) {
    eprintln!("{line}");
}
