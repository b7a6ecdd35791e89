//! What each of the three services needs: configuration, Kafka client, restore, telemetry, main wrapper.

pub mod config;
pub mod http;
pub mod kafka;
