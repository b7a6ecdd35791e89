//! The kill harness: the three real binaries on brokers of their own, killed over and over between two living ends, and
//! what must hold whenever they have come to rest.

mod arena;
mod brokers;
mod checker;
mod deck;
mod dice;
mod episodes;
mod evidence;
mod killer;
mod life;
pub mod places;
mod rest;
mod run;
mod tally;

pub use self::checker::Violation;
pub use self::run::{Order, run};
pub use self::tally::Summary;
