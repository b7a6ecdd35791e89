//! `processor tail`: the changes as people read them, or as JSON lines.

use std::{collections::BTreeMap, io::Write, time::Duration};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use schemas::{
    change::Envelope,
    codec::{DecodeError, decode},
    topics::Topic,
};
use service::{
    answer,
    config::{Config, environment},
    exit::Outcome,
    kafka::{
        client::{Log, fresh},
        client_config,
        partition::is_permanent,
    },
    shutdown::Shutdown,
};
use tracing::{debug, error};

use graph::describe::describe;

/// One wait for a record: decides how soon the end is noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// How long a question to the brokers may take: within the ten seconds that a person waits for an answer.
const QUERY_TIMEOUT: Duration = Duration::from_secs(8);

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// At the oldest change there is.
    Earliest,
    /// Behind the newest one.
    Latest,
    /// At the first change written at or after that time.
    Time(Timestamp),
}

impl std::str::FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            time => time.parse().map(Self::Time).map_err(|_| {
                format!("{time:?} is neither earliest, nor latest, nor a time such as 2026-11-24T09:00:00Z")
            }),
        }
    }
}

/// What to print.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to begin.
    pub from: Since,
    /// Only this organization, by its configured name.
    pub organization: Option<String>,
    /// JSON lines.
    pub json: bool,
    /// End at the end of the topic as it is at the start.
    pub until_end: bool,
}

/// Prints changes until it is asked to end, or the end is reached.
pub async fn tail(config: Config, options: Options, shutdown: Shutdown) -> anyhow::Result<Outcome> {
    if let Some(name) = &options.organization {
        config.organization(name)?;
    }
    tokio::task::spawn_blocking(move || follow(&config, &options, &shutdown))
        .await
        .context("the reading thread ended")?
}

fn follow(config: &Config, options: &Options, shutdown: &Shutdown) -> anyhow::Result<Outcome> {
    let mut client: ClientConfig = fresh(&client_config(&config.kafka, &environment())?);
    // No group: nothing is committed, and every reader sees everything.
    client.set("group.id", format!("{}.tail", config.kafka.topic_prefix));
    client.set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    client.set("enable.partition.eof", "true").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer<Log> = client.create_with_context(Log).context("failed to make a consumer")?;
    let topic = Topic::Changes.name(&config.kafka.topic_prefix);
    let mut open = assign(&consumer, &topic, options.from)?;
    if !options.until_end {
        open.clear();
    }
    let mut is_silent = true;
    while !shutdown.is_requested() {
        match consumer.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => {
                let value = message.payload().unwrap_or_default();
                match decode::<Envelope>(value) {
                    Ok(change) => match print(&change, options)? {
                        Printed::Left => {}
                        Printed::Line => is_silent = false,
                        Printed::Nowhere => return Ok(Outcome::Done),
                    },
                    Err(error @ DecodeError::UnknownSchema(_)) => {
                        let (partition, offset) = (message.partition(), message.offset());
                        let place = format!(
                            "cannot read the change at offset {offset} of {topic} partition {partition}"
                        );
                        return Err(error).context(place);
                    }
                    Err(error) => {
                        let (partition, offset) = (message.partition(), message.offset());
                        let reason = anyhow::Error::new(error);
                        error!(topic, partition, offset, "a change cannot be decoded: {reason:#}");
                    }
                }
                let next = message.offset() + 1;
                open.retain(|partition, end| *partition != message.partition() || next < *end);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            // The partitions are assigned: the group is a name only, and need not be granted.
            Some(Err(error))
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {}
            Some(Err(error)) if is_permanent(&error) => {
                return Err(error).with_context(|| format!("failed to read {topic}"));
            }
            // A broker that went away, of which librdkafka tells while it looks for it.
            Some(Err(error)) => debug!(topic, %error, "librdkafka tries again"),
            None => {}
        }
        if options.until_end && open.is_empty() {
            break;
        }
    }
    if options.until_end && is_silent && !options.json {
        return answer::print(["no changes"]);
    }
    Ok(Outcome::Done)
}

/// Assigns all partitions, and returns the end of each that is not at its end already.
fn assign(consumer: &BaseConsumer<Log>, topic: &str, from: Since) -> anyhow::Result<BTreeMap<i32, i64>> {
    let metadata = consumer
        .fetch_metadata(Some(topic), QUERY_TIMEOUT)
        .with_context(|| format!("failed to reach a broker that knows {topic}"))?;
    let partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .flat_map(rdkafka::metadata::MetadataTopic::partitions)
        .map(rdkafka::metadata::MetadataPartition::id)
        .collect();
    if partitions.is_empty() {
        bail!("the topic {topic} does not exist; the processor makes it when it first runs");
    }
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        let offset = match from {
            Since::Earliest => Offset::Beginning,
            Since::Latest => Offset::End,
            Since::Time(time) => Offset::Offset(time.as_millisecond()),
        };
        list.add_partition_offset(topic, *partition, offset).context("failed to name an offset")?;
    }
    if matches!(from, Since::Time(_)) {
        list = consumer
            .offsets_for_times(list, QUERY_TIMEOUT)
            .context("failed to find the offsets of the time")?;
    }
    let mut ends = BTreeMap::new();
    for partition in partitions {
        let (beginning, end) = consumer
            .fetch_watermarks(topic, partition, QUERY_TIMEOUT)
            .with_context(|| format!("failed to ask for the end of {topic} partition {partition}"))?;
        if end > beginning {
            ends.insert(partition, end);
        }
    }
    consumer.assign(&list).context("failed to assign the partitions")?;
    Ok(ends)
}

/// What became of a change.
enum Printed {
    /// It is another organization's.
    Left,
    /// A line.
    Line,
    /// The reader went away.
    Nowhere,
}

fn print(change: &Envelope, options: &Options) -> anyhow::Result<Printed> {
    if options.organization.as_ref().is_some_and(|name| *name != change.source.name) {
        return Ok(Printed::Left);
    }
    let line = if options.json {
        serde_json::to_string(change).context("failed to write a change as JSON")?
    } else {
        let time = answer::time(change.ts_ms);
        format!("{time:<24} {} #{} {}", change.source.name, change.revision, describe(change))
    };
    let is_read = answer::write(|stdout| writeln!(stdout, "{line}"))?;
    Ok(if is_read { Printed::Line } else { Printed::Nowhere })
}
