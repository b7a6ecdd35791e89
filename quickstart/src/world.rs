//! Both ends, and the configuration of the services between them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;
use schemas::element::ElementType;
use serde_json::json;
use service::config::{Config, Organization, PollingInterval, SecretSource};
use service::exit::UsageError;
use service::http::check_url;
use simulator::anthropic::{self, Anthropic, Mutation, Truth};
use simulator::jupiterone::{self, JupiterOne, Tamper};

use crate::arguments::Arguments;
use crate::kafka::{Kafka, PARTITIONS};

/// What does not depend on the arguments; all else is set in the parsed configuration.
const CONFIGURATION: &str = r#"
admin_listen = ""
[kafka]
bootstrap_servers = "set below"
[[organizations]]
name = "own"
[jupiterone]
account_id = "set-below"
"#;

/// More than a simulated organization is ever asked for (requests a minute).
const UNHURRIED: u32 = 60_000;

/// The property that `--drift` changes.
const DRIFTING: &str = "displayName";

/// The end that is polled.
enum Source {
    Simulated(Box<Anthropic>),
    Own { key_variable: String, base_url: Option<String> },
}

pub(crate) struct World {
    source: Source,
    jupiterone: JupiterOne,
    account_name: Option<String>,
}

impl World {
    /// Starts what is simulated.
    pub(crate) async fn start(arguments: &Arguments) -> anyhow::Result<Self> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let source = if let Some(key_variable) = &arguments.anthropic_key_env {
            let key = std::env::var(key_variable).unwrap_or_default();
            if key.trim().is_empty() {
                let line =
                    format!("the environment variable {key_variable} is not set; set it to an Admin API key");
                return Err(UsageError(line).into());
            }
            Source::Own { key_variable: key_variable.clone(), base_url: arguments.base_url.clone() }
        } else {
            let settings = anthropic::Settings {
                seed: arguments.seed,
                users: arguments.users as usize,
                workspaces: arguments.workspaces as usize,
                api_keys: arguments.api_keys as usize,
                vanishing: false,
                demonstration: true,
                ..anthropic::Settings::default()
            };
            Source::Simulated(Box::new(anthropic::start(settings, loopback).await?))
        };
        let mut settings = jupiterone::Settings::default();
        let organization = match &source {
            Source::Simulated(anthropic) => Some(anthropic.truth().organization),
            Source::Own { .. } => None,
        };
        if let Some(organization) = &organization {
            settings.account_id = organization.slug();
        }
        let jupiterone = jupiterone::start(settings, loopback).await?;
        Ok(Self { source, jupiterone, account_name: organization.map(|it| it.name) })
    }

    /// The configuration of the services.
    pub(crate) fn config(&self, kafka: &Kafka, arguments: &Arguments) -> anyhow::Result<Config> {
        let mut config = Config::from_toml(CONFIGURATION, Path::new(""), &std::collections::BTreeMap::new())
            .context("failed to read the built-in configuration")?;
        config.kafka.bootstrap_servers.clone_from(&kafka.bootstrap_servers);
        config.kafka.topic_prefix.clone_from(&kafka.prefix);
        config.kafka.partitions = PARTITIONS;
        let jupiterone_url = check_url(&self.jupiterone.url(), false)?;
        for organization in &mut config.organizations {
            organization.polling_interval = PollingInterval::Every(arguments.polling_interval());
            organization.jupiterone.base_url = jupiterone_url.clone();
            organization.jupiterone.account_id = Some(self.jupiterone.account_id().to_owned());
            organization.jupiterone.api_key = Some(SecretSource::Text(self.jupiterone.api_key().into()));
            self.configure(organization)?;
        }
        Ok(config)
    }

    fn configure(&self, organization: &mut Organization) -> anyhow::Result<()> {
        match &self.source {
            Source::Simulated(anthropic) => {
                organization.name = anthropic.truth().organization.slug();
                organization.base_url = check_url(&anthropic.url(), false)?;
                organization.api_key = Some(SecretSource::Text(anthropic.admin_key().into()));
                organization.requests_per_minute = UNHURRIED;
                organization.tag_account_name = true;
                organization.account_name = self.account_name.clone().unwrap_or_default();
            }
            Source::Own { key_variable, base_url } => {
                organization.api_key = Some(SecretSource::Env(key_variable.clone()));
                if let Some(url) = base_url {
                    organization.base_url =
                        check_url(url, false).map_err(|error| UsageError(format!("--base-url {error}")))?;
                }
            }
        }
        Ok(())
    }

    /// Simulates that many steps. Does nothing for a real organization.
    pub(crate) fn live(&self, steps: usize) {
        if let Source::Simulated(anthropic) = &self.source {
            anthropic.live(steps);
        }
    }

    /// Removes so many people at once that the guard of this configuration holds their deletion, and says how many. It
    /// takes those with the fewest memberships, so that the sink's guard lets the memberships go.
    pub(crate) fn remove_many(&self, config: &Organization) -> anyhow::Result<usize> {
        let Source::Simulated(anthropic) = &self.source else { return Ok(0) };
        let truth = anthropic.truth();
        let memberships =
            |id: &String| truth.members.values().filter(|members| members.contains_key(id)).count();
        let mut ids: Vec<&String> =
            truth.users.values().filter(|user| user.role != "primary_owner").map(|user| &user.id).collect();
        ids.sort_by_key(|id| (memberships(id), id.as_str()));
        // Half of the people exceeds the guard's default fraction, even if others join meanwhile.
        let count = (ids.len() / 2).max(config.max_deleted_count as usize + 1);
        for id in ids.iter().take(count) {
            anthropic.mutate(Mutation::RemoveUser { id: (*id).clone() })?;
        }
        Ok(count.min(ids.len()))
    }

    /// Whether the organization is simulated.
    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self.source, Source::Simulated(_))
    }

    /// The simulated organization as it is, if it is simulated.
    pub(crate) fn truth(&self) -> Option<Truth> {
        match &self.source {
            Source::Simulated(anthropic) => Some(anthropic.truth()),
            Source::Own { .. } => None,
        }
    }

    /// The URL of the simulated organization's state, if it is simulated.
    pub(crate) fn anthropic_url(&self) -> Option<String> {
        match &self.source {
            Source::Simulated(anthropic) => Some(anthropic.url()),
            Source::Own { .. } => None,
        }
    }

    pub(crate) fn jupiterone_url(&self) -> String {
        self.jupiterone.url()
    }

    /// The value of `tag.AccountName`, if the entities carry it.
    pub(crate) fn account_name(&self) -> Option<String> {
        self.account_name.clone()
    }

    /// Changes one property of a user in JupiterOne, as another client of the account would.
    pub(crate) fn drift(&self, organization_id: &str) -> anyhow::Result<()> {
        let scope = scope(organization_id);
        let users = self.jupiterone.graph(&scope).entities;
        let user = users.iter().find(|entity| entity["_type"] == ElementType::User.name());
        let key =
            user.and_then(|user| user["_key"].as_str()).context("JupiterOne holds no user to change")?;
        let (key, property, value) = (key.to_owned(), DRIFTING.to_owned(), json!("changed by someone else"));
        self.jupiterone.tamper(Tamper::SetProperty { scope, key, property, value })?;
        Ok(())
    }

    /// Stops what is simulated.
    pub(crate) async fn stop(self) {
        if let Source::Simulated(anthropic) = self.source {
            anthropic.shutdown().await;
        }
        self.jupiterone.shutdown().await;
    }
}

/// The sink's default scope of an organization.
pub(crate) fn scope(organization_id: &str) -> String {
    format!("anthropic-graph:{organization_id}")
}
