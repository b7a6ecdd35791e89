//! Keeps JupiterOne equal to the graph topic.

mod approve;
mod batch;
mod check;
mod cli;
mod configured;
mod events;
mod job;
mod jupiterone;
mod options;
mod organization;
mod parked;
mod run;
mod setup;
mod sync_topic;
mod target_registry;
mod task;

pub use approve::{Approve, approve};
pub use check::check;
pub use cli::{Arguments, execute};
pub use options::Options;
pub use parked::parked;
pub use run::{resync, run};

#[cfg(test)]
#[expect(dead_code, reason = "the tests of the plan use more of it")]
#[path = "../../graph/src/fixture.rs"]
mod fixture;
#[cfg(test)]
mod tests;
