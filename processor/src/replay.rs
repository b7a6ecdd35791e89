//! `anthropic-graph replay`: rebuilds changes and graph from the raw topic, in topics with another prefix.
//!
//! The live topics and the live group are not touched: raw is read without a committed offset, partition by partition,
//! to its current end. The values are those that the processor wrote from the same records, byte for byte, in
//! transactions of any size.

mod from;

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;
use rdkafka::ClientConfig;
use schemas::topics::Topic;
use serde_json::json;
use service::{
    config::{Config, environment, parse_prefix},
    exit::{Outcome, UsageError},
    kafka::{
        NewerRecord, check_known, client_config,
        cluster_admin::ClusterAdmin,
        partition::{PartitionReader, Start, with_short_fetch_wait},
        topics::{self, Broker, Wanted},
        transaction::{TRANSACTION_TIMEOUT, TransactionalProducer},
        wait_for_commits,
    },
    metrics::Metrics,
    progress::Progress,
    schema_registry::register,
    shutdown::CancellationToken,
    stdout, wording,
};
use tokio::runtime::Handle;
use tracing::info;

use crate::{
    batch::{Batch, FULL_AT},
    needs::NEEDS,
    pipeline::Pipeline,
};

pub use from::From;

/// The topics that a replay writes.
const TARGETS: [Topic; 3] = [Topic::Changes, Topic::Graph, Topic::DeadLetters];

/// Timeout for a raw record: decides how soon a stop is noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Timeouts in a row before the replay fails (count): a minute, longer than a leader election.
const IDLE_WAITS: u32 = 300;

/// Options of `replay`.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Where to start: `earliest`, a time such as 2026-11-24T09:00:00Z, or raw offsets by partition such as
    /// `0:120,3:4000`. Other partitions start at the earliest offset.
    #[arg(long)]
    from: From,
    /// Prefix of the topics to write. They are created if missing, and must be empty.
    #[arg(long, value_name = "PREFIX")]
    into: String,
    /// Print JSON lines, one per partition.
    #[arg(long)]
    json: bool,
    /// Records after which a transaction ends; does not affect what is written.
    #[arg(long, hide = true, default_value_t = FULL_AT)]
    transaction_records: usize,
}

/// Rebuilds changes and graph until the ends of the raw partitions, or until it is stopped.
pub async fn replay(
    config: Config,
    arguments: Arguments,
    shutdown: CancellationToken,
) -> anyhow::Result<Outcome> {
    let live = &config.kafka.topic_prefix;
    parse_prefix(&arguments.into)
        .map_err(|error| UsageError(format!("--into: {:?} {error}", arguments.into)))?;
    if arguments.into == *live || arguments.into.is_empty() {
        let error = format!(
            "--into: {:?} is the prefix of the live topics (kafka.topic_prefix), which a replay never touches; use \
            another prefix, such as {live}-replay",
            arguments.into
        );
        return Err(UsageError(error).into());
    }
    arguments.from.check(Timestamp::now())?;
    tokio::task::spawn_blocking(move || work(&config, &arguments, &shutdown))
        .await
        .context("the replaying thread ended")?
}

fn work(config: &Config, arguments: &Arguments, shutdown: &CancellationToken) -> anyhow::Result<Outcome> {
    let environment = environment();
    let mut client = with_short_fetch_wait(&client_config(&config.kafka, &environment)?);
    // Subjects begin with the name of the topic that is written to.
    let mut target = config.clone();
    target.kafka.topic_prefix.clone_from(&arguments.into);
    let registered = register(&target, &environment, NEEDS.writes, &mut client);
    Handle::current().block_on(registered)?;
    let cluster = ClusterAdmin::new(&client)?;
    let raw = Topic::Raw.name(&config.kafka.topic_prefix);
    let Some(partition_count) = cluster.partition_count(&raw)? else {
        bail!("the topic {raw} does not exist; there is nothing to replay");
    };
    let starts = arguments.from.starts(&cluster, &raw, partition_count)?;
    make_targets(config, &client, &cluster, &arguments.into, partition_count)?;
    let mut incomplete = Vec::new();
    let mut lines = Vec::new();
    let (mut organizations, mut changes) = (0, 0);
    for (partition, start) in (0..).zip(starts) {
        wait_for_commits(&client, &raw, partition)?;
        let end = cluster.offsets(&raw, partition)?.1;
        let reach = Reach { start, end };
        let replayed = Replay::open(&client, arguments, &raw, partition, partition_count, reach)?
            .run(shutdown)
            .with_context(|| {
                format!(
                    "partition {partition} of {raw} was not replayed to its end; delete the topics with the prefix {} (or use \
                    another --into) and replay again",
                    arguments.into
                )
            })?;
        incomplete.extend(replayed.incomplete.iter().cloned());
        if arguments.json {
            lines.push(replayed.as_json()?);
        } else if replayed.from < replayed.to {
            lines.push(replayed.text());
        }
        organizations += replayed.organizations;
        changes += replayed.changes;
    }
    if !arguments.json {
        let organizations = wording::count(organizations, "organization");
        let partitions = wording::count(usize::try_from(partition_count)?, "partition");
        lines.push(format!(
            "replayed {raw} ({partitions}) into {}: {organizations}, {changes} changes",
            arguments.into
        ));
    }
    let outcome = stdout::print(lines)?;
    if incomplete.is_empty() {
        Ok(outcome)
    } else {
        Ok(Outcome::Incomplete(format!("incomplete: {}", incomplete.join("; "))))
    }
}

