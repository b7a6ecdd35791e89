//! Opening a partition's task, and again after every error that a new start may mend.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use schemas::topics::Topic;
use service::kafka::settle;
use tracing::warn;

use super::partition_name;
use crate::task::{Ended, Error, GroupMetadata, Shared, Task};

/// Pause before a task is opened again, doubled up to the bound: the brokers need time to elect leaders.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(30);
/// One part of the pause: decides how soon a stop is noticed.
const LOOK_PERIOD: Duration = Duration::from_millis(200);
/// How long a run until the end goes on while a task cannot be opened or worked on: longer than a leader election, and a
/// scheduler's next run tries again.
const GIVE_UP_AFTER: Duration = Duration::from_mins(1);

/// Works on the partition until it is stopped, has reached the end, or meets what a new start does not mend.
pub(super) fn keep_running(
    shared: &Shared,
    partition: i32,
    group: &GroupMetadata,
    stop: &AtomicBool,
) -> Result<Ended, Error> {
    let mut pause = REOPEN_PAUSE;
    let mut end = None;
    // Since when no task is open, or since the last one failed.
    let mut idle_since = None;
    loop {
        idle_since.get_or_insert_with(Instant::now);
        shared.health.set(partition_name(partition), Err("restoring".to_owned()));
        let result = Task::open(shared, partition, Arc::clone(group), stop).and_then(|mut task| {
            if shared.until_end && end.is_none() {
                settle(&shared.client, &Topic::Raw.name(&shared.prefix), partition)?;
                end = Some(task.raw_end()?);
            }
            shared.health.set(partition_name(partition), Ok(()));
            shared.metrics.set_closed(partition, false);
            pause = REOPEN_PAUSE;
            idle_since = None;
            task.run(stop, end)
        });
        match result {
            Err(Error::Reopen(error)) if !stop.load(Ordering::Relaxed) => {
                if shared.until_end && idle_since.get_or_insert_with(Instant::now).elapsed() >= GIVE_UP_AFTER
                {
                    return Err(Error::Fatal(error));
                }
                let error = format!("{:#}", anyhow!(error));
                warn!(partition, error, "the task is opened again");
                shared.health.set(partition_name(partition), Err(error));
                wait(pause, stop);
                pause = (pause * 2).min(REOPEN_PAUSE_MAX);
            }
            Err(Error::Stopped) => return Ok(Ended { incomplete: Vec::new() }),
            other => return other,
        }
    }
}

fn wait(pause: Duration, stop: &AtomicBool) {
    let until = Instant::now() + pause;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        thread::sleep(LOOK_PERIOD.min(pause));
    }
}
