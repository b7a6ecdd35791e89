//! The tasks of the partitions that a consumer group assigns to this process: how they begin, fail and end.
//!
//! A service gives [`Group::run`] the work on one partition: open it, then work until it is stopped. All else is here. Each
//! partition has a thread and a state, which `/readyz` and the metric `anthropic_graph_task_state` show:
//!
//! ```text
//! created ───▶ restoring ───▶ running
//!                ▲   │           │
//!                │   ▼           │       from restoring or running
//!              suspended ◀───────┘       ─────────────────────────▶ closed
//! ```
//!
//! | state | meaning |
//! |---|---|
//! | created | the partition is assigned; its thread has not begun |
//! | restoring | the work fences the previous owner and restores |
//! | running | the work is open: it has called [`Assigned::opened`] |
//! | suspended | fenced, or failed for now; it is reopened after a pause |
//! | closed | it is at its end, or a person must resolve something; the partition stays assigned |
//!
//! [`Error`] decides what follows a failure. A partition that is taken away is stopped in whatever state it is, and has none
//! after that.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use jiff::{SignedDuration, Timestamp};
use rdkafka::ClientConfig;
use tokio::runtime::Handle;
use tracing::{error, warn};

use self::error_policy::{Policy, Step};
use crate::admin::Health;
use crate::exit::Outcome;
use crate::kafka::cluster_admin::ClusterAdmin;
use crate::kafka::member::{Event, Member, Withdrawal};
use crate::metrics::Metrics;
use crate::shutdown::{CancellationToken, wait};

mod error_policy;

pub use self::error_policy::Error;

/// Timeout of the member's poll: decides how soon a stop or a failed task is noticed.
const MEMBER_POLL: Duration = Duration::from_millis(200);
/// How long a rebalance waits for tasks that are stopped: the sum of a transaction's bounds, less than the member's
/// `max.poll.interval.ms` of five minutes.
const CLOSE_BOUND: Duration = Duration::from_mins(4);
/// Step of that wait.
const CLOSE_STEP: Duration = Duration::from_millis(5);
/// How long the member's loop may be silent before the process is considered dead: a rebalance waits for tasks.
const HEARTBEAT_BOUND: Duration = Duration::from_mins(5);
/// How long a run until the end waits for an assignment: a member that died keeps its partitions until its session times
/// out.
const ASSIGNMENT_BOUND: Duration = Duration::from_mins(2);

/// A consumer group, and how this process works as its member.
#[derive(Clone)]
pub struct Group {
    /// Such as `processor`, for messages and the names of threads.
    pub service: &'static str,
    pub client: ClientConfig,
    pub id: String,
    /// The topic whose partitions are assigned.
    pub topic: String,
    /// Whether the work on each partition has an end. The run ends with the last one.
    pub until_end: bool,
    /// First pause before a task that failed is reopened.
    pub reopen_pause: Duration,
    pub health: Arc<Health>,
    pub metrics: Metrics,
}

/// This process's membership in its consumer group. A transaction needs it to commit offsets.
#[derive(Debug, Clone)]
pub struct Membership(Weak<Member>);

impl Membership {
    /// The member, which leaves after its tasks have ended.
    pub fn member(&self) -> Arc<Member> {
        self.0.upgrade().expect("the member leaves after its tasks have ended")
    }
}

/// How the work on a partition ended without an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// What is incomplete, one line each.
    pub incomplete: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Created,
    Restoring,
    Running,
    Suspended,
    Closed,
}

impl State {
    const NAMES: [&str; 5] = ["created", "restoring", "running", "suspended", "closed"];

    fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// A partition in the hands of this process.
pub struct Assigned {
    pub partition: i32,
    /// Canceled when the partition is taken away, or the process ends.
    pub stop: CancellationToken,
    /// Canceled, before `stop`, when the partition is lost: the next owner settles an open transaction, so its end is not
    /// waited for. This process cannot join the group again before the task has ended.
    pub lost: CancellationToken,
    pub membership: Membership,
    health: Arc<Health>,
    metrics: Metrics,
    /// Whether the work was open in this try.
    is_opened: Cell<bool>,
}

impl Assigned {
    /// The work is open from now on.
    pub fn opened(&self) {
        self.is_opened.set(true);
        self.enter(State::Running, Ok(""));
    }

