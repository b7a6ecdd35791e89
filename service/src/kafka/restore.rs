//! Rebuilding a task's state from a topic: reading a partition to its end.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use thiserror::Error;
use tracing::info;

use super::{
    newer_version::{NewerRecord, check_known},
    partition::{self, Message, PartitionReader, Record, Start, with_short_fetch_wait},
};
use crate::{
    progress::Progress,
    wait::{Wait, WaitReporter},
};

/// How long no record and no end may come before the restore gives up: a leader election takes seconds.
const IDLE_BOUND: Duration = Duration::from_mins(1);
/// One wait for a record: decides only how soon the bounds are noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);
/// How often the progress is logged.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// What ends a wait for records.
const COMES: &str =
    "it ends once the partition's leader answers and no transaction before that offset is open any more";

/// Why a restore stopped.
#[derive(Debug, Error)]
pub enum RestoreError<E> {
    /// The partition cannot be read.
    #[error("cannot restore")]
    Read(#[source] partition::Error),
    /// A record was not taken.
    #[error("cannot apply the record at offset {offset} of {topic} partition {partition}")]
    Apply {
        topic: String,
        partition: i32,
        offset: i64,
        #[source]
        source: E,
    },
    /// A newer version wrote the record that was not taken. Upgrade this service.
    #[error("cannot restore {} partition {}", .0.topic, .0.partition)]
    Newer(#[source] NewerRecord),
    /// No more records arrived. Try again later.
    #[error(
        "restoring {topic} partition {partition} has made no progress at offset {position} of {end} for {} s; check that \
         the partition's leader is up, and that no transaction hangs in it (kafka-transactions.sh find-hanging)",
        IDLE_BOUND.as_secs()
    )]
    Stalled {
        topic: String,
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

/// The result of reading a record.
enum Visited<E> {
    /// It is after the end.
    Beyond(Record),
    Applied(Result<(), RestoreError<E>>),
}

/// Applies every record of these partitions, one partition after the other, up to its end as it is now, and says whether
/// it came so far: `false` as soon as it `is_stopped`.
pub fn read<E>(
    base: &ClientConfig,
    group_id: &str,
    topic: &str,
    partitions: impl IntoIterator<Item = i32>,
    is_stopped: impl Fn() -> bool,
    mut apply: impl FnMut(Message<'_>) -> Result<(), E>,
) -> Result<bool, RestoreError<E>> {
    let mut reader: Option<PartitionReader> = None;
    for partition in partitions {
        let mut reading = match reader.take() {
            None => PartitionReader::open(
                &with_short_fetch_wait(base),
                group_id,
                topic,
                partition,
                Start::Beginning,
            )?,
            Some(mut reader) => {
                reader.turn_to(topic, partition, Start::Beginning)?;
                reader
            }
        };
        let end = reading.end_offset()?;
        if !restore_to(&mut reading, end, &is_stopped, &mut apply)? {
            return Ok(false);
        }
        reader = Some(reading);
    }
    if let Some(reader) = reader {
        reader.close();
    }
    Ok(true)
}

/// Applies every record from the reader's position to the partition's end as it is now, and returns that end. What
/// follows it is left for [`PartitionReader::next`].
///
/// The end is the last stable offset that the leader names: an open transaction hides what follows it. For a topic
/// that the caller does not write, [`wait_for_commits`](super::wait_for_commits()) first waits for what others have
/// open. The one writer of the partition restores to a record of its own with [`restore_to`].
pub fn restore<E>(
    reader: &mut PartitionReader,
    apply: impl FnMut(Message<'_>) -> Result<(), E>,
) -> Result<i64, RestoreError<E>> {
    let end = reader.end_offset()?;
    restore_to(reader, end, || false, apply)?;
    Ok(end)
}

/// Applies every record from the reader's position up to this offset, and says whether it came so far: `false` as soon
/// as it `is_stopped`, which is asked with each record and while none comes.
///
/// It ends only once the position is there. That a broker has no more records means nothing: a follower's end lags, and so does
/// that of a leader that was elected a moment ago.
pub fn restore_to<E>(
    reader: &mut PartitionReader,
    end: i64,
    is_stopped: impl Fn() -> bool,
    mut apply: impl FnMut(Message<'_>) -> Result<(), E>,
) -> Result<bool, RestoreError<E>> {
    // Since when nothing comes.
    let mut idle: Option<(Instant, Wait)> = None;
    let mut last_line = Instant::now();
    let (topic, partition) = (reader.topic().to_owned(), reader.partition());
    let what = format!("records of {topic} partition {partition} up to offset {end}");
    let begin_wait = || (Instant::now(), WaitReporter::default().wait(what.clone(), COMES));
    let beginning = reader.position();
    let done = |position: i64| u64::try_from(position - beginning).unwrap_or(0);
    let mut progress =
        Progress::begin(format!("reading {topic} partition {partition}"), "offsets", done(end));
    while reader.position() < end {
        if is_stopped() {
            return Ok(false);
        }
        let visited = reader.visit(POLL_TIMEOUT, |record| {
            if record.offset >= end {
                return Visited::Beyond(record.detach());
            }
            let apply = apply(record);
            Visited::Applied(apply.map_err(|source| match check_known(&topic, partition, record) {
                Err(newer) => RestoreError::Newer(newer),
                Ok(()) => {
                    RestoreError::Apply { topic: topic.clone(), partition, offset: record.offset, source }
                }
            }))
        })?;
        match visited {
            Some(Visited::Beyond(record)) => reader.keep(record),
            Some(Visited::Applied(applied)) => {
                applied?;
                if let Some((_, mut wait)) = idle.take() {
                    wait.comes();
                }
            }
            None => {
                let (since, wait) = idle.get_or_insert_with(begin_wait);
                if since.elapsed() >= IDLE_BOUND {
                    return Err(RestoreError::Stalled { topic, partition, position: reader.position(), end });
                }
                wait.goes_on("");
            }
        }
        progress.reach(done(reader.position()));
        if last_line.elapsed() >= PROGRESS_INTERVAL {
            last_line = Instant::now();
            let offset = reader.position();
            info!(
                topic,
                partition,
                offset,
                end,
                "restoring {topic} partition {partition}: at offset {offset} of {end}"
            );
        }
    }
    if let Some((_, mut wait)) = idle {
        wait.comes();
    }
    Ok(true)
}
