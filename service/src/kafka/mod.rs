//! Kafka: client configuration, the framing of values, topics, group membership, transactions, reading one partition, restore.
//!
//! All calls block and belong on threads of their own, never on an async worker. A task uses one
//! [`partition::PartitionReader`] and one [`transaction::TransactionalProducer`]; a process has one
//! [`member::Member`], which says whose tasks it runs.

pub mod acls;
pub mod client;
pub mod cluster_admin;
pub mod decision;
mod framing;
pub mod headers;
mod last_error;
pub mod member;
pub mod newer_version;
pub mod partition;
pub mod restore;
pub mod topics;
pub mod transaction;
pub mod wait_for_commits;
mod watch;
pub mod writer;

pub use client::{client_config, set_group_protocol, show_statistics};
pub use framing::value;
pub use newer_version::{NewerRecord, check_known};
pub use restore::restore;
pub use wait_for_commits::wait_for_commits;
