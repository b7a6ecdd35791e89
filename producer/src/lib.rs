//! Polls the Anthropic Admin API and publishes raw records.
//!
//! # Layout
//!
//! - [`admin`], [`budget`]: one GET with its retries and bounds
//! - [`json`], `extra`, [`json_position`], [`page`], [`listing`], [`resource`], [`resources`]: from pages to a whole
//!   listing
//! - [`raw`], `outcomes`, [`publish`]: from a listing to one transaction
//! - [`mod@poll`], `progress`: a poll; [`organization_claims`]: whose key it is; `earlier_polls` and [`history`]: what
//!   earlier polls left
//! - [`run`], [`assignment`], [`poll_once`], [`check`], [`cli`], `setup`: the commands; [`needs`]: their permissions
//! - `error_chain`: an error as one line

pub mod admin;
pub mod assignment;
pub mod budget;
pub mod check;
pub mod cli;
mod earlier_polls;
mod error_chain;
mod extra;
pub mod history;
pub mod json;
pub mod json_position;
pub mod listing;
pub mod needs;
pub mod organization_claims;
mod outcomes;
pub mod page;
pub mod poll;
pub mod poll_once;
mod progress;
pub mod publish;
pub mod raw;
pub mod resource;
pub mod resources;
pub mod run;
mod setup;
