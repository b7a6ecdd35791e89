//! What JupiterOne should hold for an organization, worked out from the truth alone.
//!
//! Written from `docs/mapping.md`, section by section, and from nothing else: it judges the services and shares no
//! line with them. It supposes that every collection has been listed whole in the truth's generation.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::anthropic::{Actor, ApiKey, ArchivedMembers, IncludeDefault, Truth, User, Workspace};

/// Differences that [`compare`] lists; more of them say nothing new.
const DIFFERENCES: usize = 50;

/// What the graph depends on besides the simulated organization.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The value of `tag.AccountName`; `None`: the tag is off.
    pub account_name: Option<String>,
    /// Whether API keys have the class NHI too.
    pub nhi_class: bool,
}

/// Elements by `_key`, with all their properties.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    pub entities: BTreeMap<String, Map<String, Value>>,
    pub relationships: BTreeMap<String, Map<String, Value>>,
}

/// The names with a leading `_` that an upload carries; JupiterOne's own (`_id`, `_version`, …) are all the others.
const UPLOADED: [&str; 5] = ["_key", "_type", "_class", "_fromEntityKey", "_toEntityKey"];

impl Graph {
    /// The graph of these elements as uploaded: without the fields that JupiterOne added.
    pub fn uploaded(entities: Vec<Map<String, Value>>, relationships: Vec<Map<String, Value>>) -> Self {
        let by_key = |elements: Vec<Map<String, Value>>| {
            let own = |mut element: Map<String, Value>| {
                element.retain(|name, _| !name.starts_with('_') || UPLOADED.contains(&name.as_str()));
                element
            };
            elements.into_iter().map(own).map(keyed).collect()
        };
        Self { entities: by_key(entities), relationships: by_key(relationships) }
    }
}

/// The graph of this organization. Withheld relationships are not in it.
///
/// An archived workspace whose members the API does not list ([`ArchivedMembers`] other than `Last`) has none here:
/// the simulated organization does not say what a graph kept from before the archiving.
pub fn expected(truth: &Truth, options: &Options) -> Graph {
    let workspaces = truth.workspaces.values().filter(|workspace| is_listed(truth, workspace));
    let mut entities = vec![account(truth)];
    entities.extend(truth.users.values().map(user));
    entities.extend(workspaces.map(|listed| workspace(truth.switches.generation, listed)));
    entities.extend(truth.api_keys.values().map(|key| {
        let mut entity = api_key(truth, key);
        if options.nhi_class {
            put_nhi(truth, key, &mut entity);
        }
        entity
    }));
    if let Some(name) = &options.account_name {
        for entity in &mut entities {
            entity.insert("tag.AccountName".to_owned(), json!(name));
        }
    }
    let entities: BTreeMap<_, _> = entities.into_iter().map(keyed).collect();
    let exists = |relationship: &Map<String, Value>| {
        ["_fromEntityKey", "_toEntityKey"]
            .iter()
            .all(|end| relationship[*end].as_str().is_some_and(|key| entities.contains_key(key)))
    };
    let relationships = relationships(truth).into_iter().filter(exists).map(keyed).collect();
    Graph { entities, relationships }
}

/// How `actual` differs from `expected`, one line a difference, the first 50.
pub fn compare(expected: &Graph, actual: &Graph) -> Vec<String> {
    let mut differences = Vec::new();
    compare_elements("entity", &expected.entities, &actual.entities, &mut differences);
    compare_elements("relationship", &expected.relationships, &actual.relationships, &mut differences);
    differences.truncate(DIFFERENCES);
    differences
}