    /// Shows the state, and why the process is not ready in it.
    fn enter(&self, state: State, more: Result<&str, &str>) {
        // A task that outlived its partition must not speak for the next one.
        if self.stop.is_cancelled() {
            return;
        }
        let text = |more: &str| format!("{}{more}", state.name());
        self.health.report(check_name(self.partition), more.map(text).map_err(text));
        self.metrics.set_task_state(self.partition, state.name(), &State::NAMES);
    }
}

fn check_name(partition: i32) -> String {
    format!("partition {partition}")
}

impl Group {
    /// Works on the partitions that are assigned to this process, as a member of the group, until it is stopped or, with
    /// [`Group::until_end`], all of them are closed. Blocks.
    ///
    /// Each try of `work` opens the partition's task, calls [`Assigned::opened`], and works until it is stopped or at its
    /// end. It is given what the try before it left.
    pub fn run<Left: Default + 'static>(
        &self,
        shutdown: &CancellationToken,
        work: impl Fn(&Assigned, &mut Left) -> Result<Ended, Error> + Send + Sync + 'static,
    ) -> anyhow::Result<Outcome> {
        let tasks = Arc::new(Tasks { group: self.clone(), slots: Mutex::default() });
        let closing = Arc::clone(&tasks);
        let member = Member::join(&self.client, &self.id, &self.topic, move |withdrawal, partitions| {
            if withdrawal == Withdrawal::Lost {
                closing.give_up(partitions);
            }
            for error in closing.close(partitions, CLOSE_BOUND) {
                // Nothing of it was committed; the next owner reads it again.
                warn!("the task of a partition ended: {error:#}");
            }
        })?;
        let member = Arc::new(member.watched(&self.health));
        let (work, runtime) = (Arc::new(work), Handle::current());
        let result = tasks.supervise(&member, shutdown, |assigned| {
            let (group, work, runtime) = (self.clone(), Arc::clone(&work), runtime.clone());
            thread::Builder::new()
                .name(format!("{}-{}", self.service, assigned.partition))
                .spawn(move || group.live(&assigned, &runtime, &*work))
                .expect("the system has threads to spare")
        });
        let failed = tasks.close(&tasks.partitions(), CLOSE_BOUND);
        drop(member);
        let outcome = result?;
        failed.into_iter().next().map_or(Ok(outcome), Err)
    }

    /// Works on the partition until it is over, or fails with an error that stops the process.
    fn live<Left: Default>(
        &self,
        assigned: &Assigned,
        runtime: &Handle,
        work: &impl Fn(&Assigned, &mut Left) -> Result<Ended, Error>,
    ) -> Result<Over, anyhow::Error> {
        let partition = assigned.partition;
        let mut left = Left::default();
        let mut policy = Policy::new(&self.client, self.until_end, self.reopen_pause);
        loop {
            assigned.enter(State::Restoring, Err(""));
            let result = work(assigned, &mut left);
            let is_opened = assigned.is_opened.replace(false);
            let error = match result {
                Ok(ended) => {
                    assigned.enter(State::Closed, Ok(""));
                    return Ok(Ok(ended));
                }
                Err(error) => error,
            };
            if matches!(error, Error::Fenced(_)) {
                self.metrics.count_takeover(partition);
            }
            let (step, error) = policy.follow(error, is_opened);
            let reason = format!("{error:#}");
            match step {
                Step::Stop => {
                    return Err(error.context(format!(
                        "the task of partition {partition} cannot continue without a person"
                    )));
                }
                _ if assigned.stop.is_cancelled() => {
                    // The next owner reads again what was not committed.
                    warn!(partition, "the task of partition {partition} ended: {reason}");
                    return Ok(Ok(Ended::default()));
                }
                Step::Reopen(pause) => {
                    let seconds = pause.as_secs_f32();
                    warn!(
                        partition,
                        "the task of partition {partition} is suspended: {reason}; it is reopened in {seconds:.1} s if \
                         the partition is still assigned to this process"
                    );
                    let until = Timestamp::now() + SignedDuration::try_from(pause).unwrap_or_default();
                    assigned.enter(State::Suspended, Err(&format!(" until {until:.0}: {reason}")));
                    runtime.block_on(wait(pause, &assigned.stop));
                    if assigned.stop.is_cancelled() {
                        return Ok(Ok(Ended::default()));
                    }
                }
                Step::Leave => {
                    return Ok(Ok(Ended { incomplete: vec![format!("partition {partition}: {reason}")] }));
                }
                Step::Close => {
                    error!(
                        partition,
                        reason,
                        "the partition is closed; the other partitions keep running; resolve the reason, then restart \
                         the {}",
                        self.service
                    );
                    assigned.enter(State::Closed, Err(&format!(": {reason}")));
                    return Ok(Err(reason));
                }
            }
        }
    }
}

