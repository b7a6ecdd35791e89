//! Turns raw records into changes and compacted state.
//!
//! - [`intake`], [`batch`], [`task`], [`run`], [`replay`]: Kafka; `report`, `gauges`: what is told of a transaction
//! - [`tail`], [`check`], [`holds`], [`cli`]: what a person asks for; [`decide`], [`forget`], [`reset`]: what one
//!   decides

pub mod batch;
pub mod check;
pub mod cli;
pub mod confirmation;
pub mod decide;
pub mod forget;
mod gauges;
pub mod holds;
pub mod intake;
pub mod replay;
mod report;
pub mod reset;
pub mod run;
mod stand;
pub mod tail;
pub mod task;
