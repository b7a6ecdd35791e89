//! The topics: making the missing ones, verifying what is there.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use schemas::topics::{Retention, Topic};
use thiserror::Error;
use tracing::{info, warn};

use super::acls::{Needs, missing};
use super::client::{Log, fresh};
use super::last_error::{Cause, LastError};
use crate::config::Config;
use crate::wait::WaitReporter;

mod durability;
mod finding;
mod verdict;

pub use finding::Finding;
use verdict::{Found, create_command, findings};

/// How long a broker may take to answer the first question: a person waits for it.
const REACH_TIMEOUT: Duration = Duration::from_secs(8);
/// How long making a topic or asking for its settings may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long all brokers may take to learn of a new topic.
const SPREAD_BOUND: Duration = Duration::from_secs(30);
/// Pause between questions whether they have.
const SPREAD_PAUSE: Duration = Duration::from_millis(50);
/// The same where the settings are asked for: a refusal looks alike and does not end.
const SETTINGS_PAUSE: Duration = Duration::from_millis(500);

/// What is asked of a topic.
const SEE_SETTINGS: &str = "see the settings of";
const CREATE: &str = "create";

/// The topics that are wanted.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The ones that this service needs.
    pub topics: &'a [Topic],
    pub prefix: &'a str,
    /// Partitions of a new topic if none of the five exists yet; otherwise it gets as many as those that exist (count).
    pub partitions: i32,
    /// Replicas of a new topic; -1 is the broker's default (count).
    pub replication_factor: i32,
    /// Of a new topic.
    pub retention: Retention,
    /// Whether missing topics are created.
    pub create: bool,
    /// Whether a topic whose settings cannot be seen is refused even if none is created: a program that writes to it promises
    /// something, while Read alone, which is all that a reader needs, does not let it see them.
    pub must_see_settings: bool,
    /// What broker it is.
    pub broker: Broker,
}

impl<'a> Wanted<'a> {
    /// As the configuration has them. Topics whose settings cannot be seen are refused only if topics are created.
    pub fn of(config: &'a Config, topics: &'a [Topic], broker: Broker) -> Self {
        Self {
            topics,
            prefix: &config.kafka.topic_prefix,
            partitions: config.kafka.partitions,
            replication_factor: config.kafka.replication_factor,
            retention: config.retention,
            create: config.kafka.create_topics,
            must_see_settings: false,
            broker,
        }
    }

    /// What a service wants, as the configuration has it. Topics whose settings cannot be seen are refused.
    pub fn by(needs: &Needs, config: &'a Config, broker: Broker) -> Self {
        Self { must_see_settings: true, ..Self::of(config, needs.wants, broker) }
    }

