//! Watching the brokers while a service runs: whether one answers, and whether they accept the credentials.
//!
//! librdkafka says that all brokers are down, but not that one is back, and says nothing while a network swallows
//! packets. So a thread, one for the whole process, keeps asking with the member's client.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use tracing::{error, info};

use super::client::{changed_secret, log};
use super::last_error::Cause;
use super::partition::is_permanent;
use crate::admin::Health;
use crate::redaction::redact;
use crate::wait::{Wait, WaitReporter};

/// The check that the watch sets.
const CHECK: &str = "kafka";
/// Pause between two rounds. With [`ANSWER_BOUND`] and [`PARTS_BOUND`] it is less than the session's ten seconds, so that
/// the reason is known before the assignment is lost.
const PAUSE: Duration = Duration::from_secs(3);
/// How long an answer may take: a broker needs milliseconds, and a slow one a second or two.
const ANSWER_BOUND: Duration = Duration::from_secs(3);
/// How long the group's coordinator and the partitions' leaders together may take to answer, so that the next look at
/// the brokers comes soon.
const PARTS_BOUND: Duration = Duration::from_secs(2);
/// The same of one leader, where not all have answered.
const LEADER_BOUND: Duration = Duration::from_millis(300);
/// Requests of a client that is created to learn the reason, each for as long as [`REASON_BOUND`] (count).
const REASON_TRIES: usize = 3;
/// How long one of them may take.
const REASON_BOUND: Duration = Duration::from_secs(1);
/// Events of that client that are read after each: why a connection failed is among the first (count).
const EVENTS_READ: usize = 16;

/// Why the client's last connection failed. Its context writes it, the watch reads it.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Cause>>>);

impl Trouble {
    /// Remembers an error of the client as a whole. That all brokers are down says less than why the last one is.
    pub(super) fn note(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if !matches!(code, Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::PartitionEOF)) {
            let failure = Cause { reason: reason.to_owned(), ..Cause::of(error) };
            *self.failure() = Some(failure);
        }
    }

    fn forget(&self) {
        *self.failure() = None;
    }

    fn failure(&self) -> MutexGuard<'_, Option<Cause>> {
        // It is whole between any two calls.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The configuration of the watched client.
pub(super) struct Made {
    pub(super) base: ClientConfig,
    /// With which one: secrets as they were in their files then.
    pub(super) used: ClientConfig,
}

/// Of no topic, so that no transaction has an offset of it, which would have to end before the coordinator answers.
const NO_PARTITION: i32 = i32::MAX;

/// What else the process needs than any broker: whose loss a broker that answers does not show.
struct Parts {
    topic: String,
    health: Arc<Health>,
    coordinator: Wait,
    leaders: BTreeMap<i32, Wait>,
    /// The last partition whose leader was asked alone.
    asked_last: i32,
}

impl Parts {
    fn new(topic: &str, group_id: &str, health: &Arc<Health>) -> Self {
        let coordinator = WaitReporter::new(health, "consumer group coordinator").wait(
            format!("the coordinator of the consumer group {group_id}"),
            "it ends once its partition of __consumer_offsets has a leader that answers; check that the brokers are up and \
             reachable",
        );
        Self {
            topic: topic.to_owned(),
            health: Arc::clone(health),
            coordinator,
            leaders: BTreeMap::new(),
            asked_last: -1,
        }
    }

