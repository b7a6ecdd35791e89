//! Kafka: client configuration, topics, group membership, transactions, reading one partition, restore.
//!
//! All calls block and belong on threads of their own, never on an async worker. A task uses one
//! [`partition::PartitionReader`] and one [`transaction::TransactionalProducer`]; a process has one
//! [`member::Member`], which says whose tasks it runs.

pub mod client;
pub mod headers;
pub mod member;
pub mod newer;
pub mod partition;
pub mod restore;
pub mod settle;
pub mod topics;
pub mod transaction;
pub mod upkeep;
mod watch;
pub mod writer;

pub use client::client_config;
pub use newer::{NewerRecord, check_known};
pub use restore::restore;
pub use settle::settle;
