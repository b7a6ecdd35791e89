//! As a member of the consumer group: a task on a thread of its own for each partition that is assigned.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use service::exit::Outcome;
use service::kafka::member::{Event, Member};
use service::shutdown::{Shutdown, ShutdownTrigger, shutdown};
use tracing::{debug, error, info, warn};

use super::pause;
use crate::setup::Setup;
use crate::task::{Legacy, Task, TaskError};

/// One wait for news of the group: how soon the end is noticed.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
/// Pause before a partition is opened anew: Kafka was away.
const REOPEN_PAUSE: Duration = Duration::from_secs(5);
/// Pause before a partition is taken back from a sink that took it over: a `sink resync` is done by then, and two
/// that both think it theirs must not chase each other.
const FENCED_PAUSE: Duration = Duration::from_secs(10);

/// Runs until the end is asked for, or a task cannot go on.
pub(super) async fn run(setup: Arc<Setup>, shutdown: Shutdown) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || serve(&setup, &shutdown)).await??;
    Ok(Outcome::Done)
}

fn serve(setup: &Arc<Setup>, shutdown: &Shutdown) -> anyhow::Result<()> {
    let tasks = Arc::<Tasks>::default();
    let closing = Arc::clone(&tasks);
    let member = Member::join(&setup.kafka, &setup.group_id, &setup.graph_topic, move |_, partitions| {
        closing.close(partitions);
    })
    .context("failed to join the consumer group")?
    .watched(&setup.health);
    let mut result = Ok(());
    while result.is_ok() && !shutdown.is_requested() {
        match member.poll(POLL_TIMEOUT) {
            Ok(events) => {
                for event in events {
                    if let Event::Assigned(partitions) = event {
                        tasks.open(setup, &partitions);
                    }
                }
                result = tasks.failure().map_or(Ok(()), |error| Err(error.into()));
            }
            Err(error) => result = Err(error.into()),
        }
    }
    // All at once first: each takes its bound to give its jobs up.
    tasks.ask_all();
    member.close();
    tasks.close_all();
    result
}

/// The tasks that run, by partition.
#[derive(Default)]
struct Tasks {
    running: Mutex<BTreeMap<i32, Running>>,
    failure: Arc<Mutex<Option<TaskError>>>,
}

struct Running {
    trigger: ShutdownTrigger,
    thread: JoinHandle<()>,
}

impl Tasks {
    fn open(&self, setup: &Arc<Setup>, partitions: &[i32]) {
        // One that is assigned anew without having been revoked must not run twice.
        self.close(partitions);
        for &partition in partitions {
            let (trigger, shutdown) = shutdown();
            let (setup, failure) = (Arc::clone(setup), Arc::clone(&self.failure));
            let thread = thread::Builder::new()
                .name(format!("sink-{partition}"))
                .spawn(move || {
                    let supervised = || supervise(&setup, partition, &shutdown);
                    if let Err(error) = whole(partition, supervised) {
                        lock(&failure).get_or_insert(error);
                    }
                })
                .expect("the system has a thread left");
            lock(&self.running).insert(partition, Running { trigger, thread });
        }
    }

    fn close(&self, partitions: &[i32]) {
        let closing: Vec<Running> = {
            let mut running = lock(&self.running);
            partitions.iter().filter_map(|partition| running.remove(partition)).collect()
        };
        for task in &closing {
            task.trigger.ask();
        }
        for task in closing {
            // Panics were caught.
            let _ = task.thread.join();
        }
    }

    fn ask_all(&self) {
        lock(&self.running).values().for_each(|task| task.trigger.ask());
    }

    fn close_all(&self) {
        let all: Vec<i32> = lock(&self.running).keys().copied().collect();
        self.close(&all);
    }

    fn failure(&self) -> Option<TaskError> {
        lock(&self.failure).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is whole between any two calls.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A task that panics leaves its partition without an owner, so the process ends with the reason.
fn whole(partition: i32, task: impl FnOnce() -> Result<(), TaskError>) -> Result<(), TaskError> {
    panic::catch_unwind(AssertUnwindSafe(task)).unwrap_or_else(|_| {
        let source = anyhow::anyhow!("its task panicked, which is a bug; the log says where");
        Err(TaskError::Fatal { partition, source })
    })
}

/// Opens the partition's task, and opens it again whenever Kafka wants it opened anew. A partition that needs a person
/// stays closed until it is revoked: the next member would meet the same state.
fn supervise(setup: &Arc<Setup>, partition: i32, shutdown: &Shutdown) -> Result<(), TaskError> {
    let check = format!("partition {partition}");
    setup.health.set(&check, Err("restoring".to_owned()));
    let mut legacy = Legacy::default();
    while !shutdown.is_requested() {
        let result = match Task::open(Arc::clone(setup), partition, &mut legacy, shutdown) {
            Ok(None) => break,
            Ok(Some(mut task)) => {
                setup.health.set(&check, Ok(()));
                setup.metrics.set_closed(partition, false);
                match task.organizations.len() {
                    0 => debug!(partition, "restored; it has no configured organization"),
                    organizations => info!(partition, organizations, "restored"),
                }
                let result = task.run(shutdown);
                legacy = task.close();
                result
            }
            Err(error) => Err(error),
        };
        let rest = match result {
            Ok(()) => break,
            Err(error @ TaskError::Fatal { .. }) => return Err(error),
            Err(TaskError::Closed { source, .. }) => {
                let reason = format!("{source:#}");
                error!(
                    partition,
                    reason,
                    "the partition is closed; the other partitions keep running; resolve the reason, then restart the \
                     sink"
                );
                setup.health.set(&check, Err(format!("closed: {reason}")));
                setup.metrics.set_closed(partition, true);
                setup.runtime.block_on(shutdown.requested());
                break;
            }
            Err(error @ TaskError::Fenced(_)) => {
                setup.metrics.count_takeover(partition);
                let waits = format!("{error}; it is taken back in {} s", FENCED_PAUSE.as_secs());
                warn!(partition, "{waits}");
                setup.health.set(&check, Err(waits));
                FENCED_PAUSE
            }
            Err(error @ TaskError::Reopen { .. }) => {
                let error = anyhow::Error::from(error);
                warn!(partition, "{error:#}");
                setup.health.set(&check, Err(format!("{error:#}")));
                REOPEN_PAUSE
            }
        };
        pause(&setup.runtime, shutdown, rest);
    }
    setup.health.clear(&check);
    setup.metrics.forget_partition(partition);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{TaskError, whole};

    #[test]
    fn a_task_that_panics_ends_the_process_with_its_partition_s_name() {
        let panicked = whole(7, || panic!("a bug"));
        assert!(matches!(panicked, Err(TaskError::Fatal { partition: 7, .. })), "{panicked:?}");
        assert!(whole(7, || Ok(())).is_ok());
    }
}
