//! The core: it turns raw records into an organization's graph, and decides what the sink does. Pure: results depend on
//! the arguments only, and nothing here uses a clock, a network or a log.
//!
//! # Layout
//!
//! In the order of the data:
//!
//! - [`listing`]: raw records to listings, marks and decisions; [`resources`]: what a listing lists; [`bounds`]: bounds on
//!   their strings
//! - [`mapping`]: a resource to elements
//! - [`state`]: what is known of an organization, and the records of the graph topic that it is the fold of; `nodes`: its
//!   elements by key
//! - [`fingerprint`]: recognizes a resource that has not changed
//! - [`reconcile`]: state and listing to changes and records; [`change`]: one change
//! - [`partition_state`]: the states of a partition's organizations, checked after a restore
//! - [`jupiterone`]: an element as JupiterOne takes it; [`describe`]: a change as a person reads it
//! - [`plan`]: what the sink does for an organization now
//! - [`access`]: who can reach which workspace with which API key, at a moment; [`text`]: external text, safe to show

pub mod access;
pub mod bounds;
pub mod change;
pub mod describe;
pub mod fingerprint;
pub mod jupiterone;
pub mod listing;
pub mod mapping;
mod nodes;
pub mod partition_state;
pub mod plan;
pub mod reconcile;
pub mod resources;
pub mod state;
pub mod text;

// The fixture is the sink's too, which names this crate.
#[cfg(test)]
extern crate self as graph;
#[cfg(test)]
#[expect(dead_code, reason = "the sink's tests use more of it")]
mod fixture;
