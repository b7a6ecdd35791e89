//! One world of the harness: both ends, a broker, and the three services between them.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use schemas::topics::partition;
use simulator::jupiterone::{Effect, Fault, Route};
use simulator::{anthropic, jupiterone};

use super::brokers::Brokers;
use crate::broker::cluster::{BROKERS, rack};
use crate::services::{Finished, Service, binaries};
use crate::world::{PARTITIONS, World};

/// Organizations of a world (count): with three partitions, at least three of them share one.
const ORGANIZATIONS: u64 = 7;
/// Organizations of one partition (count): one that is paused, one that fails, and one that must not notice.
const SHARING: usize = 3;
/// The guard's limit (count): while a sink is killed over and over, more than usual goes away between two of its jobs.
pub(super) const MAX_DELETED_COUNT: usize = 30;
/// Properties of the services' clients. A restarted service waits for the session of the killed one, which is short here.
const PROPERTIES: &str = r#"[kafka.properties]
"session.timeout.ms" = 1500
"heartbeat.interval.ms" = 300
"#;
/// On three brokers: librdkafka logs which broker each partition is read from.
const TELLS_BROKERS: &str = "debug = \"topic\"\n";
/// The logs of a usual service, and librdkafka's lines.
const LOGS_OF_LIBRDKAFKA: &str =
    "info,librdkafka=error,rdkafka=warn,rustls_platform_verifier=off,service::kafka::client=debug";
/// On three brokers everything takes longer: leaders are elected, and each record is written three times.
const SLOWER_ON_THREE: u32 = 3;
/// How long a command may take that ends on its own; the longest of its waits is for a transaction that a kill left
/// open in a broker that was killed too.
const COMMAND_BOUND: Duration = Duration::from_mins(2);

pub(super) struct System {
    pub(super) world: World,
    /// Where the services' programs are.
    programs: PathBuf,
    /// JupiterOne refuses this organization's key while it is troubled.
    paused: usize,
    /// JupiterOne answers 500 to every upload of this organization while it is troubled.
    failing: usize,
    is_cluster: bool,
    started: AtomicUsize,
}

impl System {
    /// On the brokers, with organizations made from the seed.
    pub(super) fn new(brokers: &Brokers, programs: PathBuf, seed: u64) -> Result<Self> {
        let organizations = (0..ORGANIZATIONS).map(|number| anthropic::Settings {
            seed: seed.wrapping_mul(31).wrapping_add(number),
            users: 12,
            workspaces: 4,
            api_keys: 44,
            ..anthropic::Settings::default()
        });
        // A job is finished some questions after its finalize, so that a kill in between finds it unfinished.
        let finalize = jupiterone::Finalize::AfterPolls(2);
        let settings = jupiterone::Settings { finalize, ..jupiterone::Settings::default() };
        let world = World::between(brokers.address().to_owned(), organizations.collect(), settings);
        world.configure(&format!("requests_per_minute = 60000\nmax_deleted_count = {MAX_DELETED_COUNT}"));
        let mut file = OpenOptions::new().append(true).open(world.config()).context("no configuration")?;
        file.write_all(PROPERTIES.as_bytes())?;
        let is_cluster = matches!(brokers, Brokers::Three(_));
        if is_cluster {
            file.write_all(TELLS_BROKERS.as_bytes())?;
        }
        let (paused, failing) = troubled(&world).context("no partition has three organizations")?;
        let started = AtomicUsize::new(0);
        Ok(Self { world, programs, paused, failing, is_cluster, started })
    }

    /// As long as that takes on these brokers.
    pub(super) fn patience(&self, on_one: Duration) -> Duration {
        if self.is_cluster { on_one * SLOWER_ON_THREE } else { on_one }
    }

    /// Makes JupiterOne refuse one organization and fail another one, of the same partition. The organizations with
    /// which they share it must not notice.
    pub(super) fn trouble(&self) {
        let scope =
            |number: usize| format!("anthropic-graph:{}", self.world.anthropic[number].organization_id());
        let paused = Fault::new(Route::Any, Effect::Forbidden).of_scope(scope(self.paused));
        let failing = Fault::new(Route::Entities, Effect::Status(500)).of_scope(scope(self.failing));
        self.world.jupiterone.fault(paused);
        self.world.jupiterone.fault(failing);
    }

    /// The numbers of the organizations that JupiterOne always serves.
    pub(super) fn healthy(&self) -> Vec<usize> {
        let all = 0..self.world.anthropic.len();
        all.filter(|number| ![self.paused, self.failing].contains(number)).collect()
    }

    /// Does something while the configuration has another topic prefix: the targets are the same, the topics are not.
    pub(super) fn under<T>(&self, prefix: &str, work: impl FnOnce() -> T) -> T {
        let config = self.world.config();
        let text = fs::read_to_string(&config).expect("the world has written it");
        let prefix_line = |prefix: &str| format!("topic_prefix = \"{prefix}\"");
        let other = text.replace(&prefix_line(&self.world.prefix), &prefix_line(prefix));
        fs::write(&config, other).expect("the configuration is written");
        let result = work();
        fs::write(&config, text).expect("the configuration is written");
        result
    }

    /// Starts a service with these failpoints armed. On three brokers it is in the rack of one of them, each time of another
    /// one, so that it fetches from a follower what the two others lead.
    pub(super) fn start(&self, service: &'static str, arguments: &[&str], failpoints: &str) -> Service {
        let config = self.world.config().display().to_string();
        let arguments = ["--config", &config].into_iter().chain(arguments.iter().copied());
        let program = binaries::in_folder(&self.programs, service);
        if !self.is_cluster {
            return Service::start(service, &program, arguments, &[("FAILPOINTS", failpoints)]);
        }
        let rack = rack(1 + self.started.fetch_add(1, Ordering::Relaxed) % BROKERS);
        let failpoints = format!("kafka::client_rack=return({rack});{failpoints}");
        let environment = [("FAILPOINTS", &*failpoints), ("RUST_LOG", LOGS_OF_LIBRDKAFKA)];
        Service::start(service, &program, arguments, &environment)
    }

    /// Runs a command to its end; the error is what it wrote where it did not end in time.
    pub(super) fn complete(&self, service: &'static str, arguments: &[&str]) -> Result<Finished, String> {
        let mut running = self.start(service, arguments, "");
        let bound = self.patience(COMMAND_BOUND);
        if !running.ends_within(bound) {
            return Err(format!("does not end within {} s\n{}", bound.as_secs(), running.log()));
        }
        Ok(running.finish())
    }
}

/// Two organizations that share a partition with a third one.
fn troubled(world: &World) -> Option<(usize, usize)> {
    let mut sharing: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (number, end) in world.anthropic.iter().enumerate() {
        sharing.entry(partition(&end.organization_id(), PARTITIONS)).or_default().push(number);
    }
    let crowd = sharing.into_values().find(|numbers| numbers.len() >= SHARING)?;
    Some((crowd[0], crowd[1]))
}
