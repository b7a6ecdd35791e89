//! Keeps JupiterOne equal to the graph topic.

mod approve;
mod batch;
mod check;
mod cli;
mod configured;
mod directory;
mod events;
mod job;
mod jupiterone;
mod organization;
mod parked;
mod run;
mod setup;
mod sync_topic;
mod task;
mod upload;

pub use approve::{Approve, approve};
pub use check::check;
pub use cli::{Arguments, execute};
pub use parked::parked;
pub use run::{Options, resync, run};

#[cfg(test)]
#[path = "../../graph/src/fixture.rs"]
mod fixture;
#[cfg(test)]
mod tests;
