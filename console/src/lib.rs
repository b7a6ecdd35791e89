//! The console: pages about who can reach what, now and at any past moment.
//!
//! # Layout
//!
//! - [`store`]: the history of the changes topic in SQLite, and what is asked of it; [`present`]: what the graph and the sync
//!   topics say of now; `progress`: how far all are read
//! - `ask`: what an address asks for; `pages`: what is answered; `refusal`: why not
//! - `diagram` and `calendar`: the pictures, pure; `shown`: values as people read them; `address`: links; `chrome`: what
//!   every page has; `assets`: the files that pages need
//! - [`door`]: who may see and who may decide; `assertions` and `signatures`: how a proxy proves who asks
//! - [`server`]: all of it over HTTP; [`reading`]: the topics, and the command itself

mod address;
mod ask;
mod assertions;
mod assets;
mod calendar;
mod chrome;
mod diagram;
pub mod door;
pub mod pages;
pub mod present;
pub mod progress;
pub mod reading;
mod refusal;
pub mod server;
mod shown;
mod signatures;
pub mod store;
