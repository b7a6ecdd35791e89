//! The core: what raw records make of an organization's graph, and what the sink does about it. Pure: every function is
//! one of its arguments, and nothing here knows a clock, a network or a log.
//!
//! # Layout
//!
//! In the order of the data:
//!
//! - [`listing`]: raw records to listings, marks and decisions; [`bounds`]: how long their texts may be
//! - [`mapping`]: a resource to elements
//! - [`elements`], [`state`]: what is known of an organization, and the records of the graph topic that it is the fold of
//! - [`reconcile`]: state and listing to changes and records
//! - [`partition_state`]: the states of a partition's organizations, checked after a restore
//! - [`jupiterone`]: an element as JupiterOne takes it; [`describe`]: a change as a person reads it
//! - [`plan`]: what the sink does for an organization now

pub mod bounds;
pub mod describe;
pub mod elements;
pub mod jupiterone;
pub mod listing;
pub mod mapping;
pub mod partition_state;
pub mod plan;
pub mod reconcile;
pub mod state;

// The fixture is the sink's too, which names this crate.
#[cfg(test)]
extern crate self as graph;
#[cfg(test)]
#[expect(dead_code, reason = "the sink's tests use more of it")]
mod fixture;
