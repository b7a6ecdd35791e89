//! `processor run`: a member of the consumer group and a thread for each partition it has.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use rdkafka::ClientConfig;
use schemas::topics::Topic;
use service::{
    admin::{self, Health},
    config::{Config, environment},
    exit::Outcome,
    kafka::{
        client_config,
        member::{Event, Member, SESSION_TIMEOUT},
        partition::hurried,
        topics::{self, Broker, Wanted},
        upkeep::Upkeep,
    },
    metrics::Metrics,
    shutdown::Shutdown,
};
use tracing::{error, info, warn};

mod reopen;

use reopen::keep_running;

use crate::task::{self, Ended, GroupMetadata, Shared};

/// The topics that the processor reads and writes.
pub(crate) const TOPICS: [Topic; 4] = [Topic::Raw, Topic::Changes, Topic::Graph, Topic::DeadLetters];

/// One turn of the member's poll: decides how soon a stop or a failed task is noticed.
const MEMBER_POLL: Duration = Duration::from_millis(200);
/// How long the member's loop may be silent before the process counts as dead: a rebalance waits for transactions.
const HEARTBEAT_BOUND: Duration = Duration::from_mins(3);
/// How long after it was fenced a partition is taken back that is still assigned to this process, beyond the session's
/// timeout: one that another member took over is revoked by then, so it was the coordinator, for a transaction that took
/// too long, or a command that is done by then.
const FENCED_PAUSE: Duration = Duration::from_secs(5);
/// How long a run until the end waits for an assignment: a member that died is missed only after its session's timeout.
const ASSIGNMENT_BOUND: Duration = Duration::from_mins(2);

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// End at the end of the raw topic as it is at the start.
    pub until_end: bool,
    /// What broker it is.
    pub broker: Broker,
}

/// The topics that the processor wants.
pub(crate) fn wanted(config: &Config, broker: Broker) -> Wanted<'_> {
    Wanted { must_see_settings: true, ..Wanted::of(config, &TOPICS, broker) }
}

/// Runs the processor until it is asked to end, or has reached the end.
pub async fn run(config: Config, options: Options, shutdown: Shutdown) -> anyhow::Result<Outcome> {
    let mut client = client_config(&config.kafka, &environment())?;
    if options.until_end {
        client = hurried(&client);
    }
    let (metrics, registry) = Metrics::new("processor");
    let health = Arc::new(Health::default());
    health.set("kafka", Err("not reached yet".to_owned()));
    // A run until the end is over before anybody asks, and works beside a service that has the address.
    let listen = config.admin_listen.processor.filter(|_| !options.until_end);
    let _admin = admin::serve(listen, Arc::clone(&health), Arc::new(registry)).await?;
    tokio::task::spawn_blocking(move || {
        let Some(partition_count) = reach(&config, &client, options, &health, &shutdown)? else {
            return Ok(Outcome::Done);
        };
        let group_id = format!("{}.processor", config.kafka.topic_prefix);
        let prefix = config.kafka.topic_prefix;
        let until_end = options.until_end;
        let shared = Shared { client, group_id, prefix, partition_count, until_end, metrics, health };
        supervise(&Arc::new(shared), &shutdown)
    })
    .await
    .context("the processor's thread ended")?
}

/// Makes or verifies the topics; only a run without an end waits for brokers that do not answer yet. `None`: asked to
/// end meanwhile.
fn reach(
    config: &Config,
    client: &ClientConfig,
    options: Options,
    health: &Health,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<i32>> {
    let wanted = wanted(config, options.broker);
    let reached = if options.until_end {
        Some(topics::ensure(client, &wanted)?)
    } else {
        topics::ensure_patiently(client, &wanted, health, shutdown)?
    };
    if reached.is_some() {
        health.set("kafka", Ok(()));
    }
    Ok(reached)
}

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Ended, task::Error>>,
}

/// The threads by partition.
#[derive(Clone, Default)]
struct Threads(Arc<Mutex<BTreeMap<i32, Running>>>);

