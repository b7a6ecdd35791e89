//! The producer binary.

fn main() {}
