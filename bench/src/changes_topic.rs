//! Writes a long history into a changes topic as the processor does: a large organization that changes for years.

use anyhow::Result;
use rdkafka::producer::{BaseRecord, Producer as _};
use schemas::{
    change::{Envelope, Kind, Op, SnapshotRecord, Source},
    codec::encode,
    element::{ApiKey, Content, Element, ElementType, Ends, User, UserAssignedWorkspace, Workspace},
};

use crate::peers::bare;

/// Of each element type (count): 264,401 elements with their relationships.
const USERS: usize = 20_000;
const WORKSPACES: usize = 600;
const KEYS: usize = 45_000;
const MEMBERSHIPS: usize = 153_801;
const ELEMENTS: usize = USERS + WORKSPACES + 2 * KEYS + MEMBERSHIPS;
/// Changes of one transaction (count).
const BATCH: u64 = 10_000;
const START_MS: i64 = 1_780_000_000_000;

/// Writes so many changes of an organization.
pub(crate) fn write(
    bootstrap_servers: &str,
    topic: &str,
    partition: i32,
    organization: (&str, &str),
    count: u64,
) -> Result<()> {
    let producer = bare::producer(bootstrap_servers, &format!("{topic}.bench"))?;
    let mut log = Log { organization, revision: 0, dice: 0, rounds: vec![0; ELEMENTS] };
    let mut left = count;
    while left > 0 {
        producer.begin_transaction()?;
        for _ in 0..left.min(BATCH) {
            let change = log.next();
            let (key, value) = (format!("{}/{}", organization.0, change.element_key), encode(&change));
            bare::send(&producer, BaseRecord::to(topic).partition(partition).key(&key).payload(&value[..]))?;
        }
        bare::commit(&producer)?;
        left = left.saturating_sub(BATCH);
    }
    Ok(())
}

pub(crate) fn user_id(number: usize) -> String {
    format!("user_{:024}", number % USERS)
}

/// Number of the workspace that everyone can reach.
pub(crate) const DEFAULT_WORKSPACE: usize = 0;

pub(crate) fn workspace_id(number: usize) -> String {
    format!("wrkspc_{:024}", number % WORKSPACES)
}

pub(crate) fn key_id(number: usize) -> String {
    format!("apikey_{:024}", number % KEYS)
}

/// A log that creates all elements, and then changes them.
struct Log<'a> {
    /// ID and name.
    organization: (&'a str, &'a str),
    revision: i64,
    dice: u64,
    /// How often each element has changed.
    rounds: Vec<usize>,
}

impl Log<'_> {
    fn next(&mut self) -> Envelope {
        let number = usize::try_from(self.revision).unwrap_or_default();
        self.revision += 1;
        let element = |number, round| element(self.organization.0, number, round);
        if number < ELEMENTS {
            return self.change(None, element(number, 0));
        }
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let which = changing(usize::try_from(self.dice >> 33).unwrap_or_default() % ELEMENTS);
        let round = self.rounds[which];
        self.rounds[which] += 1;
        self.change(Some(element(which, round)), element(which, round + 1))
    }

    fn change(&self, before: Option<Element>, after: Element) -> Envelope {
        // A listing an hour, with some hundred changes.
        let ts_ms = START_MS + self.revision / 300 * 3_600_000;
        Envelope {
            id: format!("{:032x}", self.revision),
            op: if before.is_some() { Op::Update } else { Op::Create },
            ts_ms,
            source: Source {
                version: "0.1.0".to_owned(),
                connector: "anthropic-graph".to_owned(),
                name: self.organization.1.to_owned(),
                ts_ms,
                snapshot: SnapshotRecord::False,
                organization_id: self.organization.0.to_owned(),
                collection: after.collection.clone(),
                listing_id: Some(format!("7d8576b3-c7e1-4fa0-838d-{:012x}", self.revision / 300)),
                decision_by: None,
            },
            revision: self.revision,
            kind: if after.is_relationship() { Kind::Relationship } else { Kind::Entity },
            element_key: after.key.clone(),
            element_type: after.kind().to_owned(),
            changed: if before.is_some() { vec!["role".to_owned(), "status".to_owned()] } else { Vec::new() },
            reason: None,
            not_before_ts_ms: Some(ts_ms - 3_600_000),
            not_after_ts_ms: Some(ts_ms),
            before,
            after: Some(after),
        }
    }
}

