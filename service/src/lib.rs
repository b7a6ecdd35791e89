//! What every program needs: configuration, Kafka, HTTP, logs, metrics, exit codes.
//!
//! # Layout
//!
//! - a process: [`exit`] (arguments, runtime, exit code), [`telemetry`] (logs), [`traces`], [`admin`] and `health` (`/livez`,
//!   `/readyz`), [`metrics`], [`shutdown`], [`failpoints`], `version`
//! - a service: [`command_line`]; [`startup`], up to the brokers' first answer
//! - a command: [`check`], [`stdout`] and [`wording`] (what it prints), [`progress`] (bars), [`shell`] (commands to paste)
//! - [`config`]: the configuration; [`redaction`]: keys never appear in a log
//! - [`kafka`]: clients, permissions, topics, groups, transactions, restores; [`schema_registry`]: IDs of schemas
//! - [`tasks`]: the life of the partitions' tasks, from their assignment on, and what follows their failures
//! - [`http`], [`api`]: the client of both ends, with its retries; [`backoff`]: growing pauses
//! - [`wait`]: a long wait says what it waits for

pub mod admin;
pub mod api;
pub mod backoff;
pub mod check;
pub mod command_line;
pub mod config;
pub mod exit;
#[cfg(feature = "failpoints")]
pub mod failpoints;
mod health;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod progress;
pub mod redaction;
pub mod schema_registry;
pub mod shell;
pub mod shutdown;
pub mod startup;
pub mod stdout;
pub mod tasks;
pub mod telemetry;
pub mod traces;
mod version;
pub mod wait;
pub mod wording;

pub use crate::exit::run_main;
pub use crate::telemetry::Verbosity;

/// A named place at which the process can be ended, for the kill harness: it says that it is there and waits for its
/// end. With a value it is a place that can be made to fail instead. Without the feature `failpoints` it is nothing.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoints::reach($name)
    };
    ($name:literal, $failed:expr) => {
        if $crate::failpoints::fails($name) {
            return $failed;
        }
    };
}

/// A named place of the kill harness: nothing in this build, which lacks the feature `failpoints`.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {};
    ($name:literal, $failed:expr) => {};
}
