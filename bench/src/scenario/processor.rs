//! The processor's work on an organization's listings, compared to Kafka Streams and bare clients.

use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::{Message as _, consumer::Consumer as _};
use schemas::{
    codec::{self},
    graph_value::GraphValue,
    raw::RawRecord,
    topics::Topic,
};

use super::{
    Bench, in_turns,
    work::{opened, work},
};
use crate::{
    figures::{Figures, OURS, Unit, per_second},
    peers::{
        bare,
        output::Output,
        streams::{Store, Streams},
    },
    progress, raw_topic,
    scenario_name::Scenario,
    services::{Log, between},
    world::{PARTITIONS, World},
};

/// They build on each other: one that is not wanted is done anyway if a later one is, and not reported.
pub(super) const SCENARIOS: [Scenario; 3] = [Scenario::FirstSync, Scenario::NoChange, Scenario::Restore];

/// Polls in which nothing has changed.
const POLLS: u32 = 5;
/// Records in a transaction of the bare producer: as many as fill the processor's, which splits no listing.
const IN_A_TRANSACTION: usize = 10_000;

const CONSUMER: &str = "bare consumer";
const DECODING: &str = "bare consumer that decodes";
const PRODUCER: &str = "bare producer, 10,000 records a transaction";
const ONE_TRANSACTION: &str = "bare producer, one transaction";

const OUTPUT: Unit = Unit::PerSecond("records written");
const RESOURCES: Unit = Unit::PerSecond("resources");
const RECORDS: Unit = Unit::PerSecond("records");

/// The sides whose turns alternate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Streams(Store),
    Bare,
}

/// One run of all of them.
struct Turn<'a> {
    bench: &'a Bench,
    wanted: &'a [Scenario],
    world: World,
    sides: Vec<Side>,
    figures: &'a mut Figures,
}

pub(super) fn run(bench: &Bench, wanted: &[Scenario], number: u32, figures: &mut Figures) -> Result<()> {
    let world = World::new(&bench.broker.bootstrap_servers, bench.sizes.api_keys)?;
    let mut sides = vec![Side::Ours];
    if bench.streams.is_some() {
        sides.extend(Store::ALL.map(Side::Streams));
    }
    let mut sides = in_turns(sides, number);
    // Its input may be what the processor has written.
    sides.push(Side::Bare);
    let mut turn = Turn { bench, wanted, world, sides, figures };
    turn.first_sync()?;
    if turn.wants(Scenario::NoChange) {
        turn.no_change()?;
    }
    if turn.wants(Scenario::Restore) {
        turn.restore()?;
    }
    Ok(())
}

