//! The kill harness: the three real binaries on brokers of their own, killed over and over between two living ends, and
//! what must hold whenever they have come to rest.

mod brokers;
mod checker;
mod commands;
mod dice;
mod episodes;
mod evidence;
mod kill_order;
mod killer;
mod life;
mod options;
pub mod places;
mod run;
mod statistics;
mod steady_state;
mod system;
mod violation;

pub use self::options::Options;
pub use self::run::run;
pub use self::statistics::Summary;
pub use self::violation::Violation;
