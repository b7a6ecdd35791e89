//! The console: pages about who can reach what, now and at any past moment.
//!
//! # Layout
//!
//! - [`store`]: the history of the changes topic in SQLite, and what is asked of it; [`current_state`]: what the graph and
//!   the sync topics say of now; `progress`: how far all are read
//! - `query`: what an address asks for; `pages`: what is answered; `refusal`: why not
//! - `diagram` and `calendar`: the pictures, pure; `display`: values as people read them; `address`: links; `chrome`: what
//!   every page has; `assets`: the files that pages need
//! - [`access_control`]: who may see and who may decide; `assertions` and `signatures`: how a proxy proves who asks
//! - [`server`]: all of it over HTTP; [`reading`]: the topics, and the command itself

pub mod access_control;
mod address;
mod assertions;
mod assets;
mod calendar;
mod chrome;
pub mod current_state;
mod diagram;
mod display;
pub mod pages;
pub mod progress;
mod query;
pub mod reading;
mod refusal;
pub mod server;
mod signatures;
pub mod store;
