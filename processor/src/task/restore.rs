//! Restores a partition's state from the graph topic.

use std::{
    borrow::Cow,
    cell::Cell,
    collections::BTreeMap,
    convert::Infallible,
    time::{Duration, Instant},
};

use graph::partition_state::{PartitionState, Unfit};
use schemas::{
    change::Envelope,
    codec::{DecodeError, decode},
    raw::RawRecord,
    topics::Topic,
};
use service::{
    admin::Heartbeat,
    kafka::{
        check_known,
        partition::{Message, PartitionReader, Record, Start, with_short_fetch_wait},
        restore::restore_to,
        transaction::TransactionalProducer,
        wait_for_commits::written_end,
    },
    shutdown::CancellationToken,
};
use tracing::info;

use super::{Error, Shared, unfit};
use crate::gauges;

/// How long to wait for the record at which the newest whole listing ended. Slower brokers are slow for the task itself
/// as well, which reports it.
const LOOK_BOUND: Duration = Duration::from_secs(10);
/// How many of the log's last offsets are searched for the newest change of each organization: first where most are,
/// then as many as can be read in a second. An organization without a change in them is not compared.
const LOOK_BACK: [i64; 2] = [500, 20_000];

/// Restores the partition's state from the graph topic up to the barrier, and refuses a topic that is not the one that
/// was written. `None` if it was stopped. From now on, the producer must write after what exists. The reader is returned for further reads.
pub(crate) fn restored(
    shared: &Shared,
    partition: i32,
    producer: &TransactionalProducer,
    barrier: i64,
    heartbeat: &Heartbeat,
    stop: &CancellationToken,
) -> Result<Option<(PartitionState, PartitionReader)>, Error> {
    let topic = Topic::Graph.name(&shared.prefix);
    let mut state = PartitionState::new(partition, shared.partition_count);
    let client = with_short_fetch_wait(&shared.client);
    let mut reader = PartitionReader::open(&client, &shared.group_id, &topic, partition, Start::Beginning)?;
    let end = barrier + 1;
    let is_stopped = || stop.is_cancelled();
    let is_there = restore_to(&mut reader, end, is_stopped, |record| {
        heartbeat.beat();
        service::failpoint!("processor::mid_restore");
        let key = record.key.unwrap_or_default();
        // `from_utf8_lossy` is slower, even if all bytes are UTF-8.
        let key = str::from_utf8(key).map_or_else(|_| String::from_utf8_lossy(key), Cow::Borrowed);
        state.restore(&key, record.value)
    });
    if !is_there? {
        return Ok(None);
    }
    state.check().map_err(unfit)?;
    producer.expect_behind(&topic, partition, end);
    // Graph and changes are written in one transaction, so they must agree.
    let changes = Topic::Changes.name(&shared.prefix);
    reader.turn_to(&changes, partition, Start::Beginning)?;
    let mut end = reader.end_offset()?;
    let mut mismatch = changes_mismatch(&mut reader, end, &state, heartbeat, stop)?;
    if mismatch.is_some() {
        // An open transaction hides all changes that follow its first one. So the changes are read again up to the end of
        // everything, which waits until no transaction is open.
        end = written_end(&client, &changes, partition)?;
        reader.seek(reader.beginning_offset()?)?;
        mismatch = changes_mismatch(&mut reader, end, &state, heartbeat, stop)?;
    }
    if stop.is_cancelled() {
        return Ok(None);
    }
    if let Some(mismatch) = mismatch {
        return Err(unfit(mismatch));
    }
    producer.expect_behind(&changes, partition, end);
    for (organization_id, state) in state.states().iter() {
        let poll = state.poll();
        info!(
            partition,
            organization.id = organization_id,
            revision = poll.revision,
            elements = poll.element_count,
            "restored organization {organization_id}: revision {}, {} elements",
            poll.revision,
            poll.element_count
        );
    }
    gauges::show(&shared.metrics, state.states());
    Ok(Some((state, reader)))
}