    fn is_strict(&self) -> bool {
        self.create || self.must_see_settings
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broker {
    Kafka,
    /// librdkafka's mock cluster, which knows no settings: only the partitions are verified, and nothing is created.
    Embedded,
}

/// What a command says of a topic that is not there.
pub fn does_not_exist(topic: Topic, prefix: &str) -> anyhow::Error {
    anyhow!(
        "the topic {} does not exist; check kafka.topic_prefix (\"{prefix}\"), or create the topics: `processor check` \
         says how",
        topic.name(prefix)
    )
}

/// What went wrong. All but `Unreachable` are for a person to fix.
#[derive(Debug, Error)]
pub enum Error {
    /// No broker answered. Check the address; try again later.
    #[error("{}", cause.describe(bootstrap_servers, REACH_TIMEOUT))]
    Unreachable { bootstrap_servers: String, cause: Cause },
    /// Topics are missing and must not be created.
    #[error("topics are missing, and kafka.create_topics is false; create them:\n{}", commands.join("\n"))]
    Missing {
        /// A command for each.
        commands: Vec<String>,
    },
    /// Topics are not as they must be.
    #[error("topics have the wrong settings:\n{}", problems.join("\n"))]
    Unfit {
        /// A line for each problem, with the command that fixes it.
        problems: Vec<String>,
    },
    #[error("cannot {action} the topic {topic}{}; check the permissions and the brokers' log", missing(.source, .operation, .topic))]
    Refused {
        action: &'static str,
        topic: String,
        /// The operation that allows it.
        operation: &'static str,
        #[source]
        source: Box<KafkaError>,
    },
    /// The caller was asked to end meanwhile.
    #[error("stopped before all brokers knew the new topics")]
    Stopped,
}

/// Makes what is missing, verifies what is there, and returns the partition count of the topics, which is the one to
/// use: topics that exist may have another than the configured.
pub fn ensure(config: &ClientConfig, wanted: &Wanted<'_>) -> Result<i32, Error> {
    let ensured = ensure_unless(config, wanted, &|| false)?;
    Ok(ensured.expect("it is never stopped"))
}

/// The same, given up with `None` as soon as it `is_stopped` while brokers learn of the topics.
pub fn ensure_unless(
    config: &ClientConfig,
    wanted: &Wanted<'_>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<Option<i32>, Error> {
    match ensure_or_stop(config, wanted, is_stopped) {
        Ok(partitions) => Ok(Some(partitions)),
        Err(Error::Stopped) => Ok(None),
        Err(problem) => Err(problem),
    }
}

fn ensure_or_stop(
    config: &ClientConfig,
    wanted: &Wanted<'_>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<i32, Error> {
    let cluster = Cluster::reach(config, is_stopped)?;
    let deadline = Instant::now() + SPREAD_BOUND;
    let mut found = cluster.look(wanted, deadline)?;
    let partitions = verdict::partitions(&found).unwrap_or(wanted.partitions);
    let missing: Vec<Topic> =
        wanted.topics.iter().copied().filter(|topic| !found.contains_key(topic)).collect();
    // Before anything is created: another topic would not fix an unfit one.
    fit(&cluster, wanted, &found)?;
    if !missing.is_empty() {
        if !wanted.create || wanted.broker == Broker::Embedded {
            let command = |topic: &Topic| create_command(&cluster.servers, wanted, *topic, partitions);
            return Err(Error::Missing { commands: missing.iter().map(command).collect() });
        }
        cluster.create(wanted, &missing, partitions)?;
        found = cluster.wait_for(wanted)?;
        fit(&cluster, wanted, &found)?;
    }
    if wanted.is_strict() {
        let findings = findings(&cluster.servers, wanted, &found).into_iter();
        findings.filter(|finding| finding.is_weak).for_each(|finding| warn!("{}", finding.line));
    }
    Ok(verdict::partitions(&found).unwrap_or(partitions))
}

/// Verifies without making anything: one line per thing.
pub fn check(config: &ClientConfig, wanted: &Wanted<'_>) -> Result<Vec<Finding>, Error> {
    let cluster = Cluster::reach(config, &|| false)?;
    let found = cluster.look(wanted, Instant::now())?;
    Ok(findings(&cluster.servers, wanted, &found))
}

fn fit(cluster: &Cluster<'_>, wanted: &Wanted<'_>, found: &BTreeMap<Topic, Found>) -> Result<(), Error> {
    let problems: Vec<String> = findings(&cluster.servers, wanted, found)
        .into_iter()
        .filter(|finding| !finding.is_good && !finding.is_missing)
        .map(|finding| finding.line)
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(Error::Unfit { problems }) }
}

/// Whether nothing was refused: a broker became unreachable during the call, or is busy.
fn is_passing(error: &KafkaError) -> bool {
    let code = match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    };
    matches!(
        code,
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::BrokerNotAvailable
        )
    )
}

struct Cluster<'a> {
    servers: String,
    config: ClientConfig,
    consumer: BaseConsumer<LastError>,
    is_stopped: &'a dyn Fn() -> bool,
}

