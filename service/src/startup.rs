//! How a service starts: its options, its admin endpoint, its schemas, and the brokers, which it waits for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use schemas::codec::DecodeError;
use tokio::runtime::Handle;
use tracing::warn;

use crate::admin::{self, Admin, Health};
use crate::config::{self, Config};
use crate::kafka::acls::Needs;
use crate::kafka::partition::{self, with_short_fetch_wait};
use crate::kafka::restore::RestoreError;
use crate::kafka::topics::{self, Broker, Wanted};
use crate::kafka::{client_config, set_group_protocol, show_statistics};
use crate::metrics::Metrics;
use crate::schema_registry::register_unless;
use crate::shell::Program;
use crate::shutdown::{CancellationToken, wait};

/// Pause before brokers that did not answer are asked again.
const PAUSE: Duration = Duration::from_secs(2);
/// The check of `/readyz`.
const CHECK: &str = "kafka";

/// How a service runs, whatever its configuration is.
#[derive(Clone)]
pub struct Options {
    /// Up to the end that the topic has at the start, and no further.
    pub until_end: bool,
    /// Where secrets named by a variable are.
    pub environment: Arc<BTreeMap<String, String>>,
    /// What broker it is.
    pub broker: Broker,
    /// `anthropic-graph`, whose commands people are shown.
    pub program: Program,
}

impl fmt::Debug for Options {
    /// Without the environment, which holds the keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { until_end, environment: _, broker, program: _ } = self;
        let mut shown = formatter.debug_struct("Options");
        shown.field("until_end", until_end).field("broker", broker).finish_non_exhaustive()
    }
}

impl Options {
    /// A Kafka cluster, and the environment of this process.
    pub fn of_process(program: Program) -> Self {
        let environment = Arc::new(config::environment());
        Self { until_end: false, environment, broker: Broker::Kafka, program }
    }
}

/// What starts.
pub struct Startup<'a> {
    pub needs: &'static Needs,
    pub config: &'a Config,
    pub options: &'a Options,
    /// Where the admin endpoint of a service listens. A command is short, and may run while a service uses the address.
    pub listen: Option<SocketAddr>,
    /// The stop signal of a service, which waits for what does not answer yet. A command has none, and fails.
    pub patience: Option<&'a CancellationToken>,
}

/// What has started.
pub struct Started {
    /// The base configuration of every client.
    pub client: ClientConfig,
    /// The consumer group, whose name begins the transactional IDs.
    pub group_id: String,
    /// Of each topic (count).
    pub partition_count: i32,
    pub health: Arc<Health>,
    pub metrics: Metrics,
    /// Serves until it is dropped.
    pub admin: Admin,
}

impl Startup<'_> {
    /// Serves the admin endpoint, registers schemas, creates or verifies the topics, and has `read` read from them what
    /// the service must know before it works: it is given the client, the number of partitions, and whether it is
    /// stopped. `None` if it was stopped.
    pub async fn start<T: Send + 'static>(
        self,
        read: impl Fn(&ClientConfig, i32, &dyn Fn() -> bool) -> anyhow::Result<Option<T>> + Send + 'static,
    ) -> anyhow::Result<Option<(Started, T)>> {
        let Self { needs, config, options, listen, patience } = self;
        let mut client = client_config(&config.kafka, &options.environment)?;
        if patience.is_none() {
            client = with_short_fetch_wait(&client);
        } else {
            show_statistics(&mut client);
        }
        set_group_protocol(&mut client, config.kafka.group_protocol);
        let (metrics, registry) = Metrics::new(needs.service);
        let health = Arc::new(Health::default());
        health.set(CHECK, Err("not reached yet".to_owned()));
        let listen = listen.filter(|_| patience.is_some());
        let admin = admin::serve(listen, Arc::clone(&health), Arc::new(registry)).await?;
        let waiting = patience.map(|shutdown| (&*health, shutdown));
        if !register_unless(config, &options.environment, needs.writes, &mut client, waiting).await? {
            return Ok(None);
        }
        let reached = {
            let (client, config, broker) = (client.clone(), config.clone(), options.broker);
            let (health, patience) = (Arc::clone(&health), patience.cloned());
            tokio::task::spawn_blocking(move || {
                let wanted = Wanted::by(needs, &config, broker);
                reach(&client, &wanted, &health, patience.as_ref(), read)
            })
            .await
            .context("the thread that connects to Kafka ended")??
        };
        let group_id = needs.group_id(&config.kafka.topic_prefix);
        Ok(reached.map(|(partition_count, read)| {
            (Started { client, group_id, partition_count, health, metrics, admin }, read)
        }))
    }
}

/// The number of partitions, and what was read. Blocks.
fn reach<T>(
    client: &ClientConfig,
    wanted: &Wanted<'_>,
    health: &Health,
    patience: Option<&CancellationToken>,
    read: impl Fn(&ClientConfig, i32, &dyn Fn() -> bool) -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<(i32, T)>> {
    let is_stopped = || patience.is_some_and(CancellationToken::is_cancelled);
    let attempt = || -> anyhow::Result<_> {
        let Some(partition_count) = topics::ensure_unless(client, wanted, &is_stopped)? else {
            return Ok(None);
        };
        Ok(read(client, partition_count, &is_stopped)?.map(|read| (partition_count, read)))
    };
    while !is_stopped() {
        let error = match attempt() {
            Ok(reached) => {
                if reached.is_some() {
                    health.set(CHECK, Ok(()));
                }
                return Ok(reached);
            }
            Err(error) => error,
        };
        let Some(shutdown) = patience.filter(|_| is_unreachable(&error)) else { return Err(error) };
        warn!("{error:#}; trying again");
        health.set(CHECK, Err(format!("{error:#}")));
        Handle::current().block_on(wait(PAUSE, shutdown));
    }
    Ok(None)
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        matches!(cause.downcast_ref(), Some(topics::Error::Unreachable { .. }))
            || matches!(cause.downcast_ref(), Some(partition::Error::Unreachable { .. }))
            || matches!(cause.downcast_ref(), Some(RestoreError::<DecodeError>::Stalled { .. }))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use schemas::codec::DecodeError;

    use super::{Options, is_unreachable};
    use crate::kafka::restore::RestoreError;
    use crate::shell::Program;

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
        let program = Program::new("anthropic-graph", None);
        let options = Options { environment: Arc::new(environment), ..Options::of_process(program) };
        let shown = format!("{options:?} {options:#?}");
        assert!(shown.contains("until_end: false"), "{shown}");
        assert!(!shown.contains("j1-secret") && !shown.contains("JUPITERONE_API_KEY"), "{shown}");
    }
}
