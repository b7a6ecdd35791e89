//! Turns raw records into changes and compacted state.
//!
//! - [`listing`], [`mapping`], [`reconcile`], [`partition_state`]: what is decided, pure

pub mod listing;
pub mod mapping;
pub mod partition_state;
pub mod reconcile;
