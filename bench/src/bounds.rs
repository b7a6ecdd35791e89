//! What `--short` holds the services to: ratios, since a time says nothing of another machine.
//!
//! A ratio is that of the best runs of both sides, which other work on the machine disturbs least. Each bound lies so far
//! from what is usual that chance does not reach it, and so near that a service twice as slow, or as large, is beyond it.

use crate::{
    figures::{Figures, OURS},
    limit::Limit::{self, AtLeast, AtMost},
    scenario_name::Scenario,
    table::short,
};

/// A bound of one ratio.
struct Bound {
    figure: &'static str,
    peer: &'static str,
    /// The ratio as it usually is, on two cores and with the sizes of `--short`.
    usual: f64,
    limit: Limit,
    /// What is beyond it when the bound is broken.
    why: &'static str,
}

const BOUNDS: [Bound; 9] = [
    Bound {
        figure: "first-sync",
        peer: "bare producer, 10,000 records a transaction",
        usual: 0.32,
        limit: AtLeast(0.20),
        why: "reconciling, encoding and writing a new listing",
    },
    Bound {
        figure: "no-change",
        peer: "bare consumer",
        usual: 0.095,
        limit: AtLeast(0.06),
        why: "recognizing resources that have not changed",
    },
    Bound {
        figure: "restore",
        peer: "bare consumer",
        usual: 0.047,
        limit: AtLeast(0.029),
        why: "reading the state",
    },
    Bound {
        figure: "latency",
        peer: "bare relay: one record a transaction",
        usual: 1.45,
        limit: AtMost(2.3),
        why: "waiting between a listing and its commit",
    },
    Bound {
        figure: "memory-peak",
        peer: "itself, at rest",
        usual: 1.2,
        limit: AtMost(1.9),
        why: "what a listing needs in addition to the state",
    },
    Bound {
        figure: "verify",
        peer: "bare consumer that decodes the same topics",
        usual: 21.0,
        limit: AtMost(34.0),
        why: "the auditor's own work",
    },
    Bound {
        figure: "verify-peak",
        peer: "the processor, which restores the same",
        usual: 3.0,
        limit: AtMost(4.8),
        why: "the auditor's own memory",
    },
    Bound {
        figure: "sink",
        peer: "bare HTTP client, bodies prepared",
        usual: 0.36,
        limit: AtLeast(0.22),
        why: "making, compressing and sending bodies",
    },
    Bound {
        figure: "poll",
        peer: "bare HTTP client",
        usual: 0.089,
        limit: AtLeast(0.055),
        why: "parsing pages and writing raw records",
    },
];

/// The scenarios that have bounds.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let mut scenarios: Vec<_> = BOUNDS.iter().map(Bound::scenario).collect();
    scenarios.dedup();
    scenarios
}

/// The result of checking the bounds.
#[derive(Debug, Default)]
pub(crate) struct Judgment {
    /// How many were held.
    pub(crate) within: usize,
    /// A line for each that was not.
    pub(crate) beyond: Vec<String>,
    pub(crate) scenarios: Vec<Scenario>,
}

/// Holds what was measured to the bounds; those of other scenarios do not count.
pub(crate) fn judge(figures: &Figures) -> Judgment {
    let mut judgment = Judgment::default();
    for bound in &BOUNDS {
        let Some(ratio) = figures.best_ratio(bound.figure, bound.peer) else { continue };
        if bound.limit.holds(ratio) {
            judgment.within += 1;
            continue;
        }
        let Bound { figure, peer, usual, limit, why } = bound;
        let (ratio, usual) = (short(ratio), short(*usual));
        judgment.beyond.push(format!(
            "{figure}: {OURS} ÷ {peer} is {ratio}, which is not {limit} (usual: {usual}); look at {why}"
        ));
        judgment.scenarios.push(bound.scenario());
    }
    judgment.scenarios.dedup();
    judgment
}

impl Bound {
    fn scenario(&self) -> Scenario {
        Scenario::of(self.figure).expect("a figure is of a scenario")
    }
}

#[cfg(test)]
mod tests {
    use super::{BOUNDS, Bound, judge};
    use crate::{
        figures::{Figures, OURS, Unit},
        limit::Limit,
    };

    /// How far chance may go (of the ratio).
    const CHANCE: f64 = 1.3;

    /// The ratio when ours is so many times worse.
    fn worse(bound: &Bound, times: f64) -> f64 {
        match bound.limit {
            Limit::AtLeast(_) => bound.usual / times,
            Limit::AtMost(_) => bound.usual * times,
        }
    }

    fn judged(bound: &Bound, ratio: f64) -> usize {
        let unit = match bound.limit {
            Limit::AtLeast(_) => Unit::PerSecond("resources"),
            Limit::AtMost(_) => Unit::Seconds,
        };
        let mut figures = Figures::default();
        figures.add(bound.figure, unit, OURS, ratio * 1_000.0);
        figures.add(bound.figure, unit, bound.peer, 1_000.0);
        let judgment = judge(&figures);
        assert_eq!(judgment.within + judgment.beyond.len(), 1, "{}", bound.figure);
        judgment.within
    }

    #[test]
    fn a_twofold_regression_is_beyond_each_bound_and_chance_is_not() {
        for bound in &BOUNDS {
            assert_eq!(judged(bound, worse(bound, CHANCE)), 1, "{} is too narrow", bound.figure);
            assert_eq!(judged(bound, worse(bound, 2.0)), 0, "{} is too wide", bound.figure);
        }
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let judgment = judge(&Figures::default());
        assert_eq!((judgment.within, judgment.beyond.len()), (0, 0));
    }
}
