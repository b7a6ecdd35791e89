//! `processor replay`: changes and graph rebuilt from the raw topic, into topics of another prefix.
//!
//! The live topics and the live group are not touched: raw is read without a committed offset, partition by partition,
//! to its end as it is at the start. What it writes has the values that the processor wrote from the same records,
//! byte for byte, in transactions of any size.

mod from;

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rdkafka::ClientConfig;
use schemas::topics::Topic;
use serde_json::json;
use service::{
    answer,
    config::{Config, environment, parse_prefix},
    exit::{Outcome, UsageError},
    kafka::{
        check_known, client_config,
        partition::{PartitionReader, Start, hurried},
        settle,
        topics::{self, Broker, Wanted},
        transaction::{TRANSACTION_TIMEOUT, TransactionalProducer},
        upkeep::Upkeep,
    },
    metrics::Metrics,
    shutdown::Shutdown,
};
use tracing::info;

use crate::{
    batch::{Batch, FULL_AT},
    intake::Intake,
};

pub use from::From;

/// The topics that a replay writes.
const TARGETS: [Topic; 3] = [Topic::Changes, Topic::Graph, Topic::DeadLetters];

/// One wait for a raw record: decides how soon a stop is noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// How many waits in a row may bring neither a record nor the end (count): a minute, longer than an election.
const IDLE_WAITS: u32 = 300;

/// What to replay, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// `earliest`, a time such as 2026-11-24T09:00:00Z, or raw offsets by partition such as `0:120,3:4000`; partitions
    /// that are not named begin at the earliest.
    #[arg(long)]
    from: From,
    /// Begins the names of the topics that are written; they are made, and must be empty.
    #[arg(long, value_name = "PREFIX")]
    into: String,
    /// As JSON lines, one for each partition.
    #[arg(long)]
    json: bool,
    /// Records after which a transaction ends: what is written does not depend on it.
    #[arg(long, hide = true, default_value_t = FULL_AT)]
    transaction_records: usize,
}

/// Rebuilds changes and graph until the ends of the raw partitions, or until it is asked to end.
pub async fn replay(config: Config, arguments: Arguments, shutdown: Shutdown) -> anyhow::Result<Outcome> {
    let live = &config.kafka.topic_prefix;
    parse_prefix(&arguments.into)
        .map_err(|error| UsageError(format!("--into: {:?} {error}", arguments.into)))?;
    if arguments.into == *live || arguments.into.is_empty() {
        let error = format!(
            "--into: {:?} is the prefix of the live topics (kafka.topic_prefix), which a replay never touches; write \
             another, such as {live}-replay",
            arguments.into
        );
        return Err(UsageError(error).into());
    }
    tokio::task::spawn_blocking(move || work(&config, &arguments, &shutdown))
        .await
        .context("the replaying thread ended")?
}

fn work(config: &Config, arguments: &Arguments, shutdown: &Shutdown) -> anyhow::Result<Outcome> {
    let client = hurried(&client_config(&config.kafka, &environment())?);
    let upkeep = Upkeep::new(&client)?;
    let raw = Topic::Raw.name(&config.kafka.topic_prefix);
    let Some(partition_count) = upkeep.partition_count(&raw)? else {
        bail!("the topic {raw} does not exist; there is nothing to replay");
    };
    let starts = arguments.from.starts(&upkeep, &raw, partition_count)?;
    make_targets(config, &client, &upkeep, &arguments.into, partition_count)?;
    let mut incomplete = Vec::new();
    let mut lines = Vec::new();
    let (mut organizations, mut changes) = (0, 0);
    for (partition, start) in (0..).zip(starts) {
        settle(&client, &raw, partition)?;
        let end = upkeep.offsets(&raw, partition)?.1;
        let reach = Reach { start, end };
        let replayed = Replay::open(&client, arguments, &raw, partition, partition_count, reach)?
            .run(shutdown)
            .with_context(|| {
                format!(
                    "partition {partition} of {raw} is not replayed to its end; delete the topics under {} (or write \
                     another --into) and replay again",
                    arguments.into
                )
            })?;
        incomplete.extend(replayed.incomplete.iter().cloned());
        if arguments.json {
            lines.push(replayed.as_json()?);
        } else if replayed.from < replayed.to {
            lines.push(replayed.told());
        }
        organizations += replayed.organizations;
        changes += replayed.changes;
    }
    if !arguments.json {
        let organizations = answer::count(organizations, "organization");
        let partitions = answer::count(usize::try_from(partition_count)?, "partition");
        lines.push(format!(
            "replayed {raw} ({partitions}) into {}: {organizations}, {changes} changes",
            arguments.into
        ));
    }
    let outcome = answer::print(lines)?;
    if incomplete.is_empty() {
        Ok(outcome)
    } else {
        Ok(Outcome::Incomplete(format!("incomplete: {}", incomplete.join("; "))))
    }
}

