//! Turns raw records into changes and compacted state.
//!
//! # Layout
//!
//! - [`pipeline`], [`batch`]: from raw records to what a transaction writes
//! - [`run`], [`task`]: a member of the consumer group, and the task of a partition; [`replay`]: the same into other topics
//! - `report`, `gauges`: logs and metrics of a transaction
//! - [`check`], [`cli`]: the command line; [`needs`]: its permissions
//! - [`graph_snapshot`]: the graph topic, read to its end

pub mod batch;
pub mod check;
pub mod cli;
mod gauges;
pub mod graph_snapshot;
pub mod needs;
pub mod pipeline;
pub mod replay;
mod report;
pub mod run;
pub mod task;
