//! `processor verify`: holds the topics to the laws, as an auditor who shares no code with the processor but the
//! decoding of records. A test sees to that.
//!
//! Partition by partition it reads `graph` to its end, then `changes` up to the revisions that the graph has, then
//! `graph` on, which has to come as far as `changes` had, then `raw` up to what the graph has seen of it. So it can be asked while the services run. In memory are the graph of one
//! partition, what the changes leave of it, what the raw records say of it, its deletions, the ids of its listings, and
//! a bounded number of change ids.

mod audit;
mod books;
mod columns;
mod evidence;
mod heed;
mod known;
mod licence;
mod log;
mod partition;
mod print;
mod translation;
mod verdict;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientConfig;
use schemas::topics::{MIN_COMPACTION_LAG_MS, Topic};
use service::{
    config::{Config, environment},
    exit::Outcome,
    kafka::{
        client_config,
        partition::{PartitionReader, Record, Start, hurried},
        restore,
        settle::settle,
        topics::{self, Broker, Wanted},
    },
};
use tracing::{info, warn};

use audit::{Audit, IDS_A_PASS, Slice};
use known::Reach;

pub use partition::Partition;
pub use verdict::{Law, Tally, Verdict, Violation};

/// What is read; nothing else is asked for.
const READ: [Topic; 3] = [Topic::Raw, Topic::Changes, Topic::Graph];

/// What to verify.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only this organization, by its configured name.
    pub organization: Option<String>,
    /// JSON lines.
    pub json: bool,
}

/// Verifies, and prints what was found.
pub async fn verify(config: Config, options: Options) -> anyhow::Result<Outcome> {
    if let Some(name) = &options.organization {
        config.organization(name)?;
    }
    tokio::task::spawn_blocking(move || {
        let client = hurried(&client_config(&config.kafka, &environment())?);
        let wanted = Wanted { create: false, ..Wanted::of(&config, &READ, Broker::Kafka) };
        let partition_count = topics::ensure(&client, &wanted)?;
        let mut topics = Topics::open(client, config.kafka.topic_prefix, partition_count)?;
        let mut verdicts = Vec::new();
        for partition in 0..partition_count {
            verdicts.extend(topics.verify(partition, options.organization.as_deref())?);
        }
        print::print(&verdicts, options.json)?;
        let is_violated = verdicts.iter().any(Verdict::is_violated);
        Ok(if is_violated { Outcome::Failed } else { Outcome::Done })
    })
    .await
    .context("the verifying thread ended")?
}

struct Topics {
    client: ClientConfig,
    prefix: String,
    reader: PartitionReader,
    partition_count: i32,
}

impl Topics {
    fn open(client: ClientConfig, prefix: String, partition_count: i32) -> anyhow::Result<Self> {
        let (group, graph) = (format!("{prefix}.verify"), Topic::Graph.name(&prefix));
        let reader = PartitionReader::open(&client, &group, &graph, 0, Start::Beginning)?;
        Ok(Self { client, prefix, reader, partition_count })
    }

    /// Verifies one partition; once more if a record of the graph may have been compacted away while it was read.
    fn verify(&mut self, partition: i32, organization: Option<&str>) -> anyhow::Result<Vec<Verdict>> {
        let began = Instant::now();
        let verdicts = self.audit(partition, organization)?;
        let is_late = began.elapsed() >= Duration::from_millis(MIN_COMPACTION_LAG_MS);
        if is_late && verdicts.iter().any(Verdict::is_violated) {
            warn!(partition, "it took longer than the topic waits before it compacts; verifying once more");
            return self.audit(partition, organization);
        }
        Ok(verdicts)
    }

    fn audit(&mut self, partition: i32, organization: Option<&str>) -> anyhow::Result<Vec<Verdict>> {
        let mut audit = Audit::new(partition, self.partition_count, organization);
        let graph = self.read(Topic::Graph, partition, Start::Beginning, |record| {
            audit.take_graph(&record.key.unwrap_or_default(), record.value.as_deref(), record.offset);
        })?;
        audit.end_graph();
        let count = self.passes(partition)?;
        for number in 0..count {
            let slice = Slice { number, count };
            audit.begin_changes(self.is_cut(Topic::Changes, partition)?);
            self.read(Topic::Changes, partition, Start::Beginning, |record| {
                let key = record.key.unwrap_or_default();
                audit.take_change(&key, record.value.as_deref(), record.offset, slice);
            })?;
        }
        if audit.is_empty() {
            return Ok(Vec::new());
        }
        self.read(Topic::Graph, partition, Start::Offset(graph.end), |record| {
            audit.take_later_graph(&record.key.unwrap_or_default(), record.value.as_deref());
        })?;
        let is_cut = self.is_cut(Topic::Raw, partition)?;
        let reach = self.read(Topic::Raw, partition, Start::Beginning, |record| {
            let key = record.key.unwrap_or_default();
            audit.take_raw(&key, record.value.as_deref(), record.offset, is_cut);
        })?;
        info!(partition, "verified");
        Ok(audit.finish(reach))
    }

    /// How often the log is read, so that the change ids of one pass stay within bounds.
    fn passes(&mut self, partition: i32) -> anyhow::Result<u128> {
        self.reader.turn_to(&Topic::Changes.name(&self.prefix), partition, Start::Beginning)?;
        let offsets = self.reader.end_offset()? - self.reader.position();
        Ok(u128::try_from(offsets / IDS_A_PASS + 1).unwrap_or(1))
    }

    /// Whether retention has cut a partition's beginning off.
    fn is_cut(&mut self, topic: Topic, partition: i32) -> anyhow::Result<bool> {
        self.reader.turn_to(&topic.name(&self.prefix), partition, Start::Beginning)?;
        Ok(self.reader.position() > 0)
    }

    /// Reads a partition from there to its end as it is now.
    fn read(
        &mut self,
        topic: Topic,
        partition: i32,
        start: Start,
        mut take: impl FnMut(Record),
    ) -> anyhow::Result<Reach> {
        // A commit is answered before its markers are in every partition: what stood in the graph already may not be
        // readable in the log yet.
        let topic = topic.name(&self.prefix);
        settle(&self.client, &topic, partition)?;
        self.reader.turn_to(&topic, partition, start)?;
        let beginning = self.reader.position();
        let end = restore::restore(&mut self.reader, |record| {
            take(record);
            Ok::<(), std::convert::Infallible>(())
        })?;
        Ok(Reach { beginning, end })
    }
}
