//! The changes topic, read into the store and followed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};
use rdkafka::consumer::BaseConsumer;
use schemas::{
    change::Envelope,
    codec::{DecodeError, decode},
    topics::Topic,
};
use service::kafka::{
    client::Log,
    partition::{PartitionReader, Start},
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
    let count = reading.partition_count(&topic)?.ok_or_else(|| {
        anyhow!("the topic {topic} does not exist; the processor creates it when it first runs")
    })?;
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
        let mut history = History::new(reading, &topic, &consumer, writer, partitions);
        let ended = follow(reading, &consumer, &from, |heard| history.hear(heard))?;
        history.flush()?;
        writer = history.writer;
        if ended == Ended::Asked {
            break;
        }
    }
    Ok(())
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
    reading: &'a Reading,
    topic: &'a str,
    consumer: &'a BaseConsumer<Log>,
    writer: Writer,
    partitions: BTreeMap<i32, Partition>,
    waiting: BTreeMap<i32, Vec<Read>>,
    count: usize,
    flushed: Instant,
    retention: Instant,
    is_restored: bool,
}

impl<'a> History<'a> {
    fn new(
        reading: &'a Reading,
        topic: &'a str,
        consumer: &'a BaseConsumer<Log>,
        writer: Writer,
        partitions: BTreeMap<i32, Partition>,
    ) -> Self {
        let now = Instant::now();
        let mut history = Self {
            reading,
            topic,
            consumer,
            writer,
            partitions,
            waiting: BTreeMap::new(),
            count: 0,
            flushed: now,
            retention: now,
            is_restored: false,
        };
        history.report();
        history
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
                self.flush()?;
                if is_at_end && !self.is_restored {
                    self.is_restored = true;
                    info!(topic = self.topic, "read the history of changes to its end");
                    self.report();
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
        match decode::<Envelope>(value) {
            Ok(change) => {
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
        if self.count == 0 {
            return Ok(());
        }
        self.count = 0;
        let mut newest = 0;
        for (partition, changes) in std::mem::take(&mut self.waiting) {
            let Some(place) = self.partitions.get(&partition) else { continue };
            newest = self.writer.take(partition, place.first, place.next, &changes)?;
        }
        self.reading.progress.advance(newest);
        self.report();
        Ok(())
    }

    fn report(&mut self) {
        let read = self.partitions.values().map(|it| it.next.min(it.end) - it.first).sum();
        let all = self.partitions.values().map(|it| it.end - it.first).sum();
        let restoring = (!self.is_restored).then_some((read, all));
        self.reading.progress.update(|state| state.restoring = restoring);
    }

    /// Whether retention has deleted changes since they were read. A question without an answer is repeated the next time.
    fn is_cut(&self) -> bool {
        self.partitions.iter().any(|(partition, place)| {
            watermarks(self.consumer, self.topic, *partition).is_ok_and(|(first, _)| first != place.first)
        })
    }
}
