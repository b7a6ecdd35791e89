//! Reads a topic from its beginning to its end.

use std::ops::Range;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use schemas::{codec::DecodeError, topics::Topic};
use service::{
    config::Config,
    kafka::{
        partition::{Message, with_short_fetch_wait},
        restore,
        wait_for_commits::wait_for_all_commits,
    },
};

/// The consumer group that readers name. They commit nothing and are not members of it.
pub(crate) fn group_id(config: &Config) -> String {
    format!("{}.tail", config.kafka.topic_prefix)
}

/// Passes every committed record of these partitions to `take`, up to the leaders' end offsets.
pub(crate) fn read(
    config: &Config,
    client: &ClientConfig,
    topic: Topic,
    partitions: Range<i32>,
    take: impl FnMut(Message<'_>) -> Result<(), DecodeError>,
) -> anyhow::Result<()> {
    fold(config, client, topic, partitions, take)
}

/// The same for a reader that may fail in another way.
pub(crate) fn fold<E: std::error::Error + Send + Sync + 'static>(
    config: &Config,
    client: &ClientConfig,
    topic: Topic,
    partitions: Range<i32>,
    take: impl FnMut(Message<'_>) -> Result<(), E>,
) -> anyhow::Result<()> {
    let name = topic.name(&config.kafka.topic_prefix);
    wait_for_all_commits(client, &name, partitions.clone())?;
    restore::read(&with_short_fetch_wait(client), &group_id(config), &name, partitions, || false, take)
        .with_context(|| format!("cannot read {name}"))?;
    Ok(())
}
