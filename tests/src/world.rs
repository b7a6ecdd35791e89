//! A broker, both simulated ends and a configuration for the services between them.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemas::topics::Topic;
use simulator::anthropic::{self, Anthropic};
use simulator::jupiterone::{self, JupiterOne};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::kafka::{self, Record};
use crate::proxy::Proxy;
use crate::services::{Finished, Service, binaries};
use crate::{broker, prefix};

/// Few, so that a broker carries hundreds of tests; more than one, so that organizations are spread.
pub const PARTITIONS: i32 = 3;

/// One test's own world: nothing in it is shared but the broker.
pub struct World {
    /// The organizations' Admin APIs.
    pub anthropic: Vec<Anthropic>,
    /// The one JupiterOne account that they go to.
    pub jupiterone: JupiterOne,
    /// Begins the topics' names.
    pub prefix: String,
    pub bootstrap_servers: String,
    /// More lines of the configuration's `[kafka]`; written with the next [`World::configure`].
    pub kafka: String,
    /// Variables of all programs that it starts.
    pub environment: Vec<(&'static str, String)>,
    folder: TempDir,
    // Last: the ends run on it.
    runtime: Runtime,
}

impl World {
    /// With one organization of the simulator's default sizes.
    pub fn start() -> Self {
        Self::of(vec![anthropic::Settings::default()])
    }

    /// With these organizations, which the configuration names `organization-1` and so on.
    pub fn of(organizations: Vec<anthropic::Settings>) -> Self {
        Self::on(broker::bootstrap_servers(), organizations)
    }

    /// The same on a broker of the test's own.
    pub fn on(bootstrap_servers: String, organizations: Vec<anthropic::Settings>) -> Self {
        // No test that measures a service measures cargo.
        binaries::folder();
        Self::between(bootstrap_servers, organizations, jupiterone::Settings::default())
    }

    /// The same with this JupiterOne, for a caller that has the binaries.
    pub fn between(
        bootstrap_servers: String,
        organizations: Vec<anthropic::Settings>,
        settings: jupiterone::Settings,
    ) -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let (anthropic, jupiterone) = runtime.block_on(async {
            let mut anthropic = Vec::new();
            for settings in organizations {
                let end = anthropic::start(settings, loopback()).await;
                anthropic.push(end.expect("the Admin API starts"));
            }
            let jupiterone = jupiterone::start(settings, loopback()).await;
            (anthropic, jupiterone.expect("JupiterOne's end starts"))
        });
        let folder = tempfile::tempdir().expect("a folder for the configuration");
        let world = Self {
            anthropic,
            jupiterone,
            prefix: prefix(),
            bootstrap_servers,
            kafka: String::new(),
            environment: Vec::new(),
            folder,
            runtime,
        };
        world.configure("");
        world
    }

    /// Writes the configuration again, with these lines in each `[[organizations]]`.
    pub fn configure(&self, lines: &str) {
        fs::write(self.config(), self.configuration(&self.bootstrap_servers, lines))
            .expect("the configuration is written");
        fs::write(self.folder.path().join("jupiterone-key"), self.jupiterone.api_key())
            .expect("a key is written");
        for (index, end) in (1..).zip(&self.anthropic) {
            fs::write(self.folder.path().join(format!("admin-key-{index}")), end.admin_key())
                .expect("a key is written");
        }
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// A folder of its own, removed with it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The runtime on which the ends run.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Starts a service with the configuration.
    pub fn spawn(&self, service: &'static str, arguments: &[&str]) -> Service {
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Service::spawn(service, self.arguments(arguments), &environment)
    }

    /// Starts a service with the configuration, and a way of its own to the broker.
    pub fn spawn_through(&self, proxy: &Proxy, service: &'static str, arguments: &[&str]) -> Service {
        let config = self.folder.path().join(format!("through-{}.toml", proxy.address().replace(':', "-")));
        fs::write(&config, self.configuration(&proxy.address(), "")).expect("the configuration is written");
        let config = config.display().to_string();
        Service::spawn(service, ["--config", &config].iter().chain(arguments), &[])
    }

    /// Runs a service's command with the configuration, to its end.
    pub fn run(&self, service: &'static str, arguments: &[&str]) -> Finished {
        self.spawn(service, arguments).finish()
    }

    /// Runs a person's command with the configuration, to its end.
    pub fn ask(&self, arguments: &[&str]) -> Finished {
        self.run("anthropic-graph", arguments)
    }

    /// One round of all three: poll, process, synchronize; each must end well.
    pub fn round(&self) {
        self.run("producer", &["poll"]).expect(0);
        self.run("processor", &["run", "--until-end"]).expect(0);
        self.run("sink", &["run", "--until-end"]).expect(0);
    }

    /// Every committed record of one of its topics, without the barriers, which say nothing of an organization.
    pub fn read(&self, topic: Topic) -> Vec<Record> {
        let is_barrier = |it: &Record| it.value.is_none() && it.key_text().ends_with("/barrier");
        let mut records = kafka::read(&self.bootstrap_servers, &topic.name(&self.prefix));
        records.retain(|record| topic == Topic::DeadLetters || !is_barrier(record));
        records
    }

    /// The name of one of its topics.
    pub fn topic(&self, topic: Topic) -> String {
        topic.name(&self.prefix)
    }

    /// What JupiterOne holds of an organization's scope.
    pub fn graph(&self, organization: usize) -> jupiterone::GraphView {
        let id = self.anthropic[organization].organization_id();
        self.jupiterone.graph(&format!("anthropic-graph:{id}"))
    }

    fn arguments(&self, arguments: &[&str]) -> Vec<String> {
        let config = self.config().display().to_string();
        ["--config", &config].iter().chain(arguments).map(ToString::to_string).collect()
    }

    fn configuration(&self, bootstrap_servers: &str, lines: &str) -> String {
        let mut text = format!(
            "admin_listen = \"127.0.0.1:0\"\n\
             [kafka]\nbootstrap_servers = \"{}\"\ntopic_prefix = \"{}\"\npartitions = {PARTITIONS}\n{}\n\
             [jupiterone]\naccount_id = \"{}\"\napi_key = {{ file = \"jupiterone-key\" }}\nbase_url = \"{}\"\n",
            bootstrap_servers,
            self.prefix,
            self.kafka,
            self.jupiterone.account_id(),
            self.jupiterone.url(),
        );
        for (index, end) in (1..).zip(&self.anthropic) {
            write!(
                text,
                "[[organizations]]\nname = \"organization-{index}\"\naccount_name = \"Organization {index}\"\n\
                 tag_account_name = true\npolling_interval = \"1s\"\nbase_url = \"{}\"\n\
                 api_key = {{ file = \"admin-key-{index}\" }}\n{lines}\n",
                end.url(),
            )
            .expect("writing to a String cannot fail");
        }
        text
    }
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}