/// Creates the topics with the partition count of raw, and checks that they are empty.
fn make_targets(
    config: &Config,
    client: &ClientConfig,
    cluster: &ClusterAdmin,
    into: &str,
    partition_count: i32,
) -> anyhow::Result<()> {
    let partitions = |topic: Topic| cluster.partition_count(&topic.name(into));
    // A replay creates neither, so the prefix belongs to a deployment, even if its other topics are empty or missing.
    for topic in [Topic::Raw, Topic::Sync] {
        if partitions(topic)?.is_some() {
            bail!(
                "{} exists, so {into} is the prefix of live topics, which a replay never touches; use another --into",
                topic.name(into)
            );
        }
    }
    // All topics of a prefix must have one partition count, which must be that of raw.
    for topic in TARGETS {
        if let Some(found) = partitions(topic)?
            && found != partition_count
        {
            bail!(
                "{} has {found} partitions and raw has {partition_count}; delete it, or use another --into",
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
            let (beginning, end) = cluster.offsets(&name, partition)?;
            if end > beginning {
                let servers = &config.kafka.bootstrap_servers;
                bail!(
                    "{name} is not empty, and a replay would mix with its records; use another --into, or delete the \
                    topics of an earlier replay: kafka-topics.sh --bootstrap-server {servers} --delete --topic \
                     '{into}\\.(changes|graph|deadletters)'"
                );
            }
        }
    }
    Ok(())
}

/// The range of a raw partition to replay.
#[derive(Debug, Clone, Copy)]
struct Reach {
    start: Start,
    end: i64,
}

/// The replay of a partition.
struct Replay<'a> {
    arguments: &'a Arguments,
    partition: i32,
    producer: TransactionalProducer,
    reader: PartitionReader,
    pipeline: Pipeline,
    raw_topic: String,
    end: i64,
    replayed: Replayed,
    dead_letters: u64,
    metrics: Metrics,
}

/// The result of a partition.
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
        info!(partition, offset = from, end = to, "replaying partition {partition}: offsets {from} to {to}");
        Ok(Self {
            arguments,
            partition,
            producer,
            reader,
            pipeline: Pipeline::replay(raw.to_owned(), partition, partition_count),
            raw_topic: raw.to_owned(),
            end: reach.end,
            replayed: Replayed { partition, from, to, ..Replayed::default() },
            dead_letters: 0,
            metrics: Metrics::default(),
        })
    }

    fn run(mut self, shutdown: &CancellationToken) -> anyhow::Result<Replayed> {
        let mut idle = 0;
        let Replayed { from, to, .. } = self.replayed;
        let done = |position: i64| u64::try_from(position - from).unwrap_or(0);
        let what = format!("replaying {} partition {}", self.raw_topic, self.partition);
        let mut progress = Progress::begin(what, "offsets", done(to));
        while self.reader.position() < self.end {
            progress.reach(done(self.reader.position()));
            if shutdown.is_cancelled() {
                bail!("the replay was stopped");
            }
            let Self { reader, pipeline, raw_topic, partition, end, .. } = &mut self;
            let taken = reader.visit(POLL_TIMEOUT, |record| {
                // Records that were written after the start are not replayed.
                if record.offset >= *end {
                    return Ok(false);
                }
                check_known(raw_topic, *partition, record)?;
                pipeline.take(record);
                Ok::<_, NewerRecord>(true)
            })?;
            match taken.transpose()? {
                Some(false) => break,
                Some(true) => {
                    idle = 0;
                    if self.pipeline.batch().len() >= self.arguments.transaction_records {
                        self.commit()?;
                    }
                }
                None if idle >= IDLE_WAITS => {
                    bail!("no record arrived for a minute; check the brokers")
                }
                None => idle += 1,
            }
        }
        self.pipeline.drop_open(self.end);
        self.commit()?;
        self.replayed.organizations = self.pipeline.state().states().iter().count();
        self.replayed.incomplete = self.pipeline.incomplete(self.dead_letters);
        Ok(self.replayed)
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        let Some(batch) = self.pipeline.take_batch() else { return Ok(()) };
        if !batch.is_empty() {
            self.producer.begin()?;
            let changes = self.write(&batch)?;
            self.producer.commit()?;
            self.replayed.changes += changes;
        }
        let report = self.pipeline.take_report();
        self.dead_letters += report.publish(&self.metrics, self.partition, self.pipeline.state().states());
        Ok(())
    }

    /// Writes the records, and returns how many of them are changes. After an error, the broker aborts the transaction,
    /// and the topics must be deleted.
    fn write(&self, batch: &Batch) -> anyhow::Result<u64> {
        let mut changes = 0;
        for output in batch.outputs() {
            output.send(&self.producer, &self.arguments.into, self.partition)?;
            changes += u64::from(output.topic() == Topic::Changes);
        }
        Ok(changes)
    }
}

impl Replayed {
    fn text(&self) -> String {
        let Self { partition, from, to, changes, organizations, .. } = self;
        let organizations = wording::count(*organizations, "organization");
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
