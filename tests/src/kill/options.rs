//! What is asked of a run of the harness.

use std::path::PathBuf;
use std::time::Duration;

use super::places::PLACES;

#[derive(Debug, Clone)]
pub struct Options {
    pub kills: u64,
    /// What the choices follow from.
    pub seed: u64,
    /// Whether they run on three brokers instead of one.
    pub is_cluster: bool,
    /// The folder of the three programs.
    pub programs: PathBuf,
    /// After how long no new kill begins.
    pub longest: Duration,
    /// Whether the first violations end the run.
    pub stops_early: bool,
}

impl Options {
    /// Whether it has too few kills for every place and for shares of them: it leaves out what takes long and needs no
    /// kill, too.
    pub(super) fn is_short(&self) -> bool {
        self.kills < PLACES.len() as u64
    }
}
