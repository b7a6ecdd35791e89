//! Turns raw records into changes and compacted state.
//!
//! - [`listing`], [`mapping`], [`reconcile`], [`partition_state`]: what is decided, pure
//! - [`batch`], [`task`], [`run`]: Kafka
//! - [`tail`], [`narrate`], [`check`], [`cli`]: what a person asks for

pub mod batch;
pub mod check;
pub mod cli;
pub mod listing;
pub mod mapping;
pub mod narrate;
pub mod partition_state;
pub mod reconcile;
pub mod run;
pub mod tail;
pub mod task;
