//! `processor run`: a member of the consumer group, and a thread for each assigned partition.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use schemas::topics::Topic;
use service::{
    config::Config,
    exit::Outcome,
    kafka::wait_for_commits,
    shutdown::CancellationToken,
    startup::{Options, Started, Startup},
    stdout,
    tasks::{self, Assigned, Ended},
};
use tracing::info;

use crate::needs::NEEDS;
use crate::task::{Shared, Task};

/// First pause before a task is reopened: most leader elections are short.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// Runs the processor until it is stopped or, with [`Options::until_end`], reaches the end.
pub async fn run(config: Config, options: Options, shutdown: CancellationToken) -> anyhow::Result<Outcome> {
    let until_end = options.until_end;
    let startup = Startup {
        needs: &NEEDS,
        config: &config,
        options: &options,
        listen: config.admin_listen.processor,
        patience: (!until_end).then_some(&shutdown),
    };
    let Some((started, ())) = startup.start(|_, _, _| Ok(Some(()))).await? else { return Ok(Outcome::Done) };
    let prefix = config.kafka.topic_prefix;
    let Started { client, group_id, partition_count, health, metrics, admin: _admin } = started;
    let shared = Shared { client, group_id, prefix, partition_count, until_end, metrics, health };
    tokio::task::spawn_blocking(move || supervise(shared, &shutdown))
        .await
        .context("the processor's thread ended")?
}

fn supervise(shared: Shared, shutdown: &CancellationToken) -> anyhow::Result<Outcome> {
    let (raw, until_end) = (Topic::Raw.name(&shared.prefix), shared.until_end);
    let group = tasks::Group {
        service: "processor",
        client: shared.client.clone(),
        id: shared.group_id.clone(),
        topic: raw.clone(),
        until_end,
        reopen_pause: REOPEN_PAUSE,
        health: Arc::clone(&shared.health),
        metrics: shared.metrics.clone(),
    };
    let outcome = group.run(shutdown, move |assigned, end| process(&shared, assigned, end))?;
    if shutdown.is_cancelled() {
        info!("the processor stopped; complete listings were committed");
    }
    if until_end && outcome == Outcome::Done {
        let done = !shutdown.is_cancelled();
        let what = if done { "processed up to its end" } else { "stopped before its end; run again" };
        stdout::print([format!("{raw}: {what}")])?;
    }
    Ok(outcome)
}

/// Processes the partition until it is stopped or, in a run until the end, up to the end that it had when its first task
/// was open.
fn process(shared: &Shared, assigned: &Assigned, end: &mut Option<i64>) -> Result<Ended, tasks::Error> {
    let Assigned { partition, stop, .. } = assigned;
    let raw = Topic::Raw.name(&shared.prefix);
    if *partition >= shared.partition_count {
        return Err(tasks::Error::Fatal(anyhow!(
            "the topic {raw} has grown to more than {} partitions, which would split the history of organizations; set a \
             new kafka.topic_prefix and poll again",
            shared.partition_count
        )));
    }
    let Some(mut task) = Task::open(shared, assigned)? else {
        return Ok(Ended::default());
    };
    if shared.until_end && end.is_none() {
        wait_for_commits(&shared.client, &raw, *partition)?;
        *end = Some(task.raw_end()?);
    }
    assigned.opened();
    task.run(stop, *end)
}
