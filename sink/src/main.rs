//! The sink binary.

fn main() {}
