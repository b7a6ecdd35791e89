//! The processor binary.

fn main() {}
