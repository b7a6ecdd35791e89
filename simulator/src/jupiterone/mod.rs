//! The JupiterOne end: the persister of sync jobs, as JupiterOne's documentation and its own clients show it.
//!
//! Where both are silent, a switch in [`Settings`] offers what may be, the likeliest by default.
//! `/_simulator/…` shows and changes what a person or a test wants to see and change.

mod connection;
pub mod data_model;
mod fault;
mod finalize;
mod graph;
mod job;
mod life_cycle;
mod object;
mod persister;
mod received;
mod refusal;
mod request_log;
mod route;
mod server;
mod settings;
mod start;
mod sync_mode;
mod tamper;
mod upload;

pub use fault::{Effect, Fault, When};
pub use graph::GraphView;
pub use job::Status;
pub use request_log::LoggedRequest;
pub use route::Route;
pub use server::{JupiterOne, start};
pub use settings::{
    BODY_LIMIT, BodyLimitCounts, ExplicitDeletes, Finalize, IllegalProperties, ResentBatches, SecondOpenJob,
    Settings,
};
pub use tamper::{Tamper, TamperError};