impl Threads {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Running>> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }

    /// Stops the tasks of these partitions and waits for them: what they have whole they commit.
    fn close(&self, partitions: &[i32]) -> Vec<Result<Ended, task::Error>> {
        let running: Vec<Running> = {
            let mut threads = self.lock();
            partitions.iter().filter_map(|partition| threads.remove(partition)).collect()
        };
        for task in &running {
            task.stop.store(true, Ordering::Relaxed);
        }
        running.into_iter().map(|task| task.thread.join().expect("a task's thread does not panic")).collect()
    }

    /// Takes the tasks that ended by themselves.
    fn ended(&self) -> Vec<(i32, Result<Ended, task::Error>)> {
        let mut threads = self.lock();
        let ended: Vec<i32> =
            threads.iter().filter(|(_, task)| task.thread.is_finished()).map(|(it, _)| *it).collect();
        ended
            .into_iter()
            .filter_map(|partition| Some((partition, threads.remove(&partition)?)))
            .map(|(partition, task)| (partition, task.thread.join().expect("a task's thread does not panic")))
            .collect()
    }

    fn partitions(&self) -> Vec<i32> {
        self.lock().keys().copied().collect()
    }
}

fn supervise(shared: &Arc<Shared>, shutdown: &Shutdown) -> anyhow::Result<Outcome> {
    let threads = Threads::default();
    let closing = threads.clone();
    let health = Arc::clone(&shared.health);
    let metrics = shared.metrics.clone();
    let raw = Topic::Raw.name(&shared.prefix);
    let member = Member::join(&shared.client, &shared.group_id, &raw, move |_, partitions| {
        for ended in closing.close(partitions) {
            if let Err(error) = ended {
                // Nothing of it was committed; the next owner reads it again.
                warn!("a task ended: {:#}", anyhow!(error));
            }
        }
        for partition in partitions {
            health.clear(&partition_name(*partition));
            metrics.forget_partition(*partition);
        }
    })?
    .watched(&shared.health);
    let mut supervisor = Supervisor {
        shared: Arc::clone(shared),
        member: Arc::new(member),
        threads: threads.clone(),
        ended: BTreeMap::new(),
        fenced: BTreeMap::new(),
        closed: BTreeMap::new(),
        assigned: BTreeSet::new(),
    };
    let result = supervisor.work(shutdown);
    let closed = threads.close(&threads.partitions());
    drop(supervisor);
    let outcome = result?;
    for error in closed.into_iter().filter_map(Result::err) {
        match error {
            error @ task::Error::Fatal(_) => return Err(error.into()),
            // What was not committed is read again by whoever comes next.
            error => warn!("a task ended: {:#}", anyhow!(error)),
        }
    }
    Ok(outcome)
}

fn fenced_pause(client: &ClientConfig) -> Duration {
    let configured = client.get("session.timeout.ms").and_then(|text| text.parse().ok());
    configured.map_or(SESSION_TIMEOUT, Duration::from_millis) + FENCED_PAUSE
}

fn partition_name(partition: i32) -> String {
    format!("partition {partition}")
}

struct Supervisor {
    shared: Arc<Shared>,
    member: Arc<Member>,
    threads: Threads,
    /// Tasks that reached the end, by partition.
    ended: BTreeMap<i32, Ended>,
    /// Tasks that were fenced, by partition.
    fenced: BTreeMap<i32, Instant>,
    /// Why tasks were closed that need a person, by partition. They stay assigned: the next member would meet the same
    /// state.
    closed: BTreeMap<i32, String>,
    assigned: BTreeSet<i32>,
}

impl Supervisor {
    fn work(&mut self, shutdown: &Shutdown) -> anyhow::Result<Outcome> {
        let heartbeat = self.shared.health.heartbeat("consumer group", HEARTBEAT_BOUND);
        let mut last_assigned = Instant::now();
        while !shutdown.is_requested() {
            heartbeat.beat();
            for event in self.member.poll(MEMBER_POLL)? {
                match event {
                    Event::Assigned(partitions) => {
                        partitions.into_iter().try_for_each(|it| self.start(it))?;
                    }
                    Event::Revoked(partitions) | Event::Lost(partitions) => {
                        self.assigned.retain(|partition| !partitions.contains(partition));
                        self.ended.retain(|partition, _| !partitions.contains(partition));
                        self.fenced.retain(|partition, _| !partitions.contains(partition));
                        self.closed.retain(|partition, _| !partitions.contains(partition));
                    }
                }
            }
            self.collect()?;
            self.take_back()?;
            if self.shared.until_end {
                if !self.assigned.is_empty() && self.assigned.iter().all(|it| self.is_over(*it)) {
                    return self.outcome();
                }
                if !self.assigned.is_empty() {
                    last_assigned = Instant::now();
                } else if last_assigned.elapsed() >= ASSIGNMENT_BOUND {
                    // Brokers that are away assign nothing either, and then they are the reason.
                    Upkeep::new(&self.shared.client)?.members(&self.shared.group_id)?;
                    bail!(
                        "no partition was assigned within {} s; other members of the group {} have all of them, \
                         and work on them: there is nothing to do here",
                        ASSIGNMENT_BOUND.as_secs(),
                        self.shared.group_id
                    );
                }
            }
        }
        info!("ends; what is whole is committed");
        Ok(Outcome::Done)
    }

