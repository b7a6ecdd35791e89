//! `processor verify`: holds the topics to the laws, as an auditor who shares no code with the processor but the
//! decoding of records. A test sees to that.
//!
//! Partition by partition it reads `graph` to its end, then `changes` up to the revisions that the graph has, then
//! `raw` up to what the graph has seen of it. So it can be asked while the services run. In memory are the graph of one
//! partition, what the changes leave of it, what the raw records say of it, its deletions, the ids of its listings, and
//! a bounded number of change ids.

mod audit;
mod books;
mod columns;
mod evidence;
mod known;
mod licence;
mod log;
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
        let mut audit = Audit::new(partition, self.partition_count);
        self.read(Topic::Graph, partition, |record, _| {
            audit.take_graph(&record.key.unwrap_or_default(), record.value.as_deref(), record.offset);
        })?;
        if audit.is_empty() || organization.is_some_and(|name| !audit.keep_only(name)) {
            return Ok(Vec::new());
        }
        let count = self.passes(partition)?;
        for number in 0..count {
            let slice = Slice { number, count };
            audit.forget_ids();
            self.read(Topic::Changes, partition, |record, is_cut| {
                let key = record.key.unwrap_or_default();
                audit.take_change(&key, record.value.as_deref(), record.offset, is_cut, slice);
            })?;
        }
        let reach = self.read(Topic::Raw, partition, |record, is_cut| {
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

    /// Reads a partition to its end as it is now, and tells with each record whether its beginning has been cut off.
    fn read(
        &mut self,
        topic: Topic,
        partition: i32,
        mut take: impl FnMut(Record, bool),
    ) -> anyhow::Result<Reach> {
        // A commit is answered before its markers are in every partition: what stood in the graph already may not be
        // readable in the log yet.
        let topic = topic.name(&self.prefix);
        settle(&self.client, &topic, partition)?;
        self.reader.turn_to(&topic, partition, Start::Beginning)?;
        let beginning = self.reader.position();
        let end = restore::restore(&mut self.reader, |record| {
            take(record, beginning > 0);
            Ok::<(), std::convert::Infallible>(())
        })?;
        Ok(Reach { beginning, end })
    }
}