    /// Leaders are asked only once the coordinator has answered: the time is for one of both.
    fn ask<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>, is_stopping: impl Fn() -> bool) {
        let deadline = Instant::now() + PARTS_BOUND;
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, NO_PARTITION);
        if reported(&mut self.coordinator, consumer.committed_offsets(list, PARTS_BOUND)) && !is_stopping() {
            self.ask_leaders(consumer, deadline, is_stopping);
        }
    }

    fn ask_leaders<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        deadline: Instant,
        is_stopping: impl Fn() -> bool,
    ) {
        let left = || deadline.saturating_duration_since(Instant::now());
        let Ok(assigned) = consumer.assignment() else { return };
        let partitions = partitions(&assigned);
        self.leaders.retain(|partition, _| partitions.contains(partition));
        for partition in &partitions {
            self.leaders.entry(*partition).or_insert_with(|| {
                let name = format!("{} partition {partition}, reading", self.topic);
                WaitReporter::new(&self.health, name).wait(
                    "the partition's leader",
                    "it ends once one is elected and answers; check that the brokers are up and reachable",
                )
            });
        }
        if partitions.is_empty() {
            return;
        }
        // One request to each leader. Which of them did not answer is not said: half of the time is left to learn it.
        let mut list = assigned;
        if list.set_all_offsets(Offset::End).is_ok() && consumer.offsets_for_times(list, left() / 2).is_ok() {
            self.leaders.values_mut().for_each(Wait::comes);
            return;
        }
        // Those for which no time is left are the first of the next round.
        let (before, after): (Vec<i32>, Vec<i32>) =
            partitions.into_iter().partition(|partition| *partition <= self.asked_last);
        for partition in after.into_iter().chain(before) {
            if is_stopping() || left().is_zero() {
                return;
            }
            self.asked_last = partition;
            if let Some(wait) = self.leaders.get_mut(&partition) {
                reported(wait, consumer.fetch_watermarks(&self.topic, partition, LEADER_BOUND.min(left())));
            }
        }
    }
}

/// Whether there was an answer: who refuses has answered.
fn reported<T>(wait: &mut Wait, answer: Result<T, KafkaError>) -> bool {
    match answer {
        Err(error) if !is_permanent(&error) => {
            wait.goes_on(&error.to_string());
            false
        }
        _ => {
            wait.comes();
            true
        }
    }
}

/// The thread that asks. Dropping it waits for the thread's end: one question at most.
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_stopping: AtomicBool,
    is_rotated: AtomicBool,
}

impl Watch {
    /// Begins to ask with that consumer about its topic, and reports the results in `health`.
    pub(super) fn start<C: ConsumerContext + 'static>(
        consumer: Arc<BaseConsumer<C>>,
        topic: &str,
        made: Made,
        trouble: Trouble,
        health: Arc<Health>,
    ) -> Self {
        let shared = Arc::<Shared>::default();
        let (topic, seen) = (topic.to_owned(), Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("kafka watch".to_owned())
            .spawn(move || {
                let group_id = made.used.get("group.id").unwrap_or_default();
                let mut parts = Parts::new(&topic, group_id, &health);
                let mut watching =
                    Watching { made, trouble, last_answer: Timestamp::now(), reported: Reported::Nothing };
                let is_stopping = || seen.is_stopping.load(Ordering::Acquire);
                while !is_stopping() {
                    let answer = consumer.fetch_metadata(Some(&topic), ANSWER_BOUND).map(drop);
                    if is_stopping() {
                        return;
                    }
                    let is_down = answer.is_err();
                    health.set(CHECK, watching.judge(answer.as_ref(), &seen));
                    if is_down && watching.learn_reason(&topic, is_stopping) {
                        health.set(CHECK, watching.judge(answer.as_ref(), &seen));
                    }
                    if !is_down {
                        parts.ask(consumer.as_ref(), is_stopping);
                    }
                    if !is_stopping() {
                        thread::park_timeout(PAUSE);
                    }
                }
            })
            .expect("the system has a thread left");
        Self { shared, thread: Some(thread) }
    }

    /// Whether the credentials were rejected and have been replaced since: a new client would use the new ones.
    pub(super) fn is_rotated(&self) -> bool {
        self.shared.is_rotated.load(Ordering::Acquire)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic was logged.
            drop(thread.join());
        }
    }
}

struct Watching {
    made: Made,
    trouble: Trouble,
    last_answer: Timestamp,
    reported: Reported,
}

/// What the log has said since a broker last answered. Later ones say more: that credentials are rejected is often
/// learned only after a broker has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reported {
    Nothing,
    NoAnswer,
    Rejection,
}

impl Reported {
    /// Whether that says more than what was said before, which it then replaces.
    fn is_raised_to(&mut self, other: Self) -> bool {
        let is_news = other > *self;
        *self = other.max(*self);
        is_news
    }
}

