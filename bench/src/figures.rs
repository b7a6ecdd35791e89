//! What was measured: of each scenario a figure of ours and one of each peer, as often as there were runs.

use serde_json::{Map, Value, json};

/// The name of our side.
pub(crate) const OURS: &str = "ours";

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// More is better.
    PerSecond(&'static str),
    /// Less is better.
    Milliseconds,
    /// Less is better.
    MebiBytes,
}

impl Unit {
    pub(crate) fn name(self) -> String {
        match self {
            Self::PerSecond(what) => format!("{what}/s"),
            Self::Milliseconds => "ms".to_owned(),
            Self::MebiBytes => "MiB".to_owned(),
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

    fn json(&self) -> Value {
        let runs: Vec<f64> = self.0.iter().copied().map(rounded).collect();
        let [median, minimum, maximum] = [self.median(), self.minimum(), self.maximum()].map(rounded);
        json!({ "median": median, "minimum": minimum, "maximum": maximum, "runs": runs })
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

/// A scenario's figures.
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

    /// All that was measured.
    fn full_json(&self) -> Value {
        let ratios = self.of_peers(|peer| rounded(self.ratio(peer)).into());
        let peers = self.of_peers(Samples::json);
        json!({ "unit": self.unit.name(), "ours": self.ours.json(), "peers": peers, "ratios": ratios })
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
        self.by_name(Figure::json)
    }

    /// The same with each run's figures.
    pub(crate) fn full_json(&self) -> Value {
        self.by_name(Figure::full_json)
    }

    fn by_name(&self, value: impl Fn(&Figure) -> Value) -> Value {
        self.0.iter().map(|figure| (figure.name.to_owned(), value(figure))).collect::<Map<_, _>>().into()
    }
}

/// To six digits: no figure means more.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().expect("a number was written")
}
