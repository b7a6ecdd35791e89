//! Topics and consumer groups as a whole, as a person's commands look at them and delete them.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use thiserror::Error;

use super::acls::{Denial, denial};
use super::client::{Log, fresh, with};
use super::last_error::{Cause, LastError};

/// How long one question to the brokers may take: a person waits for it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(8);
/// How long deleting a topic or a group may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long all brokers may take to forget a deleted topic.
const SPREAD_BOUND: Duration = Duration::from_secs(30);
/// How often librdkafka's events are looked at while a question waits.
const LOOK_PERIOD: Duration = Duration::from_millis(500);
/// How many of librdkafka's events are read for the reason of a failure (count).
const EVENTS_READ: usize = 100;
/// What a broker says of a group that it has listed, if the group does not have the protocol that was asked for.
const DEAD: &str = "Dead";
/// Pause between questions whether they have.
const SPREAD_PAUSE: Duration = Duration::from_millis(50);

/// What went wrong. All but `Unreachable` are for a person to fix.
#[derive(Debug, Error)]
pub enum Error {
    #[error("{}", cause.describe(bootstrap_servers, QUERY_TIMEOUT))]
    Unreachable { bootstrap_servers: String, cause: Cause },
    /// The group has members.
    #[error("the consumer group {0} has active members; stop them first")]
    Active(String),
    #[error("cannot {action} {what}{}; check the permissions and the brokers' log", not_granted(.source, .permission))]
    Refused {
        action: &'static str,
        what: String,
        /// What allows it.
        permission: String,
        #[source]
        source: Box<KafkaError>,
    },
}

/// A cluster's topics and groups, for one command.
pub struct ClusterAdmin {
    bootstrap_servers: String,
    client: ClientConfig,
    /// In no group: it asks and never reads.
    consumer: BaseConsumer<LastError>,
}

impl ClusterAdmin {
    pub fn new(client: &ClientConfig) -> Result<Self, Error> {
        let bootstrap_servers = client.get("bootstrap.servers").unwrap_or_default().to_owned();
        let consumer = with(client, &[], &[("isolation.level", "read_committed")])
            .create_with_context(LastError::default())
            .map_err(|source: KafkaError| refused("use", &bootstrap_servers, String::new(), source))?;
        Ok(Self { bootstrap_servers, client: fresh(client), consumer })
    }

    /// How many partitions a topic has; `None` where it does not exist.
    pub fn partition_count(&self, topic: &str) -> Result<Option<i32>, Error> {
        let metadata = self
            .consumer
            .fetch_metadata(Some(topic), QUERY_TIMEOUT)
            .map_err(|source| self.unreachable(source))?;
        let Some(described) = metadata.topics().first() else { return Ok(None) };
        match described.error().map(RDKafkaErrorCode::from) {
            None => Ok(i32::try_from(described.partitions().len()).ok().filter(|count| *count > 0)),
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
            Some(code) => Err(refused("see", topic, see(topic), KafkaError::MetadataFetch(code))),
        }
    }

    /// The first offset of a partition and the end of what is committed. Of a topic that was just created, a client
    /// may still know that it was not there.
    pub fn offsets(&self, topic: &str, partition: i32) -> Result<(i64, i64), Error> {
        let deadline = Instant::now() + QUERY_TIMEOUT;
        loop {
            match self.consumer.fetch_watermarks(topic, partition, QUERY_TIMEOUT) {
                Ok(offsets) => return Ok(offsets),
                Err(error) if is_unknown(&error) && Instant::now() < deadline => {
                    self.partition_count(topic)?;
                    thread::sleep(SPREAD_PAUSE);
                }
                Err(source) => return Err(self.unreachable(source)),
            }
        }
    }

