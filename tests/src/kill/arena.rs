//! One world of the harness: both ends, a broker, and the three services between them.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use simulator::{anthropic, jupiterone};

use crate::services::{Finished, Service};
use crate::world::World;

/// Organizations of a world (count): more than partitions, so that two share one.
const ORGANIZATIONS: u64 = 4;
/// The guard's limit (count): while a sink is killed over and over, more than usual goes away between two of its jobs.
pub(super) const MAX_DELETED_COUNT: usize = 30;
/// What the services' clients are told. Who starts anew waits for the session of the dead, which is short here.
const PROPERTIES: &str = r#"[kafka.properties]
"session.timeout.ms" = 1500
"heartbeat.interval.ms" = 300
"reconnect.backoff.max.ms" = 1000
"#;
/// How long a command may take that ends by itself; the longest of its waits is for a transaction that a kill left
/// open in a broker that was killed too.
const COMMAND_BOUND: Duration = Duration::from_mins(2);

/// One world.
pub(super) struct Arena {
    pub(super) world: World,
    /// Where the services' programs lie.
    programs: PathBuf,
}

impl Arena {
    /// On the broker, with organizations made from the seed.
    pub(super) fn new(bootstrap_servers: String, programs: PathBuf, seed: u64) -> Result<Self> {
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
        let world = World::between(bootstrap_servers, organizations.collect(), settings);
        world.configure(&format!("requests_per_minute = 60000\nmax_deleted_count = {MAX_DELETED_COUNT}"));
        let mut file = OpenOptions::new().append(true).open(world.config()).context("no configuration")?;
        file.write_all(PROPERTIES.as_bytes())?;
        Ok(Self { world, programs })
    }

    /// Starts a service with these failpoints armed.
    pub(super) fn start(&self, service: &'static str, arguments: &[&str], failpoints: &str) -> Service {
        let config = self.world.config().display().to_string();
        let arguments = ["--config", &config].into_iter().chain(arguments.iter().copied());
        Service::start(service, &self.programs.join(service), arguments, &[("FAILPOINTS", failpoints)])
    }

    /// Runs a command to its end; the error is what it wrote where it did not end in time.
    pub(super) fn complete(&self, service: &'static str, arguments: &[&str]) -> Result<Finished, String> {
        let mut running = self.start(service, arguments, "");
        if !running.ends_within(COMMAND_BOUND) {
            return Err(format!("does not end within {} s\n{}", COMMAND_BOUND.as_secs(), running.log()));
        }
        Ok(running.finish())
    }
}
