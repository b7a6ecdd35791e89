//! The changes topic, read into the store and followed.

use std::{
    collections::BTreeMap,
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use rdkafka::consumer::BaseConsumer;
use schemas::{
    change::Envelope,
    codec::{DecodeError, decode},
    encoded::EncodedChange,
    topics::Topic,
};
use service::kafka::{
    client::Log,
    partition::{PartitionReader, Start},
    topics::does_not_exist,
};
use tracing::{error, info};

use super::{
    Reading,
    follow::{Ended, Heard, Place, QUERY_TIMEOUT, consumer, follow, watermarks},
};
use crate::store::{Bookmark, Read, Writer};

/// Changes of one transaction of the store (count).
const BATCH: usize = 20_000;
/// Longest time that a change waits for its transaction, once the history was read.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);
/// How often retention is looked at: what it has deleted leaves the store too.
const RETENTION_INTERVAL: Duration = Duration::from_hours(1);

/// Reads until the end is asked for.
pub(super) fn read(reading: &Reading, mut writer: Writer) -> anyhow::Result<()> {
    let topic = reading.topic(Topic::Changes);
    let count = reading.partition_count(&topic)?;
    let count = count.ok_or_else(|| does_not_exist(Topic::Changes, &reading.topic_prefix))?;
    let consumer = consumer(reading)?;
    while !reading.shutdown.is_cancelled() {
        let mut partitions = ends(&consumer, &topic, count)?;
        let bookmarks = writer.bookmarks()?;
        match unusable(reading, &topic, &bookmarks, &partitions)? {
            Some(why) => {
                info!(topic, reason = why, "reading the history of changes from the beginning: {why}");
                writer.clear()?;
            }
            None => {
                for (partition, place) in &mut partitions {
                    place.next = bookmarks.get(partition).map_or(place.next, |bookmark| bookmark.next_offset);
                }
            }
        }
        let from: BTreeMap<Place, i64> =
            partitions.iter().map(|(partition, it)| ((topic.clone(), *partition), it.next)).collect();
        let (ended, used) = thread::scope(|scope| {
            let (batches, taken) = mpsc::sync_channel(1);
            let writing = scope.spawn(|| write(reading, &topic, writer, taken));
            let mut history = History::new(&topic, &consumer, batches, partitions);
            reading.progress.update(|state| state.restoring = history.restoring());
            let ended = follow(reading, &consumer, &from, |heard| history.hear(heard))
                .and_then(|ended| history.flush().map(|()| ended));
            drop(history);
            let written = writing.join().map_err(|_| anyhow!("the thread that writes the store panicked"))?;
            // A writer that failed is why no batch was taken.
            let writer = written?;
            Ok::<_, anyhow::Error>((ended?, writer))
        })?;
        writer = used;
        if ended == Ended::Asked {
            break;
        }
    }
    Ok(())
}

/// Changes for one transaction of the store in each partition.
struct Batch {
    changes: Vec<(i32, Partition, Vec<Read>)>,
    /// How much was read, and of how much; `None`: the topic was read to its end.
    restoring: Option<(i64, i64)>,
}

/// Writes batches until their sender is dropped. The next batch is decoded meanwhile.
fn write(
    reading: &Reading,
    topic: &str,
    mut writer: Writer,
    batches: Receiver<Batch>,
) -> anyhow::Result<Writer> {
    let mut is_restored = false;
    for Batch { changes, restoring } in batches {
        let mut newest = None;
        for (partition, place, changes) in changes {
            newest = Some(writer.take(partition, place.first, place.next, &changes)?);
        }
        if let Some(newest) = newest {
            reading.progress.advance(newest);
        }
        reading.progress.update(|state| state.restoring = restoring);
        if restoring.is_none() && !is_restored {
            is_restored = true;
            writer.checkpoint()?;
            info!(topic, "read the history of changes to its end");
        }
    }
    Ok(writer)
}

/// Where a partition begins, where it was read up to, and where it ended when that began.
#[derive(Debug, Clone, Copy)]
struct Partition {
    first: i64,
    next: i64,
    end: i64,
}

fn ends(consumer: &BaseConsumer<Log>, topic: &str, count: i32) -> anyhow::Result<BTreeMap<i32, Partition>> {
    let mut ends = BTreeMap::new();
    for partition in 0..count {
        let (first, end) = watermarks(consumer, topic, partition)?;
        ends.insert(partition, Partition { first, next: first, end });
    }
    Ok(ends)
}

/// Why the store does not match the topic, if it does not: the topic was re-created, or retention has deleted changes.
fn unusable(
    reading: &Reading,
    topic: &str,
    bookmarks: &BTreeMap<i32, Bookmark>,
    partitions: &BTreeMap<i32, Partition>,
) -> anyhow::Result<Option<&'static str>> {
    let mut reader: Option<PartitionReader> = None;
    for (partition, bookmark) in bookmarks {
        let Some(now) = partitions.get(partition) else { return Ok(Some("the topic has fewer partitions")) };
        if now.end < bookmark.next_offset {
            return Ok(Some("the topic ends before what was read"));
        }
        if now.first != bookmark.first_offset {
            return Ok(Some("retention has deleted changes that were read"));
        }
        let Some((offset, id)) = &bookmark.last else { continue };
        let start = Start::Offset(*offset);
        let mut at = match reader.take() {
            None => PartitionReader::open(&reading.client, &reading.group_id, topic, *partition, start)?,
            Some(mut reader) => {
                reader.turn_to(topic, *partition, start)?;
                reader
            }
        };
        let record = at.next(QUERY_TIMEOUT)?;
        let change = record.filter(|record| record.offset == *offset).map(|record| {
            let value = record.as_message().value.unwrap_or_default().to_vec();
            decode::<Envelope>(&value).ok()
        });
        if change.flatten().is_none_or(|change| change.id != *id) {
            return Ok(Some("the topic has other changes than those that were read"));
        }
        reader = Some(at);
    }
    Ok(None)
}

