//! `docs/performance/figures.json`: what was measured, and where, with what and of which commit.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    arguments::Sizes,
    figures::{Figure, Figures, Samples, rounded},
    machine::{self, Machine},
    progress,
    scenario_name::Scenario,
};

/// The newest figures of each scenario, all of one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Saved {
    pub(crate) machine: Machine,
    pub(crate) figures: BTreeMap<String, SavedFigure>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedFigure {
    /// What was measured, such as `100000 API keys`.
    pub(crate) size: String,
    pub(crate) unit: String,
    pub(crate) more_is_better: bool,
    pub(crate) ours: SavedSamples,
    pub(crate) peers: BTreeMap<String, SavedSamples>,
    /// Ours divided by a peer's, of the medians.
    pub(crate) ratios: BTreeMap<String, f64>,
    pub(crate) commit: String,
    pub(crate) measured: String,
    pub(crate) versions: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedSamples {
    pub(crate) median: f64,
    pub(crate) minimum: f64,
    pub(crate) maximum: f64,
    pub(crate) runs: Vec<f64>,
}

impl Saved {
    /// Nothing of this machine.
    fn of_this_machine() -> Self {
        Self { machine: Machine::this(), figures: BTreeMap::new() }
    }

    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `bench --save` writes", file.display()))
    }

    /// What lies there, if it is of this machine.
    pub(crate) fn begin(file: &Path) -> Result<Self> {
        let this = Self::of_this_machine();
        if !file.exists() {
            return Ok(this);
        }
        let saved = Self::read(file)?;
        if saved.machine != this.machine {
            progress("the saved figures are of another machine and make way");
            return Ok(this);
        }
        Ok(saved)
    }

    /// Takes the figures in; those of the same name make way.
    pub(crate) fn add(&mut self, figures: &Figures, sizes: &Sizes) {
        let (versions, commit, measured) = (machine::versions(), machine::commit(), machine::today());
        for figure in figures.iter() {
            let saved = SavedFigure {
                size: size(figure.name, sizes),
                versions: versions.clone(),
                commit: commit.clone(),
                measured: measured.clone(),
                ..SavedFigure::from(figure)
            };
            self.figures.insert(figure.name.to_owned(), saved);
        }
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
    }

    /// The figures in the order in which they are shown: by scenario, its main one first.
    pub(crate) fn in_order(&self) -> Vec<(&str, &SavedFigure)> {
        let mut figures: Vec<_> = self.figures.iter().map(|(name, figure)| (name.as_str(), figure)).collect();
        figures.sort_by_key(|(name, _)| (Scenario::of(name), *name));
        figures
    }
}

impl From<&Figure> for SavedFigure {
    fn from(figure: &Figure) -> Self {
        let peers = figure.peers.iter().map(|(name, samples)| ((*name).to_owned(), samples.into()));
        let ratios =
            figure.peers.iter().map(|(name, samples)| ((*name).to_owned(), rounded(figure.ratio(samples))));
        Self {
            size: String::new(),
            unit: figure.unit.name(),
            more_is_better: figure.unit.is_more_better(),
            ours: (&figure.ours).into(),
            peers: peers.collect(),
            ratios: ratios.collect(),
            commit: String::new(),
            measured: String::new(),
            versions: BTreeMap::new(),
        }
    }
}

impl From<&Samples> for SavedSamples {
    fn from(samples: &Samples) -> Self {
        let [median, minimum, maximum] =
            [samples.median(), samples.minimum(), samples.maximum()].map(rounded);
        Self { median, minimum, maximum, runs: samples.iter().map(rounded).collect() }
    }
}

fn size(figure: &str, sizes: &Sizes) -> String {
    match Scenario::of(figure) {
        Some(Scenario::Million) => format!("{} API keys", sizes.most_api_keys),
        Some(Scenario::Takeover) => format!("{} API keys", sizes.takeover_api_keys),
        Some(Scenario::Large) => {
            format!("{} organizations of {} API keys", sizes.large_organizations, sizes.api_keys)
        }
        Some(Scenario::History) => format!("{} changes", sizes.changes),
        Some(Scenario::Organizations) => format!("{} organizations", sizes.organizations),
        Some(Scenario::Idle | Scenario::Start | Scenario::Latency) => "10 users".to_owned(),
        _ => format!("{} API keys", sizes.api_keys),
    }
}

#[cfg(test)]
mod tests {
    use super::Saved;
    use crate::{
        arguments::Sizes,
        figures::{Figures, OURS, Unit},
    };

    const SIZES: Sizes = Sizes {
        api_keys: 100,
        most_api_keys: 1_000,
        takeover_api_keys: 1_000,
        changes: 1_000,
        organizations: 10,
        large_organizations: 2,
        listings: 5,
        idle_seconds: 1,
        runs: 1,
    };

    fn figures(name: &'static str, value: f64) -> Figures {
        let mut figures = Figures::default();
        figures.add(name, Unit::Seconds, OURS, value);
        figures
    }

    #[test]
    fn figures_of_other_scenarios_stay_and_those_of_the_same_make_way() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("figures.json");
        for (name, value) in [("verify", 9.0), ("million", 30.0), ("verify", 8.0)] {
            let mut saved = Saved::begin(&file).expect("what lies there");
            saved.add(&figures(name, value), &SIZES);
            saved.write(&file).expect("it is written");
        }
        let saved = Saved::read(&file).expect("what lies there");
        let figures = saved.in_order();
        let figures: Vec<_> =
            figures.iter().map(|(name, figure)| (*name, figure.size.as_str(), figure.ours.median)).collect();
        assert_eq!(figures, [("verify", "100 API keys", 8.0), ("million", "1000 API keys", 30.0)]);
    }
}
