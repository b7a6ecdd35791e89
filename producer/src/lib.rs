//! Polls the Anthropic Admin API and publishes raw records.
//!
//! - [`admin`], [`budget`], [`backoff`]: one GET with its retries and bounds
//! - [`json`], [`page`], [`listing`], [`resource`]: from pages to a whole listing
//! - [`raw`], [`publish`]: from a listing to one transaction
//! - [`mod@poll`], [`run`], [`check`]: what the commands do

pub mod admin;
pub mod assignment;
pub mod backoff;
pub mod budget;
pub mod check;
pub mod cli;
mod extra;
pub mod history;
pub mod json;
pub mod listing;
pub mod manual;
pub mod page;
pub mod poll;
mod polling;
pub mod publish;
pub mod raw;
pub mod resource;
mod round;
pub mod run;
pub mod setup;
