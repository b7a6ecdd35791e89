//! `anthropic-graph verify`: holds the topics to the laws, as an auditor that shares no code with the processor but the
//! decoding of records: this crate depends on nothing else of it.
//!
//! Partition by partition it reads `graph` to its end, then `changes` up to the revisions that the graph has, then
//! `graph` on, which has to come as far as `changes` had, then the dead letters, then `raw` up to what the graph has seen
//! of it. So it can be asked while the services run. Each topic is read once, and `changes` a second time only where two
//! changes seem to have one id.
//!
//! In memory are the elements of one partition as they are encoded, once where graph, changes and raw have the same. In
//! addition there are about 50 bytes for each change that raw can still mention, 150 for each resource of the newest listings,
//! sixteen for each listing in raw, eight for each change and eight for each dead letter.
//!
//! # Layout
//!
//! - what is read: `graph_topic`, `changes_topic`, `raw_topic`, `dead_letters`, `usable_records` (which raw records
//!   count); `elements`: kept once, encoded; `partition`: one partition without a broker
//! - what should be there: `reference_mapping`, `expected_graph`
//! - the laws between them: `coverage_claims`, `coverage_check`, `polls`, `deletions`, `holds`, `history`, `windows`,
//!   `notices`, `change_ids`, `envelope`; `diff` and `change_summary`: what they compare
//! - `organization`: one organization; `audit`: one partition; `verdict`: what is found; `print`: how it is shown

mod audit;
mod change_ids;
mod change_summary;
mod changes_topic;
mod coverage_check;
mod coverage_claims;
mod dead_letters;
mod deletions;
mod diff;
mod elements;
mod envelope;
mod expected_graph;
mod graph_topic;
mod history;
mod holds;
mod notices;
mod organization;
mod partition;
mod polls;
mod print;
mod raw_topic;
mod reference_mapping;
mod usable_records;
mod verdict;
mod windows;

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use schemas::topics::{MIN_COMPACTION_LAG_MS, Topic};
use service::{
    config::{Config, environment, parse_prefix},
    exit::{Outcome, UsageError},
    kafka::{
        NewerRecord, check_known,
        client::Log,
        client_config,
        cluster_admin::ClusterAdmin,
        partition::{Message, PartitionReader, Start, with_short_fetch_wait},
        restore,
        topics::{self, Broker, Wanted},
        wait_for_commits::wait_for_commits,
    },
};
use tracing::{info, warn};

use audit::Audit;
use expected_graph::Reach;
use raw_topic::observed_ts_ms;

pub use partition::Partition;
pub use verdict::{Law, Tally, Verdict, Violation};

/// The audited topics and their source; nothing else is read.
const JUDGED: [Topic; 3] = [Topic::Changes, Topic::Graph, Topic::DeadLetters];
const SOURCE: [Topic; 1] = [Topic::Raw];
/// Of raw records that are asked when raw begins (count): the clock of one may be wrong.
const FIRST_RECORDS: usize = 100;
/// How long the broker may take to say where a partition ends.
const QUERY_TIMEOUT: Duration = Duration::from_secs(8);

#[derive(Debug, Clone)]
pub struct Options {
    /// Only this organization, by its configured name or its ID.
    pub organization: Option<String>,
    /// Changes and graph are those that a replay wrote under this prefix; raw stays the configured one.
    pub replayed: Option<String>,
    pub json: bool,
}

/// Verifies, and prints what was found.
pub async fn verify(config: Config, options: Options) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        let client = with_short_fetch_wait(&client_config(&config.kafka, &environment())?);
        let mut topics = Topics::open(client, &config, options.replayed.as_deref())?;
        let mut verdicts = Vec::new();
        for partition in 0..topics.partition_count {
            verdicts.extend(topics.verify(partition, options.organization.as_deref())?);
        }
        if let Some(name) = options.organization.as_ref().filter(|_| verdicts.is_empty()) {
            config.organization(name)?;
        }
        print::print(&verdicts, topics.dead_letters_without_organization, options.json)?;
        Ok(match options.organization {
            _ if verdicts.iter().any(Verdict::is_violated) => Outcome::Failed,
            Some(name) if verdicts.is_empty() => {
                let prefix = &topics.judged_prefix;
                let line = format!("incomplete: the topics of {prefix:?} do not contain {name}");
                Outcome::Incomplete(line)
            }
            _ => Outcome::Done,
        })
    })
    .await
    .context("the verifying thread ended")?
}

