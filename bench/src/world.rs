//! One run's topics and the services' configuration for them.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use schemas::topics::Topic;
use simulator::{anthropic::Anthropic, jupiterone::JupiterOne};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{organization::Organization, raw_topic::RawTopic};

/// As many as the services make by default.
pub(crate) const PARTITIONS: i32 = 12;

/// The first organization's ID; those of the others follow.
const FIRST_ID: u128 = 0x3f0b_6c1e_9a52_4d0f_8c7e_1d2b_3a4c_5d6e;

pub(crate) struct World {
    pub(crate) bootstrap_servers: String,
    pub(crate) prefix: String,
    /// At least one.
    organizations: Vec<Organization>,
    pub(crate) raw: RawTopic,
    folder: TempDir,
}

impl World {
    /// With one organization of so many API keys, of which nothing is written yet.
    pub(crate) fn new(bootstrap_servers: &str, api_keys: u32) -> Result<Self> {
        Self::of_many(bootstrap_servers, 1, api_keys)
    }

    /// The same with so many organizations.
    pub(crate) fn of_many(bootstrap_servers: &str, organizations: u32, api_keys: u32) -> Result<Self> {
        let prefix = tests::prefix();
        let raw = RawTopic::create(bootstrap_servers, &prefix, PARTITIONS)?;
        let ids = (0..organizations).map(|number| Uuid::from_u128(FIRST_ID + u128::from(number)).to_string());
        let named = (1..).zip(ids);
        let organizations =
            named.map(|(number, id)| Organization::new(&id, &format!("nimbus-{number}"), api_keys)).collect();
        let folder = tempfile::tempdir()?;
        let bootstrap_servers = bootstrap_servers.to_owned();
        let world = Self { bootstrap_servers, prefix, organizations, raw, folder };
        // The processor contacts only Kafka.
        world.configure("", None)?;
        Ok(world)
    }

    pub(crate) fn organization(&self) -> &Organization {
        &self.organizations[0]
    }

    /// Has the sink write to this account.
    pub(crate) fn connect(&self, jupiterone: &JupiterOne) -> Result<()> {
        let section = format!(
            "[jupiterone]\naccount_id = \"{}\"\napi_key = {{ file = \"jupiterone-key\" }}\nbase_url = \"{}\"\n",
            jupiterone.account_id(),
            jupiterone.url(),
        );
        fs::write(self.folder().join("jupiterone-key"), jupiterone.api_key())?;
        self.configure(&section, None)
    }

    /// Has the producer poll this Admin API, without the limit on requests, which is what a poll waits for.
    pub(crate) fn poll(&self, anthropic: &Anthropic) -> Result<()> {
        self.configure("", Some(anthropic))
    }

    /// Has the console listen on a free port, and keep its store there.
    pub(crate) fn serve(&self, store: &Path) -> Result<()> {
        let section = format!("[console]\nlisten = \"127.0.0.1:0\"\nstore = \"{}\"\n", store.display());
        self.configure(&section, None)
    }

    fn configure(&self, section: &str, anthropic: Option<&Anthropic>) -> Result<()> {
        let Self { bootstrap_servers, prefix, .. } = self;
        let mut text = format!(
            "admin_listen = \"127.0.0.1:0\"\n\
             [kafka]\nbootstrap_servers = \"{bootstrap_servers}\"\ntopic_prefix = \"{prefix}\"\n\
             partitions = {PARTITIONS}\n{section}",
        );
        for Organization { name, .. } in &self.organizations {
            // A poll that was just written is not repeated within its interval.
            write!(
                text,
                "[[organizations]]\nname = \"{name}\"\npolling_interval = \"1h\"\napi_key = {{ file = \"{name}.key\" }}\n",
            )?;
            // One key is one organization's.
            fs::write(
                self.folder().join(format!("{name}.key")),
                anthropic.map_or(name.as_str(), Anthropic::admin_key),
            )?;
            match anthropic {
                Some(end) => writeln!(text, "base_url = \"{}\"\nrequests_per_minute = 60000", end.url())?,
                None => writeln!(text, "base_url = \"{NOWHERE}\"")?,
            }
        }
        fs::write(self.config(), text)?;
        Ok(())
    }

    /// Writes one whole poll of each organization.
    pub(crate) fn write_poll(&self) -> Result<()> {
        self.organizations.iter().try_for_each(|organization| self.raw.poll(organization))
    }

    /// The first organization's partition in every topic.
    pub(crate) fn partition(&self) -> i32 {
        self.raw.partition(&self.organization().id)
    }

    /// How many partitions there are, how many of them have organizations, and how many organizations there are.
    pub(crate) fn parts(&self) -> [usize; 3] {
        let partitions: BTreeSet<i32> =
            self.organizations.iter().map(|it| self.raw.partition(&it.id)).collect();
        [PARTITIONS.unsigned_abs() as usize, partitions.len(), self.organizations.len()]
    }

    pub(crate) fn topic(&self, topic: Topic) -> String {
        topic.name(&self.prefix)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// A folder of its own, removed with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A port without a server: only a producer that polls would contact it.
const NOWHERE: &str = "http://127.0.0.1:9";
