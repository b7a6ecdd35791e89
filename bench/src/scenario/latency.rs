//! From a written listing to the visible change, one user's role at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    producer::{BaseRecord, Producer as _},
};
use schemas::{
    change::Envelope,
    codec::decode,
    collection::Collection,
    raw::{RawRecord, Resource},
    topics::Topic,
};

use super::{Bench, in_turns};
use crate::{
    figures::{Figures, OURS, Samples, Unit},
    organization::user,
    peers::bare,
    progress,
    raw_topic::{self, Poll},
    world::{PARTITIONS, World},
};

/// API keys of the organization, which has a twentieth as many users.
const API_KEYS: u32 = 200;
/// Between one change and the next listing.
const PERIOD: Duration = Duration::from_millis(50);
/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(30);

const RELAY: &str = "bare relay: one record a transaction";

pub(super) fn run(bench: &Bench, number: u32, figures: &mut Figures) -> Result<()> {
    let world = World::new(&bench.broker.bootstrap_servers, API_KEYS)?;
    world.write_poll()?;
    let (listings, mut changes) = (bench.sizes.listings, 0);
    for side in in_turns(vec![OURS, RELAY], number) {
        progress(&format!("latency: {side}"));
        let latencies = if side == OURS {
            // Not measured: the first poll, and what was written for the relay.
            bench.services.run("processor", &world.config(), &["run", "--until-end"])?;
            let mut processor = bench.services.start("processor", &world.config());
            processor.ready();
            let seen =
                measure(&world, &world.topic(Topic::Changes), listing_of_change, listings, &mut changes)?;
            processor.terminate().expect(0);
            seen
        } else {
            let prefix = tests::prefix();
            raw_topic::create(&world.bootstrap_servers, &prefix, Topic::Changes, PARTITIONS);
            let target = Topic::Changes.name(&prefix);
            let relay = Relay::start(&world, &target)?;
            let seen = measure(&world, &target, listing_of_relayed, listings, &mut changes)?;
            relay.stop()?;
            seen
        };
        for (name, part, samples) in [
            ("latency", 0.5, &latencies.from_visible),
            ("latency-p99", 0.99, &latencies.from_visible),
            ("latency-from-write", 0.5, &latencies.from_write),
            ("latency-from-write-p99", 0.99, &latencies.from_write),
        ] {
            figures.add(name, Unit::Milliseconds, side, samples.percentile(part));
        }
    }
    Ok(())
}

/// How long the changes took (ms).
#[derive(Default)]
struct Latencies {
    /// From when a reader of committed records saw the manifest.
    from_visible: Samples,
    /// From when its transaction began, so with the producer's own commit.
    from_write: Samples,
}

/// Writes listings one after the other, and waits for each one's change in a topic.
fn measure(
    world: &World,
    topic: &str,
    listing_of: fn(&[u8]) -> Option<String>,
    listings: u32,
    number: &mut u32,
) -> Result<Latencies> {
    let manifests = Watch::start(world, &world.topic(Topic::Raw), listing_of_manifest)?;
    let visible = Watch::start(world, topic, listing_of)?;
    let poll = Poll::new(world.organization());
    let [_, (_, users), ..] = world.organization().collections();
    let mut latencies = Latencies::default();
    for _ in 0..listings {
        *number += 1;
        let resources =
            (0..users).map(|it| Resource::User(Box::new(user(it, if it == 0 { *number } else { 0 }))));
        let written = Instant::now();
        let outcome = world.raw.listing(&poll, &Collection::Users, users, resources)?;
        let listing_id = outcome.listing_id.context("a whole listing has an ID")?;
        let seen_at = manifests.wait(&listing_id)?;
        let changed_at = visible.wait(&listing_id)?;
        latencies.from_visible.push(milliseconds(changed_at.saturating_duration_since(seen_at)));
        latencies.from_write.push(milliseconds(changed_at - written));
        thread::sleep(PERIOD);
    }
    manifests.stop()?;
    visible.stop()?;
    Ok(latencies)
}

/// A reader of a partition that notes which listings it sees, and when.
struct Watch {
    seen: Receiver<(String, Instant)>,
    reader: Stoppable,
}

impl Watch {
    /// Begins at the partition's end as it is now.
    fn start(world: &World, topic: &str, listing_of: fn(&[u8]) -> Option<String>) -> Result<Self> {
        let consumer = at_the_end(world, topic)?;
        let (sender, seen) = mpsc::channel();
        let reader = Stoppable::start(move |stop| {
            for_each(&consumer, stop, |value| {
                let now = Instant::now();
                if let Some(listing_id) = listing_of(value) {
                    // Its receiver goes first at the end.
                    let _nobody_waits = sender.send((listing_id, now));
                }
                Ok(())
            })
        });
        Ok(Self { seen, reader })
    }

    /// When it saw this listing.
    fn wait(&self, listing_id: &str) -> Result<Instant> {
        loop {
            let seen = self.seen.recv_timeout(PATIENCE);
            let (seen, at) = seen.with_context(|| format!("the listing {listing_id} was not seen"))?;
            if seen == listing_id {
                return Ok(at);
            }
        }
    }

    fn stop(self) -> Result<()> {
        self.reader.stop()
    }
}

/// What the processor's latency cannot be without: it reads a listing and writes one record in a transaction with its
/// offset.
struct Relay(Stoppable);

impl Relay {
    fn start(world: &World, target: &str) -> Result<Self> {
        let raw = world.topic(Topic::Raw);
        let consumer = at_the_end(world, &raw)?;
        let producer = bare::producer(&world.bootstrap_servers, &format!("{target}.relay"))?;
        let (target, partition) = (target.to_owned(), world.partition());
        let group = consumer.group_metadata().context("a consumer with a group's ID has its metadata")?;
        Ok(Self(Stoppable::start(move |stop| {
            for_each(&consumer, stop, |value| {
                let Some(listing_id) = listing_of_manifest(value) else { return Ok(()) };
                producer.begin_transaction()?;
                let record = BaseRecord::to(&target).partition(partition).key(b"relay".as_slice());
                bare::send(&producer, record.payload(listing_id.as_bytes()))?;
                producer.send_offsets_to_transaction(&consumer.position()?, &group, PATIENCE)?;
                bare::commit(&producer)
            })
        })))
    }

    fn stop(self) -> Result<()> {
        self.0.stop()
    }
}

/// A thread that ends when it is asked to.
struct Stoppable {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Stoppable {
    fn start(work: impl FnOnce(&AtomicBool) -> Result<()> + Send + 'static) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let asked = Arc::clone(&stop);
        Self { stop, thread: thread::spawn(move || work(&asked)) }
    }

    fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("a reader panicked"))?
    }
}

fn at_the_end(world: &World, topic: &str) -> Result<BaseConsumer> {
    let (consumer, partition) = (bare::consumer(&world.bootstrap_servers)?, world.partition());
    tests::kafka::await_ends(&world.bootstrap_servers, topic);
    let (_, end) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(end))?;
    consumer.assign(&list)?;
    Ok(consumer)
}

fn for_each(
    consumer: &BaseConsumer,
    stop: &AtomicBool,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => each(message.payload().unwrap_or_default())?,
            None | Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

fn listing_of_manifest(value: &[u8]) -> Option<String> {
    let record: RawRecord = decode(value).ok()?;
    record.body.manifest().and(record.listing_id)
}

fn listing_of_change(value: &[u8]) -> Option<String> {
    decode::<Envelope>(value).ok()?.source.listing_id
}

fn listing_of_relayed(value: &[u8]) -> Option<String> {
    String::from_utf8(value.to_vec()).ok()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
