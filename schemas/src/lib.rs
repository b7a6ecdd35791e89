//! The contract: Avro schemas, Rust types, codec, topics. Pure.
//!
//! - [`topics`]: the five topics, their settings, an organization's partition
//! - [`raw`], [`change`], [`element`], [`coverage`], [`sync`]: the records, held to `avro/*.avsc`
//! - [`codec`]: their bytes

pub mod change;
pub mod codec;
pub mod collection;
pub mod coverage;
pub mod element;
pub mod raw;
pub mod sync;
pub mod topics;
