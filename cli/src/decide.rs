//! `anthropic-graph holds approve`, `holds reject` and `forget`: writes a decision as a raw record of its organization.
//!
//! Deciding needs Write on the raw topic and nothing else: no topic is read or created, and no group is joined.

use anyhow::Context as _;
use jiff::Timestamp;
use schemas::{
    collection::Collection,
    raw::{Decision, DecisionKind},
    topics::Topic,
};
use serde_json::json;
use service::{
    config::{Config, environment},
    exit::{Outcome, UsageError, filled},
    kafka::{
        client_config,
        decision::{self, Written},
    },
    schema_registry::register,
    stdout,
};

use graph::bounds::{self, MAX_TEXT_BYTES, TooLong};

/// The organization.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Whose {
    /// The organization by its configured name; its `organization_id` must be configured too.
    #[arg(long, value_name = "NAME")]
    pub(crate) organization: Option<String>,
    /// The organization by its ID, as `anthropic-graph holds list` shows it.
    #[arg(long, value_name = "ID")]
    pub(crate) organization_id: Option<String>,
}

/// Options of `holds approve` and `holds reject`.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    whose: Whose,
    /// Only the holds of this collection: `users`, `workspaces`, `api_keys`, `members/WORKSPACE_ID`.
    #[arg(long, value_name = "COLLECTION")]
    collection: Option<String>,
    /// Only the hold of this element.
    #[arg(long, value_name = "ELEMENT_KEY")]
    key: Option<String>,
    /// The newest listing that you saw: what was held after it is not affected.
    #[arg(long, value_name = "LISTING_ID")]
    listing: String,
    /// Who decides: the changes will show it.
    #[arg(long, value_name = "WHO")]
    by: String,
    /// Why, for later readers of the raw topic.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Print a JSON line.
    #[arg(long)]
    json: bool,
}

/// Writes a decision about holds.
pub async fn decide(config: Config, kind: DecisionKind, arguments: Arguments) -> anyhow::Result<Outcome> {
    let organization_id = organization_id(&config, &arguments.whose)?;
    if let Some(collection) = arguments.collection.as_deref().filter(|it| Collection::parse(it).is_none()) {
        let error = format!(
            "--collection: {collection:?} is not a collection; use users, workspaces, api_keys or members/WORKSPACE_ID"
        );
        return Err(UsageError(error).into());
    }
    let decision = Decision {
        kind,
        collection: arguments.collection,
        element_key: arguments.key.map(|key| filled("--key", key)).transpose()?,
        listing_id: Some(filled("--listing", arguments.listing)?),
        by: filled("--by", arguments.by)?,
        why: arguments.why,
        decided_ts_ms: Timestamp::now().as_millisecond(),
    };
    write(config, organization_id, decision, arguments.json).await
}

/// Writes the decision to the organization's partition, and prints its position.
pub(crate) async fn write(
    config: Config,
    organization_id: String,
    decision: Decision,
    json: bool,
) -> anyhow::Result<Outcome> {
    let environment = environment();
    let mut client = client_config(&config.kafka, &environment)?;
    register(&config, &environment, &[Topic::Raw], &mut client).await?;
    tokio::task::spawn_blocking(move || {
        let is_it = |id: &Option<String>| id.as_deref() == Some(organization_id.as_str());
        let configured = config.organizations.iter().find(|it| is_it(&it.organization_id));
        let name = configured.map(|it| it.name.clone()).unwrap_or_default();
        let record = decision::record(&organization_id, name, decision.clone());
        if let Some(TooLong { field, bytes }) = bounds::too_long(&record) {
            let error = format!("{field} has {bytes} bytes; at most {MAX_TEXT_BYTES} are allowed");
            return Err(UsageError(error).into());
        }
        let written = decision::write(&client, &config.kafka.topic_prefix, &record)?;
        let next = if decision.kind == DecisionKind::Forget {
            ""
        } else {
            "; `anthropic-graph holds list` then lists the remaining holds"
        };
        let line = if json {
            as_json(&organization_id, &decision, &written)?
        } else {
            let Written { topic, partition, offset } = written;
            let place = format!("{topic} partition {partition} offset {offset}");
            format!(
                "wrote {} to {place}; the processor applies it when it reads it{next}",
                summary(&organization_id, &decision)
            )
        };
        stdout::print([line])
    })
    .await
    .context("the writing thread ended")?
}

/// The organization's ID. A name works only if the configuration pins its ID, because no topic is read.
pub(crate) fn organization_id(config: &Config, whose: &Whose) -> anyhow::Result<String> {
    if let Some(id) = &whose.organization_id {
        let id = filled("--organization-id", id.clone())?;
        if id.contains('/') {
            return Err(UsageError(
                "--organization-id: an organization ID must not contain a slash".to_owned(),
            )
            .into());
        }
        return Ok(id);
    }
    let name = whose.organization.as_deref().unwrap_or_default();
    let organization = config.organization(name)?;
    organization.organization_id.clone().ok_or_else(|| {
        let error = format!(
            "--organization: the configuration has no organization_id for {name}, and a decision does not read topics; \
             use --organization-id with the ID that `anthropic-graph holds list --organization {name}` shows"
        );
        UsageError(error).into()
    })
}

fn summary(organization_id: &str, decision: &Decision) -> String {
    let part = |what: &str, text: &Option<String>| {
        text.as_ref().map(|text| format!(", {what} {text}")).unwrap_or_default()
    };
    format!(
        "{} of organization {organization_id}{}{}{} by {}",
        decision.kind,
        part("collection", &decision.collection),
        part("element", &decision.element_key),
        part("up to listing", &decision.listing_id),
        decision.by
    )
}

fn as_json(organization_id: &str, decision: &Decision, written: &Written) -> anyhow::Result<String> {
    let Written { topic, partition, offset } = written;
    let line = json!({
        "organization_id": organization_id,
        "decision": decision,
        "topic": topic,
        "partition": partition,
        "offset": offset,
    });
    serde_json::to_string(&line).context("failed to write a decision as JSON")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use service::config::Config;

    use super::{Whose, organization_id};

    fn config() -> Config {
        let text = "[kafka]\nbootstrap_servers = \"127.0.0.1:9092\"\n\
                    [[organizations]]\nname = \"pinned\"\norganization_id = \"o-1\"\napi_key = { env = \"A\" }\n\
                    [[organizations]]\nname = \"free\"\napi_key = { env = \"B\" }\n";
        Config::from_toml(text, Path::new(""), &BTreeMap::new()).expect("a configuration")
    }

    fn resolved(name: Option<&str>, id: Option<&str>) -> Result<String, String> {
        let whose = Whose { organization: name.map(str::to_owned), organization_id: id.map(str::to_owned) };
        organization_id(&config(), &whose).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_name_needs_an_id_in_the_configuration() {
        assert_eq!(resolved(Some("pinned"), None), Ok("o-1".to_owned()));
        assert_eq!(resolved(None, Some("o-2")), Ok("o-2".to_owned()));
        let refusal = resolved(Some("free"), None).expect_err("its ID is unknown");
        assert!(refusal.contains("--organization-id") && refusal.contains("holds list"), "{refusal}");
        assert!(resolved(Some("elsewhere"), None).is_err_and(|error| error.contains("pinned, free")));
        assert!(resolved(None, Some(" ")).is_err());
        assert!(resolved(None, Some("o/users")).is_err());
    }
}
