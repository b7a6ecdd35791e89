//! `processor approve`, `reject` and `forget`: one decision, as a raw record of its organization.
//!
//! Whoever decides needs Write on the raw topic and nothing else: no topic is read, no group joined, no topic made.

use anyhow::Context as _;
use jiff::Timestamp;
use schemas::{
    codec::encode,
    collection::{Collection, DECISION},
    raw::{Decision, RawRecord, decision},
    topics::{Topic, partition},
};
use serde_json::json;
use service::{
    answer,
    config::{Config, environment},
    exit::{Outcome, UsageError, filled},
    kafka::{client_config, headers::of_raw, writer::Writer},
};

use graph::bounds::{self, MAX_TEXT_BYTES, TooLong};

/// Which organization is meant.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Whose {
    /// The organization, by its configured name; its `organization_id` must be configured too.
    #[arg(long, value_name = "NAME")]
    pub(crate) organization: Option<String>,
    /// The organization, by its id, as `processor holds` shows it.
    #[arg(long, value_name = "ID")]
    pub(crate) organization_id: Option<String>,
}

/// What is decided about which holds.
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
    /// The newest listing that you saw: nothing that was held after it is touched.
    #[arg(long, value_name = "LISTING_ID")]
    listing: String,
    /// Who decides: stands in the changes.
    #[arg(long, value_name = "WHO")]
    by: String,
    /// Why, for whoever reads the raw topic later.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// As a JSON line.
    #[arg(long)]
    json: bool,
}

/// Writes a decision of that kind about holds.
pub async fn decide(config: Config, kind: &'static str, arguments: Arguments) -> anyhow::Result<Outcome> {
    let organization_id = organization_id(&config, &arguments.whose)?;
    if let Some(collection) = arguments.collection.as_deref().filter(|it| Collection::parse(it).is_none()) {
        let error = format!(
            "--collection: {collection:?} is none; write users, workspaces, api_keys or members/WORKSPACE_ID"
        );
        return Err(UsageError(error).into());
    }
    let decision = Decision {
        kind: kind.to_owned(),
        collection: arguments.collection,
        element_key: arguments.key.map(|key| filled("--key", key)).transpose()?,
        listing_id: Some(filled("--listing", arguments.listing)?),
        by: filled("--by", arguments.by)?,
        why: arguments.why,
        decided_ts_ms: Timestamp::now().as_millisecond(),
    };
    write(config, organization_id, decision, arguments.json).await
}

/// Writes the decision into the organization's partition, and says so once it is there.
pub(crate) async fn write(
    config: Config,
    organization_id: String,
    decision: Decision,
    json: bool,
) -> anyhow::Result<Outcome> {
    tokio::task::spawn_blocking(move || {
        let client = client_config(&config.kafka, &environment())?;
        let topic = Topic::Raw.name(&config.kafka.topic_prefix);
        let writer = Writer::open(&client, &topic)?;
        let partition = partition(&organization_id, writer.partition_count());
        let record = record(&config, &organization_id, decision);
        if let Some(TooLong { field, bytes }) = bounds::too_long(&record) {
            let error = format!("{field} has {bytes} bytes; at most {MAX_TEXT_BYTES} are allowed");
            return Err(UsageError(error).into());
        }
        let key = record.key();
        let headers = of_raw(&record, &key, &record.observed_ts_ms.to_string());
        let offset = writer.write(partition, &key, &encode(&record), headers)?;
        let decided = record.decision.as_ref().expect("it was put in");
        let next = if decided.kind == decision::FORGET {
            ""
        } else {
            ", and `processor holds` then lists what is left"
        };
        let line = if json {
            as_json(&record, &topic, partition, offset)?
        } else {
            let place = format!("{topic} partition {partition} offset {offset}");
            format!(
                "wrote {} to {place}; the processor carries it out when it reads it{next}",
                told(&organization_id, decided)
            )
        };
        answer::print([line])
    })
    .await
    .context("the writing thread ended")?
}

/// The id that is meant. A name is one only where the configuration pins its id: no topic is read to learn it.
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
            "--organization: the configuration has no organization_id for {name}, and a decision reads no topic to \
             learn it; write --organization-id with the id that `processor holds --organization {name}` shows"
        );
        UsageError(error).into()
    })
}

fn record(config: &Config, organization_id: &str, decision: Decision) -> RawRecord {
    let is_it = |id: &Option<String>| id.as_deref() == Some(organization_id);
    let configured = config.organizations.iter().find(|it| is_it(&it.organization_id));
    RawRecord {
        organization_id: organization_id.to_owned(),
        organization_name: configured.map(|it| it.name.clone()).unwrap_or_default(),
        collection: DECISION.to_owned(),
        poll_id: None,
        listing_id: None,
        observed_ts_ms: decision.decided_ts_ms,
        mark: None,
        manifest: None,
        decision: Some(decision),
        resource: None,
    }
}

fn told(organization_id: &str, decision: &Decision) -> String {
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

fn as_json(record: &RawRecord, topic: &str, partition: i32, offset: i64) -> anyhow::Result<String> {
    let line = json!({
        "organization_id": record.organization_id,
        "decision": record.decision,
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
    fn a_name_is_an_id_only_where_the_configuration_pins_it() {
        assert_eq!(resolved(Some("pinned"), None), Ok("o-1".to_owned()));
        assert_eq!(resolved(None, Some("o-2")), Ok("o-2".to_owned()));
        let refusal = resolved(Some("free"), None).expect_err("nothing says its id");
        assert!(refusal.contains("--organization-id") && refusal.contains("processor holds"), "{refusal}");
        assert!(resolved(Some("elsewhere"), None).is_err_and(|error| error.contains("pinned, free")));
        assert!(resolved(None, Some(" ")).is_err());
        assert!(resolved(None, Some("o/users")).is_err());
    }
}
