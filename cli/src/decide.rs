//! `anthropic-graph holds approve`, `holds reject` and `forget`: writes a decision as a raw record of its organization.
//!
//! Deciding needs Write on the raw topic and nothing else: no topic is created, and no group is joined. If the graph topic
//! can be read, a decision about nothing is refused.

use std::collections::BTreeMap;

use anyhow::Context as _;
use graph::state::GraphKey;
use jiff::Timestamp;
use processor::graph_snapshot::GraphSnapshot;
use rdkafka::ClientConfig;
use schemas::{
    collection::Collection,
    coverage::Hold,
    graph_value::GraphValue,
    raw::{Decision, DecisionKind},
    topics::{Topic, partition},
};
use serde_json::json;
use service::{
    config::{Config, environment},
    exit::{Outcome, UsageError, filled},
    kafka::{
        client_config, cluster_admin,
        decision::{self, Written},
    },
    schema_registry::register,
    stdout,
};
use tracing::debug;

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
        element_key: arguments.key.map(element_key).transpose()?,
        listing_id: Some(listing_id(arguments.listing)?),
        by: filled("--by", arguments.by)?,
        why: arguments.why,
        decided_ts_ms: Timestamp::now().as_millisecond(),
    };
    let (asked, of, by) = (config.clone(), organization_id.clone(), decision.clone());
    tokio::task::spawn_blocking(move || check_holds(&asked, &of, &by))
        .await
        .context("the reading thread ended")??;
    write(config, organization_id, decision, arguments.json).await
}

/// A listing has a UUID.
fn listing_id(text: String) -> Result<String, UsageError> {
    let mut parts = text.split('-').map(str::len);
    let is_uuid = [8, 4, 4, 4, 12].into_iter().all(|length| parts.next() == Some(length))
        && parts.next().is_none()
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if is_uuid {
        return Ok(text);
    }
    Err(UsageError(format!(
        "--listing: {text:?} is not a listing's ID; `anthropic-graph holds list` shows it"
    )))
}

fn element_key(text: String) -> Result<String, UsageError> {
    if text.starts_with("anthropic_") && text.contains(':') {
        return Ok(text);
    }
    Err(UsageError(format!(
        "--key: {text:?} is not the key of an element, such as anthropic_user:user_01…; `anthropic-graph holds list` \
         shows it"
    )))
}

/// Refuses a decision about nothing, if the graph topic can be read. Deciding does not need that.
fn check_holds(config: &Config, organization_id: &str, decision: &Decision) -> anyhow::Result<()> {
    let client = client_config(&config.kafka, &environment())?;
    match Held::read(config, &client, organization_id) {
        Ok(held) => Ok(held.check(decision)?),
        // The record cannot be written either.
        Err(error) if matches!(error.downcast_ref(), Some(cluster_admin::Error::Unreachable { .. })) => {
            Err(error)
        }
        Err(error) => {
            debug!("the holds cannot be read: {error:#}");
            Ok(())
        }
    }
}

/// The holds of an organization, and the listings that a decision can name.
#[derive(Debug, Default)]
struct Held {
    holds: BTreeMap<String, Hold>,
    /// The newest whole listing of each collection.
    listings: BTreeMap<String, String>,
}

impl Held {
    fn read(config: &Config, client: &ClientConfig, organization_id: &str) -> anyhow::Result<Self> {
        let mut graph = GraphSnapshot::open(config, client)?;
        let mut held = Self::default();
        graph.read(partition(organization_id, graph.partition_count()), |id, key, value| {
            if id == organization_id {
                held.take(key, value);
            }
        })?;
        Ok(held)
    }

    fn take(&mut self, key: GraphKey, value: Option<GraphValue>) {
        match (key, value) {
            (GraphKey::Hold(key), Some(GraphValue::Hold(hold))) => drop(self.holds.insert(key, *hold)),
            (GraphKey::Hold(key), _) => drop(self.holds.remove(&key)),
            (GraphKey::Coverage(collection), Some(GraphValue::Coverage(coverage))) => {
                if let Some(whole) = coverage.whole {
                    self.listings.insert(collection, whole.listing_id);
                }
            }
            _ => {}
        }
    }