fn compare_elements(
    kind: &str,
    expected: &BTreeMap<String, Map<String, Value>>,
    actual: &BTreeMap<String, Map<String, Value>>,
    differences: &mut Vec<String>,
) {
    let keys: BTreeSet<&String> = expected.keys().chain(actual.keys()).collect();
    for key in keys {
        match (expected.get(key), actual.get(key)) {
            (Some(_), None) => differences.push(format!("{kind} {key} is missing")),
            (None, _) => differences.push(format!("{kind} {key} is unexpected")),
            (Some(wanted), Some(found)) => {
                let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
                let differing = names.into_iter().filter(|name| wanted.get(*name) != found.get(*name));
                differences.extend(differing.map(|name| {
                    let (wanted, found) = (show(wanted.get(name)), show(found.get(name)));
                    format!("{kind} {key}: {name} should be {wanted} and is {found}")
                }));
            }
        }
        if differences.len() >= DIFFERENCES {
            return;
        }
    }
}

fn show(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), Value::to_string)
}

fn keyed(element: Map<String, Value>) -> (String, Map<String, Value>) {
    (element["_key"].as_str().unwrap_or_default().to_owned(), element)
}

/// The default workspace is listed only where the API knows `include_default`.
fn is_listed(truth: &Truth, workspace: &Workspace) -> bool {
    workspace.id != truth.default_workspace_id || truth.switches.include_default() == IncludeDefault::Known
}

/// What every entity has.
fn entity(kind: &str, class: &str, id: &str, name: &str) -> Map<String, Value> {
    let fields = json!({
        "_key": format!("{kind}:{}", escaped(id)),
        "_type": kind,
        "_class": [class],
        "id": id,
        "name": name,
        "displayName": name,
    });
    as_map(fields)
}

fn account(truth: &Truth) -> Map<String, Value> {
    let organization = &truth.organization;
    let name = first_filled(&[&organization.name, &organization.id]);
    let mut account = entity("anthropic_account", "Account", &organization.id, name);
    account.insert("vendor".to_owned(), json!("Anthropic"));
    account
}

fn user(user: &User) -> Map<String, Value> {
    let name = first_filled(&[&user.name, &user.email, &user.id]);
    let mut entity = entity("anthropic_user", "User", &user.id, name);
    let address = user.email.trim().to_lowercase();
    let parts = address.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    entity.insert("email".to_owned(), parts.map_or(Value::Null, |_| json!([address])));
    entity.insert("username".to_owned(), parts.map_or(Value::Null, |_| json!([address])));
    entity.insert("shortLoginId".to_owned(), parts.map_or(Value::Null, |(local, _)| json!([local])));
    if let Some((_, domain)) = parts {
        entity.insert("emailDomain".to_owned(), json!([domain]));
    }
    let words: Vec<&str> = user.name.split_whitespace().collect();
    let (first, last) = match words.as_slice() {
        _ if user.name.contains('@') => (Value::Null, Value::Null),
        [] => (Value::Null, Value::Null),
        [only] => (json!(only), Value::Null),
        [first @ .., last] => (json!(first.join(" ")), json!(last)),
    };
    entity.insert("firstName".to_owned(), first);
    entity.insert("lastName".to_owned(), last);
    entity.insert("role".to_owned(), json!(user.role));
    let admin = matches!(user.role.as_str(), "admin" | "owner" | "primary_owner");
    entity.insert("isAdmin".to_owned(), json!(admin));
    entity.insert("isActive".to_owned(), json!(true));
    put_time(&mut entity, "createdOn", Some(&user.added_at));
    put_time(&mut entity, "addedOn", Some(&user.added_at));
    entity
}

