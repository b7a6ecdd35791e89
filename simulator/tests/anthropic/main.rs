//! The Anthropic end, asked over HTTP as the services ask it, and the oracle.

mod binary;
mod client;
mod control;
mod errors;
mod faults;
mod generations;
mod life;
mod oracle;
mod pages;
