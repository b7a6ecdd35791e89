//! The JupiterOne end over HTTP, as a client meets it.

mod client;
mod control;
mod data_model;
mod diff;
mod faults;
mod life_cycle;
mod modes;
mod refusals;
mod switches;
