//! Keeps JupiterOne equal to the graph topic.
//!
//! # Layout
//!
//! - `run`: a member of the consumer group; `task`, `organization`, `unsynced_changes`: a partition, and each of its
//!   organizations; `graph::plan` decides what they do
//! - `job`, `batch`, `events`: one sync job; `jupiterone`: its requests; `traces`: what it goes on with
//! - `sync_topic`: what JupiterOne holds; `target_registry`: which organization holds which target
//! - `organizations`, `setup`: what is configured
//! - [`cli`], `check`, `approve`: the commands; `needs`: their permissions

mod approve;
mod batch;
mod check;
pub mod cli;
mod events;
mod job;
mod jupiterone;
mod needs;
mod organization;
mod organizations;
mod run;
mod setup;
mod sync_topic;
mod target_registry;
mod task;
mod traces;
mod unsynced_changes;

pub use approve::{Approve, approve};
pub use needs::NEEDS;
pub use run::{resync, run};

#[cfg(test)]
#[expect(dead_code, reason = "the tests of the plan use more of it")]
#[path = "../../graph/src/fixture.rs"]
mod fixture;
#[cfg(test)]
mod tests;
