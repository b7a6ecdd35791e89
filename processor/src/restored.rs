//! A partition's state as the graph topic has it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use schemas::{codec::decode_raw, topics::Topic};
use service::{
    admin::Heartbeat,
    kafka::{
        partition::{PartitionReader, Start, hurried},
        restore::{self, RestoreError},
        transaction::TransactionalProducer,
    },
};
use tracing::info;

use crate::{
    gauges,
    partition_state::{PartitionState, Unfit},
    task::{Error, Shared},
};

/// One wait for a record.
const LOOK_TIMEOUT: Duration = Duration::from_millis(200);
/// How long one record is waited for: brokers that are slower are as slow for the task itself, which then tells.
const LOOK_BOUND: Duration = Duration::from_secs(10);

/// Restores the partition's state from the graph topic, and refuses one that is not what was written. What the producer
/// writes from now on has to come behind what is there.
pub(crate) fn restored(
    shared: &Shared,
    partition: i32,
    producer: &TransactionalProducer,
    heartbeat: &Heartbeat,
    stop: &AtomicBool,
) -> Result<PartitionState, Error> {
    let topic = Topic::Graph.name(&shared.prefix);
    let mut state = PartitionState::new(partition, shared.partition_count);
    let client = hurried(&shared.client);
    let mut reader = PartitionReader::open(&client, &shared.group_id, &topic, partition, Start::Beginning)?;
    let is_stopped = || stop.load(Ordering::Relaxed);
    let restored = restore::restore_unless(&mut reader, is_stopped, |record| {
        heartbeat.beat();
        service::failpoint!("processor::mid_restore");
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
        state.restore(&key, record.value.as_deref())
    });
    match restored {
        Ok(None) => return Err(Error::Stopped),
        Ok(Some(end)) => {
            state.check()?;
            producer.expect_behind(&topic, partition, end);
            // Written together, so either both were ever written or neither.
            let changes = Topic::Changes.name(&shared.prefix);
            reader.turn_to(&changes, partition, Start::Beginning)?;
            let end = reader.end_offset()?;
            state.check_log(end)?;
            if state.is_blank() && end > 0 && has_record(&mut reader)? {
                return Err(Unfit::GraphMadeAnew { partition }.into());
            }
            producer.expect_behind(&changes, partition, end);
        }
        Err(RestoreError::Read(error)) => return Err(error.into()),
        Err(error @ RestoreError::Stalled { .. }) => return Err(Error::Reopen(error.into())),
        Err(error @ RestoreError::Apply { .. }) => return Err(Error::Fatal(error.into())),
    }
    for (organization_id, state) in state.states().iter() {
        let poll = state.poll();
        info!(
            partition,
            organization.id = organization_id,
            revision = poll.revision,
            elements = poll.element_count,
            "restored"
        );
    }
    gauges::show(&shared.metrics, state.states());
    Ok(state)
}

/// Whether there is a record at all: the offsets of aborted transactions tell of none.
fn has_record(reader: &mut PartitionReader) -> Result<bool, Error> {
    let deadline = Instant::now() + LOOK_BOUND;
    while !reader.is_at_end() && Instant::now() < deadline {
        if reader.next(LOOK_TIMEOUT)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Checks that the raw partition is the one that was read: it reaches as far, and has the manifest of the newest whole
/// listing where that was read, unless retention has cut it.
pub(crate) fn check_raw(
    shared: &Shared,
    partition: i32,
    reader: &PartitionReader,
    state: &PartitionState,
) -> Result<(), Error> {
    state.check_raw_end(reader.end_offset()?)?;
    let Some((read, listing_id, organization_id)) = state.newest_whole() else { return Ok(()) };
    if read < reader.beginning_offset()? {
        return Ok(());
    }
    let raw = reader.topic();
    let mut look = PartitionReader::open(
        &hurried(&shared.client),
        &shared.group_id,
        raw,
        partition,
        Start::Offset(read),
    )?;
    let deadline = Instant::now() + LOOK_BOUND;
    let record = loop {
        match look.next(LOOK_TIMEOUT)? {
            Some(record) => break record,
            None if look.is_at_end() || Instant::now() >= deadline => return Ok(()),
            None => {}
        }
    };
    let found = record.value.as_deref().and_then(|value| decode_raw(value).ok());
    let is_same =
        record.offset == read && found.is_some_and(|raw| raw.record.listing_id.as_ref() == Some(&listing_id));
    if is_same { Ok(()) } else { Err(Unfit::RawRecord { organization_id, listing_id, read }.into()) }
}
