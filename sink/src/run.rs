//! `sink run`: as a member of the consumer group, or once up to the end of the graph topic.

mod once;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use schemas::topics::Topic;
use service::config::Config;
use service::exit::Outcome;
use service::shutdown::CancellationToken;
use service::startup::{Options, Started, Startup};
use service::tasks::{self, Assigned, Ended, Group};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tracing::{debug, info};

use crate::needs::NEEDS;
use crate::organizations;
use crate::setup::{JOBS_AT_ONCE, Looks, Setup};
use crate::sync_topic;
use crate::target_registry::TargetRegistry;
use crate::task::{Legacy, Task, now_ms};
use graph::plan::Urgency;

/// First pause before a task is reopened: a command that takes the partition over must not be chased.
const REOPEN_PAUSE: Duration = Duration::from_secs(5);

/// Keeps JupiterOne equal to the graph topic, until the shutdown is asked for or, with [`Options::until_end`], once.
pub async fn run(config: Config, options: Options, shutdown: CancellationToken) -> anyhow::Result<Outcome> {
    if options.until_end {
        let setup = set_up_to_decide(&config, &options).await?;
        return once::run(setup, Urgency::Now, None, shutdown).await;
    }
    let Some(setup) = set_up(&config, &options, Some(&shutdown)).await? else { return Ok(Outcome::Done) };
    tokio::task::spawn_blocking(move || belong(setup, &shutdown)).await?
}

/// Works on the partitions that are assigned to this process, until the end is asked for.
fn belong(setup: Arc<Setup>, shutdown: &CancellationToken) -> anyhow::Result<Outcome> {
    let group = Group {
        service: "sink",
        client: setup.kafka.clone(),
        id: setup.group_id.clone(),
        topic: setup.graph_topic.clone(),
        until_end: false,
        reopen_pause: REOPEN_PAUSE,
        health: Arc::clone(&setup.health),
        metrics: setup.metrics.clone(),
    };
    group.run(shutdown, move |assigned, legacy| synchronize(&setup, assigned, legacy))
}

fn synchronize(setup: &Arc<Setup>, assigned: &Assigned, legacy: &mut Legacy) -> Result<Ended, tasks::Error> {
    let Assigned { partition, stop, lost, .. } = assigned;
    let Some(mut task) = Task::open(Arc::clone(setup), *partition, legacy, stop)? else {
        return Ok(Ended::default());
    };
    task.give_up_when(lost);
    assigned.opened();
    match task.organizations.len() {
        0 => debug!(partition, "restored the partition; it has no configured organization"),
        organizations => {
            info!(partition, organizations, "restored partition {partition}: {organizations} organizations");
        }
    }
    let result = task.run(stop);
    *legacy = task.close();
    result.map(|()| Ended::default())
}

/// A DIFF of one organization or of all, although nothing changed. It takes the partitions over: a sink that
/// runs at the same time is fenced with its next record and reopens its partition.
pub async fn resync(
    config: Config,
    organization: Option<String>,
    options: Options,
    shutdown: CancellationToken,
) -> anyhow::Result<Outcome> {
    let setup = set_up_to_decide(&config, &options).await?;
    once::run(setup, Urgency::Forced, organization, shutdown).await
}

/// What a command needs, which waits for nothing that does not answer.
pub(crate) async fn set_up_to_decide(config: &Config, options: &Options) -> anyhow::Result<Arc<Setup>> {
    Ok(set_up(config, options, None).await?.expect("it is never stopped"))
}

/// Everything that the tasks share. `None` if it was stopped.
async fn set_up(
    config: &Config,
    options: &Options,
    patience: Option<&CancellationToken>,
) -> anyhow::Result<Option<Arc<Setup>>> {
    let configured = organizations::all(config, &options.environment)?;
    let prefix = &config.kafka.topic_prefix;
    let (group_id, sync_topic) = (NEEDS.group_id(prefix), Topic::Sync.name(prefix));
    let startup = Startup { needs: &NEEDS, config, options, listen: config.admin_listen.sink, patience };
    let read = move |client: &ClientConfig, partitions, is_stopped: &dyn Fn() -> bool| {
        sync_topic::read_unless(client, &group_id, &sync_topic, 0..partitions, is_stopped)
            .context("failed to read the sync topic")
    };
    let Some((started, records)) = startup.start(read).await? else { return Ok(None) };
    let Started { client: kafka, group_id, partition_count: partitions, health, metrics, admin } = started;
    let targets = TargetRegistry::default();
    for sync in records.values() {
        targets.learn(sync, now_ms());
    }
    Ok(Some(Arc::new(Setup {
        kafka,
        group_id,
        graph_topic: Topic::Graph.name(prefix),
        sync_topic: Topic::Sync.name(prefix),
        partitions,
        configured,
        targets,
        health,
        metrics,
        runtime: Handle::current(),
        jobs: Arc::new(Semaphore::new(JOBS_AT_ONCE)),
        looks: Looks::default(),
        program: options.program.clone(),
        _admin: admin,
    })))
}
