//! How each scenario is measured.

mod history;
mod idle;
mod large;
mod latency;
mod million;
mod poll;
mod processor;
mod settled;
mod sink;
mod start;
mod takeover;
mod work;

use anyhow::Result;

use crate::{
    arguments::{Arguments, Sizes},
    broker::Broker,
    figures::Figures,
    peers::{jupiterone_sdk::JupiterOneSdk, streams::Streams},
    progress,
    scenario_name::Scenario,
    services::Services,
};

/// All that the scenarios need: the broker, the services, and the peers.
pub(crate) struct Bench {
    pub(crate) broker: Broker,
    pub(crate) services: Services,
    /// None where no scenario has them, or where nothing may be fetched.
    pub(crate) streams: Option<Streams>,
    pub(crate) sdk: Option<JupiterOneSdk>,
    pub(crate) sizes: Sizes,
}

impl Bench {
    /// Builds what is to be built and starts the broker.
    pub(crate) fn start(arguments: &Arguments) -> Result<Self> {
        progress("building the services");
        let services = Services::build()?;
        let wanted = arguments.scenarios();
        let wants_peer = |of: &[Scenario]| !arguments.short && wanted.iter().any(|it| of.contains(it));
        let streams = wants_peer(&processor::SCENARIOS).then(|| {
            progress("building Kafka Streams' side");
            Streams::build()
        });
        let sdk = wants_peer(&[Scenario::Sink]).then(|| {
            progress("installing JupiterOne's SDK");
            JupiterOneSdk::install()
        });
        let (streams, sdk) = (streams.transpose()?, sdk.transpose()?);
        progress("starting Kafka");
        let broker = Broker::start()?;
        Ok(Self { broker, services, streams, sdk, sizes: arguments.sizes() })
    }

    /// Measures what is wanted, so often.
    pub(crate) fn measure(&self, wanted: &[Scenario], figures: &mut Figures) -> Result<()> {
        let (runs, wants) = (self.sizes.runs, |scenario| wanted.contains(&scenario));
        if processor::SCENARIOS.into_iter().any(wants) {
            each_run(runs, |run| processor::run(self, wanted, run, figures))?;
        }
        if settled::SCENARIOS.into_iter().any(wants) {
            self.measure_settled(wanted, figures)?;
        }
        if wants(Scenario::Latency) {
            each_run(runs, |run| latency::run(self, run, figures))?;
        }
        if wants(Scenario::Poll) {
            let poll = poll::Poll::new(self)?;
            each_run(runs, |run| poll.run(self, run, figures))?;
        }
        if wants(Scenario::Million) {
            each_run(runs, |_| million::run(self, figures))?;
        }
        if wants(Scenario::Takeover) {
            each_run(runs, |_| takeover::run(self, figures))?;
        }
        if wants(Scenario::Large) {
            each_run(runs, |_| large::run(self, figures))?;
        }
        if wants(Scenario::History) {
            let history = history::History::new(self)?;
            each_run(runs, |run| history.run(self, run, figures))?;
        }
        if wants(Scenario::Start) {
            start::run(self, figures)?;
        }
        for scenario in [Scenario::Idle, Scenario::Organizations].into_iter().filter(|it| wants(*it)) {
            idle::run(self, scenario, figures)?;
        }
        Ok(())
    }

    fn measure_settled(&self, wanted: &[Scenario], figures: &mut Figures) -> Result<()> {
        let (runs, wants) = (self.sizes.runs, |scenario| wanted.contains(&scenario));
        let settled = settled::Settled::new(self)?;
        if wants(Scenario::Memory) {
            settled::tell_peak(&settled, figures);
            each_run(runs, |_| settled::memory(self, &settled, figures))?;
        }
        if wants(Scenario::Verify) {
            each_run(runs, |_| settled::verify(self, &settled, figures))?;
        }
        if wants(Scenario::Sink) {
            let sink = sink::Sink::new(self, &settled)?;
            each_run(runs, |run| sink.run(self, run, figures))?;
        }
        Ok(())
    }
}

/// Does it so often, with its number.
fn each_run(runs: u32, mut run: impl FnMut(u32) -> Result<()>) -> Result<()> {
    (0..runs).try_for_each(|number| {
        progress(&format!("run {} of {runs}", number + 1));
        run(number)
    })
}

/// The sides in their order, which turns from run to run: the one that runs first may find the machine in another
/// state.
fn in_turns<T>(mut sides: Vec<T>, run: u32) -> Vec<T> {
    if !run.is_multiple_of(2) {
        sides.reverse();
    }
    sides
}
