//! The topics graph, sync and deadletters, read into what is known of now and followed.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use graph::state::{FoldError, GraphKey, States};
use schemas::{
    codec::DecodeError,
    topics::{Topic, partition},
};
use service::kafka::{
    partition::{Message, with_short_fetch_wait},
    restore,
};
use tracing::{info, warn};

use super::{
    Reading,
    follow::{Ended, Heard, Place, consumer, follow, watermarks},
};
use crate::current_state::CurrentState;

/// What is read.
const TOPICS: [Topic; 3] = [Topic::Graph, Topic::Sync, Topic::DeadLetters];
/// How often a topic that does not exist is looked for: the sink makes `sync` when it first runs.
const MISSING_INTERVAL: Duration = Duration::from_secs(30);
/// How often what an approval would allow is counted again at most: each time reads the organization's whole graph.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);
/// How long to wait before topics that cannot be read are tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(10);

/// Reads until the end is asked for. The pages do without what may not be read.
pub(super) fn read(reading: &Reading, present: &RwLock<CurrentState>) {
    let mut is_logged = false;
    while !reading.shutdown.is_cancelled() {
        match follow_topics(reading, present) {
            Ok(()) => is_logged = false,
            Err(error) => {
                if !is_logged {
                    warn!(
                        "cannot read freshness, holds, dead letters and the state of JupiterOne: {error:#}"
                    );
                    is_logged = true;
                }
                rest(reading, RETRY_PAUSE);
            }
        }
    }
}

fn follow_topics(reading: &Reading, present: &RwLock<CurrentState>) -> anyhow::Result<()> {
    let mut from: BTreeMap<Place, i64> = BTreeMap::new();
    let mut fresh = CurrentState::default();
    let mut is_missing = false;
    for topic in TOPICS {
        let name = reading.topic(topic);
        match reading.partition_count(&name)? {
            Some(count) => restore_topic(reading, &name, count, &mut from, |record| {
                fresh.take(topic, record.key.unwrap_or_default(), record.value)
            })?,
            None => is_missing = true,
        }
    }
    // Shown once it is whole: a graph that is read half has the holds of last year.
    *present.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    if from.is_empty() {
        rest(reading, MISSING_INTERVAL);
        return Ok(());
    }
    info!("read freshness, holds, dead letters and the state of JupiterOne");
    let consumer = consumer(reading)?;
    let looked = Instant::now();
    let mut counted: Option<Instant> = None;
    let ended = follow(reading, &consumer, &from, |heard| match heard {
        Heard::Record { topic, partition, offset, key, value } => {
            let mut present = present.write().unwrap_or_else(PoisonError::into_inner);
            let heard = TOPICS.into_iter().find(|it| reading.topic(*it) == topic);
            if let Some(Err(error)) = heard.map(|it| present.take(it, key, value)) {
                warn!(topic, partition, offset, "a record cannot be decoded: {error}");
            }
            Ok(true)
        }
        Heard::Silence { .. } => {
            if counted.is_none_or(|counted| counted.elapsed() >= COUNT_INTERVAL)
                && count_deletions(reading, present)
            {
                counted = Some(Instant::now());
            }
            Ok(!(is_missing && looked.elapsed() >= MISSING_INTERVAL))
        }
    })?;
    if ended == Ended::Gone && !is_missing {
        info!("read freshness, holds, dead letters and the state of JupiterOne again");
    }
    Ok(())
}

/// Counts what approvals would allow, where sync jobs wait for a person; whether there were any. The graph is in memory
/// only while that takes.
fn count_deletions(reading: &Reading, present: &RwLock<CurrentState>) -> bool {
    let uncounted = present.read().unwrap_or_else(PoisonError::into_inner).uncounted();
    for organization_id in &uncounted {
        match graph(reading, organization_id) {
            Ok(states) => {
                if let Some(state) = states.get(organization_id) {
                    let mut present = present.write().unwrap_or_else(PoisonError::into_inner);
                    present.count(organization_id, state);
                }
            }
            Err(error) => {
                warn!(
                    organization.id = organization_id,
                    "cannot count what an approval would allow: {error:#}"
                );
            }
        }
    }
    !uncounted.is_empty()
}

/// One organization's graph.
fn graph(reading: &Reading, organization_id: &str) -> anyhow::Result<States> {
    let topic = reading.topic(Topic::Graph);
    let mut states = States::default();
    let Some(count) = reading.partition_count(&topic)? else { return Ok(states) };
    let client = with_short_fetch_wait(&reading.client);
    let is_stopped = || reading.shutdown.is_cancelled();
    let fold = |record: Message<'_>| -> Result<(), FoldError> {
        let key = String::from_utf8_lossy(record.key.unwrap_or_default());
        match GraphKey::parse(&key) {
            Some((id, _)) if id == organization_id => states.fold_record(&key, record.value),
            _ => Ok(()),
        }
    };
    restore::read(&client, &reading.group_id, &topic, [partition(organization_id, count)], is_stopped, fold)?;
    Ok(states)
}

/// Reads a topic up to the ends that the leaders name, and notes from where it goes on.
fn restore_topic(
    reading: &Reading,
    topic: &str,
    count: i32,
    from: &mut BTreeMap<Place, i64>,
    mut take: impl FnMut(Message<'_>) -> Result<(), DecodeError>,
) -> anyhow::Result<()> {
    let consumer = consumer(reading)?;
    for partition in 0..count {
        let (first, _) = watermarks(&consumer, topic, partition)?;
        let mut next = first;
        let is_stopped = || reading.shutdown.is_cancelled();
        restore::read(
            &with_short_fetch_wait(&reading.client),
            &reading.group_id,
            topic,
            [partition],
            is_stopped,
            |record| {
                next = record.offset + 1;
                if let Err(error) = take(record) {
                    warn!(topic, partition, offset = record.offset, "a record cannot be decoded: {error}");
                }
                Ok::<(), DecodeError>(())
            },
        )?;
        from.insert((topic.to_owned(), partition), next);
    }
    Ok(())
}

fn rest(reading: &Reading, pause: Duration) {
    let until = Instant::now() + pause;
    while Instant::now() < until && !reading.shutdown.is_cancelled() {
        std::thread::sleep(Duration::from_millis(100));
    }
}
