//! `anthropic-graph verify`: content with what the services write, also while they run, and with nothing else.

mod corrupted;
mod findings;
mod good;
mod history;
mod holds;
