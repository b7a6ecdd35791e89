//! Rebuilding a task's state from a topic: reading a partition to its end.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use thiserror::Error;
use tracing::info;

use super::partition::{self, PartitionReader, Record, Start, hurried};

/// How long no record and no end may come before the restore gives up: a leader election takes seconds.
const IDLE_BOUND: Duration = Duration::from_mins(1);
/// One wait for a record: decides only how soon the bounds are noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);
/// How often the progress is logged.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Why a restore stopped.
#[derive(Debug, Error)]
pub enum RestoreError<E> {
    /// The partition cannot be read.
    #[error("cannot restore")]
    Read(#[source] partition::Error),
    /// A record was not taken.
    #[error("cannot apply the record at offset {offset} of {topic} partition {partition}")]
    Apply {
        /// Of the partition.
        topic: String,
        /// Its number.
        partition: i32,
        /// The record's.
        offset: i64,
        /// Why.
        #[source]
        source: E,
    },
    /// Nothing came any more. Try again later.
    #[error(
        "restoring {topic} partition {partition} stands still at offset {position} of {end} since {} s; check the brokers",
        IDLE_BOUND.as_secs()
    )]
    Stalled {
        /// Of the partition.
        topic: String,
        /// Its number.
        partition: i32,
        /// The next offset to read.
        position: i64,
        /// The end offset when the restore began.
        end: i64,
    },
}

impl<E> From<partition::Error> for RestoreError<E> {
    fn from(error: partition::Error) -> Self {
        Self::Read(error)
    }
}

/// Applies every record of these partitions, one partition after the other, up to its end as it is now.
pub fn read<E>(
    base: &ClientConfig,
    group_id: &str,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    mut apply: impl FnMut(Record) -> Result<(), E>,
) -> Result<(), RestoreError<E>> {
    let mut partitions = partitions.into_iter();
    let Some(first) = partitions.next() else { return Ok(()) };
    let mut reader = PartitionReader::open(&hurried(base), group_id, topic, first, Start::Beginning)?;
    restore(&mut reader, &mut apply)?;
    for partition in partitions {
        reader.turn_to(topic, partition, Start::Beginning)?;
        restore(&mut reader, &mut apply)?;
    }
    Ok(())
}

/// Applies every record from the reader's position to the partition's end as it is now, and returns that end. What
/// comes behind it is left for [`PartitionReader::next`].
///
/// Under `read_committed` the end is the last stable offset: open the transactional producer first, which ends the
/// predecessor's transaction, or the restore stops short of it.
pub fn restore<E>(
    reader: &mut PartitionReader,
    apply: impl FnMut(Record) -> Result<(), E>,
) -> Result<i64, RestoreError<E>> {
    Ok(restore_unless(reader, || false, apply)?.expect("nobody stops it"))
}

/// The same, given up with `None` as soon as it `is_stopped`: with each record, and while none comes.
pub fn restore_unless<E>(
    reader: &mut PartitionReader,
    is_stopped: impl Fn() -> bool,
    mut apply: impl FnMut(Record) -> Result<(), E>,
) -> Result<Option<i64>, RestoreError<E>> {
    let end = reader.end_offset()?;
    // An end met before now may be an older one.
    reader.restart()?;
    let mut last_progress = Instant::now();
    let mut last_line = Instant::now();
    // Transaction markers and compacted records leave offsets that no record ever has: the end is reached by a record
    // at or behind it, or by meeting the partition's end, whichever is first.
    while reader.position() < end && !reader.is_at_end() {
        if is_stopped() {
            return Ok(None);
        }
        match reader.next(POLL_TIMEOUT)? {
            Some(record) if record.offset >= end => {
                reader.keep(record);
                return Ok(Some(end));
            }
            Some(record) => {
                let offset = record.offset;
                apply(record).map_err(|source| RestoreError::Apply {
                    topic: reader.topic().to_owned(),
                    partition: reader.partition(),
                    offset,
                    source,
                })?;
                last_progress = Instant::now();
            }
            None if last_progress.elapsed() >= IDLE_BOUND => {
                let (topic, partition) = (reader.topic().to_owned(), reader.partition());
                return Err(RestoreError::Stalled { topic, partition, position: reader.position(), end });
            }
            None => {}
        }
        if last_line.elapsed() >= PROGRESS_INTERVAL {
            last_line = Instant::now();
            info!(
                topic = reader.topic(),
                partition = reader.partition(),
                offset = reader.position(),
                end,
                "restoring"
            );
        }
    }
    reader.pass_to(end);
    Ok(Some(end))
}