impl Watching {
    /// Asks with a client of its own why no broker answers; whether the credentials are rejected. The member's client
    /// says so only where it is polled, and its thread may be closing tasks for minutes.
    fn learn_reason(&self, topic: &str, is_stopping: impl Fn() -> bool) -> bool {
        let mut config = self.made.used.clone();
        config.remove("group.id");
        let Ok(consumer) =
            config.create_with_context::<_, BaseConsumer<Asking>>(Asking(self.trouble.clone()))
        else {
            return false;
        };
        (0..REASON_TRIES).take_while(|_| !is_stopping()).any(|_| {
            // What matters is the events, not the answer.
            let _ = consumer.fetch_metadata(Some(topic), REASON_BOUND);
            for _ in 0..EVENTS_READ {
                drop(consumer.poll(Duration::ZERO));
            }
            self.trouble.failure().as_ref().is_some_and(|failure| failure.is_rejection)
        })
    }

    fn judge(&mut self, answer: Result<&(), &KafkaError>, shared: &Shared) -> Result<(), String> {
        let Err(error) = answer else {
            self.trouble.forget();
            self.last_answer = Timestamp::now();
            if std::mem::replace(&mut self.reported, Reported::Nothing) != Reported::Nothing {
                info!("Kafka answers again");
            }
            return Ok(());
        };
        let failure = self.trouble.failure().clone();
        let failure = failure.unwrap_or_else(|| Cause::of(error));
        let password = self.made.used.get("sasl.password").unwrap_or_default();
        let (reason, since) = (redact(&failure.reason, password), self.last_answer);
        let text = if failure.is_rejection {
            if changed_secret(&self.made.base, &self.made.used).is_some() {
                shared.is_rotated.store(true, Ordering::Release);
            }
            format!(
                "Kafka rejects the credentials and has not answered since {since:.0} ({reason}); check the sasl.* \
                 of kafka.properties"
            )
        } else {
            format!(
                "no broker has answered since {since:.0} ({reason}); check that the brokers are up and reachable"
            )
        };
        let now = if failure.is_rejection { Reported::Rejection } else { Reported::NoAnswer };
        if self.reported.is_raised_to(now) {
            error!("{text}");
        }
        Err(text)
    }
}

/// The context of the client that is created to learn the reason.
struct Asking(Trouble);

impl ClientContext for Asking {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.note(&error, reason);
    }
}

impl ConsumerContext for Asking {}

/// The numbers of the partitions, sorted.
pub(super) fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    let mut partitions: Vec<i32> = list.elements().iter().map(TopicPartitionListElem::partition).collect();
    partitions.sort_unstable();
    partitions
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rdkafka::config::ClientConfig;
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    use super::{Made, Reported, Shared, Trouble, Watching};

    #[test]
    fn rejected_credentials_are_logged_once_although_no_answer_was_logged_before() {
        let made = Made { base: ClientConfig::new(), used: ClientConfig::new() };
        let (trouble, shared) = (Trouble::default(), Shared::default());
        let mut watching = Watching {
            made,
            trouble: trouble.clone(),
            last_answer: Timestamp::now(),
            reported: Reported::Nothing,
        };
        let timeout = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
        let says = watching.judge(Err(&timeout), &shared).unwrap_err();
        assert!(
            says.starts_with("no broker has answered") && watching.reported == Reported::NoAnswer,
            "{says}"
        );
        let rejection = KafkaError::Global(RDKafkaErrorCode::Authentication);
        trouble.note(&rejection, "SASL authentication failed");
        let says = watching.judge(Err(&timeout), &shared).unwrap_err();
        assert!(says.starts_with("Kafka rejects") && watching.reported == Reported::Rejection, "{says}");

        let mut reported = Reported::Nothing;
        let lines = [
            Reported::NoAnswer,
            Reported::NoAnswer,
            Reported::Rejection,
            Reported::Rejection,
            Reported::NoAnswer,
        ]
        .map(|it| reported.is_raised_to(it));
        assert_eq!(lines, [true, false, true, false, false]);
        assert!(watching.judge(Ok(&()), &shared).is_ok() && watching.reported == Reported::Nothing);
    }
}
