//! The Kafka client against a real broker: what transactions, groups and topics promise, and what the client makes of
//! it.

#![expect(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests, and these help them"
)]

mod framings;
mod group;
mod mock;
mod topic_table;
mod transactions;
mod world;
