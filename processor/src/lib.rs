//! Turns raw records into changes and compacted state.
//!
//! - [`listing`], [`mapping`], [`reconcile`], [`partition_state`]: what is decided, pure
//! - [`intake`], [`batch`], [`task`], [`run`]: Kafka; `report`: what is told of a transaction
//! - [`tail`], [`narrate`], [`check`], [`cli`]: what a person asks for
//! - [`verify`]: the auditor, who shares none of the above

pub mod batch;
pub mod check;
pub mod cli;
pub mod intake;
pub mod listing;
pub mod mapping;
pub mod narrate;
pub mod partition_state;
pub mod reconcile;
mod report;
mod restored;
pub mod run;
pub mod tail;
pub mod task;
pub mod verify;
