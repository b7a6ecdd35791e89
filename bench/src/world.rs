//! One run's topics and the services' configuration for them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use schemas::topics::Topic;
use tempfile::TempDir;

use crate::{organization::Organization, raw_topic::RawTopic};

/// As many as the services make by default.
pub(crate) const PARTITIONS: i32 = 12;

pub(crate) struct World {
    pub(crate) bootstrap_servers: String,
    pub(crate) prefix: String,
    pub(crate) organization: Organization,
    pub(crate) raw: RawTopic,
    folder: TempDir,
}

impl World {
    /// With one organization of so many API keys, of which nothing is written yet.
    pub(crate) fn new(bootstrap_servers: &str, api_keys: u32) -> Result<Self> {
        let prefix = tests::prefix();
        let raw = RawTopic::create(bootstrap_servers, &prefix, PARTITIONS)?;
        let organization = Organization::new("3f0b6c1e-9a52-4d0f-8c7e-1d2b3a4c5d6e", api_keys);
        let folder = tempfile::tempdir()?;
        // The processor asks nobody but Kafka.
        let configuration = format!(
            "admin_listen = \"127.0.0.1:0\"\n\
             [kafka]\nbootstrap_servers = \"{bootstrap_servers}\"\ntopic_prefix = \"{prefix}\"\n\
             partitions = {PARTITIONS}\n\
             [[organizations]]\nname = \"nimbus\"\napi_key = {{ file = \"key\" }}\n",
        );
        fs::write(folder.path().join("key"), "none")?;
        fs::write(folder.path().join("config.toml"), configuration)?;
        Ok(Self { bootstrap_servers: bootstrap_servers.to_owned(), prefix, organization, raw, folder })
    }

    /// The organization's partition in every topic.
    pub(crate) fn partition(&self) -> i32 {
        self.raw.partition(&self.organization.id)
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
