//! What is measured, and how.

mod latency;
mod processor;

use anyhow::Result;

use crate::{
    arguments::{Arguments, Scenario},
    broker::Broker,
    figures::Figures,
    peers::streams::Streams,
    progress,
    services::Services,
};

/// All that the scenarios need: the broker, the services, and the peers.
pub(crate) struct Bench {
    pub(crate) broker: Broker,
    pub(crate) services: Services,
    /// None where no scenario has them.
    pub(crate) streams: Option<Streams>,
    wanted: Vec<Scenario>,
    pub(crate) api_keys: u32,
}

impl Bench {
    /// Builds what is to be built and starts the broker.
    pub(crate) fn start(arguments: &Arguments) -> Result<Self> {
        progress("building the services");
        let services = Services::build()?;
        let wanted = arguments.scenarios().to_vec();
        let has_streams = wanted.iter().any(|it| processor::SCENARIOS.contains(it));
        let streams = has_streams
            .then(|| {
                progress("building Kafka Streams' side");
                Streams::build()
            })
            .transpose()?;
        progress("starting Kafka");
        let broker = Broker::start()?;
        Ok(Self { broker, services, streams, wanted, api_keys: arguments.resources })
    }

    fn wants(&self, scenario: Scenario) -> bool {
        self.wanted.contains(&scenario)
    }
}

/// Measures everything that is wanted once.
pub(crate) fn run(bench: &Bench, number: u32, figures: &mut Figures) -> Result<()> {
    if processor::SCENARIOS.iter().any(|it| bench.wants(*it)) {
        processor::run(bench, number, figures)?;
    }
    if bench.wants(Scenario::Latency) {
        latency::run(bench, number, figures)?;
    }
    Ok(())
}
