//! `producer run`: a member of the consumer group, and a loop for each organization.

mod schedule;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use schemas::codec::DecodeError;
use schemas::topics::Topic;
use service::admin::{self, Health};
use service::config::{Config, PollingInterval};
use service::exit::Outcome;
use service::kafka::member::{Event, Member};
use service::kafka::restore::RestoreError;
use service::kafka::{client_config, partition, topics};
use service::metrics::Metrics;
use service::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{info, warn};

use self::schedule::polling;
use crate::assignment::Assignment;
use crate::backoff::Backoff;
use crate::histories::Histories;
use crate::poll::{Context, Source};
use crate::publish::{Publisher, group_id};
use crate::setup::{self, Options, sources, wanted};

/// Polls that run at once (count): each may hold a listing in memory.
pub(crate) const MAX_POLLS_AT_ONCE: usize = 4;
/// Organizations that ask `/me` at once whose key they have (count): each takes a connection, and little else.
const MAX_ASKING_AT_ONCE: usize = 16;
/// One turn of the member's loop: decides how soon a stop is noticed.
const MEMBER_POLL: Duration = Duration::from_millis(200);
/// How long the member's loop may be silent before the process counts as dead: a rebalance waits for transactions.
const HEARTBEAT_BOUND: Duration = Duration::from_mins(5);

/// What the loops of all organizations share.
pub(crate) struct Running {
    pub(crate) context: Context,
    pub(crate) assignment: Assignment,
    pub(crate) health: Arc<Health>,
    pub(crate) at_once: Semaphore,
    /// For organizations that ask whose key they have.
    pub(crate) asking: Semaphore,
    pub(crate) histories: Histories,
    pub(crate) client: ClientConfig,
    pub(crate) group: String,
}

/// Polls the organizations whose partitions this process has, until it is asked to end.
pub async fn run(config: Config, options: Options, shutdown: Shutdown) -> anyhow::Result<Outcome> {
    let sources = sources(&config, &options.environment, Backoff::default())?;
    let client = client_config(&config.kafka, &options.environment)?;
    let (metrics, registry) = Metrics::new("producer");
    let health = Arc::new(Health::default());
    health.set("kafka", Err("not reached yet".to_owned()));
    let _admin = admin::serve(config.admin_listen.producer, Arc::clone(&health), Arc::new(registry)).await?;
    let prefix = config.kafka.topic_prefix.clone();
    let reached = {
        let (client, health, shutdown) = (client.clone(), Arc::clone(&health), shutdown.clone());
        tokio::task::spawn_blocking(move || reach(&config, &options, &client, &health, sources, &shutdown))
            .await
            .context("the thread that reaches Kafka ended")??
    };
    let Some((sources, partition_count)) = reached else { return Ok(Outcome::Done) };
    let running = Arc::new(Running {
        context: Context {
            publisher: Publisher::new(client.clone(), &prefix, partition_count).telling(&health),
            metrics,
        },
        assignment: Assignment::default(),
        health,
        at_once: Semaphore::new(MAX_POLLS_AT_ONCE),
        asking: Semaphore::new(MAX_ASKING_AT_ONCE),
        histories: Histories::new(client.clone(), &group_id(&prefix), &Topic::Graph.name(&prefix)),
        client,
        group: group_id(&prefix),
    });
    let raw = Topic::Raw.name(&prefix);
    supervise(running, sources, raw, shutdown).await
}

/// Makes or verifies the topics and reads which organizations are known, waiting for brokers that do not answer yet.
/// `None`: asked to end meanwhile.
fn reach(
    config: &Config,
    options: &Options,
    client: &ClientConfig,
    health: &Health,
    mut sources: Vec<Source>,
    shutdown: &Shutdown,
) -> anyhow::Result<Option<(Vec<Source>, i32)>> {
    let wanted = wanted(config, options.broker);
    while let Some(partition_count) = topics::ensure_patiently(client, &wanted, health, shutdown)? {
        let is_stopped = || shutdown.is_requested();
        match setup::pin(&mut sources, &[], client, &config.kafka.topic_prefix, partition_count, is_stopped) {
            Ok(true) => {
                health.set("kafka", Ok(()));
                return Ok(Some((sources, partition_count)));
            }
            Ok(false) => return Ok(None),
            // They went away between the two: they are waited for again.
            Err(error) if is_unreachable(&error) => warn!("{error:#}; trying again"),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<RestoreError<DecodeError>>(),
        Some(RestoreError::Read(partition::Error::Unreachable { .. }) | RestoreError::Stalled { .. })
    )
}

async fn supervise(
    running: Arc<Running>,
    sources: Vec<Source>,
    raw: String,
    shutdown: Shutdown,
) -> anyhow::Result<Outcome> {
    let mut loops = JoinSet::new();
    for source in sources {
        if source.organization().polling_interval == PollingInterval::Disabled {
            info!(organization.name = source.organization().name, "polled by `producer poll` alone");
            continue;
        }
        let (running, shutdown) = (Arc::clone(&running), shutdown.clone());
        loops.spawn(async move { polling(source, &running, &shutdown).await });
    }
    let mut member = {
        let (running, shutdown) = (Arc::clone(&running), shutdown.clone());
        tokio::task::spawn_blocking(move || belong(&running, &raw, &shutdown))
    };
    let result = loop {
        tokio::select! {
            result = &mut member => break result.context("the member's thread ended")?,
            Some(ended) = loops.join_next() => ended.context(PANICKED)?,
        }
    };
    // The member has left, so every loop was asked to; one that waits for `/me` may be dropped.
    if result.is_ok() {
        while let Some(ended) = loops.join_next().await {
            ended.context(PANICKED)?;
        }
    }
    result.map(|()| Outcome::Done)
}

/// An organization without its loop would never be polled again, and nothing would say so: the process ends.
const PANICKED: &str = "the loop of an organization panicked; restart, and report the lines before this one";

/// Holds the membership until asked to end. Blocks.
fn belong(running: &Arc<Running>, raw: &str, shutdown: &Shutdown) -> anyhow::Result<()> {
    let heartbeat = running.health.heartbeat("member", HEARTBEAT_BOUND);
    let assignment = running.assignment.clone();
    let member = Member::join(&running.client, &running.group, raw, move |_, partitions| {
        assignment.withdraw(partitions);
    })?
    .watched(&running.health);
    while !shutdown.is_requested() {
        heartbeat.beat();
        for event in member.poll(MEMBER_POLL)? {
            if let Event::Assigned(partitions) = event {
                running.assignment.assign(&partitions);
            }
        }
    }
    member.close();
    Ok(())
}
