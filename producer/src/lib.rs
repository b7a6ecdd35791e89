//! Polls the Anthropic Admin API and publishes raw records.
//!
//! - [`admin`], [`budget`], [`backoff`]: one GET with its retries and bounds
//! - [`json`], [`place`], [`page`], [`listing`], [`resource`], [`resources`]: from pages to a whole listing
//! - [`raw`], [`publish`]: from a listing to one transaction
//! - [`mod@poll`], [`claims`], [`run`], [`check`]: what the commands do

pub mod admin;
pub mod assignment;
pub mod backoff;
pub mod budget;
pub mod check;
pub mod claims;
pub mod cli;
mod error_chain;
mod extra;
mod histories;
pub mod history;
pub mod json;
pub mod listing;
pub mod manual;
mod outcomes;
pub mod page;
pub mod place;
pub mod poll;
mod progress;
pub mod publish;
pub mod raw;
pub mod resource;
pub mod resources;
pub mod run;
pub mod setup;
