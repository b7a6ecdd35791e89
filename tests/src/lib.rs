//! What the tests use: a real broker, the real binaries and the simulated ends.
//!
//! # Layout
//!
//! - [`broker`]: brokers and clusters; [`certificates`], [`tokens`]: what secured ones need; [`proxy`]: a network that loses
//!   requests
//! - [`services`]: the binaries as processes; [`world`]: a broker, both ends and a configuration; [`stub`]: an HTTP server;
//!   [`collector`]: one that takes spans
//! - [`kafka`]: topics, read and written without the services' client; [`comparison`]: compares topics, JupiterOne and the
//!   truth
//! - [`pages`]: the pages of the book, and the code on them
//! - [`kill`], [`mutations`]: the harnesses that kill the services, and break their sources

pub mod broker;
pub mod certificates;
pub mod collector;
pub mod comparison;
pub mod kafka;
pub mod kill;
pub mod mutations;
pub mod pages;
pub mod proxy;
pub mod services;
pub mod stub;
pub mod tokens;
pub mod world;

use uuid::Uuid;

/// A topic prefix that no other test has: tests share one broker and run side by side.
pub fn prefix() -> String {
    format!("t-{}", Uuid::new_v4().simple())
}