    fn start(&mut self, partition: i32) -> anyhow::Result<()> {
        if partition >= self.shared.partition_count {
            bail!(
                "the topic {} has grown to more than {} partitions, which would split the history of organizations; \
                 give the topics a new prefix (kafka.topic_prefix) and poll again",
                Topic::Raw.name(&self.shared.prefix),
                self.shared.partition_count
            );
        }
        self.assigned.insert(partition);
        self.ended.remove(&partition);
        self.closed.remove(&partition);
        let stop = Arc::new(AtomicBool::new(false));
        let member = Arc::downgrade(&self.member);
        let group: GroupMetadata = Arc::new(move || {
            member.upgrade().expect("tasks are closed before the member leaves").group_metadata()
        });
        let (shared, stopping) = (Arc::clone(&self.shared), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name(format!("task-{partition}"))
            .spawn(move || keep_running(&shared, partition, &group, &stopping))
            .expect("the system has threads to spare");
        self.threads.lock().insert(partition, Running { stop, thread });
        Ok(())
    }

    /// Opens the tasks anew that were fenced and whose partitions nobody took.
    fn take_back(&mut self) -> anyhow::Result<()> {
        let pause = fenced_pause(&self.shared.client);
        let is_due = |fenced: &Instant| !self.shared.until_end && fenced.elapsed() >= pause;
        let due: Vec<i32> = self.fenced.iter().filter(|(_, it)| is_due(it)).map(|(it, _)| *it).collect();
        for partition in due {
            self.fenced.remove(&partition);
            warn!(partition, "still assigned to this process; the task is opened again");
            self.start(partition)?;
        }
        Ok(())
    }

    fn collect(&mut self) -> anyhow::Result<()> {
        for (partition, result) in self.threads.ended() {
            match result {
                Ok(ended) => {
                    self.ended.insert(partition, ended);
                }
                Err(error @ (task::Error::Fenced(_) | task::Error::Late { .. })) => {
                    let reason = match &error {
                        task::Error::Late { .. } => error.to_string(),
                        _ => "another process took over; waiting for the next assignment".to_owned(),
                    };
                    error!(partition, "{:#}", anyhow!(error));
                    self.fenced.insert(partition, Instant::now());
                    // A run until the end does not wait for what another process has.
                    let incomplete = vec![format!("partition {partition}: {reason}")];
                    self.shared.health.set(partition_name(partition), Err(reason));
                    self.ended.insert(partition, Ended { incomplete });
                }
                Err(task::Error::Closed(error)) => self.close(partition, format!("{:#}", anyhow!(error))),
                Err(error) => {
                    return Err(anyhow!(error).context(format!("the task of partition {partition} failed")));
                }
            }
        }
        Ok(())
    }

    /// Leaves a partition closed, and says so.
    fn close(&mut self, partition: i32, reason: String) {
        error!(
            partition,
            reason,
            "the partition is closed; the other partitions keep running; resolve the reason, then restart the processor"
        );
        self.shared.health.set(partition_name(partition), Err(format!("closed: {reason}")));
        self.shared.metrics.set_closed(partition, true);
        self.closed.insert(partition, reason);
    }

    /// Whether a run until the end has nothing left to do in the partition.
    fn is_over(&self, partition: i32) -> bool {
        self.ended.contains_key(&partition) || self.closed.contains_key(&partition)
    }

    /// How a run until the end went.
    fn outcome(&self) -> anyhow::Result<Outcome> {
        let lines: Vec<&str> =
            self.ended.values().flat_map(|ended| ended.incomplete.iter().map(String::as_str)).collect();
        let incomplete = (!lines.is_empty()).then(|| format!("incomplete: {}", lines.join("; ")));
        if !self.closed.is_empty() {
            let closed = self.closed.iter().map(|(it, reason)| format!("partition {it} is closed: {reason}"));
            let lines: Vec<String> = incomplete.into_iter().chain(closed).collect();
            bail!(lines.join("\n"));
        }
        Ok(incomplete.map_or(Outcome::Done, Outcome::Incomplete))
    }
}