struct Topics {
    client: ClientConfig,
    /// Begins the name of the raw topic, and those of the other two.
    raw_prefix: String,
    judged_prefix: String,
    reader: PartitionReader,
    /// Sees what open transactions have written too.
    uncommitted: BaseConsumer<Log>,
    partition_count: i32,
    /// Dead letters in partitions without an organization, which no verdict has (count).
    dead_letters_without_organization: usize,
}

impl Topics {
    fn open(client: ClientConfig, config: &Config, replayed: Option<&str>) -> anyhow::Result<Self> {
        let raw_prefix = config.kafka.topic_prefix.clone();
        let judged_prefix = replayed.map_or_else(|| raw_prefix.clone(), str::to_owned);
        if let Some(prefix) = replayed {
            ensure_replayed(&client, prefix)?;
        }
        let ensure = |topics: &[Topic], prefix: &str| {
            let wanted = Wanted { create: false, prefix, ..Wanted::of(config, topics, Broker::Kafka) };
            topics::ensure(&client, &wanted).map_err(|error| match error {
                topics::Error::Missing { .. } if config.kafka.create_topics => {
                    anyhow!("not all topics of {prefix} exist; `processor run` creates the missing ones")
                }
                error => error.into(),
            })
        };
        let (source, partition_count) = (ensure(&SOURCE, &raw_prefix)?, ensure(&JUDGED, &judged_prefix)?);
        if source != partition_count {
            bail!("{judged_prefix:?} has {partition_count} partitions and the raw topic has {source}");
        }
        let (group, graph) = (format!("{raw_prefix}.verify"), Topic::Graph.name(&judged_prefix));
        let reader = PartitionReader::open(&client, &group, &graph, 0, Start::Beginning)?;
        let mut unbound = client.clone();
        unbound.set("isolation.level", "read_uncommitted");
        let uncommitted = unbound.create_with_context(Log).context("cannot create a consumer")?;
        Ok(Self {
            client,
            raw_prefix,
            judged_prefix,
            reader,
            uncommitted,
            partition_count,
            dead_letters_without_organization: 0,
        })
    }

    /// Verifies one partition; once more if a record of the graph may have been compacted away while it was read.
    fn verify(&mut self, partition: i32, organization: Option<&str>) -> anyhow::Result<Vec<Verdict>> {
        let began = Instant::now();
        let verdicts = self.audit(partition, organization)?;
        let is_late = began.elapsed() >= Duration::from_millis(MIN_COMPACTION_LAG_MS);
        if is_late && verdicts.iter().any(Verdict::is_violated) {
            warn!(
                partition,
                "verifying the partition again: the audit took longer than the compaction lag of \
                              the graph topic"
            );
            return self.audit(partition, organization);
        }
        Ok(verdicts)
    }

    fn audit(&mut self, partition: i32, organization: Option<&str>) -> anyhow::Result<Vec<Verdict>> {
        let raw_since = self.raw_since(partition)?;
        let mut audit = Audit::new(partition, self.partition_count, organization, raw_since);
        let graph = self.read(Topic::Graph, partition, Start::Beginning, |record| {
            audit.take_graph(record.key.unwrap_or_default(), record.value, record.offset);
        })?;
        audit.end_graph();
        audit.begin_changes(self.is_cut(Topic::Changes, partition)?);
        self.read(Topic::Changes, partition, Start::Beginning, |record| {
            audit.take_change(record.key.unwrap_or_default(), record.value, record.offset);
        })?;
        let is_raw_cut = self.is_cut(Topic::Raw, partition)?;
        if audit.end_changes(is_raw_cut) {
            self.read(Topic::Changes, partition, Start::Beginning, |record| {
                audit.take_id(record.key.unwrap_or_default(), record.value, record.offset);
            })?;
        }
        if audit.is_empty() {
            if organization.is_none() {
                let mut letters = 0;
                self.read(Topic::DeadLetters, partition, Start::Beginning, |_| letters += 1)?;
                self.dead_letters_without_organization += letters;
            }
            return Ok(Vec::new());
        }
        self.read(Topic::Graph, partition, Start::Offset(graph.end), |record| {
            audit.take_later_graph(record.key.unwrap_or_default(), record.value);
        })?;
        audit.begin_letters(self.is_cut(Topic::DeadLetters, partition)?);
        self.read(Topic::DeadLetters, partition, Start::Beginning, |record| {
            audit.take_letter(&record.headers());
        })?;
        let reach = self.read(Topic::Raw, partition, Start::Beginning, |record| {
            audit.take_raw(record.key.unwrap_or_default(), record.value, record.offset, is_raw_cut);
        })?;
        info!(partition, "verified partition {partition}");
        Ok(audit.finish(reach))
    }

