//! `producer run`: a member of the consumer group, and a loop for each organization.

mod schedule;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use schemas::topics::Topic;
use service::admin::Health;
use service::config::{Config, PollingInterval};
use service::exit::Outcome;
use service::shutdown::CancellationToken;
use service::startup::{Options, Started, Startup};
use service::tasks::{Ended, Group};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::info;

use self::schedule::polling;
use crate::admin::RETRY;
use crate::assignment::Assignment;
use crate::earlier_polls::EarlierPolls;
use crate::needs::NEEDS;
use crate::poll::{Context, Source};
use crate::publish::Publisher;
use crate::setup::{known, pin, sources};

/// Polls that run at once (count): each may keep a listing in memory.
pub(crate) const MAX_POLLS_AT_ONCE: usize = 4;
/// Organizations that call `/me` at once to identify their key (count): each takes little more than a connection.
const MAX_ASKING_AT_ONCE: usize = 16;

/// State that the loops of all organizations share.
pub(crate) struct Running {
    pub(crate) context: Context,
    pub(crate) assignment: Assignment,
    pub(crate) health: Arc<Health>,
    pub(crate) at_once: Semaphore,
    /// Limits the organizations that identify their key at once.
    pub(crate) asking: Semaphore,
    pub(crate) histories: EarlierPolls,
    pub(crate) client: ClientConfig,
    pub(crate) group: String,
}

/// Polls the organizations whose partitions are assigned to this process, until it is stopped.
pub async fn run(config: Config, options: Options, shutdown: CancellationToken) -> anyhow::Result<Outcome> {
    let mut sources = sources(&config, &options.environment, RETRY)?;
    let prefix = config.kafka.topic_prefix.clone();
    let startup = Startup {
        needs: &NEEDS,
        config: &config,
        options: &options,
        listen: config.admin_listen.producer,
        patience: Some(&shutdown),
    };
    let read = move |client: &ClientConfig, partition_count, is_stopped: &dyn Fn() -> bool| {
        known(client, &prefix, partition_count, is_stopped)
    };
    let Some((started, known)) = startup.start(read).await? else { return Ok(Outcome::Done) };
    pin(&mut sources, &[], &known, started.partition_count)?;
    let prefix = &config.kafka.topic_prefix;
    let Started { client, group_id: group, partition_count, health, metrics, admin: _admin } = started;
    let running = Arc::new(Running {
        context: Context {
            publisher: Publisher::new(client.clone(), prefix, partition_count).reporting_to(&health),
            metrics,
        },
        assignment: Assignment::default(),
        health,
        at_once: Semaphore::new(MAX_POLLS_AT_ONCE),
        asking: Semaphore::new(MAX_ASKING_AT_ONCE),
        histories: EarlierPolls::new(client.clone(), &group, &Topic::Graph.name(prefix)),
        client,
        group,
    });
    supervise(running, sources, Topic::Raw.name(prefix), shutdown).await
}

async fn supervise(
    running: Arc<Running>,
    sources: Vec<Source>,
    raw: String,
    shutdown: CancellationToken,
) -> anyhow::Result<Outcome> {
    let mut loops = JoinSet::new();
    for source in sources {
        if source.organization().polling_interval == PollingInterval::Disabled {
            info!(
                organization.name = source.organization().name,
                "the organization is polled only by `producer poll`"
            );
            continue;
        }
        let (running, shutdown) = (Arc::clone(&running), shutdown.clone());
        loops.spawn(async move { polling(source, &running, &shutdown).await });
    }
    let mut member = {
        let (running, shutdown) = (Arc::clone(&running), shutdown.clone());
        tokio::task::spawn_blocking(move || belong(&running, raw, &shutdown))
    };
    let result = loop {
        tokio::select! {
            result = &mut member => break result.context("the member's thread ended")?,
            Some(ended) = loops.join_next() => ended.context(PANICKED)??,
        }
    };
    // The member has left, so every loop was asked to stop. A loop that waits for `/me` may be dropped.
    if result.is_ok() {
        while let Some(ended) = loops.join_next().await {
            ended.context(PANICKED)??;
        }
    }
    result.map(|()| Outcome::Done)
}

/// Without its loop, an organization would never be polled again, and nothing would report it. So the process ends.
const PANICKED: &str = "the loop of an organization panicked; restart, and report the lines before this one";

/// Lends the partitions that are assigned to this process to the loops, until it is stopped. Blocks.
fn belong(running: &Arc<Running>, topic: String, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let group = Group {
        service: "producer",
        client: running.client.clone(),
        id: running.group.clone(),
        topic,
        until_end: false,
        // Lending a partition does not fail.
        reopen_pause: Duration::from_secs(1),
        health: Arc::clone(&running.health),
        metrics: running.context.metrics.clone(),
    };
    let (assignment, runtime) = (running.assignment.clone(), Handle::current());
    group.run(shutdown, move |assigned, (): &mut ()| {
        assigned.opened();
        runtime.block_on(assignment.lend(assigned.partition, &assigned.stop));
        Ok(Ended::default())
    })?;
    Ok(())
}
