//! The contract: Avro schemas, Rust types, codec, topics, `Graph::apply` and `Graph::diff`. Pure.
//!
//! - [`topics`]: the five topics, their settings, an organization's partition
//! - [`raw`], [`change`], [`element`], [`coverage`], [`sync`]: the records, held to `avro/*.avsc`
//! - [`codec`]: their bytes
//! - [`graph`], [`state`]: the fold of changes and of the graph topic
//! - [`jupiterone`]: an element as JupiterOne takes it

pub mod change;
pub mod codec;
pub mod collection;
pub mod coverage;
pub mod element;
pub mod graph;
pub mod jupiterone;
pub mod raw;
pub mod state;
pub mod sync;
pub mod topics;