/// At its end, or why it was closed.
type Over = Result<Ended, String>;

struct Slot {
    stop: CancellationToken,
    lost: CancellationToken,
    stage: Stage,
}

enum Stage {
    Working(JoinHandle<Result<Over, anyhow::Error>>),
    Over(Over),
}

/// The tasks of the partitions that are assigned to this process.
struct Tasks {
    group: Group,
    slots: Mutex<BTreeMap<i32, Slot>>,
}

impl Tasks {
    fn supervise(
        &self,
        member: &Arc<Member>,
        shutdown: &CancellationToken,
        begin: impl Fn(Assigned) -> JoinHandle<Result<Over, anyhow::Error>>,
    ) -> anyhow::Result<Outcome> {
        let heartbeat = self.group.health.heartbeat("consumer group", HEARTBEAT_BOUND);
        let mut last_assigned = Instant::now();
        while !shutdown.is_cancelled() {
            heartbeat.beat();
            for event in member.poll(MEMBER_POLL)? {
                let Event::Assigned(partitions) = event else { continue };
                // One that is assigned again without having been revoked must not run twice.
                let failed = self.close(&partitions, CLOSE_BOUND);
                failed.into_iter().try_for_each(Err)?;
                for partition in partitions {
                    let assigned = self.assigned(partition, member);
                    let (stop, lost) = (assigned.stop.clone(), assigned.lost.clone());
                    // Before the thread begins: the process would be ready in between.
                    assigned.enter(State::Created, Err(""));
                    self.slots()
                        .insert(partition, Slot { stop, lost, stage: Stage::Working(begin(assigned)) });
                }
            }
            self.collect()?;
            if !self.group.until_end {
                continue;
            }
            if !self.slots().is_empty() {
                last_assigned = Instant::now();
            }
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            if last_assigned.elapsed() >= ASSIGNMENT_BOUND {
                // Unreachable brokers do not assign partitions either, and then they are the reason.
                ClusterAdmin::new(&self.group.client)?.members(&self.group.id)?;
                bail!(
                    "no partition was assigned within {} s; other members of the group {} process all of them, so there \
                     is nothing to do here",
                    ASSIGNMENT_BOUND.as_secs(),
                    self.group.id
                );
            }
        }
        Ok(Outcome::Done)
    }

    fn assigned(&self, partition: i32, member: &Arc<Member>) -> Assigned {
        Assigned {
            partition,
            stop: CancellationToken::new(),
            lost: CancellationToken::new(),
            membership: Membership(Arc::downgrade(member)),
            health: Arc::clone(&self.group.health),
            metrics: self.group.metrics.clone(),
            is_opened: Cell::new(false),
        }
    }

    fn give_up(&self, partitions: &[i32]) {
        let slots = self.slots();
        for slot in partitions.iter().filter_map(|it| slots.get(it)) {
            slot.lost.cancel();
        }
    }

