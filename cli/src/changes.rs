//! `anthropic-graph changes`: prints changes for people, or as JSON lines.

use std::{collections::BTreeMap, io::Write, time::Duration};

use anyhow::Context as _;
use graph::{describe::describe, state::GraphKey};
use jiff::Timestamp;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use schemas::{
    change::Envelope,
    codec::{DecodeError, decode},
    graph_value::GraphValue,
    topics::Topic,
};
use service::{
    config::{Config, environment, is_asked_for},
    exit::{Outcome, UsageError, not_in_future},
    kafka::{
        client::fresh,
        client_config,
        partition::{EndOffset, is_permanent},
        topics, value,
        wait_for_commits::wait_for_all_commits,
    },
    shutdown::CancellationToken,
    stdout, wording,
};
use tracing::{debug, error, warn};

use crate::{
    cell::wrapped,
    columns, freshness,
    topic_reader::{self, group_id},
};

/// Timeout of a poll: decides how soon the end is noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Timeout of a request to the brokers: less than the ten seconds that people wait for an answer.
const QUERY_TIMEOUT: Duration = Duration::from_secs(8);

/// Indents the lines of a change after its first one (columns).
const HANGING: usize = 4;

/// How often a group's place is committed (ms): so much is printed again after a crash.
const COMMIT_INTERVAL_MS: &str = "1000";

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// At the oldest change.
    Earliest,
    /// After the newest change.
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
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Where to start: earliest, latest, or a time such as 2026-11-24T09:00:00Z.
    #[arg(long, value_name = "PLACE", default_value = "latest")]
    from: Since,
    /// Go on where this consumer group stopped; begin at `--from` where it has not been yet. A line is committed within a
    /// second after it was written, so a crash repeats lines and loses none. Give each export a group of its own, and run
    /// it once. Needs Read on the group.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    group: Option<String>,
    /// Only this organization: its name in the configuration, or its ID.
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Print JSON lines.
    #[arg(long)]
    json: bool,
    /// Stop at the current end of the topic.
    #[arg(long)]
    until_end: bool,
}

impl Since {
    /// Refuses a time in the future: nothing would be printed.
    fn check(self, now: Timestamp) -> Result<(), UsageError> {
        match self {
            Self::Time(time) => not_in_future("--from", time, now, "latest"),
            Self::Earliest | Self::Latest => Ok(()),
        }
    }
}

/// Prints changes until it is stopped or reaches the end.
pub async fn changes(
    config: Config,
    arguments: Arguments,
    shutdown: CancellationToken,
) -> anyhow::Result<Outcome> {
    arguments.from.check(Timestamp::now())?;
    tokio::task::spawn_blocking(move || follow(&config, &arguments, &shutdown))
        .await
        .context("the reading thread ended")?
}

