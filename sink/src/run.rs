//! `sink run`: as a member of the consumer group, or once up to the end of the graph topic.

mod member;
mod once;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use schemas::codec::DecodeError;
use schemas::topics::Topic;
use service::admin::{self, Health};
use service::config::Config;
use service::exit::Outcome;
use service::kafka::client_config;
use service::kafka::partition::{self, hurried};
use service::kafka::restore::RestoreError;
use service::kafka::topics::{self, Broker, Wanted};
use service::metrics::Metrics;
use service::shutdown::Shutdown;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tracing::warn;

use crate::configured;
use crate::options::Options;
use crate::setup::{JOBS_AT_ONCE, Looks, Setup};
use crate::sync_topic;
use crate::target_registry::TargetRegistry;
use graph::plan::Urgency;

/// The topics that the sink uses.
pub(crate) const TOPICS: [Topic; 2] = [Topic::Graph, Topic::Sync];
/// Pause between two tries to reach the brokers at the start.
const REACH_PAUSE: Duration = Duration::from_secs(5);

/// Keeps JupiterOne equal to the graph topic, until the shutdown is asked for or, with [`Options::until_end`], once.
pub async fn run(config: Config, options: Options, shutdown: Shutdown) -> anyhow::Result<Outcome> {
    let (metrics, registry) = Metrics::new("sink");
    let health = Arc::new(Health::default());
    // A run until the end is over before anybody asks, and works beside a service that has the address.
    let listen = config.admin_listen.sink.filter(|_| !options.until_end);
    let _admin = admin::serve(listen, Arc::clone(&health), Arc::new(registry)).await?;
    let patience = if options.until_end { None } else { Some(&shutdown) };
    let Some(setup) = set_up(&config, &options, metrics, health, patience).await? else {
        return Ok(Outcome::Done);
    };
    if options.until_end {
        once::run(setup, Urgency::Now, None, shutdown).await
    } else {
        member::run(setup, shutdown).await
    }
}

/// A DIFF of one organization or of all, although nothing changed. It takes the partitions over: a sink that runs
/// beside it is fenced with its next record and opens its partition anew.
pub async fn resync(
    config: Config,
    organization: Option<String>,
    options: Options,
    shutdown: Shutdown,
) -> anyhow::Result<Outcome> {
    let setup = set_up_to_decide(&config, &options).await?;
    once::run(setup, Urgency::Forced, organization, shutdown).await
}

/// What a command needs that decides and starts no job.
pub(crate) async fn set_up_to_decide(config: &Config, options: &Options) -> anyhow::Result<Arc<Setup>> {
    let (metrics, _) = Metrics::new("sink");
    let setup = set_up(config, options, metrics, Arc::default(), None).await?;
    Ok(setup.expect("without patience there is a setup or an error"))
}

/// Everything that the tasks share. With patience, unreachable brokers are waited for, and `None` is the shutdown.
async fn set_up(
    config: &Config,
    options: &Options,
    metrics: Metrics,
    health: Arc<Health>,
    patience: Option<&Shutdown>,
) -> anyhow::Result<Option<Arc<Setup>>> {
    let configured = configured::all(config, &options.environment)?;
    let mut kafka = client_config(&config.kafka, &options.environment)?;
    if patience.is_none() {
        kafka = hurried(&kafka);
    }
    let prefix = &config.kafka.topic_prefix;
    let mut setup = Setup {
        kafka,
        group_id: format!("{prefix}.sink"),
        graph_topic: Topic::Graph.name(prefix),
        sync_topic: Topic::Sync.name(prefix),
        partitions: 0,
        configured,
        targets: TargetRegistry::default(),
        health,
        metrics,
        runtime: Handle::current(),
        jobs: Arc::new(Semaphore::new(JOBS_AT_ONCE)),
        looks: Looks::default(),
    };
    loop {
        let ready = {
            let (config, broker, end) = (config.clone(), options.broker, patience.cloned());
            let is_stopped = move || end.as_ref().is_some_and(Shutdown::is_requested);
            tokio::task::spawn_blocking(move || prepare(setup, &config, broker, is_stopped)).await?
        };
        let error;
        (setup, error) = match ready {
            Ok(setup) => return Ok(Some(Arc::new(setup))),
            Err(failed) => *failed,
        };
        let Some(shutdown) = patience.filter(|_| is_unreachable(&error)) else { return Err(error) };
        warn!("{error:#}; trying again");
        setup.health.set("kafka", Err(format!("{error:#}")));
        tokio::select! {
            () = tokio::time::sleep(REACH_PAUSE) => {}
            () = shutdown.requested() => return Ok(None),
        }
    }
}

