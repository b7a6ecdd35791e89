//! The three binaries on a real Kafka, from the Admin API to JupiterOne, judged by an oracle that knows nothing of
//! the processor.

mod commands;
mod console;
mod dead_letters;
mod first_sync;
mod generations;
mod holds;
mod many_organizations;
mod metrics;
mod never_listed;
mod nhi;
mod organization_changes;
mod organizations;
mod outages;
mod pages;
mod parking;
mod restarts;
mod shared_work;
mod sink_guard;
mod targets;
mod tasks;
mod terminal;
mod traces;
mod transcript;
mod who_can;