    fn check(&self, decision: &Decision) -> Result<(), UsageError> {
        let Decision { collection, element_key, listing_id, .. } = decision;
        let is_named = |hold: &&Hold| {
            collection.as_ref().is_none_or(|asked| *asked == hold.collection)
                && element_key.as_ref().is_none_or(|asked| *asked == hold.element_key)
        };
        let held = self.holds.values().map(|hold| &hold.listing_id);
        let problem = if !self.holds.values().any(|hold| is_named(&hold)) {
            "nothing that the decision names is held: it was decided before, or the element returned"
        } else if !held.chain(self.listings.values()).any(|known| Some(known) == listing_id.as_ref()) {
            "no hold is from the listing that the decision names"
        } else {
            return Ok(());
        };
        Err(UsageError(format!("{problem}; `anthropic-graph holds list` shows what is held")))
    }
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
                "recorded {} ({place}); the processor applies it when it reads it{next}",
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
    let by = &decision.by;
    let of_holds = format!(
        "by {by} of the held deletions of organization {organization_id}{}{}{}",
        part("collection", &decision.collection),
        part("element", &decision.element_key),
        part("up to listing", &decision.listing_id),
    );
    match decision.kind {
        DecisionKind::Approve => format!("the approval {of_holds}"),
        DecisionKind::Reject => format!("the rejection {of_holds}"),
        DecisionKind::Forget => format!("the decision by {by} to forget organization {organization_id}"),
        DecisionKind::Other { .. } => format!("the decision {of_holds}"),
    }
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

    use schemas::{
        coverage::{Hold, HoldState},
        raw::{Decision, DecisionKind},
    };

    use super::{Held, Whose, element_key, listing_id, organization_id, summary};

    const LISTING: &str = "7d8576b3-c7e1-4fa0-838d-3b8667c7d519";

    fn decision(collection: &str, key: Option<&str>, listing: &str) -> Decision {
        Decision {
            kind: DecisionKind::Approve,
            collection: Some(collection.to_owned()),
            element_key: key.map(str::to_owned),
            listing_id: Some(listing.to_owned()),
            by: "ada".to_owned(),
            why: None,
            decided_ts_ms: 1,
        }
    }

    #[test]
    fn a_decision_is_about_what_is_held() {
        let hold = Hold {
            organization_id: "o-1".to_owned(),
            element_key: "anthropic_user:1".to_owned(),
            collection: "users".to_owned(),
            listing_id: LISTING.to_owned(),
            raw_offset: 1,
            proposed_ts_ms: 1,
            state: HoldState::Proposed,
            agreeing: 1,
        };
        let known = Held { holds: [(hold.element_key.clone(), hold)].into(), ..Held::default() };
        assert!(known.check(&decision("users", None, LISTING)).is_ok());
        assert!(known.check(&decision("users", Some("anthropic_user:1"), LISTING)).is_ok());
        for (decision, text) in [
            (decision("workspaces", None, LISTING), "nothing that the decision names is held"),
            (decision("users", Some("anthropic_user:2"), LISTING), "nothing that the decision names is held"),
            (decision("users", None, "another"), "no hold is from the listing"),
        ] {
            let refusal = known.check(&decision).expect_err(text).to_string();
            assert!(refusal.starts_with(text) && refusal.contains("holds list"), "{refusal}");
        }
    }

    #[test]
    fn a_listing_is_a_uuid_and_a_key_names_its_type() {
        assert!(listing_id(LISTING.to_owned()).is_ok());
        for wrong in ["", "abc", &LISTING[1..], &format!("{LISTING}-0"), &LISTING.replace('7', "x")] {
            assert!(listing_id(wrong.to_owned()).is_err(), "{wrong}");
        }
        assert!(element_key("anthropic_user:1".to_owned()).is_ok());
        assert!(
            ["", "user_1", "anthropic_user"].iter().all(|wrong| element_key((*wrong).to_owned()).is_err())
        );
    }

    #[test]
    fn a_decision_is_said_in_words() {
        let approval = decision("users", None, "l");
        let expected = "the approval by ada of the held deletions of organization o-1, collection users, up to listing l";
        assert_eq!(summary("o-1", &approval), expected);
        let forget = Decision { kind: DecisionKind::Forget, ..approval };
        assert_eq!(summary("o-1", &forget), "the decision by ada to forget organization o-1");
    }

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