fn follow(config: &Config, arguments: &Arguments, shutdown: &CancellationToken) -> anyhow::Result<Outcome> {
    let client = client(config, arguments)?;
    check_organization(config, &client, arguments.organization.as_deref())?;
    let consumer: BaseConsumer<EndOffset> =
        client.create_with_context(EndOffset::default()).context("failed to make a consumer")?;
    let topic = Topic::Changes.name(&config.kafka.topic_prefix);
    let partitions = partitions(config, &consumer, &topic)?;
    let mut open = if arguments.until_end {
        wait_for_all_commits(&client, &topic, partitions.iter().copied())?;
        Ends::ask(&consumer, &topic, &partitions)?
    } else {
        Ends::default()
    };
    let mut names = if arguments.json { BTreeMap::new() } else { names(config, &client, &partitions) };
    let start = start(&consumer, &topic, &partitions, arguments)?;
    consumer.assign(&start).context("failed to assign the partitions")?;
    let mut is_silent = true;
    while !shutdown.is_cancelled() {
        match consumer.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => {
                match decode::<Envelope>(&value(&message).unwrap_or_default()) {
                    Ok(change) => match print(&change, arguments, &mut names)? {
                        Printed::Left => {}
                        Printed::Line => is_silent = false,
                        Printed::Nowhere => break,
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
                if arguments.group.is_some() {
                    consumer
                        .store_offset_from_message(&message)
                        .context("failed to note an offset for the commit")?;
                }
                open.reach(message.partition(), message.offset() + 1);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                if let Some(offset) = consumer.context().take() {
                    open.reach(partition, offset);
                }
            }
            // The partitions are assigned manually: without --group, access to the group is not needed.
            Some(Err(error))
                if arguments.group.is_none()
                    && error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {}
            Some(Err(error)) if is_permanent(&error) => {
                return Err(error).with_context(|| format!("failed to read {topic}"));
            }
            // A broker that went away, which librdkafka reports while it looks for it.
            Some(Err(error)) => debug!(topic, %error, "librdkafka tries again"),
            None => {}
        }
        if arguments.until_end && open.0.is_empty() {
            break;
        }
    }
    if arguments.group.is_some() {
        commit(&consumer)?;
    }
    if arguments.until_end && is_silent && !arguments.json {
        return stdout::print(["no changes"]);
    }
    Ok(Outcome::Done)
}

/// Refuses an organization that is neither configured nor in the graph topic, if that can be read. What was forgotten
/// stays there.
fn check_organization(config: &Config, client: &ClientConfig, asked: Option<&str>) -> anyhow::Result<()> {
    let Some(asked) = asked else { return Ok(()) };
    let Err(unknown) = config.organization(asked) else { return Ok(()) };
    match freshness::read(config, client) {
        Ok(all) if !all.iter().any(|(id, it)| is_asked_for(Some(asked), &it.name, Some(id))) => {
            Err(unknown.into())
        }
        Ok(_) => Ok(()),
        Err(error) => {
            debug!("the organizations cannot be read: {error:#}");
            Ok(())
        }
    }
}

fn client(config: &Config, arguments: &Arguments) -> anyhow::Result<ClientConfig> {
    let mut client: ClientConfig = fresh(&client_config(&config.kafka, &environment())?);
    // Without a group of its own nothing is committed, and every reader sees everything.
    client.set("group.id", group(config, arguments)?);
    client.set("enable.auto.commit", arguments.group.is_some().to_string());
    client.set("enable.auto.offset.store", "false").set("auto.commit.interval.ms", COMMIT_INTERVAL_MS);
    client.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    client.set("auto.offset.reset", "earliest");
    Ok(client)
}

/// The end offsets that the leaders named, of the partitions that are not read up to them yet.
#[derive(Debug, Default)]
struct Ends(BTreeMap<i32, i64>);

impl Ends {
    fn ask(consumer: &BaseConsumer<EndOffset>, topic: &str, partitions: &[i32]) -> anyhow::Result<Self> {
        let mut ends = BTreeMap::new();
        for partition in partitions.iter().copied() {
            let (beginning, end) = consumer
                .fetch_watermarks(topic, partition, QUERY_TIMEOUT)
                .with_context(|| format!("failed to ask for the end of {topic} partition {partition}"))?;
            if end > beginning {
                ends.insert(partition, end);
            }
        }
        Ok(Self(ends))
    }

    /// Everything before this offset of the partition was read. A broker's own end says no more than that: a follower's
    /// lags, and so does that of a leader that was elected a moment ago.
    fn reach(&mut self, partition: i32, offset: i64) {
        self.0.retain(|open, end| *open != partition || offset < *end);
    }
}

fn partitions(config: &Config, consumer: &BaseConsumer<EndOffset>, topic: &str) -> anyhow::Result<Vec<i32>> {
    let metadata = consumer
        .fetch_metadata(Some(topic), QUERY_TIMEOUT)
        .with_context(|| format!("failed to reach a broker that knows {topic}"))?;
    let error = metadata
        .topics()
        .first()
        .and_then(rdkafka::metadata::MetadataTopic::error)
        .map(RDKafkaErrorCode::from);
    if let Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) = error {
        return Err(KafkaError::MetadataFetch(code))
            .with_context(|| format!("cannot see {topic}; Read on the topic {topic} is not granted"));
    }
    let partitions: Vec<i32> = metadata
        .topics()
        .iter()
        .flat_map(rdkafka::metadata::MetadataTopic::partitions)
        .map(rdkafka::metadata::MetadataPartition::id)
        .collect();
    if partitions.is_empty() {
        return Err(topics::does_not_exist(Topic::Changes, &config.kafka.topic_prefix));
    }
    Ok(partitions)
}

/// The group to read as. A service's own would lose its place.
fn group(config: &Config, arguments: &Arguments) -> Result<String, UsageError> {
    let Some(name) = &arguments.group else { return Ok(group_id(config)) };
    let prefix = &config.kafka.topic_prefix;
    if name.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.')) {
        return Err(UsageError(format!(
            "--group: names that begin with \"{prefix}.\" belong to the services; choose another one"
        )));
    }
    Ok(name.clone())
}

/// Where to begin in each partition. What a group has not committed yet it commits now, so that it goes on from there
/// whatever becomes of this run.
fn start(
    consumer: &BaseConsumer<EndOffset>,
    topic: &str,
    partitions: &[i32],
    arguments: &Arguments,
) -> anyhow::Result<TopicPartitionList> {
    let Some(group) = &arguments.group else {
        return places(consumer, topic, partitions, arguments.from);
    };
    let mut wanted = TopicPartitionList::new();
    for partition in partitions {
        wanted.add_partition(topic, *partition);
    }
    // A group that may not be read does not answer.
    let start = consumer.committed_offsets(wanted, QUERY_TIMEOUT).with_context(|| {
        format!("failed to ask where the group {group} stopped; Read on the group {group} is needed")
    })?;
    for (partition, place) in first_places(consumer, topic, partitions, arguments.from, &start)? {
        let mut element = start.find_partition(topic, partition).expect("it was asked for");
        element.set_offset(Offset::Offset(place)).context("failed to name an offset")?;
    }
    consumer.commit(&start, CommitMode::Sync).context("failed to commit where the group begins")?;
    Ok(start)
}