impl Turn<'_> {
    fn wants(&self, scenario: Scenario) -> bool {
        self.wanted.contains(&scenario)
    }

    fn first_sync(&mut self) -> Result<()> {
        self.write_polls(1)?;
        let end = self.raw_end()?;
        for side in self.sides.clone() {
            progress(&format!("first sync: {side:?}"));
            match side {
                Side::Ours => {
                    let worked = work(&self.bench.services, &self.world, 1)?;
                    let written = self.output()?;
                    self.add_rate(Scenario::FirstSync, OUTPUT, OURS, written.count(), worked.took);
                    self.tell_peak(Scenario::FirstSync, "first-sync-peak", OURS, worked.peak_mib);
                }
                Side::Streams(store) => {
                    Streams::prepare(&self.world, store);
                    let run = self.streams().run(&self.world, store, end)?;
                    let written = Streams::output(&self.world, store)?;
                    let working = run.report.working();
                    self.add_rate(Scenario::FirstSync, OUTPUT, store.name(), written.count(), working);
                    self.tell_peak(Scenario::FirstSync, "first-sync-peak", store.name(), run.peak_mib);
                }
                Side::Bare if self.wants(Scenario::FirstSync) => {
                    self.produce(PRODUCER, IN_A_TRANSACTION)?;
                    self.produce(ONE_TRANSACTION, usize::MAX)?;
                }
                Side::Bare => {}
            }
        }
        self.ensure_equal()
    }

    fn no_change(&mut self) -> Result<()> {
        let start = self.raw_end()?;
        self.write_polls(POLLS)?;
        let end = self.raw_end()?;
        let resources = u64::from(self.world.organization().resources() * POLLS);
        let before = self.output()?;
        for side in self.sides.clone() {
            progress(&format!("no change: {side:?}"));
            match side {
                Side::Ours => {
                    let worked = work(&self.bench.services, &self.world, POLLS)?.took;
                    self.add_rate(Scenario::NoChange, RESOURCES, OURS, resources, worked);
                }
                Side::Streams(store) => {
                    let report = self.streams().run(&self.world, store, end)?.report;
                    ensure!(
                        report.processed > resources,
                        "{} has read only {}",
                        store.name(),
                        report.processed
                    );
                    self.add_rate(Scenario::NoChange, RESOURCES, store.name(), resources, report.working());
                }
                Side::Bare => {
                    let raw = self.world.topic(Topic::Raw);
                    let read = self.read(&raw, start, |_| Ok(()))?;
                    ensure!(read.records > resources, "only {} raw records were read", read.records);
                    self.add_rate(Scenario::NoChange, RESOURCES, CONSUMER, resources, read.took);
                    let read = self.read(&raw, start, |value| {
                        codec::decode::<RawRecord>(value)?;
                        Ok(())
                    })?;
                    self.add_rate(Scenario::NoChange, RESOURCES, DECODING, resources, read.took);
                }
            }
        }
        ensure!(self.output()? == before, "the processor has written changes where there were none");
        self.ensure_equal()
    }

    fn restore(&mut self) -> Result<()> {
        let end = self.raw_end()?;
        for side in self.sides.clone() {
            progress(&format!("restore: {side:?}"));
            match side {
                Side::Ours => {
                    let graph = self.world.topic(Topic::Graph);
                    let records = self.read(&graph, 0, |_| Ok(()))?.records;
                    let ended = self.bench.services.run(
                        "processor",
                        &self.world.config(),
                        &["run", "--until-end"],
                    )?;
                    let log = Log::of(&ended.stderr);
                    let assigned = log.first("partitions assigned", |_| true)?;
                    let restored = between(assigned, opened(&log, &self.world)?)?;
                    self.add_rate(Scenario::Restore, RECORDS, OURS, records, restored);
                    self.tell_peak(Scenario::Restore, "restore-peak", OURS, ended.peak_mib);
                }
                Side::Streams(store) => {
                    Streams::forget(&self.world, store)?;
                    let run = self.streams().run(&self.world, store, end)?;
                    let (restored, took) = (run.report.restored, run.report.restoring());
                    self.add_rate(Scenario::Restore, RECORDS, store.name(), restored, took);
                    self.tell_peak(Scenario::Restore, "restore-peak", store.name(), run.peak_mib);
                }
                Side::Bare => {
                    let graph = self.world.topic(Topic::Graph);
                    let read = self.read(&graph, 0, |_| Ok(()))?;
                    self.add_rate(Scenario::Restore, RECORDS, CONSUMER, read.records, read.took);
                    let read = self.read(&graph, 0, |value| {
                        if let GraphValue::Element(element) = GraphValue::decode(value)? {
                            element.decode();
                        }
                        Ok(())
                    })?;
                    self.add_rate(Scenario::Restore, RECORDS, DECODING, read.records, read.took);
                }
            }
        }
        Ok(())
    }

    fn produce(&mut self, name: &'static str, in_a_transaction: usize) -> Result<()> {
        let (servers, partition) = (&self.world.bootstrap_servers, self.world.partition());
        let prefix = tests::prefix();
        let mut records = Vec::new();
        for topic in [Topic::Changes, Topic::Graph] {
            raw_topic::create(servers, &prefix, topic, PARTITIONS);
            bare::copy(servers, (&self.world.topic(topic), &topic.name(&prefix)), partition, &mut records)?;
        }
        let count = records.len() as u64;
        let took = bare::write(servers, partition, records, in_a_transaction)?;
        self.add_rate(Scenario::FirstSync, OUTPUT, name, count, took);
        Ok(())
    }

    fn read(&self, topic: &str, start: i64, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<bare::Read> {
        let (servers, partition) = (&self.world.bootstrap_servers, self.world.partition());
        // A tombstone has no value.
        bare::read(servers, topic, partition, start, |message| message.payload().map_or(Ok(()), &mut each))
    }

    fn write_polls(&self, polls: u32) -> Result<()> {
        progress(&format!("writing {polls} polls"));
        (0..polls).try_for_each(|_| self.world.write_poll())
    }

    /// The offset after the last raw record; a transaction's marker has it.
    fn raw_end(&self) -> Result<i64> {
        let consumer = bare::consumer(&self.world.bootstrap_servers)?;
        let (topic, partition) = (self.world.topic(Topic::Raw), self.world.partition());
        tests::kafka::await_ends(&self.world.bootstrap_servers, &topic);
        let (_, end) = consumer.fetch_watermarks(&topic, partition, Duration::from_secs(30))?;
        Ok(end - 1)
    }

    fn output(&self) -> Result<Output> {
        let (changes, graph) = (self.world.topic(Topic::Changes), self.world.topic(Topic::Graph));
        Output::read(&self.world.bootstrap_servers, &changes, &graph, self.world.partition())
    }

    fn ensure_equal(&self) -> Result<()> {
        let ours = self.output()?;
        for side in &self.sides {
            if let Side::Streams(store) = side {
                ours.ensure_equal(&Streams::output(&self.world, *store)?, store.name())?;
            }
        }
        Ok(())
    }

    fn streams(&self) -> &Streams {
        self.bench.streams.as_ref().expect("a side of Streams comes with it")
    }

    /// Adds a figure of a scenario, unless it is done for a later one only.
    fn add_rate(&mut self, of: Scenario, unit: Unit, side: &'static str, count: u64, took: Duration) {
        if self.wants(of) {
            self.figures.add(of.name(), unit, side, per_second(count, took));
        }
    }

    /// The same of a peak of resident memory (MiB).
    fn tell_peak(&mut self, of: Scenario, name: &'static str, side: &'static str, mib: f64) {
        if self.wants(of) {
            self.figures.add(name, Unit::MebiBytes, side, mib);
        }
    }
}
