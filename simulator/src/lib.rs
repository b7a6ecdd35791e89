//! Both ends as loopback servers: an Anthropic organization that lives, and JupiterOne's ingestion API.
//!
//! # Layout
//!
//! - [`anthropic`]: the Admin API, in all generations, with faults
//! - [`jupiterone`]: sync jobs, the graph that they make, with faults
//! - [`oracle`], [`who_can`]: what JupiterOne should hold, and who can reach what, from the truth alone

pub mod anthropic;
pub mod jupiterone;
pub mod oracle;
pub mod who_can;
