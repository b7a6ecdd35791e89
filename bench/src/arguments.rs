//! The command line.

use clap::{Parser, ValueEnum};

/// Measures the services side by side with their peers, on a real Kafka.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// What to measure; everything where nothing is named.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// API keys of the organization; it has a twentieth as many users.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(100..))]
    pub(crate) resources: u32,
    /// How often each side is measured, one after the other in turns.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) runs: u32,
    /// End with one line of JSON: scenario → ours, peers, ratios.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the figures and a chart into docs/performance/, with the machine, the versions, and the commit.
    #[arg(long)]
    pub(crate) save: bool,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// An organization's first listings.
    FirstSync,
    /// Five polls in which nothing has changed.
    NoChange,
    /// A restore of the state, and nothing else.
    Restore,
    /// From a written listing to the visible change.
    Latency,
}

impl Scenario {
    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FirstSync => "first-sync",
            Self::NoChange => "no-change",
            Self::Restore => "restore",
            Self::Latency => "latency",
        }
    }
}

impl Arguments {
    pub(crate) fn scenarios(&self) -> &[Scenario] {
        if self.scenarios.is_empty() { Scenario::value_variants() } else { &self.scenarios }
    }
}