impl<'a> Cluster<'a> {
    fn reach(config: &ClientConfig, is_stopped: &'a dyn Fn() -> bool) -> Result<Self, Error> {
        let config = fresh(config);
        let servers = config.get("bootstrap.servers").unwrap_or_default().to_owned();
        let unreachable = |cause| Error::Unreachable { bootstrap_servers: servers.clone(), cause };
        let consumer: BaseConsumer<LastError> = config
            .create_with_context(LastError::default())
            .map_err(|error| unreachable(Cause::of(&error)))?;
        // A topic that is unlikely to exist keeps the answer small on a cluster of thousands.
        match consumer.fetch_metadata(Some("anthropic-graph.none"), REACH_TIMEOUT) {
            Ok(_) => Ok(Self { servers, config, consumer, is_stopped }),
            Err(error) => Err(unreachable(LastError::cause(&consumer, &error))),
        }
    }

    /// The topics, of all five, that exist. Until `deadline`, a broker may not know a topic that another broker knows.
    fn look(&self, wanted: &Wanted<'_>, deadline: Instant) -> Result<BTreeMap<Topic, Found>, Error> {
        let mut found = BTreeMap::new();
        for topic in Topic::ALL {
            let name = topic.name(wanted.prefix);
            let refused = |source| self.refused("see", &name, source);
            let metadata = self.consumer.fetch_metadata(Some(&name), ADMIN_TIMEOUT).map_err(refused)?;
            let Some(described) = metadata.topics().first() else { continue };
            match described.error().map(RDKafkaErrorCode::from) {
                None => {}
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => continue,
                // Another service's topic, perhaps; our own must be seen.
                Some(RDKafkaErrorCode::TopicAuthorizationFailed) if !wanted.topics.contains(&topic) => {
                    continue;
                }
                Some(code) => return Err(refused(KafkaError::MetadataFetch(code))),
            }
            let partitions = i32::try_from(described.partitions().len()).unwrap_or(i32::MAX);
            let is_led = described.partitions().iter().all(|partition| partition.leader() >= 0);
            let replicas = described.partitions().iter().map(|it| it.replicas().len()).min();
            let replicas = replicas.and_then(|count| i64::try_from(count).ok()).unwrap_or_default();
            found.insert(topic, Found { partitions, replicas, is_led, settings: None });
        }
        if wanted.broker == Broker::Kafka {
            self.describe(wanted, &mut found, deadline)?;
        }
        Ok(found)
    }

    fn describe(
        &self,
        wanted: &Wanted<'_>,
        found: &mut BTreeMap<Topic, Found>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let ours = found.iter_mut().filter(|(topic, _)| wanted.topics.contains(topic));
        let admin = self.admin()?;
        let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
        for (topic, found) in ours {
            let name = topic.name(wanted.prefix);
            let refused = |source| self.refused(SEE_SETTINGS, &name, source);
            let what = format!("the settings of the topic {name}");
            let ends = "it ends once all brokers know the topic and DescribeConfigs is granted";
            let (mut wait, mut is_logged) = (WaitReporter::default().wait(what, ends), false);
            let described = loop {
                let resources =
                    block_on(admin.describe_configs(&[ResourceSpecifier::Topic(&name)], &options));
                let unknown = Err(RDKafkaErrorCode::UnknownTopicOrPartition);
                match resources.map_err(refused)?.pop().unwrap_or(unknown) {
                    // rdkafka drops the reason: a broker that does not know a new topic yet, or a refusal. Every topic
                    // has settings.
                    Ok(resource) if resource.entries.is_empty() => {
                        if !wanted.is_strict() || Instant::now() >= deadline {
                            break Err(RDKafkaErrorCode::TopicAuthorizationFailed);
                        }
                    }
                    described => break described,
                }
                if !std::mem::replace(&mut is_logged, true) {
                    info!(
                        topic = name,
                        "a broker does not know the topic {name} yet, or DescribeConfigs is not granted; asking for \
                         its settings again"
                    );
                }
                wait.goes_on("");
                self.pause(SETTINGS_PAUSE)?;
            };
            if described.is_ok() {
                wait.comes();
            }
            match described {
                Ok(resource) => {
                    let settings = resource.entries.into_iter();
                    let settings = settings.filter_map(|entry| Some((entry.name, entry.value?)));
                    found.settings = Some(settings.collect());
                }
                Err(RDKafkaErrorCode::TopicAuthorizationFailed) if !wanted.is_strict() => {
                    warn!(
                        topic = name,
                        "cannot see the settings of {name}, because DescribeConfigs is not granted; they \
                         are assumed to be correct"
                    );
                }
                Err(code) => return Err(refused(KafkaError::AdminOp(code))),
            }
        }
        // It takes a tenth of a second to go.
        drop(thread::spawn(move || drop(admin)));
        Ok(())
    }

