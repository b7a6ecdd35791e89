//! What happens to the services from outside, on a real Kafka with the real binaries: no wrong record, a clear error that
//! says what to do, and recovery without a hand where that is possible.

mod access;
mod brokers;
mod clocks;
mod closed;
mod listings;
mod offsets;
mod pace;
mod processors;
mod producers;
mod readiness;
mod sinks;
mod topics;

use tests::services::Service;
use tests::world::World;

/// A member that sleeps is replaced after this (`session.timeout.ms`), not after ten seconds.
const IMPATIENT: &str =
    "properties.\"session.timeout.ms\" = \"3000\"\nproperties.\"heartbeat.interval.ms\" = \"500\"";

/// A transaction that stays open is aborted after this (`transaction.timeout.ms`), not after five minutes; librdkafka
/// wants its requests to be no longer.
const SHORT_TRANSACTIONS: &str =
    "properties.\"transaction.timeout.ms\" = \"2000\"\nproperties.\"socket.timeout.ms\" = \"2000\"";

/// Waits until the processor has worked off all raw records that there are now.
fn caught_up(world: &World, processor: &mut Service) {
    let raw = world.topic(schemas::topics::Topic::Raw);
    let group = format!("{}.processor", world.prefix);
    let read = world.read(schemas::topics::Topic::Raw);
    processor.until("catch up", |_| {
        let committed = tests::kafka::committed(&world.bootstrap_servers, &group, &raw);
        read.iter().all(|record| committed.get(&record.partition).is_some_and(|it| *it > record.offset))
    });
}

/// Holds the first organization to its truth, and all that was written to the laws of the auditor.
fn content(world: &World) {
    tests::comparison::agree(world, 0);
    world.ask(&["verify"]).expect(0);
}
