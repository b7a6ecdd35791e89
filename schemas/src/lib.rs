//! The contract: Avro schemas, Rust types, codec, topics, `Graph::apply` and `Graph::diff`. Pure.

pub mod topics;
