//! What the tests stand on: a real broker, the real binaries and the simulated ends.

pub mod broker;
pub mod judge;
pub mod kafka;
pub mod kill;
pub mod mutations;
pub mod proxy;
pub mod services;
pub mod stub;
pub mod world;

use uuid::Uuid;

/// A topic prefix that no other test has: tests share one broker and run side by side.
pub fn prefix() -> String {
    format!("t-{}", Uuid::new_v4().simple())
}
