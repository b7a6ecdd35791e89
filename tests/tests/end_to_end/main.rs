//! The three binaries on a real Kafka, from the Admin API to JupiterOne, judged by an oracle that knows nothing of
//! the processor.

mod commands;
mod crowd;
mod dead_letters;
mod first_sync;
mod gaps;
mod generations;
mod holds;
mod life;
mod members;
mod organizations;
mod outages;
mod parking;
mod restarts;
mod sink_guard;
mod targets;