    /// When the first raw records were observed, if retention has cut what was before them (ms since 1970).
    fn raw_since(&mut self, partition: i32) -> anyhow::Result<Option<i64>> {
        if !self.is_cut(Topic::Raw, partition)? {
            return Ok(None);
        }
        let mut since: Option<i64> = None;
        for _ in 0..FIRST_RECORDS {
            let Some(record) = self.reader.next(QUERY_TIMEOUT)? else { break };
            let observed = observed_ts_ms(record.value.as_deref());
            since = since.into_iter().chain(observed).min();
        }
        Ok(since)
    }

    /// Whether retention has cut a partition's beginning off.
    fn is_cut(&mut self, topic: Topic, partition: i32) -> anyhow::Result<bool> {
        self.reader.turn_to(&self.name(topic), partition, Start::Beginning)?;
        Ok(self.reader.position() > 0)
    }

    /// Reads a partition from there to its end as it is now.
    fn read(
        &mut self,
        topic: Topic,
        partition: i32,
        start: Start,
        mut take: impl FnMut(Message<'_>),
    ) -> anyhow::Result<Reach> {
        let name = self.name(topic);
        let written = self.settled(topic, partition)?;
        self.reader.turn_to(&name, partition, start)?;
        if self.reader.end_offset()? < written {
            bail!(
                "a transaction in {name} partition {partition} stays open, and the records after it cannot be \
                 read; run verify again once it has ended"
            );
        }
        let beginning = self.reader.position();
        // What a newer version wrote would look like a violation.
        let end = restore::restore(&mut self.reader, |record| {
            check_known(&name, partition, record)?;
            take(record);
            Ok::<(), NewerRecord>(())
        })?;
        Ok(Reach { beginning, end })
    }

    /// Waits until what is written to the partition now can be read, and returns where it ends.
    ///
    /// A commit is answered before its markers are in every partition: what stood in the graph already may not be
    /// readable in the log yet. Of raw, the graph has only what could be read before.
    fn settled(&self, topic: Topic, partition: i32) -> anyhow::Result<i64> {
        if topic == Topic::Raw {
            return Ok(0);
        }
        let name = self.name(topic);
        let (_, written) = self
            .uncommitted
            .fetch_watermarks(&name, partition, QUERY_TIMEOUT)
            .with_context(|| format!("no broker said where {name} partition {partition} ends"))?;
        wait_for_commits(&self.client, &name, partition)?;
        Ok(written)
    }

    fn name(&self, topic: Topic) -> String {
        topic.name(if topic == Topic::Raw { &self.raw_prefix } else { &self.judged_prefix })
    }
}

/// Sees that a replay has written under that prefix.
fn ensure_replayed(client: &ClientConfig, prefix: &str) -> anyhow::Result<()> {
    parse_prefix(prefix).map_err(|error| UsageError(format!("--replayed: {prefix:?} {error}")))?;
    let cluster = ClusterAdmin::new(client)?;
    for topic in JUDGED {
        let name = topic.name(prefix);
        if cluster.partition_count(&name)?.is_none() {
            let error = format!(
                "--replayed: the topic {name} does not exist; create it with `anthropic-graph replay --from \
                 earliest --into {prefix}`"
            );
            return Err(UsageError(error).into());
        }
    }
    Ok(())
}
