//! A producer whose events are served in the background: deliveries, and librdkafka's lines for the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Message};

use crate::kafka::client::{log, log_error};

/// Pause between looks at the queue within a transaction: the order of a broker's answer on a local network.
pub(super) const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// Pause between looks at the queue of an idle producer, which has lines for the log at most.
const IDLE_PAUSE: Duration = Duration::from_secs(1);

/// rdkafka's own `ThreadedProducer` spins for the last millisecond of each of its ten polls a second, a hundredth of a
/// core for each idle producer.
pub(super) struct PolledProducer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    producer: BaseProducer<Deliveries>,
    is_busy: AtomicBool,
    is_stopping: AtomicBool,
}

impl PolledProducer {
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

impl Drop for PolledProducer {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed and concerns deliveries nobody waits for any more.
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

/// Remembers the transaction's first record that was not delivered.
#[derive(Default)]
pub(super) struct Deliveries {
    failure: Mutex<Option<Failure>>,
}

/// A record that was not delivered.
#[derive(Clone)]
pub(super) struct Failure {
    pub(super) topic: String,
    /// Key and value together.
    pub(super) bytes: usize,
    pub(super) source: KafkaError,
}

impl Deliveries {
    pub(super) fn failure(&self) -> Option<Failure> {
        self.slot().clone()
    }

    pub(super) fn forget(&self) {
        *self.slot() = None;
    }

    fn slot(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().expect("nothing panics while it holds the lock")
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((source, message)) = result else { return };
        self.slot().get_or_insert_with(|| Failure {
            topic: message.topic().to_owned(),
            bytes: message.key_len() + message.payload_len(),
            source: source.clone(),
        });
    }
}