/// How the changes up to this end differ from those that the graph has had, if they do. Of no meaning once it is stopped.
/// The reader is at the log's beginning.
fn changes_mismatch(
    reader: &mut PartitionReader,
    end: i64,
    state: &PartitionState,
    heartbeat: &Heartbeat,
    stop: &CancellationToken,
) -> Result<Option<Unfit>, Error> {
    if let Err(mismatch) = state.check_log(end) {
        return Ok(Some(mismatch));
    }
    if state.is_blank() {
        let partition = reader.partition();
        return Ok(has_record(reader, end, stop)?.then_some(Unfit::GraphRecreated { partition }));
    }
    let newest = newest_revisions(reader, end, state, heartbeat, stop)?;
    Ok(state.check_revisions(&newest).err())
}

/// Whether there is a record before the end. Offsets alone do not show it: aborted transactions have offsets too.
fn has_record(reader: &mut PartitionReader, end: i64, stop: &CancellationToken) -> Result<bool, Error> {
    let has_record = Cell::new(false);
    let note = |_: Message<'_>| {
        has_record.set(true);
        Ok::<(), Infallible>(())
    };
    restore_to(reader, end, || has_record.get() || stop.is_cancelled(), note)?;
    Ok(has_record.get())
}

/// The revision of the newest change of each organization within the log's last offsets. The reader is at the log's
/// beginning.
fn newest_revisions(
    reader: &mut PartitionReader,
    end: i64,
    state: &PartitionState,
    heartbeat: &Heartbeat,
    stop: &CancellationToken,
) -> Result<BTreeMap<String, i64>, Error> {
    let mut newest: BTreeMap<String, i64> = BTreeMap::new();
    let beginning = reader.position();
    for back in LOOK_BACK {
        let start = beginning.max(end - back);
        reader.seek(start)?;
        let note = |record: Message<'_>| {
            heartbeat.beat();
            match decode::<Envelope>(record.value.unwrap_or_default()) {
                Ok(change) => {
                    let revision = newest.entry(change.source.organization_id).or_default();
                    *revision = change.revision.max(*revision);
                }
                Err(error @ DecodeError::UnknownSchema(_)) => return Err(error),
                // An undecodable record is not from a processor.
                Err(_) => {}
            }
            Ok(())
        };
        restore_to(reader, end, || stop.is_cancelled(), note)?;
        if start == beginning || state.has_no_other_change(&newest) {
            break;
        }
    }
    Ok(newest)
}

/// Checks that the raw partition is the one that was read: it is at least as long, and has the manifest of the newest
/// whole listing at its offset, unless retention has deleted it. Uses a reader that is no longer needed.
pub(crate) fn check_raw(
    mut look: PartitionReader,
    reader: &PartitionReader,
    state: &PartitionState,
) -> Result<(), Error> {
    state.check_raw_end(reader.end_offset()?).map_err(unfit)?;
    let (raw, partition) = (reader.topic(), reader.partition());
    let Some((read, listing_id, organization_id)) = state.newest_whole() else {
        look.close();
        return Ok(());
    };
    if read < reader.beginning_offset()? {
        look.close();
        return Ok(());
    }
    look.turn_to(raw, partition, Start::Offset(read))?;
    let deadline = Instant::now() + LOOK_BOUND;
    let mut record: Option<Record> = None;
    let keep = |found: Message<'_>| {
        record = Some(found.detach());
        Ok::<(), Infallible>(())
    };
    let is_there = restore_to(&mut look, read + 1, || Instant::now() >= deadline, keep)?;
    look.close();
    if !is_there {
        return Ok(());
    }
    if let Some(record) = &record {
        check_known(raw, partition, record.as_message())?;
    }
    // None if the offset belongs to another record or to a transaction marker.
    let found = record.and_then(|record| decode::<RawRecord>(&record.value?).ok());
    let is_same = found.is_some_and(|raw| raw.listing_id.as_ref() == Some(&listing_id));
    if is_same { Ok(()) } else { Err(unfit(Unfit::RawRecord { organization_id, listing_id, read })) }
}