fn workspace(generation: u8, workspace: &Workspace) -> Map<String, Value> {
    let name = first_filled(&[&workspace.name, &workspace.id]);
    let mut entity = entity("anthropic_workspace", "Group", &workspace.id, name);
    entity.insert("displayColor".to_owned(), json!(workspace.display_color));
    put_time(&mut entity, "createdOn", Some(&workspace.created_at));
    put_time(&mut entity, "archivedOn", workspace.archived_at.as_deref());
    entity.insert("active".to_owned(), json!(workspace.archived_at.is_none()));
    // Generation 1 sent none of what follows.
    if generation >= 2 {
        let residency = &workspace.data_residency;
        let anywhere = vec!["unrestricted".to_owned()];
        let allowed = residency.allowed_inference_geos.as_ref().unwrap_or(&anywhere);
        entity.insert("workspaceGeo".to_owned(), json!(residency.workspace_geo));
        entity.insert("defaultInferenceGeo".to_owned(), json!(residency.default_inference_geo));
        entity.insert("allowedInferenceGeos".to_owned(), json!(allowed));
        entity.insert("compartmentId".to_owned(), json!(workspace.compartment_id));
        put(&mut entity, "externalKeyId", workspace.external_key_id.as_ref());
        put_tags(&mut entity, &workspace.tags);
    }
    // Generation 2 did not send these.
    if generation >= 3 {
        put(&mut entity, "inferenceDataRetention", workspace.inference_data_retention.as_ref());
        put(&mut entity, "userProfileId", workspace.user_profile_id.as_ref());
    }
    entity
}

/// In byte order, names that need no change first: the first one keeps the property.
fn put_tags(entity: &mut Map<String, Value>, tags: &BTreeMap<String, String>) {
    let mut wanted: Vec<(bool, &String, String)> =
        tags.keys().map(|name| (tag_name(name) != *name, name, tag_name(name))).collect();
    wanted.sort();
    for (_, name, legal) in wanted {
        entity.entry(format!("tag.{legal}")).or_insert_with(|| json!(tags[name]));
    }
}

fn tag_name(name: &str) -> String {
    let legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | ' ');
    name.chars().map(|letter| if legal(letter) { letter } else { '-' }).collect()
}

fn api_key(truth: &Truth, key: &ApiKey) -> Map<String, Value> {
    let generation = truth.switches.generation;
    let mut entity = entity("anthropic_api_key", "AccessKey", &key.id, first_filled(&[&key.name, &key.id]));
    // Generation 1 knew no `expired`: it called such a key inactive.
    let status = if generation == 1 && key.status == "expired" { "inactive" } else { &key.status };
    put(&mut entity, "partialKeyHint", key.partial_key_hint.as_ref());
    entity.insert("status".to_owned(), json!(status));
    entity.insert("active".to_owned(), json!(status == "active"));
    put_time(&mut entity, "createdOn", Some(&key.created_at));
    let creator = creator(truth, key);
    put(&mut entity, "createdBy", creator.as_ref().map(|actor| &actor.id));
    put(&mut entity, "creatorType", creator.as_ref().map(|actor| &actor.kind));
    if generation >= 2 {
        put_time(&mut entity, "expiresOn", key.expires_at.as_deref());
        put(&mut entity, "principalId", key.principal.as_ref().map(|actor| &actor.id));
        put(&mut entity, "principalType", key.principal.as_ref().map(|actor| &actor.kind));
    }
    let workspace = workspace_of(truth, key);
    match (generation, workspace) {
        (_, Some(_)) => entity.insert("scope".to_owned(), json!("workspace")),
        (1 | 2, None) => None,
        (_, None) => entity.insert("scope".to_owned(), json!("organization")),
    };
    put(&mut entity, "workspaceId", workspace);
    entity
}

/// What an API key has as an identity that is not a person.
fn put_nhi(truth: &Truth, key: &ApiKey, entity: &mut Map<String, Value>) {
    entity.insert("_class".to_owned(), json!(["AccessKey", "NHI"]));
    entity.insert("nhiType".to_owned(), json!("api_key"));
    entity.insert("isAi".to_owned(), json!(true));
    entity.insert("aiConfidence".to_owned(), json!("confirmed"));
    entity.insert("aiPlatform".to_owned(), json!("anthropic"));
    let principal = key.principal.clone().filter(|_| truth.switches.generation >= 2);
    let person = [principal, creator(truth, key)].into_iter().flatten().find(|actor| actor.kind == "user");
    let member = person.as_ref().and_then(|actor| truth.users.get(&actor.id));
    let status = match (&person, member) {
        (None, _) => "unassigned",
        (Some(_), None) => "orphaned",
        (Some(_), Some(_)) => "assigned",
    };
    entity.insert("nhiOwnerStatus".to_owned(), json!(status));
    if let Some(member) = member {
        let member = user(member);
        let owner = member["email"].as_array().map_or(&member["name"], |email| &email[0]);
        entity.insert("owner".to_owned(), owner.clone());
    }
}

