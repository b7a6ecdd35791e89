//! Three brokers in three racks, of which any one may be killed.

use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::jars::{JarBroker, More, Ports, free_ports};

/// Brokers (count): each is a controller too, so two of them go on without the third.
pub const BROKERS: usize = 3;

/// Java's heap of one broker: three of them run while a compiler runs.
const HEAP: [&str; 2] = ["-Xms128m", "-Xmx384m"];

/// Three brokers answer after some 10 s; on a machine that compiles, later.
const START_BOUND: Duration = Duration::from_mins(3);
/// How long all replicas may take to be in sync once all brokers are up, and a partition to have a leader again.
const SYNC_BOUND: Duration = Duration::from_mins(2);
/// One question for metadata.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// Three copies of everything, two of which must have a record before it is acknowledged, and consumers that fetch from
/// a follower in their rack. A dead broker is noticed sooner than by default (9 s), though not as soon as a busy machine
/// makes a living one look dead.
const PROPERTIES: &str = "default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=1000
replica.lag.time.max.ms=10000
";

/// The running brokers; dropping it kills them. The kernel ends them with the thread that started them.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<JarBroker>,
    address: String,
}

/// A partition and its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Led {
    pub topic: String,
    pub partition: i32,
    /// The id of the broker that leads it; none is -1.
    pub leader: i32,
    /// Replicas in sync (count).
    pub in_sync: usize,
}

impl Led {
    /// Whether it survives the death of any one broker.
    pub fn is_in_sync(&self) -> bool {
        self.leader > 0 && self.in_sync == BROKERS
    }
}

impl Cluster {
    /// Starts the brokers, whose data lies in `folder`, and waits until they know each other.
    pub fn start(folder: &Path) -> Result<Self> {
        let ports = (0..BROKERS).map(|_| free_ports()).collect::<Result<Vec<_>, _>>()?;
        let mut voters = Vec::new();
        for (number, (_, controller)) in ports.iter().enumerate() {
            voters.push(format!("{}@localhost:{controller}", number + 1));
        }
        let mut brokers = Vec::new();
        for (number, (broker, controller)) in ports.into_iter().enumerate() {
            let id = number + 1;
            // The later of two lines for a property counts.
            let mut properties = PROPERTIES.to_owned();
            writeln!(properties, "node.id={id}\nbroker.rack={}", rack(id))?;
            writeln!(properties, "controller.quorum.voters={}", voters.join(","))?;
            let more = More { properties, heap: Some(HEAP), ..More::default() };
            let ports = Ports { broker, controller };
            brokers.push(JarBroker::start_at(&folder.join(format!("broker-{id}")), ports, &more)?);
        }
        let address = brokers.iter().map(JarBroker::address).collect::<Vec<_>>().join(",");
        let mut cluster = Self { brokers, address };
        cluster.await_brokers()?;
        Ok(cluster)
    }

    /// The bootstrap servers, all three.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The id of the broker that leads a partition, once one does.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<usize> {
        let deadline = Instant::now() + SYNC_BOUND;
        loop {
            let led = self.partitions(Some(topic))?.into_iter().find(|led| led.partition == partition);
            if let Some(leader) = led.and_then(|led| usize::try_from(led.leader).ok()) {
                return Ok(leader);
            }
            ensure!(Instant::now() < deadline, "{topic} partition {partition} has no leader");
            thread::sleep(PAUSE);
        }
    }

    /// Ends a broker as a power cut would (SIGKILL).
    pub fn kill(&mut self, id: usize) -> Result<()> {
        self.brokers[id - 1].kill()
    }

    /// Starts a broker again that was killed, on its data and its address.
    pub fn start_again(&mut self, id: usize) -> Result<()> {
        self.brokers[id - 1].start_again()
    }

    /// Waits until all replicas of a topic are in sync: any one broker may be killed then.
    pub fn await_in_sync(&self, topic: &str) -> Result<()> {
        let deadline = Instant::now() + SYNC_BOUND;
        loop {
            let partitions = self.partitions(Some(topic))?;
            if !partitions.is_empty() && partitions.iter().all(Led::is_in_sync) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the replicas of {topic} are not in sync: {partitions:?}");
            thread::sleep(PAUSE);
        }
    }

    /// The partitions of one topic, or of all topics, Kafka's own among them.
    pub fn partitions(&self, topic: Option<&str>) -> Result<Vec<Led>> {
        let deadline = Instant::now() + SYNC_BOUND;
        let client = self.client()?;
        let metadata = loop {
            match client.fetch_metadata(topic, QUERY_TIMEOUT) {
                Ok(metadata) => break metadata,
                Err(error) => ensure!(Instant::now() < deadline, "no broker answers: {error}"),
            }
        };
        let mut all = Vec::new();
        for topic in metadata.topics() {
            all.extend(topic.partitions().iter().map(|it| Led {
                topic: topic.name().to_owned(),
                partition: it.id(),
                leader: it.leader(),
                in_sync: it.isr().len(),
            }));
        }
        Ok(all)
    }

    fn await_brokers(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_BOUND;
        let client = self.client()?;
        loop {
            let known = client.fetch_metadata(None, QUERY_TIMEOUT).map(|metadata| metadata.brokers().len());
            if known.as_ref().is_ok_and(|known| *known == BROKERS) {
                return Ok(());
            }
            for broker in &mut self.brokers {
                ensure!(broker.is_running(), "the broker at {} ended at once", broker.address());
            }
            ensure!(Instant::now() < deadline, "not all brokers are up: {known:?}");
            thread::sleep(PAUSE);
        }
    }

    fn client(&self) -> Result<BaseConsumer> {
        Ok(ClientConfig::new()
            .set("bootstrap.servers", &self.address)
            .set_log_level(RDKafkaLogLevel::Emerg)
            .create()?)
    }
}

/// The rack of a broker.
pub fn rack(id: usize) -> String {
    format!("r{id}")
}