/// Offsets of the partitions where the group has not been, and of those where retention has deleted what it stopped at.
fn first_places(
    consumer: &BaseConsumer<EndOffset>,
    topic: &str,
    partitions: &[i32],
    from: Since,
    committed: &TopicPartitionList,
) -> anyhow::Result<Vec<(i32, i64)>> {
    let from = places(consumer, topic, partitions, from)?;
    let mut first = Vec::new();
    for partition in partitions.iter().copied() {
        let offset = |list: &TopicPartitionList| list.find_partition(topic, partition).map(|it| it.offset());
        let (beginning, end) = consumer
            .fetch_watermarks(topic, partition, QUERY_TIMEOUT)
            .with_context(|| format!("failed to ask for the offsets of {topic} partition {partition}"))?;
        match offset(committed) {
            Some(Offset::Offset(committed)) if (beginning..=end).contains(&committed) => {}
            Some(Offset::Offset(committed)) => {
                warn!(
                    topic,
                    partition,
                    committed,
                    beginning,
                    end,
                    "the group's offset is no longer in the topic; it continues at the beginning"
                );
                first.push((partition, beginning));
            }
            _ => first.push(match offset(&from) {
                Some(Offset::Beginning) => (partition, beginning),
                Some(Offset::Offset(offset)) => (partition, offset),
                _ => (partition, end),
            }),
        }
    }
    Ok(first)
}

/// Commits what was written and not committed yet.
fn commit(consumer: &BaseConsumer<EndOffset>) -> anyhow::Result<()> {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
        Err(error) => Err(error).context("failed to commit what was written"),
    }
}

fn places(
    consumer: &BaseConsumer<EndOffset>,
    topic: &str,
    partitions: &[i32],
    from: Since,
) -> anyhow::Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
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
    Ok(list)
}

/// The result of writing a change.
enum Printed {
    /// It belongs to another organization.
    Left,
    Line,
    Nowhere,
}

/// Names of entities, by the keys of their records in the graph topic.
type Names = BTreeMap<String, String>;

/// The names that the graph topic has now; without Read on it, a relationship's ends stay IDs until a change names them.
fn names(config: &Config, client: &ClientConfig, partitions: &[i32]) -> Names {
    let mut names = Names::new();
    let count = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
    let read = topic_reader::read(config, client, Topic::Graph, 0..count, |record| {
        let key = String::from_utf8_lossy(record.key.unwrap_or_default());
        let is_element = GraphKey::parse(&key).is_some_and(|(_, key)| matches!(key, GraphKey::Element(_)));
        if is_element
            && let Some(GraphValue::Element(element)) = record.value.map(GraphValue::decode).transpose()?
            && !element.is_relationship()
        {
            names.insert(key.into_owned(), element.decode().display_name);
        }
        Ok(())
    });
    if let Err(error) = read {
        debug!("changes are shown by IDs: {error:#}");
    }
    names
}

fn print(change: &Envelope, arguments: &Arguments, names: &mut Names) -> anyhow::Result<Printed> {
    let source = &change.source;
    let asked = arguments.organization.as_deref();
    if !is_asked_for(asked, &source.name, Some(&source.organization_id)) {
        return Ok(Printed::Left);
    }
    let in_graph = |key: &str| GraphKey::Element(key.to_owned()).format(&source.organization_id);
    for element in change.before.iter().chain(&change.after).filter(|element| !element.is_relationship()) {
        names.insert(in_graph(&element.key), element.display_name.clone());
    }
    let line = if arguments.json {
        serde_json::to_string(change).context("failed to write a change as JSON")?
    } else {
        let time = wording::time_to_the_millisecond(change.ts_ms);
        let name = |key: &str| names.get(&in_graph(key)).cloned();
        let line = format!("{time} {} #{} {}", source.name, change.revision, describe(change, name));
        wrapped(&line, columns::of_terminal(), HANGING).join("\n")
    };
    let is_read = stdout::write(|stdout| writeln!(stdout, "{line}"))?;
    Ok(if is_read { Printed::Line } else { Printed::Nowhere })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Ends, Since};

    #[test]
    fn a_beginning_in_the_future_is_refused() {
        let now = "2026-11-24T09:00:00Z".parse().expect("a time");
        let since = |text: &str| text.parse::<Since>().expect("a place").check(now);
        assert!(since("2026-11-24T09:00:00Z").is_ok() && since("latest").is_ok());
        let refusal = since("2027-01-01T00:00:00Z").expect_err("it is in the future").to_string();
        assert!(refusal.starts_with("--from: 2027-01-01T00:00:00Z is in the future; "), "{refusal}");
    }

    #[test]
    fn an_end_before_the_leader_s_end_is_ignored() {
        let mut ends = Ends(BTreeMap::from([(0, 20), (1, 5)]));
        ends.reach(0, 12);
        ends.reach(1, 5);
        assert_eq!(ends.0, BTreeMap::from([(0, 20)]), "a lagging broker reported offset 12");
        ends.reach(0, 20);
        assert!(ends.0.is_empty());
    }
}
