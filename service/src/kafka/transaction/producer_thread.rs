//! A producer whose events are served in the background: deliveries, and librdkafka's lines for the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Message};

use crate::kafka::client::{log, log_error};
use crate::metrics::{ClientStatistics, client_statistics};

/// Pause between looks at the queue within a transaction: the order of a broker's answer on a local network.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// Pause between looks at the queue of an idle producer, which has lines for the log at most.
const IDLE_PAUSE: Duration = Duration::from_secs(1);

/// rdkafka's own `ThreadedProducer` spins for the last millisecond of each of its ten polls a second, a hundredth of a
/// core for each idle producer.
pub(super) struct ProducerThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    producer: BaseProducer<Deliveries>,
    is_busy: AtomicBool,
    is_stopping: AtomicBool,
}

impl ProducerThread {
    pub(super) fn new(config: &ClientConfig) -> KafkaResult<Self> {
        let producer = config.create_with_context(Deliveries::default())?;
        let shared =
            Shared { producer, is_busy: AtomicBool::new(false), is_stopping: AtomicBool::new(false) };
        let shared = Arc::new(shared);
        let served = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("kafka deliveries".to_owned())
            .spawn(move || serve(&served))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(super) fn producer(&self) -> &BaseProducer<Deliveries> {
        &self.shared.producer
    }

    /// A call on a thread of its own: `OperationTimedOut` where it has not returned within the bound. It keeps the client
    /// until it does.
    pub(super) fn within(
        &self,
        bound: Duration,
        call: impl FnOnce(&BaseProducer<Deliveries>) -> KafkaResult<()> + Send + 'static,
    ) -> KafkaResult<()> {
        let shared = Arc::clone(&self.shared);
        let (sender, result) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("kafka call".to_owned())
            // A late one is not awaited.
            .spawn(move || drop(sender.send(call(&shared.producer))))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        result.recv_timeout(bound).unwrap_or(Err(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut)))
    }

    /// Whether a transaction is open, and deliveries are to be served at once.
    pub(super) fn set_busy(&self, is_busy: bool) {
        self.shared.is_busy.store(is_busy, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for ProducerThread {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was printed, and affects only deliveries that are not awaited.
            drop(thread.join());
        }
    }
}

fn serve(shared: &Shared) {
    while !shared.is_stopping.load(Ordering::Acquire) {
        // One poll serves one event; the count includes them.
        let mut before = i32::MAX;
        while shared.producer.in_flight_count() < before {
            before = shared.producer.in_flight_count();
            shared.producer.poll(Duration::ZERO);
        }
        let is_busy = shared.is_busy.load(Ordering::Acquire);
        thread::park_timeout(if is_busy { BUSY_PAUSE } else { IDLE_PAUSE });
    }
}

/// Remembers what went wrong first in the transaction, and where records were delivered.
#[derive(Default)]
pub(super) struct Deliveries {
    delivered: Mutex<Delivered>,
    statistics: ClientStatistics,
}

#[derive(Default)]
struct Delivered {
    failure: Option<Failure>,
    /// Topic, partition and newest offset; a task writes into three.
    newest: Vec<(String, i32, i64)>,
}

/// Why a transaction must not be committed.
#[derive(Clone)]
pub(super) enum Failure {
    /// A record was not delivered.
    Undelivered {
        topic: String,
        /// Key and value together.
        bytes: usize,
        source: KafkaError,
    },
    /// A record was delivered before one that was delivered earlier: the topic is another one by that name, or a broker
    /// lost what it had acknowledged.
    Recreated { topic: String },
}

impl Deliveries {
    pub(super) fn failure(&self) -> Option<Failure> {
        self.delivered().failure.clone()
    }

    /// The partition ends there: what is delivered follows.
    pub(super) fn expect_behind(&self, topic: &str, partition: i32, end: i64) {
        self.delivered().note(topic, partition, end - 1);
    }

    /// The newest offset that was delivered to the partition, where a broker said it.
    pub(super) fn newest(&self, topic: &str, partition: i32) -> Option<i64> {
        let delivered = self.delivered();
        let mut newest = delivered.newest.iter();
        newest.find(|(name, number, _)| name == topic && *number == partition).map(|(_, _, offset)| *offset)
    }

    pub(super) fn forget(&self) {
        self.delivered().failure = None;
    }

    fn delivered(&self) -> MutexGuard<'_, Delivered> {
        self.delivered.lock().expect("nothing panics while it holds the lock")
    }
}

impl Delivered {
    fn note(&mut self, topic: &str, partition: i32, offset: i64) {
        // Unknown of a record that was sent twice.
        if offset < 0 {
            return;
        }
        let known = self.newest.iter_mut().find(|(name, number, _)| name == topic && *number == partition);
        match known {
            Some((_, _, newest)) if offset > *newest => *newest = offset,
            Some(_) => {
                let failure = Failure::Recreated { topic: topic.to_owned() };
                self.failure.get_or_insert(failure);
            }
            None => self.newest.push((topic.to_owned(), partition, offset)),
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if let Some(topic) = denied_topic(line) {
            let source = KafkaError::MessageProduction(RDKafkaErrorCode::TopicAuthorizationFailed);
            let failure = Failure::Undelivered { topic: topic.to_owned(), bytes: 0, source };
            self.delivered().failure.get_or_insert(failure);
        }
        log(level, facility, line);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        client_statistics(&self.statistics, statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(message) => {
                self.delivered().note(message.topic(), message.partition(), message.offset());
            }
            Err((source, message)) => {
                let failure = Failure::Undelivered {
                    topic: message.topic().to_owned(),
                    bytes: message.key_len() + message.payload_len(),
                    source: source.clone(),
                };
                self.delivered().failure.get_or_insert(failure);
            }
        }
    }
}

/// The topic that the transaction may not write to. librdkafka names it in this line alone, and then drops all records.
fn denied_topic(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("Failed to add partition \"")?;
    let (topic, rest) = rest.split_once('"')?;
    rest.contains("Topic authorization failed").then_some(topic)
}

#[cfg(test)]
mod tests {
    use super::{Delivered, Failure, denied_topic};

    #[test]
    fn the_topic_that_may_not_be_written_to_is_in_librdkafka_s_log() {
        let line = "[thrd:main]: TxnCoordinator/1: Failed to add partition \"a.graph\" [1] to transaction: Broker: Topic \
                    authorization failed";
        assert_eq!(denied_topic(line), Some("a.graph"));
        let other = "TxnCoordinator/1: Failed to add partition \"a.graph\" [1] to transaction: Broker: Not coordinator";
        assert_eq!(denied_topic(other), None);
    }

    #[test]
    fn a_topic_whose_offsets_go_back_is_another_one() {
        let mut delivered = Delivered::default();
        for (topic, partition, offset) in [("a", 0, 7), ("a", 0, 8), ("b", 0, 3), ("a", 1, 2), ("a", 0, -1)] {
            delivered.note(topic, partition, offset);
        }
        assert!(delivered.failure.is_none());
        delivered.note("a", 0, 0);
        assert!(matches!(&delivered.failure, Some(Failure::Recreated { topic }) if topic == "a"));
    }
}
