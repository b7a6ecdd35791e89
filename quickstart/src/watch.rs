//! A reader of all topics that belongs to none of the services.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientContext, Message, Offset, Statistics, TopicPartitionList};
use schemas::change::Envelope;
use schemas::codec::decode;
use schemas::sync::Sync;
use schemas::topics::Topic;
use service::kafka::value;
use tokio::sync::mpsc;

use crate::kafka::{Kafka, PARTITIONS};

/// One wait for a record: decides how soon the thread notices the end.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// News that wait to be taken in (count); the thread waits beyond it.
const QUEUE: usize = 1_000;
/// How often librdkafka reports how many bytes it has received (ms).
const STATISTICS_INTERVAL_MS: &str = "500";

#[derive(Debug)]
pub(crate) enum News {
    Change(Box<Envelope>),
    /// A record of the graph topic.
    Graph {
        key: String,
        value: Option<Vec<u8>>,
    },
    /// What JupiterOne holds.
    Sync(Box<Sync>),
    /// A record that a service could not decode.
    DeadLetter,
    /// All bytes that the broker has sent so far.
    Received(u64),
    /// A record that is not what its topic promises.
    Broken(String),
}

pub(crate) struct Watch {
    news: mpsc::Receiver<News>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Reads every topic from its beginning.
    pub(crate) fn start(kafka: &Kafka) -> anyhow::Result<Self> {
        let (sender, news) = mpsc::channel(QUEUE);
        let consumer: BaseConsumer<Counter> = ClientConfig::new()
            .set("bootstrap.servers", &kafka.bootstrap_servers)
            // Needed by librdkafka. The group is never joined, and nothing is committed.
            .set("group.id", format!("{}.quickstart", kafka.prefix))
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            // A person watches: an answer without records comes soon (ms).
            .set("fetch.wait.max.ms", "250")
            .set("statistics.interval.ms", STATISTICS_INTERVAL_MS)
            .create_with_context(Counter(sender.clone()))
            .context("failed to create a consumer")?;
        let names = Topic::ALL.map(|topic| (topic, topic.name(&kafka.prefix)));
        let mut list = TopicPartitionList::new();
        for (_, name) in &names {
            for partition in 0..PARTITIONS {
                list.add_partition_offset(name, partition, Offset::Beginning)
                    .context("failed to name a partition")?;
            }
        }
        consumer.assign(&list).context("failed to read the topics")?;
        let thread = thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || read(&consumer, &names, &sender))
            .context("failed to start a thread")?;
        Ok(Self { news, thread })
    }

    pub(crate) async fn next(&mut self) -> anyhow::Result<News> {
        self.news.recv().await.context("the reading thread ended")
    }

    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop(self.news);
        let ended = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        ended.map_err(|_| anyhow::anyhow!("the reading thread panicked"))
    }
}

/// Tells what librdkafka has received.
struct Counter(mpsc::Sender<News>);

impl ClientContext for Counter {
    fn stats(&self, statistics: Statistics) {
        let received = statistics.brokers.values().map(|broker| broker.rxbytes).sum();
        // The next one says the same and more.
        let _ = self.0.try_send(News::Received(received));
    }
}

impl ConsumerContext for Counter {}

fn read(consumer: &BaseConsumer<Counter>, names: &[(Topic, String); 5], sender: &mpsc::Sender<News>) {
    while !sender.is_closed() {
        let news = match consumer.poll(POLL_TIMEOUT) {
            None => None,
            Some(Ok(message)) => {
                let topic = names.iter().find(|(_, name)| name == message.topic()).map(|(topic, _)| *topic);
                topic.and_then(|topic| news(topic, &message))
            }
            Some(Err(error)) if is_passing(&error) => None,
            Some(Err(error)) => Some(News::Broken(format!("failed to read the topics: {error}"))),
        };
        if let Some(news) = news
            && sender.blocking_send(news).is_err()
        {
            return;
        }
    }
}

/// Whether librdkafka goes on by itself.
fn is_passing(error: &KafkaError) -> bool {
    !matches!(error, KafkaError::MessageConsumptionFatal(_))
}

fn news(topic: Topic, message: &BorrowedMessage<'_>) -> Option<News> {
    let value = value(message);
    let broken = |error: &dyn std::error::Error| {
        News::Broken(format!("{} offset {}: {error}", message.topic(), message.offset()))
    };
    Some(match (topic, value.as_deref()) {
        (Topic::Raw, _) | (Topic::Changes | Topic::Sync, None) => return None,
        (Topic::DeadLetters, _) => News::DeadLetter,
        (Topic::Changes, Some(value)) => match decode::<Envelope>(value) {
            Ok(change) => News::Change(Box::new(change)),
            Err(error) => broken(&error),
        },
        (Topic::Sync, Some(value)) => match decode::<Sync>(value) {
            Ok(sync) => News::Sync(Box::new(sync)),
            Err(error) => broken(&error),
        },
        (Topic::Graph, value) => match std::str::from_utf8(message.key().unwrap_or_default()) {
            Ok(key) => News::Graph { key: key.to_owned(), value: value.map(<[u8]>::to_vec) },
            Err(error) => broken(&error),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::config::ClientConfig;
    use rdkafka::message::{Header, OwnedHeaders};
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
    use schemas::codec::encode;
    use schemas::framing::{DATA_SCHEMA, data_schema, split, to_registry};
    use schemas::sync::Sync;
    use schemas::topics::Topic;

    use super::{News, Watch};
    use crate::kafka::Kafka;

    /// How long the embedded broker may take.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn both_framings_of_a_value_are_read() {
        let kafka = Kafka::embedded().expect("an embedded broker");
        let value = encode(&Sync::default());
        let (fingerprint, body) = split(&value).expect("single-object encoding");
        let (framed, schema) = (to_registry(body, 7), data_schema(fingerprint));
        let headers = OwnedHeaders::new().insert(Header { key: DATA_SCHEMA, value: Some(&schema) });
        let mut config = ClientConfig::new();
        let producer: BaseProducer =
            config.set("bootstrap.servers", &kafka.bootstrap_servers).create().expect("a producer");
        let topic = Topic::Sync.name(&kafka.prefix);
        let record = || BaseRecord::<(), [u8]>::to(&topic);
        producer.send(record().payload(&value[..])).expect("a queued record");
        producer.send(record().payload(&framed[..]).headers(headers)).expect("a queued record");
        producer.flush(PATIENCE).expect("two written records");

        let mut watch = Watch::start(&kafka).expect("a watch");
        for framing in ["single-object encoding", "Confluent's wire format"] {
            loop {
                let news = tokio::time::timeout(PATIENCE, watch.next()).await.expect("news in time");
                match news.expect("a thread that reads") {
                    News::Received(_) => {}
                    News::Sync(sync) => break assert_eq!(*sync, Sync::default(), "{framing}"),
                    other => panic!("{framing}: {other:?}"),
                }
            }
        }
        watch.stop().await.expect("a thread that ends");
    }
}
