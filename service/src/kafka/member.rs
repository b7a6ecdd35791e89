//! Membership in a consumer group, for its assignment alone: who runs which partition's task.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use thiserror::Error;
use tracing::{debug, error, info, warn};

use super::acls::{Denial, denial, missing};
use super::client::{group_protocol, log, log_error, with};
use super::partition::{self, whole};
use super::watch::{Made, Trouble, Watch, partitions};
use crate::admin::Health;
use crate::config::GroupProtocol;
use crate::metrics::{ClientStatistics, client_statistics};

/// `session.timeout.ms`: a member that died is replaced after this; shorter than a broker's least (6 s) is refused, and
/// a member that is merely slow for seconds must not lose its partitions.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// `heartbeat.interval.ms`: members learn of a rebalance by the answer to a heartbeat, so this bounds each of the two
/// rounds of a handover; several may be lost within a session.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// `max.poll.interval.ms`: how long closing the tasks of revoked partitions may take. A task in a commit is done
/// within the producer's bounds, which are shorter together.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_mins(5);

/// The check that the member sets: whether it has received its assignment.
const CHECK: &str = "consumer group";
/// How long a broker is waited for before the group is joined: librdkafka that finds none connected asks for the group's
/// coordinator half a second later.
const CONNECT_BOUND: Duration = Duration::from_secs(2);
/// Pause between two wakings of librdkafka while the group assigns nothing yet. Its main thread does not notice that the
/// coordinator is connected before it has something else to do, which without them takes up to a second.
const WAKE_PAUSE: Duration = Duration::from_millis(10);
/// How long it is woken. A member that gets no partition waits for one at leisure.
const WAKE_BOUND: Duration = Duration::from_secs(10);

/// When a member without a partition counts as a spare one: with the protocol `consumer`, the brokers do not say that
/// there is none for it, and assign one that is free within two heartbeats, of five seconds by default.
const SPARE_AFTER: Duration = Duration::from_secs(10);

/// Of fetched records (KiB): the least there is, since nothing is fetched.
const QUEUED_KBYTES: &str = "1";

/// Partitions that stay where they are are not revoked: their tasks run on through a rebalance. With the protocol
/// `consumer` it is always so.
const STRATEGY: (&str, &str) = ("partition.assignment.strategy", "cooperative-sticky");

const PROMISES: [(&str, &str); 4] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "latest"),
    ("isolation.level", "read_committed"),
];

/// A change of the member's partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These are the member's from now on: open their tasks.
    Assigned(Vec<i32>),
    /// These were the member's; the callback has closed their tasks.
    Revoked(Vec<i32>),
    /// These were another's already when the member learned of it; the callback has closed their tasks, whose
    /// transactions are fenced.
    Lost(Vec<i32>),
}

/// Why partitions are taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// In good order: the next owner waits until the callback is done, so a running transaction may still be
    /// committed.
    Revoked,
    /// Too late: another member may own them by now. Whatever is open fails.
    Lost,
}

/// Why it is not a member. A person must fix it, so the process stops.
#[derive(Debug, Error)]
pub enum Error {
    /// The group cannot be joined: no permission, a wrong configuration.
    #[error("cannot be a member of the consumer group {group_id} on the topic {topic}{}", not_granted(.source, .group_id, .topic))]
    Refused {
        group_id: String,
        topic: String,
        #[source]
        source: Box<KafkaError>,
    },
    /// The credentials were rejected, and others have been written into their file since. A new process reads those.
    #[error(
        "Kafka rejected the credentials of the consumer group {group_id}, and their file has changed since this \
         process read it: the process ends, to be started again with the new ones"
    )]
    Rotated { group_id: String },
}

type Close = Box<dyn FnMut(Withdrawal, &[i32]) + Send>;

/// A member of a consumer group that reads nothing: its partitions are paused as soon as they are assigned.
///
/// One thread polls it, at least every [`MAX_POLL_INTERVAL`]; any thread may ask for the group's metadata.
pub struct Member {
    /// Before the consumer, which it uses: fields are dropped in order.
    watch: Option<Watch>,
    health: Option<Arc<Health>>,
    consumer: Arc<BaseConsumer<Rebalances>>,
    protocol: GroupProtocol,
    /// When the group was joined.
    since: Instant,
    /// The configuration of the consumer, with the secrets as they were then.
    base: ClientConfig,
    used: ClientConfig,
    group_id: String,
    topic: String,
}

