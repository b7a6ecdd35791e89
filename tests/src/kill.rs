//! The kill harness: the three real binaries on a broker of their own, killed over and over, and what must hold then.

pub mod places;
