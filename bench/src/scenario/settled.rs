//! An organization whose polls are processed: the processor's memory, and `verify`.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rdkafka::Message as _;
use schemas::{
    change::Envelope,
    codec::{self},
    graph_value::GraphValue,
    raw::RawRecord,
    topics::Topic,
};

use super::{Bench, work::work};
use crate::{
    figures::{Figures, OURS, Unit},
    peers::{
        bare,
        output::{Output, Records},
    },
    process, progress,
    scenario_name::Scenario,
    world::World,
};

pub(super) const SCENARIOS: [Scenario; 3] = [Scenario::Memory, Scenario::Verify, Scenario::Sink];

/// Polls after the first one, in which nothing has changed.
const MORE_POLLS: u32 = 2;
/// How long a processor is left alone once it is ready, before its memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);

const AT_REST: &str = "itself, at rest";
const DECODING: &str = "bare consumer that decodes the same topics";
const RESTORING: &str = "the processor, which restores the same";

pub(super) struct Settled {
    pub(super) world: World,
    /// The elements of its graph.
    pub(super) elements: Records,
    /// Peak of the processor's resident memory while it read the first poll (MiB).
    peak_mib: f64,
    /// A prefix without any organization.
    blank: World,
}

impl Settled {
    pub(super) fn new(bench: &Bench) -> Result<Self> {
        let (servers, api_keys) = (&bench.broker.bootstrap_servers, bench.sizes.api_keys);
        progress("writing and processing three polls");
        let world = World::new(servers, api_keys)?;
        world.write_poll()?;
        let peak_mib = work(&bench.services, &world, 1)?.peak_mib;
        (0..MORE_POLLS).try_for_each(|_| world.write_poll())?;
        work(&bench.services, &world, MORE_POLLS)?;
        let (changes, graph) = (world.topic(Topic::Changes), world.topic(Topic::Graph));
        let output = Output::read(servers, &changes, &graph, world.partition())?;
        ensure!(
            output.changes.count == output.elements.count,
            "an organization's first listings create each element once, and here are {} changes of {} elements",
            output.changes.count,
            output.elements.count
        );
        let blank = World::new(servers, api_keys)?;
        Ok(Self { world, elements: output.elements, peak_mib, blank })
    }
}

/// The peak at the first sync, which happens once.
pub(super) fn tell_peak(settled: &Settled, figures: &mut Figures) {
    figures.add("memory-peak", Unit::MebiBytes, OURS, settled.peak_mib);
}

/// The processor's memory after it has read everything, and its overhead per element: the memory less the encoded
/// values.
pub(super) fn memory(bench: &Bench, settled: &Settled, figures: &mut Figures) -> Result<()> {
    progress("memory");
    let (blank, rest) = (at_rest(bench, &settled.blank)?, at_rest(bench, &settled.world)?);
    let Records { count, value_bytes, .. } = settled.elements;
    figures.add("memory", Unit::BytesAnElement, OURS, beside_values(rest - blank, count, value_bytes));
    figures.add("memory-peak", Unit::MebiBytes, AT_REST, rest);
    Ok(())
}

/// Bytes for each of so many elements, without their values.
#[expect(clippy::cast_precision_loss, reason = "no topic has 2^53 bytes")]
fn beside_values(mib: f64, count: u64, value_bytes: u64) -> f64 {
    (mib * 1_048_576.0 - value_bytes as f64) / count as f64
}

/// The resident memory of a processor that is ready (MiB).
fn at_rest(bench: &Bench, world: &World) -> Result<f64> {
    let mut processor = bench.services.start("processor", &world.config());
    processor.ready();
    thread::sleep(SETTLE);
    let kib = process::status(processor.pid(), "VmRSS:")
        .context("the processor exited, or /proc is not available")?;
    processor.terminate().expect(0);
    Ok(process::mib(kib))
}

/// The auditor on three polls.
pub(super) fn verify(bench: &Bench, settled: &Settled, figures: &mut Figures) -> Result<()> {
    progress("verify");
    let config = settled.world.config();
    let verified = bench.services.run("anthropic-graph", &config, &["verify"])?;
    let restored = bench.services.run("processor", &config, &["run", "--until-end"])?;
    figures.add("verify", Unit::Seconds, OURS, verified.took.as_secs_f64());
    figures.add("verify-peak", Unit::MebiBytes, OURS, verified.peak_mib);
    figures.add("verify-peak", Unit::MebiBytes, RESTORING, restored.peak_mib);
    figures.add("verify", Unit::Seconds, DECODING, decoded(settled)?.as_secs_f64());
    Ok(())
}

/// How long it takes to read and to decode what the auditor reads.
fn decoded(settled: &Settled) -> Result<Duration> {
    let (world, mut took) = (&settled.world, Duration::ZERO);
    for topic in [Topic::Raw, Topic::Changes, Topic::Graph] {
        let read =
            bare::read(&world.bootstrap_servers, &world.topic(topic), world.partition(), 0, |message| {
                // A tombstone has no value.
                let Some(value) = message.payload() else { return Ok(()) };
                match topic {
                    Topic::Raw => drop(codec::decode::<RawRecord>(value)?),
                    Topic::Changes => drop(codec::decode::<Envelope>(value)?),
                    _ => drop(GraphValue::decode(value)?),
                }
                Ok(())
            })?;
        took += read.took;
    }
    Ok(took)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_element_takes_what_its_value_does_not() {
        let beside = super::beside_values(3.0, 1_024, 1_048_576);
        assert!((beside - 2_048.0).abs() < f64::EPSILON, "{beside}");
    }
}