impl Member {
    /// Joins the group. `close` is called, on the thread that polls, with partitions that are taken away and does not
    /// return before their tasks are closed: only then does the rebalance go on and another member become their owner.
    pub fn join(
        base: &ClientConfig,
        group_id: &str,
        topic: &str,
        close: impl FnMut(Withdrawal, &[i32]) + Send + 'static,
    ) -> Result<Self, Error> {
        let refused = |source: KafkaError| Error::Refused {
            group_id: group_id.to_owned(),
            topic: topic.to_owned(),
            source: source.into(),
        };
        let milliseconds = |duration: Duration| duration.as_millis().to_string();
        let defaults = [
            ("max.poll.interval.ms", &*milliseconds(MAX_POLL_INTERVAL)),
            ("queued.max.messages.kbytes", QUEUED_KBYTES),
        ];
        let protocol = group_protocol(base);
        let mut used = with(base, &defaults, &PROMISES);
        used = match protocol {
            GroupProtocol::Classic => {
                let timeouts = [
                    ("session.timeout.ms", &*milliseconds(SESSION_TIMEOUT)),
                    ("heartbeat.interval.ms", &milliseconds(HEARTBEAT_INTERVAL)),
                ];
                with(&used, &timeouts, &[STRATEGY])
            }
            // The brokers have the timeouts.
            GroupProtocol::Consumer => with(&used, &[], &[("group.protocol", "consumer")]),
        };
        used.set("group.id", group_id);
        let (trouble, events) = (Trouble::default(), Mutex::default());
        let assigned = Mutex::default();
        let statistics = ClientStatistics::default();
        let rebalances =
            Rebalances { close: Mutex::new(Box::new(close)), events, trouble, assigned, statistics };
        let consumer: BaseConsumer<Rebalances> = used.create_with_context(rebalances).map_err(refused)?;
        if let Err(error) = consumer.fetch_metadata(Some(topic), CONNECT_BOUND) {
            debug!(group = group_id, %error, "no broker is connected yet");
        }
        consumer.subscribe(&[topic]).map_err(refused)?;
        Ok(Self {
            watch: None,
            health: None,
            consumer: Arc::new(consumer),
            protocol,
            since: Instant::now(),
            base: base.clone(),
            used,
            group_id: group_id.to_owned(),
            topic: topic.to_owned(),
        })
    }

    /// Says in `health`, from now on, whether the group has assigned partitions, or none, and whether Kafka answers and
    /// accepts the credentials.
    #[must_use]
    pub fn watched(mut self, health: &Arc<Health>) -> Self {
        let trouble = self.consumer.context().trouble.clone();
        let made = Made { base: self.base.clone(), used: self.used.clone() };
        self.watch =
            Some(Watch::start(Arc::clone(&self.consumer), &self.topic, made, trouble, Arc::clone(health)));
        self.health = Some(Arc::clone(health));
        self.report();
        self
    }

    /// What the last events mean for the process: they have been handled when the next ones are asked for, so that each
    /// assigned partition has a check of its own by then.
    fn report(&self) {
        let Some(health) = &self.health else { return };
        let is_spare =
            |since: Instant| self.protocol == GroupProtocol::Consumer && since.elapsed() >= SPARE_AFTER;
        let result = match *self.consumer.context().assigned() {
            Assigned::Yes => Ok(()),
            Assigned::NotYet if is_spare(self.since) => Ok(()),
            Assigned::Lost(at) if is_spare(at) => Ok(()),
            Assigned::NotYet => Err("joining; it has assigned nothing yet".to_owned()),
            Assigned::Lost(_) => Err("the partitions were lost; joining again".to_owned()),
        };
        health.set(CHECK, result);
    }

    /// Changes of the partitions, as soon as there are any; empty after the timeout.
    pub fn poll(&self, timeout: Duration) -> Result<Vec<Event>, Error> {
        if self.watch.as_ref().is_some_and(Watch::is_rotated) {
            return Err(Error::Rotated { group_id: self.group_id.clone() });
        }
        self.report();
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_joining =
                *self.consumer.context().assigned() == Assigned::NotYet && self.since.elapsed() < WAKE_BOUND;
            if let Some(Err(source)) =
                self.consumer.poll(whole(if is_joining { left.min(WAKE_PAUSE) } else { left }))
            {
                if is_permanent(&source) {
                    let (group_id, topic) = (self.group_id.clone(), self.topic.clone());
                    return Err(Error::Refused { group_id, topic, source: source.into() });
                }
                debug!(group = self.group_id, error = %source, "librdkafka tries again");
            }
            let events = self.consumer.context().take_events();
            if !is_joining || !events.is_empty() || Instant::now() >= deadline {
                return Ok(events);
            }
            // Any question to the main thread wakes it.
            let _nothing = self.consumer.assignment();
        }
    }

    /// The next offset to read of a partition that the group has committed, if it has. The member's client knows the
    /// group's coordinator already, while a new client needs a second to learn of it.
    pub fn committed(&self, partition: i32) -> Result<Option<i64>, partition::Error> {
        partition::committed(self.consumer.as_ref(), &self.topic, partition)
    }

    /// Who the member is in the group, for [`super::transaction::TransactionalProducer::send_offsets`]. Changes with
    /// every rebalance: ask again for every transaction.
    pub fn group_metadata(&self) -> ConsumerGroupMetadata {
        self.consumer.group_metadata().expect("the consumer was made with a group id")
    }

    /// Leaves the group at once, so that the others need not wait for the session's end. Calls the callback with all
    /// partitions first. Dropping the member does the same.
    pub fn close(self) {
        info!(group = self.group_id, "leaving the consumer group {}", self.group_id);
        drop(self);
    }
}