/// The element, or the key of which it says the workspace: nothing of that relationship changes.
fn changing(number: usize) -> usize {
    let keys = USERS + WORKSPACES;
    if (keys + KEYS..keys + 2 * KEYS).contains(&number) { number - KEYS } else { number }
}

fn element(organization_id: &str, number: usize, round: usize) -> Element {
    let (users, workspaces) = (USERS, USERS + WORKSPACES);
    let (keys, places) = (workspaces + KEYS, workspaces + 2 * KEYS);
    let (collection, content) = if number < users {
        ("users".to_owned(), user(number, round))
    } else if number < workspaces {
        ("workspaces".to_owned(), workspace(number - users, round))
    } else if number < keys {
        ("api_keys".to_owned(), api_key(number - workspaces, round))
    } else if number < places {
        let key = number - keys;
        let from_key = ElementType::Workspace.entity_key(&workspace_id(key));
        let to_key = ElementType::ApiKey.entity_key(&key_id(key));
        ("api_keys".to_owned(), Content::WorkspaceHasApiKey(Ends { from_key, to_key }))
    } else {
        member(number - places, round)
    };
    let digest = "b684dc1f1c1102a924a13d63b136f17a.fbff05b01004de46aa8b5fdae2062e37".to_owned();
    Element { digest, ..Element::new(organization_id, &collection, content) }
}

fn user(number: usize, round: usize) -> Content {
    let id = user_id(number);
    // One in two hundred is an admin.
    let role = if number.is_multiple_of(200) { "admin" } else { ["user", "developer"][round % 2] };
    let user = User {
        id: id.clone(),
        name: format!("Ada Diaz {number}"),
        email: vec![format!("ada.diaz{number}@large.example")],
        role: Some(role.to_owned()),
        is_active: true,
        ..User::default()
    };
    Content::User(Box::new(user))
}

fn workspace(number: usize, round: usize) -> Content {
    let id = workspace_id(number);
    let name = if number == DEFAULT_WORKSPACE { "Default".to_owned() } else { format!("Workspace {number}") };
    let workspace = Workspace {
        id: id.clone(),
        name,
        active: true,
        created_on: Some(START_MS + i64::try_from(number).unwrap_or_default()),
        display_color: Some(format!("#{:06x}", round % 255)),
        ..Workspace::default()
    };
    Content::Workspace(Box::new(workspace))
}

fn api_key(number: usize, round: usize) -> Content {
    let id = key_id(number);
    let api_key = ApiKey {
        id: id.clone(),
        name: format!("ci-runner {number}"),
        partial_key_hint: Some(format!("sk-ant-api03-abc...{:04}", number % 10_000)),
        status: Some(["active", "inactive"][round % 2].to_owned()),
        active: round.is_multiple_of(2),
        created_by: Some(user_id(number * 3)),
        creator_type: Some("user".to_owned()),
        scope: Some("workspace".to_owned()),
        workspace_id: Some(workspace_id(number)),
        ..ApiKey::default()
    };
    Content::ApiKey(Box::new(api_key))
}

fn member(number: usize, round: usize) -> (String, Content) {
    // The default workspace has no members.
    let place = 1 + number % (WORKSPACES - 1);
    let from_key = ElementType::User.entity_key(&user_id(number / (WORKSPACES - 1) * 97 + place));
    let to_key = ElementType::Workspace.entity_key(&workspace_id(place));
    let collection = format!("members/{}", workspace_id(place));
    let role = ["workspace_user", "workspace_developer"][round % 2];
    let columns = UserAssignedWorkspace { role: Some(role.to_owned()) };
    (collection, Content::UserAssignedWorkspace(Ends { from_key, to_key }, columns))
}