struct History<'a> {
    topic: &'a str,
    consumer: &'a BaseConsumer<Log>,
    batches: SyncSender<Batch>,
    partitions: BTreeMap<i32, Partition>,
    waiting: BTreeMap<i32, Vec<Read>>,
    count: usize,
    flushed: Instant,
    retention: Instant,
    is_restored: bool,
}

impl<'a> History<'a> {
    fn new(
        topic: &'a str,
        consumer: &'a BaseConsumer<Log>,
        batches: SyncSender<Batch>,
        partitions: BTreeMap<i32, Partition>,
    ) -> Self {
        let now = Instant::now();
        Self {
            topic,
            consumer,
            batches,
            partitions,
            waiting: BTreeMap::new(),
            count: 0,
            flushed: now,
            retention: now,
            is_restored: false,
        }
    }

    /// Takes an event. `false`: the history has to be read again.
    fn hear(&mut self, heard: Heard<'_>) -> anyhow::Result<bool> {
        match heard {
            Heard::Record { partition, offset, value, .. } => {
                self.take(partition, offset, value.unwrap_or_default())?;
                let is_due = self.is_restored && self.flushed.elapsed() >= FLUSH_INTERVAL;
                if self.count >= BATCH || is_due {
                    self.flush()?;
                }
            }
            Heard::Silence { is_at_end } => {
                let is_restored_now = is_at_end && !self.is_restored;
                self.is_restored |= is_at_end;
                if self.count > 0 || is_restored_now {
                    self.flush()?;
                }
                if self.retention.elapsed() >= RETENTION_INTERVAL {
                    self.retention = Instant::now();
                    return Ok(!self.is_cut());
                }
            }
        }
        Ok(true)
    }

    fn take(&mut self, partition: i32, offset: i64, value: &[u8]) -> anyhow::Result<()> {
        match EncodedChange::read(value) {
            Ok(change) => {
                let change = change.into_owned();
                self.waiting.entry(partition).or_default().push(Read { offset, change });
                self.count += 1;
            }
            Err(error @ DecodeError::UnknownSchema(_)) => {
                let place = format!(
                    "cannot read the change at offset {offset} of {} partition {partition}",
                    self.topic
                );
                return Err(error).context(place);
            }
            Err(error) => {
                let reason = anyhow::Error::new(error);
                error!(topic = self.topic, partition, offset, "cannot decode a change: {reason:#}");
            }
        }
        if let Some(place) = self.partitions.get_mut(&partition) {
            place.next = offset + 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.flushed = Instant::now();
        self.count = 0;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let changes = waiting.filter_map(|(partition, changes)| {
            self.partitions.get(&partition).map(|place| (partition, *place, changes))
        });
        let batch = Batch { changes: changes.collect(), restoring: self.restoring() };
        self.batches.send(batch).map_err(|_| anyhow!("the thread that writes the store has ended"))
    }

    fn restoring(&self) -> Option<(i64, i64)> {
        let read = self.partitions.values().map(|it| it.next.min(it.end) - it.first).sum();
        let all = self.partitions.values().map(|it| it.end - it.first).sum();
        (!self.is_restored).then_some((read, all))
    }

    /// Whether retention has deleted changes since they were read. A question without an answer is repeated the next time.
    fn is_cut(&self) -> bool {
        self.partitions.iter().any(|(partition, place)| {
            watermarks(self.consumer, self.topic, *partition).is_ok_and(|(first, _)| first != place.first)
        })
    }
}
