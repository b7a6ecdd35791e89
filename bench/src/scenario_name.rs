//! What can be measured.

use clap::ValueEnum;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// An organization's first listings.
    FirstSync,
    /// Five polls in which nothing has changed.
    NoChange,
    /// A restore of the state, and nothing else.
    Restore,
    /// The processor's memory, at rest and at its peak.
    Memory,
    /// From a written listing to the visible change.
    Latency,
    /// An upload of the whole graph to JupiterOne.
    Sink,
    /// A poll of the Admin API.
    Poll,
    /// `anthropic-graph verify`.
    Verify,
    /// The first listing of a million API keys.
    Million,
    /// A processor is killed, and another one takes over a million elements.
    Takeover,
    /// Five million elements: first sync, restore, replay and verify.
    Large,
    /// A million changes, read into the console's store and asked.
    History,
    /// The services while nothing happens.
    Idle,
    /// From the start of a process until it is ready.
    Start,
    /// The same as `idle` with many organizations.
    Organizations,
}

impl Scenario {
    /// In the order in which they are shown.
    pub(crate) const ALL: [Self; 15] = [
        Self::FirstSync,
        Self::NoChange,
        Self::Restore,
        Self::Memory,
        Self::Latency,
        Self::Sink,
        Self::Poll,
        Self::Verify,
        Self::Million,
        Self::Takeover,
        Self::Large,
        Self::History,
        Self::Idle,
        Self::Start,
        Self::Organizations,
    ];

    /// As on the command line; the names of its figures begin with it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FirstSync => "first-sync",
            Self::NoChange => "no-change",
            Self::Restore => "restore",
            Self::Memory => "memory",
            Self::Latency => "latency",
            Self::Sink => "sink",
            Self::Poll => "poll",
            Self::Verify => "verify",
            Self::Million => "million",
            Self::Takeover => "takeover",
            Self::Large => "large",
            Self::History => "history",
            Self::Idle => "idle",
            Self::Start => "start",
            Self::Organizations => "organizations",
        }
    }

    /// The scenario that a figure is of.
    pub(crate) fn of(figure: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| {
            let rest = figure.strip_prefix(scenario.name());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    }
}