/// Makes the topics, and reads from the sync topic which organization holds which target.
fn prepare(
    mut setup: Setup,
    config: &Config,
    broker: Broker,
    is_stopped: impl Fn() -> bool,
) -> Result<Setup, Box<(Setup, anyhow::Error)>> {
    let wanted = wanted(config, broker);
    let ensured = topics::ensure_unless(&setup.kafka, &wanted, &is_stopped).map_err(anyhow::Error::from);
    let result = ensured.and_then(|partitions| {
        // Where it was stopped, nothing is begun any more.
        let Some(partitions) = partitions else { return Ok(()) };
        setup.partitions = partitions;
        let Setup { kafka, group_id, sync_topic, .. } = &setup;
        let records = sync_topic::read_unless(kafka, group_id, sync_topic, 0..partitions, is_stopped)
            .context("failed to read the sync topic")?;
        for sync in records.unwrap_or_default().values() {
            setup.targets.learn(sync);
        }
        Ok(())
    });
    match result {
        Ok(()) => {
            setup.health.set("kafka", Ok(()));
            Ok(setup)
        }
        Err(error) => Err(Box::new((setup, error))),
    }
}

/// The topics as the configuration wants them.
pub(crate) fn wanted(config: &Config, broker: Broker) -> Wanted<'_> {
    Wanted { must_see_settings: true, ..Wanted::of(config, &TOPICS, broker) }
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(topics::Error::Unreachable { .. }))
            || matches!(cause.downcast_ref(), Some(partition::Error::Unreachable { .. }))
            || matches!(cause.downcast_ref(), Some(RestoreError::<DecodeError>::Stalled { .. }))
    })
}

/// Waits, or until the end is asked for.
fn pause(runtime: &Handle, shutdown: &Shutdown, pause: Duration) {
    runtime.block_on(async {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.requested() => {}
        }
    });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use schemas::codec::DecodeError;
    use service::kafka::restore::RestoreError;
    use service::kafka::topics::Broker;

    use super::{Options, is_unreachable};

    #[test]
    fn a_restore_that_stalls_at_the_start_is_waited_for_and_a_record_that_no_one_can_read_is_not() {
        let (topic, partition) = ("anthropic.sync".to_owned(), 0);
        let stalled = RestoreError::Stalled { topic: topic.clone(), partition, position: 0, end: 1 };
        let of = |error: RestoreError<DecodeError>| anyhow::Error::new(error).context("failed to read");
        assert!(is_unreachable(&of(stalled)));
        let source = DecodeError::UnknownSchema(0);
        assert!(!is_unreachable(&of(RestoreError::Apply { topic, partition, offset: 0, source })));
    }

    #[test]
    fn debug_shows_nothing_of_the_environment() {
        let environment = BTreeMap::from([("JUPITERONE_API_KEY".to_owned(), "j1-secret".to_owned())]);
        let options = Options { until_end: true, environment: Arc::new(environment), broker: Broker::Kafka };
        let shown = format!("{options:?} {options:#?}");
        assert!(shown.contains("until_end: true"), "{shown}");
        assert!(!shown.contains("j1-secret") && !shown.contains("JUPITERONE_API_KEY"), "{shown}");
    }
}
