//! Membership in a consumer group, for its assignment alone: who runs which partition's task.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use thiserror::Error;
use tracing::{debug, error, info, warn};

use super::client::{log, log_error, with};
use super::watch::{Made, Trouble, Watch, partitions};
use crate::admin::Health;

/// `session.timeout.ms`: a member that died is replaced after this; shorter than a broker's least (6 s) is refused, and
/// a member that is merely slow for seconds must not lose its partitions.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// `heartbeat.interval.ms`: members learn of a rebalance by the answer to a heartbeat, so this bounds each of the two
/// rounds of a handover; several may be lost within a session.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// `max.poll.interval.ms`: how long closing the tasks of revoked partitions may take. A task in the midst of a commit
/// is done within the producer's bounds, which are shorter together.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_mins(5);

/// Of fetched records (KiB): the least there is, since nothing is fetched.
const QUEUED_KBYTES: &str = "1";

const PROMISES: [(&str, &str); 5] = [
    // Partitions that stay where they are are not revoked: their tasks run on through a rebalance.
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "latest"),
    ("isolation.level", "read_committed"),
];

/// What became of the member's partitions.
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

/// Why the member is none. A person mends it; stop.
#[derive(Debug, Error)]
pub enum Error {
    /// The group cannot be joined: no permission, a wrong configuration.
    #[error("cannot be a member of the consumer group {group_id} on the topic {topic}")]
    Refused {
        /// The group.
        group_id: String,
        /// The subscribed topic.
        topic: String,
        /// librdkafka's error.
        #[source]
        source: Box<KafkaError>,
    },
    /// The credentials were rejected, and others have been written into their file since. A new process reads those.
    #[error(
        "Kafka rejected the credentials of the consumer group {group_id}, and their file has changed since this \
         process read it: the process ends, to be started again with the new ones"
    )]
    Rotated {
        /// The group.
        group_id: String,
    },
}

type Close = Box<dyn FnMut(Withdrawal, &[i32]) + Send>;

/// A member of a consumer group that reads nothing: its partitions are paused as soon as they are assigned.
///
/// One thread polls it, at least every [`MAX_POLL_INTERVAL`]; any thread may ask for the group's metadata.
pub struct Member {
    /// Before the consumer, which it uses: fields are dropped in order.
    watch: Option<Watch>,
    consumer: Arc<BaseConsumer<Rebalances>>,
    /// What the consumer was made of, and with: the secrets as they were then.
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
            ("session.timeout.ms", &*milliseconds(SESSION_TIMEOUT)),
            ("heartbeat.interval.ms", &milliseconds(HEARTBEAT_INTERVAL)),
            ("max.poll.interval.ms", &milliseconds(MAX_POLL_INTERVAL)),
            ("queued.max.messages.kbytes", QUEUED_KBYTES),
        ];
        let mut used = with(base, &defaults, &PROMISES);
        used.set("group.id", group_id);
        let (trouble, events) = (Trouble::default(), Mutex::default());
        let rebalances = Rebalances { close: Mutex::new(Box::new(close)), events, trouble };
        let consumer: BaseConsumer<Rebalances> = used.create_with_context(rebalances).map_err(refused)?;
        consumer.subscribe(&[topic]).map_err(refused)?;
        Ok(Self {
            watch: None,
            consumer: Arc::new(consumer),
            base: base.clone(),
            used,
            group_id: group_id.to_owned(),
            topic: topic.to_owned(),
        })
    }

    /// Says in `health`, from now on, whether Kafka answers and accepts the credentials.
    #[must_use]
    pub fn watched(mut self, health: &Arc<Health>) -> Self {
        let trouble = self.consumer.context().trouble.clone();
        let made = Made { base: self.base.clone(), used: self.used.clone() };
        self.watch =
            Some(Watch::start(Arc::clone(&self.consumer), &self.topic, made, trouble, Arc::clone(health)));
        self
    }

    /// What became of the partitions, as soon as something did; empty where the timeout is over.
    pub fn poll(&self, timeout: Duration) -> Result<Vec<Event>, Error> {
        if self.watch.as_ref().is_some_and(Watch::is_rotated) {
            return Err(Error::Rotated { group_id: self.group_id.clone() });
        }
        if let Some(Err(source)) = self.consumer.poll(timeout) {
            if is_permanent(&source) {
                let (group_id, topic) = (self.group_id.clone(), self.topic.clone());
                return Err(Error::Refused { group_id, topic, source: source.into() });
            }
            debug!(group = self.group_id, error = %source, "librdkafka tries again");
        }
        Ok(self.consumer.context().take_events())
    }

    /// Who the member is in the group, for [`super::transaction::TransactionalProducer::send_offsets`]. Changes with
    /// every rebalance: ask anew for every transaction.
    pub fn group_metadata(&self) -> ConsumerGroupMetadata {
        self.consumer.group_metadata().expect("the consumer was made with a group id")
    }

    /// Leaves the group at once, so that the others need not wait for the session's end. Calls the callback with all
    /// partitions first. Dropping the member does the same.
    pub fn close(self) {
        info!(group = self.group_id, "leaving the consumer group");
        drop(self);
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

struct Rebalances {
    close: Mutex<Close>,
    events: Mutex<VecDeque<Event>>,
    trouble: Trouble,
}

impl Rebalances {
    fn take_events(&self) -> Vec<Event> {
        self.events().drain(..).collect()
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
        info!(?partitions, "assigned");
        if !partitions.is_empty() {
            self.events().push_back(Event::Assigned(partitions));
        }
        Ok(())
    }

    fn withdraw(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let withdrawal = if consumer.assignment_lost() { Withdrawal::Lost } else { Withdrawal::Revoked };
        let partitions = self.without_unseen(partitions(list));
        match withdrawal {
            Withdrawal::Lost => warn!(?partitions, "lost; was this process asleep or cut off?"),
            Withdrawal::Revoked => info!(?partitions, "revoked"),
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

    fn stats_raw(&self, _: &[u8]) {}

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
            // librdkafka lets go of the assignment by itself and joins again.
            error!(%error, "cannot follow the rebalance");
        }
    }
}
