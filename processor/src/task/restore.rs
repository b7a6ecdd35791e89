//! A partition's state as the graph topic has it.

use std::{
    cell::Cell,
    collections::BTreeMap,
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use graph::partition_state::{PartitionState, Unfit};
use schemas::{
    change::Envelope,
    codec::{DecodeError, decode, decode_raw},
    topics::Topic,
};
use service::{
    admin::Heartbeat,
    kafka::{
        check_known,
        partition::{PartitionReader, Record, Start, hurried},
        restore::{RestoreError, restore_to},
        transaction::TransactionalProducer,
    },
};
use tracing::info;

use super::{Error, Shared};
use crate::gauges;

/// How long the record where the newest whole listing ended is waited for: brokers that are slower are as slow for the
/// task itself, which then tells.
const LOOK_BOUND: Duration = Duration::from_secs(10);
/// How far behind the end of the log the newest change of each organization is looked for (offsets): first where most
/// are, then as far as a second's reading. An organization that has changed nothing for longer is not compared.
const LOOK_BACK: [i64; 2] = [500, 20_000];

/// Restores the partition's state from the graph topic up to the barrier, and refuses one that is not what was written.
/// What the producer writes from now on has to come behind what is there.
pub(crate) fn restored(
    shared: &Shared,
    partition: i32,
    producer: &TransactionalProducer,
    barrier: i64,
    heartbeat: &Heartbeat,
    stop: &AtomicBool,
) -> Result<PartitionState, Error> {
    let topic = Topic::Graph.name(&shared.prefix);
    let mut state = PartitionState::new(partition, shared.partition_count);
    let client = hurried(&shared.client);
    let mut reader = PartitionReader::open(&client, &shared.group_id, &topic, partition, Start::Beginning)?;
    let end = barrier + 1;
    let is_stopped = || stop.load(Ordering::Relaxed);
    let is_there = restore_to(&mut reader, end, is_stopped, |record| {
        heartbeat.beat();
        service::failpoint!("processor::mid_restore");
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
        state.restore(&key, record.value.as_deref())
    });
    if !is_there.map_err(failed)? {
        return Err(Error::Stopped);
    }
    state.check()?;
    producer.expect_behind(&topic, partition, end);
    // Graph and changes are written together, so they tell of the same changes.
    let changes = Topic::Changes.name(&shared.prefix);
    reader.turn_to(&changes, partition, Start::Beginning)?;
    let end = reader.end_offset()?;
    state.check_log(end)?;
    if state.is_blank() {
        if has_record(&mut reader, end)? {
            return Err(Unfit::GraphMadeAnew { partition }.into());
        }
    } else {
        state.check_revisions(&newest_revisions(&mut reader, end, &state, heartbeat)?)?;
    }
    producer.expect_behind(&changes, partition, end);
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

/// Whether there is a record at all before the end: the offsets of aborted transactions tell of none.
fn has_record(reader: &mut PartitionReader, end: i64) -> Result<bool, Error> {
    let has_record = Cell::new(false);
    let note = |_| {
        has_record.set(true);
        Ok::<(), Infallible>(())
    };
    restore_to(reader, end, || has_record.get(), note).map_err(failed)?;
    Ok(has_record.get())
}

/// The revision of the newest change of each organization, as far as the log's last offsets have one. The reader is at
/// the log's beginning.
fn newest_revisions(
    reader: &mut PartitionReader,
    end: i64,
    state: &PartitionState,
    heartbeat: &Heartbeat,
) -> Result<BTreeMap<String, i64>, Error> {
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    let beginning = reader.position();
    for back in LOOK_BACK {
        let start = beginning.max(end - back);
        reader.seek(start)?;
        let note = |record: Record| {
            heartbeat.beat();
            match decode::<Envelope>(record.value.as_deref().unwrap_or_default()) {
                Ok(change) => {
                    let revision = newest.entry(change.source.organization_id).or_default();
                    *revision = change.revision.max(*revision);
                }
                Err(error @ DecodeError::UnknownSchema(_)) => return Err(error),
                // What nobody can read, no organization's graph was written with.
                Err(_) => {}
            }
            Ok(())
        };
        restore_to(reader, end, || false, note).map_err(failed)?;
        if start == beginning || state.has_no_other_change(&newest) {
            break;
        }
    }
    Ok(newest)
}

fn failed<E: std::error::Error + Send + Sync + 'static>(error: RestoreError<E>) -> Error {
    match error {
        RestoreError::Read(error) => error.into(),
        RestoreError::Stalled { .. } => Error::Reopen(error.into()),
        RestoreError::Apply { .. } | RestoreError::Newer(_) => Error::Closed(error.into()),
    }
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
    let mut record = None;
    let keep = |found| {
        record = Some(found);
        Ok::<(), Infallible>(())
    };
    let is_there = restore_to(&mut look, read + 1, || Instant::now() >= deadline, keep).map_err(failed)?;
    if !is_there {
        return Ok(());
    }
    if let Some(record) = &record {
        check_known(raw, partition, record)?;
    }
    // None where the offset belongs to another record, or to a transaction marker.
    let found = record.and_then(|record| decode_raw(&record.value?).ok());
    let is_same = found.is_some_and(|raw| raw.record.listing_id.as_ref() == Some(&listing_id));
    if is_same { Ok(()) } else { Err(Unfit::RawRecord { organization_id, listing_id, read }.into()) }
}
