//! What the services run on: one broker, or three of which any one may be killed.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use schemas::topics::Topic;

use super::dice::Dice;
use super::statistics::Statistics;
use crate::broker::cluster::{BROKERS, Cluster, Led};
use crate::broker::jars::JarBroker;
use crate::kafka;
use crate::world::World;

/// A broker that was killed is back within this, however busy the machine is. Three of them take longer.
const BROKER_BOUND: Duration = Duration::from_mins(5);
/// Pauses between two kills of a broker, at least (ms): what a kill left open is settled meanwhile.
const PAUSE: (u64, u64) = (2_000, 9_000);
/// How long one of three brokers stays away, once the others lead what it led (ms).
const AWAY: (u64, u64) = (0, 3_000);
/// How often the cluster is asked who leads.
const LOOK_PERIOD: Duration = Duration::from_millis(200);
/// Kafka's own topics: who leads them coordinates groups and transactions.
const OF_COORDINATORS: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// The running brokers. The kernel ends them with the thread that started them, so that thread kills them too.
pub(super) enum Brokers {
    One(JarBroker),
    Three(Cluster),
}

impl Brokers {
    /// Starts them, and waits until they answer.
    pub(super) fn start(folder: &Path, is_cluster: bool) -> Result<Self> {
        if is_cluster {
            return Ok(Self::Three(Cluster::start(folder)?));
        }
        let broker = JarBroker::start(folder)?;
        kafka::until_it_answers(broker.address(), BROKER_BOUND);
        Ok(Self::One(broker))
    }

    pub(super) fn address(&self) -> &str {
        match self {
            Self::One(broker) => broker.address(),
            Self::Three(cluster) => cluster.address(),
        }
    }

    /// Kills brokers, one after the other, each once the one before is back and has what it missed. `is_over` ends it
    /// early.
    pub(super) fn kill(
        &mut self,
        world: &World,
        statistics: &Statistics,
        kills: u64,
        mut dice: Dice,
        is_over: impl Fn() -> bool,
    ) -> Result<()> {
        for _ in 0..kills {
            thread::sleep(dice.milliseconds(PAUSE.0, PAUSE.1));
            if is_over() {
                return Ok(());
            }
            match self {
                Self::One(broker) => {
                    broker.kill()?;
                    broker.start_again()?;
                    kafka::until_it_answers(broker.address(), BROKER_BOUND);
                    statistics.kill("broker");
                }
                Self::Three(cluster) => kill_leader(cluster, world, statistics, &mut dice)?,
            }
        }
        Ok(())
    }
}

/// Kills the leader of some partition: of a topic of the services', or of one of Kafka's own.
fn kill_leader(cluster: &mut Cluster, world: &World, statistics: &Statistics, dice: &mut Dice) -> Result<()> {
    let names = Topic::ALL.map(|topic| world.topic(topic));
    let topics: Vec<&str> = names.iter().map(String::as_str).chain(OF_COORDINATORS).collect();
    // Two dead of three would be an outage, and a topic is not created while a broker is away.
    let before = until(cluster, "all replicas are in sync", |partitions| {
        let is_there = |topic: &&str| partitions.iter().any(|it| it.topic == *topic);
        topics.iter().all(is_there) && partitions.iter().all(Led::is_in_sync)
    })?;
    let topic = topics[dice.index(topics.len())];
    let choices: Vec<_> = before.iter().filter(|it| it.topic == topic).collect();
    let chosen = choices[dice.index(choices.len())];
    let (killed, began) = (chosen.leader, Instant::now());
    let id = usize::try_from(killed)?;
    cluster.kill(id)?;
    let led = |partitions: &[Led]| partitions.iter().filter(|it| it.leader == killed).count();
    let changes = led(&before);
    until(cluster, "another broker leads", |partitions| {
        led(partitions) == 0 && partitions.iter().all(|it| it.leader > 0)
    })?;
    let moved = began.elapsed();
    thread::sleep(dice.milliseconds(AWAY.0, AWAY.1));
    cluster.start_again(id)?;
    until(cluster, "all replicas are in sync again", |partitions| partitions.iter().all(Led::is_in_sync))?;
    statistics.kill("broker");
    statistics.lead(changes as u64);
    statistics.log(&format!(
        "broker {id} killed, leader of {topic} {}: {changes} leaders changed in {} s, all in sync after {} s",
        chosen.partition,
        moved.as_secs(),
        began.elapsed().as_secs()
    ));
    Ok(())
}

/// All partitions, once they are as they should be.
fn until(cluster: &Cluster, what: &str, is_so: impl Fn(&[Led]) -> bool) -> Result<Vec<Led>> {
    let deadline = Instant::now() + BROKER_BOUND;
    loop {
        let partitions = cluster.partitions(None)?;
        if !partitions.is_empty() && is_so(&partitions) {
            return Ok(partitions);
        }
        let wrong: Vec<_> = partitions.iter().filter(|it| !it.is_in_sync()).collect();
        ensure!(Instant::now() < deadline, "not yet so: {what}; of {BROKERS} brokers: {wrong:?}");
        thread::sleep(LOOK_PERIOD);
    }
}
