//! The command line.

use clap::Parser;

use crate::{bounds, scenario_name::Scenario};

/// Measures the services side by side with their peers, on a real Kafka.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// What to measure; everything where nothing is named.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// API keys of the organization, which has a twentieth as many users; 100,000 where nothing is said, 380,000 for `takeover`,
    /// 1,000,000 for `million`, and 10,000 with --short. Changes of `history`; 1,000,000 where nothing is said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(100..))]
    resources: Option<u32>,
    /// Organizations of `organizations`.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    organizations: u32,
    /// Organizations of `large`.
    #[arg(long, value_name = "N", default_value_t = 19, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    large_organizations: u32,
    /// How often each side is measured, one after the other in turns; 3 where nothing is said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    runs: Option<u32>,
    /// Measure less than two minutes, and fail if a ratio is beyond its bound. Without the peers that have to be fetched.
    #[arg(long, conflicts_with = "save")]
    pub(crate) short: bool,
    /// End with one line of JSON: scenario → ours, peers, ratios.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the figures, a chart and the tables into docs/performance/ and docs/performance.md, with the machine, the
    /// versions, and the commit. Figures of other scenarios stay.
    #[arg(long)]
    pub(crate) save: bool,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Of the organization of most scenarios.
    pub(crate) api_keys: u32,
    /// Of the organization of `million`.
    pub(crate) most_api_keys: u32,
    /// Of the organization of `takeover`: a million elements.
    pub(crate) takeover_api_keys: u32,
    /// In the changes topic of `history`.
    pub(crate) changes: u64,
    /// Of `organizations`.
    pub(crate) organizations: u32,
    /// Of `large`.
    pub(crate) large_organizations: u32,
    /// Listings whose latency is measured, in each run.
    pub(crate) listings: u32,
    /// How long the services are watched while nothing happens (s), in each run.
    pub(crate) idle_seconds: u64,
    /// How often each side is measured.
    pub(crate) runs: u32,
}

impl Arguments {
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        match (self.scenarios.is_empty(), self.short) {
            (false, _) => self.scenarios.clone(),
            (true, true) => bounds::scenarios(),
            (true, false) => Scenario::ALL.to_vec(),
        }
    }

    pub(crate) fn sizes(&self) -> Sizes {
        let (api_keys, most_api_keys, listings, idle_seconds) =
            if self.short { (10_000, 10_000, 40, 10) } else { (100_000, 1_000_000, 100, 60) };
        Sizes {
            api_keys: self.resources.unwrap_or(api_keys),
            most_api_keys: self.resources.unwrap_or(most_api_keys),
            takeover_api_keys: self.resources.unwrap_or(380_000),
            changes: self.resources.unwrap_or(most_api_keys).into(),
            organizations: self.organizations,
            large_organizations: self.large_organizations,
            listings,
            idle_seconds,
            runs: self.runs.unwrap_or(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