fn not_granted(error: &KafkaError, group_id: &str, topic: &str) -> String {
    match denial(error) {
        Some(Denial::Group) => format!("; Read on the group {group_id} is not granted"),
        _ => missing(error, "Describe (implied by Read and Write)", topic),
    }
}

fn is_permanent(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::InvalidSessionTimeout
                    | RDKafkaErrorCode::InconsistentGroupProtocol
            )
        )
}

/// Whether the member has received its assignment, which may be empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Assigned {
    #[default]
    NotYet,
    Yes,
    Lost(Instant),
}

struct Rebalances {
    close: Mutex<Close>,
    events: Mutex<VecDeque<Event>>,
    trouble: Trouble,
    assigned: Mutex<Assigned>,
    statistics: ClientStatistics,
}

impl Rebalances {
    fn take_events(&self) -> Vec<Event> {
        self.events().drain(..).collect()
    }

    fn assigned(&self) -> MutexGuard<'_, Assigned> {
        self.assigned.lock().expect("nothing panics while it holds the lock")
    }

    fn events(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.events.lock().expect("nothing panics while it holds the lock")
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        // At the end there is nothing to fetch until the pause, a moment later, forbids it.
        let mut list = list.clone();
        list.set_all_offsets(Offset::End)?;
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&list)?,
            _ => consumer.assign(&list)?,
        }
        consumer.pause(&list)?;
        let partitions = partitions(&list);
        info!(?partitions, "partitions assigned: {partitions:?}");
        *self.assigned() = Assigned::Yes;
        if !partitions.is_empty() {
            self.events().push_back(Event::Assigned(partitions));
        }
        Ok(())
    }

    fn withdraw(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let withdrawal = if consumer.assignment_lost() { Withdrawal::Lost } else { Withdrawal::Revoked };
        let partitions = self.without_unseen(partitions(list));
        match withdrawal {
            Withdrawal::Lost => {
                warn!(?partitions, "partitions lost: {partitions:?}; was this process asleep or cut off?");
                *self.assigned() = Assigned::Lost(Instant::now());
            }
            Withdrawal::Revoked => info!(?partitions, "partitions revoked: {partitions:?}"),
        }
        if !partitions.is_empty() {
            let mut close = self.close.lock().expect("a panic of the callback has ended this thread");
            (*close)(withdrawal, &partitions);
            self.events().push_back(match withdrawal {
                Withdrawal::Revoked => Event::Revoked(partitions),
                Withdrawal::Lost => Event::Lost(partitions),
            });
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        }
    }

    /// An assignment that was not handed out yet is forgotten: it must not come after its revocation, and it has no
    /// tasks to close.
    fn without_unseen(&self, mut withdrawn: Vec<i32>) -> Vec<i32> {
        for event in self.events().iter_mut() {
            if let Event::Assigned(assigned) = event {
                let is_unseen = |partition: &i32| assigned.contains(partition);
                let unseen: Vec<i32> = withdrawn.iter().copied().filter(is_unseen).collect();
                withdrawn.retain(|partition| !unseen.contains(partition));
                assigned.retain(|partition| !unseen.contains(partition));
            }
        }
        self.events().retain(|event| *event != Event::Assigned(Vec::new()));
        withdrawn
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        client_statistics(&self.statistics, statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
        self.trouble.note(&error, reason);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let result = match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.withdraw(consumer, list),
        };
        if let Err(error) = result {
            // librdkafka drops the assignment and joins again.
            error!(%error, "cannot follow the rebalance");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;

    use super::{CHECK, Event, Member};
    use crate::health::Health;

    /// How long the group may take.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_member_is_not_ready_before_its_owner_has_seen_what_the_group_assigned() {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("raw", 3, 1).expect("a topic");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let health = Arc::new(Health::default());
        let member = Member::join(&config, "group", "raw", |_, _| {}).expect("a member").watched(&health);
        let is_reported = || health.readiness().is_err_and(|reasons| reasons.contains(CHECK));
        assert!(is_reported(), "{:?}", health.readiness());
        let deadline = Instant::now() + PATIENCE;
        let events = loop {
            let events = member.poll(Duration::from_millis(50)).expect("a member");
            assert!(is_reported(), "its owner has opened no task yet");
            if !events.is_empty() || Instant::now() >= deadline {
                break events;
            }
        };
        assert_eq!(events, [Event::Assigned(vec![0, 1, 2])]);
        assert_eq!(member.poll(Duration::ZERO).expect("a member"), []);
        assert!(health.holds(CHECK));
    }
}