    /// Stops the tasks of these partitions, waits until they have ended, and forgets them. Returns what they failed with.
    fn close(&self, partitions: &[i32], bound: Duration) -> Vec<anyhow::Error> {
        let slots: Vec<(i32, Slot)> = {
            let mut slots = self.slots();
            partitions.iter().filter_map(|it| Some((*it, slots.remove(it)?))).collect()
        };
        for (_, slot) in &slots {
            slot.stop.cancel();
        }
        let deadline = Instant::now() + bound;
        let mut failed = Vec::new();
        for (partition, slot) in slots {
            if let Stage::Working(thread) = slot.stage {
                while !thread.is_finished() && Instant::now() < deadline {
                    thread::sleep(CLOSE_STEP);
                }
                if thread.is_finished() {
                    failed.extend(joined(partition, thread).err());
                } else {
                    error!(
                        partition,
                        "the task of partition {partition} did not end in time; the partition's next owner fences it"
                    );
                }
            }
            self.group.health.clear(&check_name(partition));
            self.group.metrics.forget_partition(partition, &State::NAMES);
        }
        failed
    }

    /// Notes which tasks are over. Fails if one failed.
    fn collect(&self) -> anyhow::Result<()> {
        for (partition, slot) in self.slots().iter_mut() {
            if matches!(&slot.stage, Stage::Working(thread) if thread.is_finished())
                && let Stage::Working(thread) =
                    std::mem::replace(&mut slot.stage, Stage::Over(Ok(Ended::default())))
            {
                slot.stage = Stage::Over(joined(*partition, thread)?);
            }
        }
        Ok(())
    }

    /// The outcome of a run until the end, once all of its partitions are over.
    fn outcome(&self) -> Option<anyhow::Result<Outcome>> {
        let slots = self.slots();
        let (mut incomplete, mut closed) = (Vec::new(), Vec::new());
        for (partition, slot) in slots.iter() {
            match &slot.stage {
                Stage::Working(_) => return None,
                Stage::Over(Ok(ended)) => incomplete.extend_from_slice(&ended.incomplete),
                Stage::Over(Err(reason)) => closed.push(format!("partition {partition} is closed: {reason}")),
            }
        }
        if slots.is_empty() {
            return None;
        }
        let incomplete = (!incomplete.is_empty()).then(|| format!("incomplete: {}", incomplete.join("; ")));
        if closed.is_empty() {
            return Some(Ok(incomplete.map_or(Outcome::Done, Outcome::Incomplete)));
        }
        let lines: Vec<String> = incomplete.into_iter().chain(closed).collect();
        Some(Err(anyhow!(lines.join("\n"))))
    }

