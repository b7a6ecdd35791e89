//! The contract: Avro schemas, Rust types, codec, topics. Pure.
//!
//! # Layout
//!
//! - [`topics`]: the five topics, their settings, an organization's partition
//! - [`raw`], [`change`], [`element`], [`coverage`], [`sync`]: the records, as `avro/*.avsc` has them; [`collection`]: a list
//!   of the Admin API; `closed_set`: text fields with few values; `wire`: records whose Rust type is an enum
//! - [`codec`]: their bytes; `from_slice` and `to_vec`: a decoder and an encoder; [`framing`]: how a value begins in a
//!   topic; [`graph_value`]: the record types of the graph topic
//! - [`encoded`], [`resource`]: elements, changes and resources that stay encoded; `field_reader`: single fields of
//!   them

#![warn(missing_docs)]

pub mod change;
mod closed_set;
pub mod codec;
pub mod collection;
pub mod coverage;
pub mod element;
pub mod encoded;
mod field_reader;
pub mod framing;
mod from_slice;
pub mod graph_value;
pub mod raw;
pub mod resource;
pub mod sync;
mod to_vec;
pub mod topics;
mod wire;