/// Generation 1 named a former member if no person is recorded.
fn creator(truth: &Truth, key: &ApiKey) -> Option<Actor> {
    let legacy = || Actor { id: truth.legacy_creator_id.clone(), kind: "user".to_owned() };
    key.created_by.clone().or_else(|| (truth.switches.generation == 1).then(legacy))
}

/// The workspace that the API names: generations 1 and 2 did not name the default one.
fn workspace_of<'a>(truth: &Truth, key: &'a ApiKey) -> Option<&'a String> {
    let is_named = |id: &&String| truth.switches.generation >= 3 || **id != truth.default_workspace_id;
    key.workspace_id.as_ref().filter(is_named)
}

/// All relationships, those without an end among them.
fn relationships(truth: &Truth) -> Vec<Map<String, Value>> {
    let account = format!("anthropic_account:{}", escaped(&truth.organization.id));
    let mut all = Vec::new();
    for id in truth.users.keys() {
        all.push(relationship("anthropic_account_has_user", "HAS", &account, &user_key(id)));
    }
    for id in truth.workspaces.keys() {
        all.push(relationship("anthropic_account_has_workspace", "HAS", &account, &workspace_key(id)));
    }
    for (workspace_id, members) in &truth.members {
        let archived =
            truth.workspaces.get(workspace_id).is_some_and(|workspace| workspace.archived_at.is_some());
        if archived && truth.switches.archived_members != ArchivedMembers::Last {
            continue;
        }
        for (user_id, role) in members {
            let (from, to) = (user_key(user_id), workspace_key(workspace_id));
            let mut assigned = relationship("anthropic_user_assigned_workspace", "ASSIGNED", &from, &to);
            assigned.insert("role".to_owned(), json!(role));
            all.push(assigned);
        }
    }
    for key in truth.api_keys.values() {
        let to = format!("anthropic_api_key:{}", escaped(&key.id));
        if let Some(creator) = creator(truth, key).filter(|actor| actor.kind == "user") {
            let from = user_key(&creator.id);
            all.push(relationship("anthropic_user_created_api_key", "CREATED", &from, &to));
        }
        if let Some(id) = workspace_of(truth, key) {
            all.push(relationship("anthropic_workspace_has_api_key", "HAS", &workspace_key(id), &to));
        }
    }
    all
}

fn relationship(kind: &str, class: &str, from: &str, to: &str) -> Map<String, Value> {
    let fields = json!({
        "_key": format!("{from}|{}|{to}", class.to_lowercase()),
        "_type": kind,
        "_class": class,
        "_fromEntityKey": from,
        "_toEntityKey": to,
        "displayName": class,
    });
    as_map(fields)
}

fn user_key(id: &str) -> String {
    format!("anthropic_user:{}", escaped(id))
}

fn workspace_key(id: &str) -> String {
    format!("anthropic_workspace:{}", escaped(id))
}

/// In a key, `|` stands between the parts of a relationship's alone.
fn escaped(id: &str) -> String {
    id.replace('%', "%25").replace('|', "%7C")
}

fn first_filled<'a>(candidates: &[&'a String]) -> &'a str {
    candidates.iter().find(|text| !text.is_empty()).map_or("", |text| text.as_str())
}

fn put(entity: &mut Map<String, Value>, name: &str, value: Option<&String>) {
    if let Some(value) = value {
        entity.insert(name.to_owned(), json!(value));
    }
}

/// Epoch milliseconds, the rest cut off.
fn put_time(entity: &mut Map<String, Value>, name: &str, time: Option<&str>) {
    if let Some(time) = time.and_then(|text| text.parse::<Timestamp>().ok()) {
        entity.insert(name.to_owned(), json!(time.as_millisecond()));
    }
}

fn as_map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
