//! The whole sink on librdkafka's mock cluster, which keeps no transactional promise: what depends on one is tested
//! on a real broker, elsewhere.

mod embedded;
mod first;
mod neighbors;
mod starts;
mod unwritten;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use service::config::Config;
use service::exit::Outcome;
use service::kafka::topics::Broker;
use service::shell::Program;
use service::shutdown::CancellationToken;
use service::startup::Options;
use simulator::jupiterone::{JupiterOne, Settings, start};
use tokio::task::JoinHandle;

use crate::approve::{Approve, approve};
use crate::fixture::{Organization, PARTITIONS};
use crate::run::{resync, run};

/// How long a condition may take to come true: far more than it does.
const BOUND: Duration = Duration::from_secs(30);

/// Asks for the end when it is dropped, so that a test that fails ends too.
struct Asking(CancellationToken);

impl Asking {
    fn cancel(&self) {
        self.0.cancel();
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A broker, a JupiterOne, and the configuration of a sink between them.
struct World {
    _cluster: MockCluster<'static, DefaultProducerContext>,
    producer: ThreadedProducer<DefaultProducerContext>,
    jupiterone: JupiterOne,
    environment: BTreeMap<String, String>,
}

impl World {
    /// With organizations configured by name, each with the default target.
    async fn new(organizations: &[&str]) -> Self {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        for topic in ["anthropic.graph", "anthropic.sync", "another.graph", "another.sync"] {
            cluster.create_topic(topic, PARTITIONS, 1).expect("a topic");
        }
        let servers = cluster.bootstrap_servers();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &servers)
            .set("linger.ms", "0")
            .create()
            .expect("a producer");
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let jupiterone = start(Settings::default(), loopback).await.expect("a simulated JupiterOne");
        let (account_id, url) = (jupiterone.account_id().to_owned(), jupiterone.url());
        let mut world = Self { _cluster: cluster, producer, jupiterone, environment: BTreeMap::new() };
        world.set("KAFKA__BOOTSTRAP_SERVERS", &servers);
        world.set("ADMIN_LISTEN", "none");
        world.set("JUPITERONE__ACCOUNT_ID", &account_id);
        world.set("JUPITERONE__BASE_URL", &url);
        world.set("JUPITERONE__API_KEY__ENV", "JUPITERONE_API_KEY");
        let key = world.jupiterone.api_key().to_owned();
        world.environment.insert("JUPITERONE_API_KEY".to_owned(), key);
        for name in organizations {
            world.set(&format!("ORGANIZATIONS__{}__NAME", name.to_uppercase()), name);
        }
        world
    }

    fn set(&mut self, key: &str, value: &str) {
        self.environment.insert(format!("ANTHROPIC_GRAPH__{key}"), value.to_owned());
    }

    fn config(&self) -> Config {
        Config::load(None::<&Path>, &self.environment).expect("a good configuration")
    }

    /// Writes the organization's records to the graph topic.
    fn write(&self, organization: &Organization) {
        self.write_under("anthropic", organization);
    }

    /// The same under a prefix.
    fn write_under(&self, prefix: &str, organization: &Organization) {
        for (key, value) in organization.records() {
            self.send(&format!("{prefix}.graph"), organization.partition(), &key, Some(&value));
        }
        self.flush();
    }

    /// Waits until all that was sent is written.
    fn flush(&self) {
        self.producer.flush(BOUND).expect("the mock cluster answers");
    }

    fn delete(&self, organization: &Organization, key: &str) {
        let key = format!("{}/{key}", organization.id);
        self.send("anthropic.graph", organization.partition(), &key, None);
    }

    fn send(&self, topic: &str, partition: i32, key: &str, value: Option<&[u8]>) {
        let mut record = BaseRecord::to(topic).partition(partition).key(key);
        record.payload = value;
        self.producer.send(record).map_err(|(error, _)| error).expect("the queue has room");
    }

    fn options(&self, until_end: bool) -> Options {
        let environment = Arc::new(self.environment.clone());
        Options {
            until_end,
            environment,
            broker: Broker::Embedded,
            program: Program::new("anthropic-graph", None),
        }
    }

    async fn until_end(&self) -> anyhow::Result<Outcome> {
        run(self.config(), self.options(true), CancellationToken::new()).await
    }

    async fn resync(&self, organization: Option<&str>) -> anyhow::Result<Outcome> {
        let (organization, shutdown) = (organization.map(str::to_owned), CancellationToken::new());
        resync(self.config(), organization, self.options(true), shutdown).await
    }

    async fn approve(&self, organization: &str, revision: i64) -> anyhow::Result<Outcome> {
        let allowed = Approve {
            organization: organization.to_owned(),
            revision: Some(revision),
            takes_target: false,
            by: Some("ada".to_owned()),
            why: None,
            program: Program::new("sink", None),
        };
        approve(self.config(), allowed, self.options(true)).await
    }

    /// `sink run` in the background.
    fn run(&self) -> (Asking, JoinHandle<anyhow::Result<Outcome>>) {
        let shutdown = CancellationToken::new();
        (Asking(shutdown.clone()), tokio::spawn(run(self.config(), self.options(false), shutdown)))
    }

    /// Keys of all that the organization's default scope holds, sorted.
    fn keys(&self, organization: &Organization) -> Vec<String> {
        let graph = self.jupiterone.graph(&format!("anthropic-graph:{}", organization.id));
        let objects = graph.entities.iter().chain(&graph.relationships);
        let mut keys: Vec<String> =
            objects.map(|object| object["_key"].as_str().expect("a key").to_owned()).collect();
        keys.sort();
        keys
    }

    /// Statuses of the jobs of the organization's default scope.
    fn statuses_of(&self, organization: &Organization) -> Vec<String> {
        let scope = format!("anthropic-graph:{}", organization.id);
        let jobs = self.jupiterone.jobs();
        let of_scope = jobs.iter().filter(|job| job["scope"] == *scope);
        of_scope.map(|job| job["status"].as_str().expect("a status").to_owned()).collect()
    }

    fn statuses(&self) -> Vec<String> {
        let jobs = self.jupiterone.jobs();
        jobs.iter().map(|job| job["status"].as_str().expect("a status").to_owned()).collect()
    }

    async fn eventually(&self, what: &str, mut is_true: impl FnMut(&Self) -> bool) {
        let wait = async {
            while !is_true(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(BOUND, wait).await.unwrap_or_else(|_| panic!("never came true: {what}"));
    }
}

fn keys(organization: &Organization) -> Vec<String> {
    organization.elements.keys().cloned().collect()
}