    fn create(&self, wanted: &Wanted<'_>, missing: &[Topic], partitions: i32) -> Result<(), Error> {
        let admin = self.admin()?;
        let options =
            AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT));
        for topic in missing {
            let name = topic.name(wanted.prefix);
            let settings = topic.settings(&wanted.retention);
            let replication = TopicReplication::Fixed(wanted.replication_factor);
            let new =
                settings.iter().fold(NewTopic::new(&name, partitions, replication), |new, (name, value)| {
                    new.set(name, value)
                });
            let refused = |source| self.refused(CREATE, &name, source);
            match block_on(admin.create_topics(&[new], &options)).map_err(refused)?.pop() {
                // Another instance that starts at the same time.
                Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => {}
                Some(Err((_, code))) => return Err(refused(KafkaError::AdminOp(code))),
                Some(Ok(_)) | None => {
                    info!(topic = name, partitions, "created the topic {name} with {partitions} partitions");
                }
            }
        }
        Ok(())
    }

    fn wait_for(&self, wanted: &Wanted<'_>) -> Result<BTreeMap<Topic, Found>, Error> {
        let deadline = Instant::now() + SPREAD_BOUND;
        loop {
            let found = self.look(wanted, deadline)?;
            let late = wanted.topics.iter().find(|topic| found.get(topic).is_none_or(|found| !found.is_led));
            match late {
                None => return Ok(found),
                Some(topic) if Instant::now() >= deadline => {
                    let source = KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable);
                    return Err(self.refused("use", &topic.name(wanted.prefix), source));
                }
                Some(_) => self.pause(SPREAD_PAUSE)?,
            }
        }
    }

    fn pause(&self, pause: Duration) -> Result<(), Error> {
        thread::sleep(pause);
        if (self.is_stopped)() { Err(Error::Stopped) } else { Ok(()) }
    }

    fn refused(&self, action: &'static str, topic: &str, source: KafkaError) -> Error {
        if is_passing(&source) {
            let cause = Cause::during(&format!("cannot {action} the topic {topic}"), &source);
            return Error::Unreachable { bootstrap_servers: self.servers.clone(), cause };
        }
        let operation = match action {
            SEE_SETTINGS => "DescribeConfigs",
            CREATE => "Create",
            _ => "Describe (implied by Read and Write)",
        };
        Error::Refused { action, topic: topic.to_owned(), operation, source: source.into() }
    }

    fn admin(&self) -> Result<AdminClient<Log>, Error> {
        self.config.create_with_context(Log).map_err(|error: KafkaError| Error::Unreachable {
            bootstrap_servers: self.servers.clone(),
            cause: Cause::of(&error),
        })
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

    use super::is_passing;

    #[test]
    fn a_broker_that_goes_away_during_a_request_has_refused_nothing() {
        assert!(is_passing(&KafkaError::AdminOp(Code::BrokerTransportFailure)));
        assert!(is_passing(&KafkaError::MetadataFetch(Code::OperationTimedOut)));
        assert!(!is_passing(&KafkaError::AdminOp(Code::TopicAuthorizationFailed)));
        assert!(!is_passing(&KafkaError::MetadataFetch(Code::LeaderNotAvailable)));
    }
}