    fn partitions(&self) -> Vec<i32> {
        self.slots().keys().copied().collect()
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<i32, Slot>> {
        // The map is whole between any two calls.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A task that panics leaves its partition without an owner, so the process ends with the reason.
fn joined(partition: i32, thread: JoinHandle<Result<Over, anyhow::Error>>) -> Result<Over, anyhow::Error> {
    thread.join().unwrap_or_else(|_| {
        Err(anyhow!("the task of partition {partition} panicked, which is a bug; the log says where"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, mpsc};
    use std::thread;
    use std::time::{Duration, Instant};

    use anyhow::anyhow;
    use prometheus_client::encoding::text::encode;
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;

    use super::{Ended, Error, Group, Slot, Stage, Tasks};
    use crate::exit::Outcome;
    use crate::metrics::Metrics;
    use crate::shutdown::CancellationToken;

    /// How long the group may take.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn group(bootstrap_servers: &str, until_end: bool, metrics: Metrics) -> Group {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", bootstrap_servers);
        let (id, topic) = ("group".to_owned(), "raw".to_owned());
        let (health, reopen_pause) = (Arc::default(), Duration::from_millis(500));
        Group { service: "processor", client, id, topic, until_end, reopen_pause, health, metrics }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_partition_closes_alone_and_another_is_reopened_with_what_its_last_try_left() {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("raw", 3, 1).expect("a topic");
        let (metrics, registry) = Metrics::new("processor");
        let group = group(&cluster.bootstrap_servers(), false, metrics);
        let (health, shutdown) = (Arc::clone(&group.health), CancellationToken::new());
        let stop = shutdown.clone();
        let running = tokio::task::spawn_blocking(move || {
            group.run(&stop, |assigned, tries: &mut u32| {
                *tries += 1;
                match (assigned.partition, *tries) {
                    (0, _) => return Err(Error::Closed(anyhow!("spoiled").context("the graph"))),
                    (1, 1) => return Err(Error::Reopen(anyhow!("away"))),
                    _ => assigned.opened(),
                }
                while !assigned.stop.is_cancelled() {
                    thread::sleep(Duration::from_millis(10));
                }
                Ok(Ended::default())
            })
        });
        let expected = "partition 0: closed: the graph: spoiled";
        let deadline = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        while said.last().is_none_or(|last| last != expected) {
            assert!(Instant::now() < deadline, "{said:?}");
            said.extend(health.readiness().err());
            said.dedup();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let is_reported = |text: &str| said.iter().any(|said| said.contains(text));
        assert!(is_reported("partition 1: suspended until 2") && is_reported("Z: away"), "{said:?}");
        assert_eq!(health.reports(), "partition 1: running\npartition 2: running\n");
        let mut text = String::new();
        encode(&mut text, &registry).expect("text");
        for (partition, state) in [(0, "closed"), (1, "running"), (2, "running")] {
            let line = format!("task_state{{partition=\"{partition}\",state=\"{state}\"}} 1.0");
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        shutdown.cancel();
        assert_eq!(running.await.expect("no panic").expect("no failure"), Outcome::Done);
        assert!(!health.holds("partition 1"), "it is forgotten");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_run_until_the_end_names_what_it_leaves_and_what_is_closed() {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("raw", 3, 1).expect("a topic");
        let group = group(&cluster.bootstrap_servers(), true, Metrics::default());
        let running = tokio::task::spawn_blocking(move || {
            group.run(&CancellationToken::new(), |assigned, (): &mut ()| match assigned.partition {
                0 => Err(Error::Closed(anyhow!("spoiled"))),
                1 => Err(Error::Fenced(anyhow!("another process took over"))),
                _ => Ok(Ended { incomplete: vec!["users failed".to_owned()] }),
            })
        });
        let error = running.await.expect("no panic").expect_err("a partition is closed");
        assert_eq!(
            error.to_string(),
            "incomplete: partition 1: another process took over; users failed\npartition 0 is closed: spoiled"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_task_that_panics_ends_the_process_with_its_partition_s_name() {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("raw", 3, 1).expect("a topic");
        let group = group(&cluster.bootstrap_servers(), false, Metrics::default());
        let running = tokio::task::spawn_blocking(move || {
            group.run(&CancellationToken::new(), |assigned, (): &mut ()| {
                assert_ne!(assigned.partition, 2, "as this test wants");
                Ok(Ended::default())
            })
        });
        let error = running.await.expect("no panic").expect_err("a panic");
        assert!(error.to_string().contains("partition 2 panicked"), "{error:#}");
    }

    #[test]
    fn a_task_that_does_not_end_does_not_hold_the_group_up() {
        let tasks = Tasks { group: group("127.0.0.1:1", false, Metrics::default()), slots: Mutex::default() };
        let (release, released) = mpsc::channel::<()>();
        let slot = |work: Box<dyn FnOnce() + Send>| {
            let thread = thread::spawn(move || {
                work();
                Ok(Ok(Ended::default()))
            });
            let (stop, lost) = (CancellationToken::new(), CancellationToken::new());
            Slot { stop, lost, stage: Stage::Working(thread) }
        };
        let blocked = move || {
            let _ended = released.recv();
        };
        tasks.slots().insert(0, slot(Box::new(blocked)));
        tasks.slots().insert(1, slot(Box::new(|| {})));
        let stop = tasks.slots()[&0].stop.clone();
        tasks.group.health.set("partition 0", Ok(()));
        assert!(tasks.close(&[0, 1], Duration::from_millis(50)).is_empty());
        assert!(stop.is_cancelled() && tasks.partitions().is_empty());
        assert!(!tasks.group.health.holds("partition 0"));
        drop(release);
    }
}
