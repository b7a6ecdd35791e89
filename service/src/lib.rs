//! What each of the three services needs: configuration, Kafka client, restore, telemetry, main wrapper.

pub mod admin;
pub mod check;
pub mod config;
pub mod exit;
mod health;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod telemetry;

pub use crate::exit::run_main;