    /// The first offset of each partition whose record was written at that time (ms since 1970) or later; a partition
    /// without one is left out.
    pub fn offsets_at(&self, topic: &str, partitions: i32, ts_ms: i64) -> Result<BTreeMap<i32, i64>, Error> {
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Offset(ts_ms))
                .map_err(|source| refused("ask for the time of", topic, see(topic), source))?;
        }
        let found = self
            .consumer
            .offsets_for_times(list, QUERY_TIMEOUT)
            .map_err(|source| self.unreachable(source))?;
        let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        Ok(found
            .elements()
            .iter()
            .filter_map(|element| Some((element.partition(), offset(element.offset())?)))
            .collect())
    }

    /// How many members a group has now; `None` for one of the protocol `consumer`, whose members librdkafka lists to
    /// programs in C only.
    pub fn members(&self, group_id: &str) -> Result<Option<usize>, Error> {
        let groups = self
            .consumer
            .fetch_group_list(Some(group_id), QUERY_TIMEOUT)
            .map_err(|source| self.unreachable(source))?;
        match groups.groups().iter().find(|it| it.name() == group_id) {
            Some(group) if group.state() == DEAD => Ok(None),
            Some(group) => Ok(Some(group.members().len())),
            // A broker leaves out a group that may not be seen.
            None => self.must_be_visible(group_id).map(|()| Some(0)),
        }
    }

    /// Fails if the principal may not see the group, whether it exists or not.
    fn must_be_visible(&self, group_id: &str) -> Result<(), Error> {
        let mut client = with(&self.client, &[], &[]);
        client.set("group.id", group_id);
        let consumer: BaseConsumer<Log> =
            client.create_with_context(Log).map_err(|source: KafkaError| self.unreachable(source))?;
        // Any partition does.
        let mut list = TopicPartitionList::new();
        list.add_partition(group_id, 0);
        let deadline = Instant::now() + QUERY_TIMEOUT;
        loop {
            let Err(error) = consumer.committed_offsets(list.clone(), LOOK_PERIOD) else { return Ok(()) };
            // A coordinator that may not be asked for is reported in an event.
            let events = std::iter::from_fn(|| consumer.poll(Duration::ZERO)).take(EVENTS_READ);
            let error = events.filter_map(Result::err).find(|it| denial(it).is_some()).unwrap_or(error);
            if denial(&error) == Some(Denial::Group) {
                let permission = format!("Describe on the group {group_id} (implied by Read and Delete)");
                return Err(refused("see the members of", group_id, permission, error));
            }
            if Instant::now() >= deadline {
                return Err(self.unreachable(error));
            }
        }
    }

    /// Deletes a group with its committed offsets; `false` where there is none. The broker refuses it while the group
    /// has members.
    pub fn delete_group(&self, group_id: &str) -> Result<bool, Error> {
        let permission = format!("Delete on the group {group_id}");
        let refused = |source| refused("delete the group", group_id, permission.clone(), source);
        let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT));
        let deleted = block_on(self.admin()?.delete_groups(&[group_id], &options)).map_err(refused)?;
        match deleted.into_iter().find_map(Result::err) {
            None => Ok(true),
            Some((_, RDKafkaErrorCode::GroupIdNotFound)) => Ok(false),
            Some((_, RDKafkaErrorCode::NonEmptyGroup)) => Err(Error::Active(group_id.to_owned())),
            Some((_, code)) => Err(refused(KafkaError::AdminOp(code))),
        }
    }

    /// Deletes a topic, and waits until the brokers have forgotten it; `false` where there is none.
    pub fn delete_topic(&self, topic: &str) -> Result<bool, Error> {
        let permission = format!("Delete on the topic {topic}");
        let refused = |source| refused("delete the topic", topic, permission.clone(), source);
        let options =
            AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT));
        let deleted = block_on(self.admin()?.delete_topics(&[topic], &options)).map_err(refused)?;
        match deleted.into_iter().find_map(Result::err) {
            None => {}
            Some((_, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {
                return Ok(false);
            }
            Some((_, code)) => return Err(refused(KafkaError::AdminOp(code))),
        }
        let deadline = Instant::now() + SPREAD_BOUND;
        while self.partition_count(topic)?.is_some() {
            if Instant::now() >= deadline {
                return Err(refused(KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut)));
            }
            thread::sleep(SPREAD_PAUSE);
        }
        Ok(true)
    }

    fn admin(&self) -> Result<AdminClient<Log>, Error> {
        self.client.create_with_context(Log).map_err(|source: KafkaError| self.unreachable(source))
    }

    fn unreachable(&self, source: KafkaError) -> Error {
        match source.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => refused("ask", &self.bootstrap_servers, "Read".to_owned(), source),
            _ => Error::Unreachable {
                bootstrap_servers: self.bootstrap_servers.clone(),
                cause: LastError::cause(&self.consumer, &source),
            },
        }
    }
}

fn is_unknown(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
        )
    )
}

/// What allows it to be seen.
fn see(topic: &str) -> String {
    format!("Describe on the topic {topic} (implied by Read, Write and Delete)")
}

fn not_granted(error: &KafkaError, permission: &str) -> String {
    denial(error).map_or_else(String::new, |_| format!("; {permission} is not granted"))
}

fn refused(action: &'static str, what: &str, permission: String, source: KafkaError) -> Error {
    Error::Refused { action, what: what.to_owned(), permission, source: source.into() }
}
