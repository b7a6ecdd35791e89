//! The store against the fold of all changes.

mod cache;
#[expect(dead_code, reason = "the tests of the crate graph use more of it")]
#[path = "../../../graph/tests/access/elements.rs"]
mod elements;
mod life;
mod subgraph;
