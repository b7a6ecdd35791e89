//! What was measured: of each scenario a figure of ours and one of each peer, as often as there were runs.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// The name of our side.
pub(crate) const OURS: &str = "ours";

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// More is better.
    PerSecond(&'static str),
    /// Less is better.
    Seconds,
    /// Less is better.
    Milliseconds,
    /// Less is better.
    MebiBytes,
    /// Less is better.
    BytesAnElement,
    /// Of a core; less is better.
    Percent,
    /// Less is better.
    Threads,
}

impl Unit {
    pub(crate) fn name(self) -> String {
        match self {
            Self::PerSecond(what) => format!("{what}/s"),
            Self::Seconds => "s".to_owned(),
            Self::Milliseconds => "ms".to_owned(),
            Self::MebiBytes => "MiB".to_owned(),
            Self::BytesAnElement => "B an element".to_owned(),
            Self::Percent => "% of a core".to_owned(),
            Self::Threads => "threads".to_owned(),
        }
    }

    pub(crate) fn is_more_better(self) -> bool {
        matches!(self, Self::PerSecond(_))
    }
}

/// The figures of one side, one a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// The middle one; of an even number the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        f64::midpoint(low, high)
    }

    /// The smallest one that so large a part of all is not above.
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a rank is as small as the number of samples"
        )]
        let rank = (part * sorted.len() as f64).ceil() as usize;
        sorted[rank.clamp(1, sorted.len()) - 1]
    }

    /// In the order in which they were measured.
    pub(crate) fn iter(&self) -> impl Iterator<Item = f64> {
        self.0.iter().copied()
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn minimum(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn maximum(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) ours: Samples,
    /// In the order in which they were measured first.
    pub(crate) peers: Vec<(&'static str, Samples)>,
}

impl Figure {
    /// Ours divided by a peer's, of the medians.
    pub(crate) fn ratio(&self, peer: &Samples) -> f64 {
        self.ours.median() / peer.median()
    }

    /// The medians, and their ratios.
    fn json(&self) -> Value {
        let peers = self.of_peers(|peer| rounded(peer.median()).into());
        let ratios = self.of_peers(|peer| rounded(self.ratio(peer)).into());
        json!({ "unit": self.unit.name(), "ours": rounded(self.ours.median()), "peers": peers, "ratios": ratios })
    }

    fn of_peers(&self, value: impl Fn(&Samples) -> Value) -> Map<String, Value> {
        self.peers.iter().map(|(name, peer)| ((*name).to_owned(), value(peer))).collect()
    }
}

/// All figures, in the order in which they were measured first.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    /// Adds what one side did in one run.
    pub(crate) fn add(&mut self, name: &'static str, unit: Unit, side: &'static str, value: f64) {
        let position = self.0.iter().position(|figure| figure.name == name).unwrap_or_else(|| {
            self.0.push(Figure { name, unit, ours: Samples::default(), peers: Vec::new() });
            self.0.len() - 1
        });
        let figure = &mut self.0[position];
        if side == OURS {
            return figure.ours.push(value);
        }
        match figure.peers.iter_mut().find(|(peer, _)| *peer == side) {
            Some((_, samples)) => samples.push(value),
            None => figure.peers.push((side, Samples(vec![value]))),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Figure> {
        self.0.iter()
    }

    /// Scenario → ours, peers, ratios.
    pub(crate) fn json(&self) -> Value {
        self.0.iter().map(|figure| (figure.name.to_owned(), figure.json())).collect::<Map<_, _>>().into()
    }

    /// The ratio of the best runs of both sides, where both were measured.
    pub(crate) fn best_ratio(&self, name: &str, peer: &str) -> Option<f64> {
        let figure = self.0.iter().find(|figure| figure.name == name)?;
        let (_, peer) = figure.peers.iter().find(|(side, _)| *side == peer)?;
        let best = if figure.unit.is_more_better() { Samples::maximum } else { Samples::minimum };
        Some(best(&figure.ours) / best(peer))
    }
}

/// How many a second that are.
#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
pub(crate) fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// To six digits: no figure means more.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().expect("a number was written")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Figures, OURS, Samples, Unit};

    fn samples(values: &[f64]) -> Samples {
        let mut samples = Samples::default();
        for value in values {
            samples.push(*value);
        }
        samples
    }

    #[test]
    fn the_median_is_shown_and_not_the_mean() {
        let summary = |values: &[f64]| {
            let samples = samples(values);
            (samples.median(), samples.minimum(), samples.maximum())
        };
        assert_eq!(summary(&[9.0, 1.0, 2.0]), (2.0, 1.0, 9.0));
        assert_eq!(summary(&[4.0, 1.0, 3.0, 100.0]), (3.5, 1.0, 100.0));
        let hundred: Vec<_> = (1..=100).map(f64::from).collect();
        assert_eq!(samples(&hundred).percentile(0.99).to_string(), "99");
    }

    #[test]
    fn the_last_line_has_each_figure_with_its_peers_and_ratios() {
        let mut figures = Figures::default();
        for (ours, peer) in [(10.0, 40.0), (30.0, 20.0), (20.0, 40.0)] {
            figures.add("restore", Unit::PerSecond("records"), OURS, ours);
            figures.add("restore", Unit::PerSecond("records"), "bare consumer", peer);
        }
        figures.add("start", Unit::Seconds, OURS, 0.5);
        let expected = json!({
            "restore": { "unit": "records/s", "ours": 20.0, "peers": { "bare consumer": 40.0 },
                "ratios": { "bare consumer": 0.5 } },
            "start": { "unit": "s", "ours": 0.5, "peers": {}, "ratios": {} },
        });
        assert_eq!(figures.json(), expected);
        assert_eq!(figures.best_ratio("restore", "bare consumer"), Some(0.75));
        assert_eq!(figures.best_ratio("restore", "nobody"), None);
    }
}
