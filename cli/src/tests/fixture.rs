//! Changes of an organization made by hand.

use graph::access::{Fold, Moment, Snapshot};
use schemas::{
    change::{Envelope, Kind, Op, SnapshotRecord, Source},
    element::{ApiKey, Content, Element, ElementType, Ends, User, UserAssignedWorkspace, Workspace},
    encoded::EncodedChange,
};

pub(crate) const ORGANIZATION: &str = "a7b41f5d-b880-4579-9913-ecb4831cdf8c";
/// 2026-11-24T16:00:00Z (ms since 1970).
pub(crate) const NOON: i64 = 1_795_536_000_000;

/// An organization's changes, one a minute.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) changes: Vec<Envelope>,
}

impl Log {
    /// Four people, three workspaces, and a key of each kind that people ask about.
    pub(crate) fn larkspur() -> Self {
        let mut log = Self::default();
        log.put(workspace("wrkspc_01Default", "Default", true));
        log.put(workspace("wrkspc_01Production", "Production", true));
        log.put(workspace("wrkspc_01Old", "Old", false));
        log.put(user("user_01Ada", "Ada Diaz", "ada.diaz@larkspur.example", "admin"));
        log.put(user("user_02Misaki", "佐藤 美咲", "misaki.sato@larkspur.example", "developer"));
        log.put(user("user_03Raj", "raj@larkspur.example", "raj@larkspur.example", "billing"));
        log.put(user("user_04Monica", "Mónica Müller", "monica.mueller@larkspur.example", "developer"));
        log.put(member("user_02Misaki", "wrkspc_01Production", "workspace_developer"));
        log.put(member("user_04Monica", "wrkspc_01Production", "workspace_restricted_developer"));
        log.put(member("user_04Monica", "wrkspc_01Old", "workspace_user"));
        log.put(api_key(
            "apikey_01Ci",
            "ci-runner",
            "active",
            "user_02Misaki",
            None,
            Some("wrkspc_01Production"),
        ));
        log.put(api_key(
            "apikey_02Load",
            "load-test",
            "active",
            "user_04Monica",
            None,
            Some("wrkspc_01Production"),
        ));
        log.put(api_key(
            "apikey_03Bot",
            "support-bot",
            "inactive",
            "user_01Ada",
            Some("svac_01Bot"),
            Some("wrkspc_01Production"),
        ));
        log.put(api_key("apikey_04Me", "me everywhere", "active", "user_01Ada", Some("user_01Ada"), None));
        log.put(api_key(
            "apikey_05Evil",
            "=1+1\u{1b}[2J, \"x\"",
            "active",
            "user_02Misaki",
            None,
            Some("wrkspc_01Production"),
        ));
        log
    }

    /// Mónica leaves; her key stays.
    pub(crate) fn monica_leaves(&mut self) {
        self.remove(member("user_04Monica", "wrkspc_01Production", "workspace_restricted_developer"));
        self.remove(member("user_04Monica", "wrkspc_01Old", "workspace_user"));
        self.remove(user("user_04Monica", "Mónica Müller", "monica.mueller@larkspur.example", "developer"));
    }

    /// An element is created, or updated.
    pub(crate) fn put(&mut self, after: Element) {
        let before = self.changes.iter().rev().find(|it| it.element_key == after.key);
        let before = before.and_then(|change| change.after.clone());
        self.push(before, Some(after));
    }

    /// An element is deleted.
    pub(crate) fn remove(&mut self, before: Element) {
        self.push(Some(before), None);
    }

    fn push(&mut self, before: Option<Element>, after: Option<Element>) {
        let element = after.as_ref().or(before.as_ref()).expect("an element");
        let revision = i64::try_from(self.changes.len() + 1).expect("few");
        let ts_ms = NOON + revision * 60_000;
        let op = match (&before, &after) {
            (None, _) => Op::Create,
            (Some(_), Some(_)) => Op::Update,
            (Some(_), None) => Op::Delete,
        };
        self.changes.push(Envelope {
            id: revision.to_string(),
            op,
            ts_ms,
            source: Source {
                version: "0.1.0".to_owned(),
                connector: "anthropic-graph".to_owned(),
                name: "larkspur".to_owned(),
                ts_ms,
                snapshot: SnapshotRecord::False,
                organization_id: ORGANIZATION.to_owned(),
                collection: element.collection.clone(),
                listing_id: None,
                decision_by: None,
            },
            revision,
            kind: if element.is_relationship() { Kind::Relationship } else { Kind::Entity },
            element_key: element.key.clone(),
            element_type: element.kind().to_owned(),
            changed: vec!["role".to_owned(), "status".to_owned()],
            reason: None,
            not_before_ts_ms: Some(ts_ms - 90_000),
            not_after_ts_ms: Some(ts_ms),
            before,
            after,
        });
    }

    /// What is known at a moment.
    pub(crate) fn at(&self, moment: Moment) -> Snapshot {
        let mut fold = Fold::new(moment);
        for change in &self.changes {
            fold.take(&EncodedChange::from(change.clone()));
        }
        fold.finish()
    }
}

pub(crate) fn user(id: &str, name: &str, email: &str, role: &str) -> Element {
    let user = User {
        id: id.to_owned(),
        name: name.to_owned(),
        email: vec![email.to_owned()],
        role: Some(role.to_owned()),
        ..User::default()
    };
    Element::new(ORGANIZATION, "users", Content::User(Box::new(user)))
}

pub(crate) fn workspace(id: &str, name: &str, active: bool) -> Element {
    let workspace = Workspace { id: id.to_owned(), name: name.to_owned(), active, ..Workspace::default() };
    Element::new(ORGANIZATION, "workspaces", Content::Workspace(Box::new(workspace)))
}

pub(crate) fn member(user_id: &str, workspace_id: &str, role: &str) -> Element {
    let ends = Ends {
        from_key: ElementType::User.entity_key(user_id),
        to_key: ElementType::Workspace.entity_key(workspace_id),
    };
    let content = Content::UserAssignedWorkspace(ends, UserAssignedWorkspace { role: Some(role.to_owned()) });
    Element::new(ORGANIZATION, &format!("members/{workspace_id}"), content)
}

/// A key that this user created; without a workspace it is the organization's.
pub(crate) fn api_key(
    id: &str,
    name: &str,
    status: &str,
    created_by: &str,
    principal: Option<&str>,
    workspace_id: Option<&str>,
) -> Element {
    let kind = |id: &str| if id.starts_with("user_") { "user" } else { "service_account" }.to_owned();
    let api_key = ApiKey {
        id: id.to_owned(),
        name: name.to_owned(),
        partial_key_hint: Some(format!("sk-ant-api03-...{}AA", &id[7..9])),
        status: Some(status.to_owned()),
        active: status == "active",
        created_by: Some(created_by.to_owned()),
        creator_type: Some(kind(created_by)),
        principal_id: principal.map(str::to_owned),
        principal_type: principal.map(kind),
        scope: Some(if workspace_id.is_some() { "workspace" } else { "organization" }.to_owned()),
        workspace_id: workspace_id.map(str::to_owned),
        ..ApiKey::default()
    };
    Element::new(ORGANIZATION, "api_keys", Content::ApiKey(Box::new(api_key)))
}
