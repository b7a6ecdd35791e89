//! What each of the three services needs: configuration, Kafka client, restore, telemetry, main wrapper.

pub mod admin;
pub mod answer;
pub mod check;
pub mod config;
pub mod exit;
#[cfg(feature = "failpoints")]
pub mod failpoints;
mod health;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod redaction;
pub mod shell;
pub mod shutdown;
pub mod telemetry;
pub mod wait;

pub use crate::exit::run_main;

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
