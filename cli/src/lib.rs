//! `anthropic-graph`: everything that people ask or decide.
//!
//! # Layout
//!
//! - [`arguments`]: the command line; `help`: its groups
//! - questions: [`who_can`], [`access_between`], [`changes`], [`status`], [`dead_letters`], [`sync_status`]; decisions:
//!   [`holds`] (the list), [`decide`], [`parked`], [`forget`]; operations: [`reset`], [`acls`], [`shell_files`].
//!   `console::reading`, `verify`, `processor::replay`, `sink::approve` and `sink::resync` are libraries' own
//! - `history`: the changes topic up to a moment; `console_store`: the console's store in its place; `freshness`: coverage
//!   and holds in the graph topic; `sync_topic`: what JupiterOne holds; `topic_reader`: reads a topic to its end
//! - `name_lookup`: which organization, and what the names in it mean
//! - `table`: the answer for people; `columns`: other tables; `cell`: fits text to one table cell; `color`: colors for
//!   marked rows. The same in JSON and for spreadsheets is in `graph::access`
//! - [`selection`]: the options of a command that lists; `confirmation`: the options of a command that shows what it
//!   deletes before it does

pub mod access_between;
pub mod acls;
pub mod arguments;
mod cell;
pub mod changes;
mod color;
mod columns;
pub mod confirmation;
mod console_store;
pub mod dead_letters;
pub mod decide;
pub mod forget;
mod freshness;
mod help;
mod history;
pub mod holds;
mod name_lookup;
pub mod parked;
pub mod reset;
pub mod selection;
pub mod shell_files;
pub mod status;
pub mod sync_status;
mod sync_topic;
mod table;
mod topic_reader;
pub mod who_can;

#[cfg(test)]
mod tests;