/// Makes the topics with as many partitions as raw has, and sees that nothing is in them.
fn make_targets(
    config: &Config,
    client: &ClientConfig,
    upkeep: &Upkeep,
    into: &str,
    partition_count: i32,
) -> anyhow::Result<()> {
    let partitions = |topic: Topic| upkeep.partition_count(&topic.name(into));
    // A replay makes neither: the prefix is a deployment's, though its targets may be empty or, after a reset, gone.
    for topic in [Topic::Raw, Topic::Sync] {
        if partitions(topic)?.is_some() {
            bail!(
                "{} exists, so {into} is the prefix of live topics, which a replay never touches; write another --into",
                topic.name(into)
            );
        }
    }
    // The partition counts are held to each other; a replay's must be that of raw.
    for topic in TARGETS {
        if let Some(found) = partitions(topic)?
            && found != partition_count
        {
            bail!(
                "{} has {found} partitions and raw has {partition_count}; delete it, or write another --into",
                topic.name(into)
            );
        }
    }
    let wanted =
        Wanted { prefix: into, partitions: partition_count, ..Wanted::of(config, &TARGETS, Broker::Kafka) };
    topics::ensure(client, &wanted)?;
    for topic in TARGETS {
        let name = topic.name(into);
        for partition in 0..partition_count {
            let (beginning, end) = upkeep.offsets(&name, partition)?;
            if end > beginning {
                let servers = &config.kafka.bootstrap_servers;
                bail!(
                    "{name} is not empty, and a replay would mix with what is there; write another --into, or delete \
                     what an earlier replay left: kafka-topics.sh --bootstrap-server {servers} --delete --topic \
                     '{into}\\.(changes|graph|deadletters)'"
                );
            }
        }
    }
    Ok(())
}

/// What is replayed of a raw partition.
#[derive(Debug, Clone, Copy)]
struct Reach {
    start: Start,
    end: i64,
}

/// One partition's replay.
struct Replay<'a> {
    arguments: &'a Arguments,
    partition: i32,
    producer: TransactionalProducer,
    reader: PartitionReader,
    intake: Intake,
    end: i64,
    replayed: Replayed,
    dead_letters: u64,
    metrics: Metrics,
}

/// What became of a partition.
#[derive(Debug, Default)]
struct Replayed {
    partition: i32,
    from: i64,
    to: i64,
    changes: u64,
    organizations: usize,
    incomplete: Vec<String>,
}

impl<'a> Replay<'a> {
    fn open(
        client: &ClientConfig,
        arguments: &'a Arguments,
        raw: &str,
        partition: i32,
        partition_count: i32,
        reach: Reach,
    ) -> anyhow::Result<Self> {
        let group_id = format!("{}.replay", arguments.into);
        let id = format!("{group_id}-{partition}");
        let producer = TransactionalProducer::open(client, &id, TRANSACTION_TIMEOUT)?;
        let reader = PartitionReader::open(client, &group_id, raw, partition, reach.start)?;
        let (from, to) = (reader.position(), reach.end);
        info!(partition, offset = from, end = to, "replaying");
        Ok(Self {
            arguments,
            partition,
            producer,
            reader,
            intake: Intake::replay(raw.to_owned(), partition, partition_count),
            end: reach.end,
            replayed: Replayed { partition, from, to, ..Replayed::default() },
            dead_letters: 0,
            metrics: Metrics::default(),
        })
    }

    fn run(mut self, shutdown: &Shutdown) -> anyhow::Result<Replayed> {
        let mut idle = 0;
        while self.reader.position() < self.end {
            if shutdown.is_requested() {
                bail!("it was asked to end");
            }
            match self.reader.next(POLL_TIMEOUT)? {
                // What was written after the start is for the next replay.
                Some(record) if record.offset >= self.end => break,
                Some(record) => {
                    idle = 0;
                    check_known(self.reader.topic(), self.partition, &record)?;
                    self.intake.take(record);
                    if self.intake.batch().len() >= self.arguments.transaction_records {
                        self.commit()?;
                    }
                }
                None if idle >= IDLE_WAITS => {
                    bail!("no record and no end came for a minute; check the brokers")
                }
                None => idle += 1,
            }
        }
        self.intake.drop_open(self.end);
        self.commit()?;
        self.replayed.organizations = self.intake.state().states().iter().count();
        self.replayed.incomplete = self.intake.incomplete(self.dead_letters);
        Ok(self.replayed)
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        let Some(batch) = self.intake.take_batch() else { return Ok(()) };
        if !batch.is_empty() {
            self.producer.begin()?;
            let changes = self.write(batch)?;
            self.producer.commit()?;
            self.replayed.changes += changes;
        }
        let report = self.intake.take_report();
        self.dead_letters += report.tell(&self.metrics, self.partition, self.intake.state().states());
        Ok(())
    }

    /// Writes the records, and returns how many of them are changes. After an error, the transaction is the broker's
    /// to abort: the topics are deleted.
    fn write(&self, batch: Batch) -> anyhow::Result<u64> {
        let mut changes = 0;
        for output in batch.into_outputs() {
            output.send(&self.producer, &self.arguments.into, self.partition)?;
            changes += u64::from(output.topic == Topic::Changes);
        }
        Ok(changes)
    }
}

impl Replayed {
    fn told(&self) -> String {
        let Self { partition, from, to, changes, organizations, .. } = self;
        let organizations = answer::count(*organizations, "organization");
        format!("partition {partition}: raw offsets {from} to {to}, {organizations}, {changes} changes")
    }

    fn as_json(&self) -> anyhow::Result<String> {
        let line = json!({
            "partition": self.partition,
            "from": self.from,
            "to": self.to,
            "organizations": self.organizations,
            "changes": self.changes,
            "incomplete": self.incomplete,
        });
        serde_json::to_string(&line).map_err(|error| anyhow!(error).context("failed to write JSON"))
    }
}
