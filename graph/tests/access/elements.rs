//! A truth as the elements that its listings stand for, and what is compared of paths.

use std::collections::{BTreeMap, BTreeSet};

use graph::{
    access::{Flag, Organization, Path as Found, Question, access},
    change::Images,
    mapping::{self, Context},
};
use schemas::{
    change::{Envelope, Kind, Op, SnapshotRecord, Source},
    collection::Collection,
    element::Element,
    raw::{self, Configuration, Resource},
    resource::{encode_resource, resource_digest},
};
use simulator::{
    anthropic::{Actor, Truth},
    who_can::Path,
};

pub(crate) const ORGANIZATION: &str = "o";

/// The elements by key, as generation 4 of the API lists them, relationships with a missing end left out.
pub(crate) fn elements(truth: &Truth) -> BTreeMap<String, Element> {
    let mut all = Vec::new();
    all.extend(truth.users.values().flat_map(|it| user(it.clone())));
    all.extend(truth.workspaces.values().flat_map(|it| workspace(it.clone())));
    all.extend(truth.api_keys.values().flat_map(|it| api_key(it.clone())));
    for (workspace_id, members) in &truth.members {
        all.extend(members.iter().flat_map(|(user_id, role)| member(workspace_id, user_id, role)));
    }
    let by_key: BTreeMap<String, Element> = all.into_iter().map(|it| (it.key.clone(), it)).collect();
    let has_ends = |element: &Element| {
        element.ends().all(|end| end.starts_with("anthropic_account:") || by_key.contains_key(end))
    };
    by_key.iter().filter(|(_, it)| has_ends(it)).map(|(key, it)| (key.clone(), it.clone())).collect()
}

/// Every path that is found, as the oracle says it.
pub(crate) fn found(organization: &Organization, at_ms: i64, question: &Question) -> Vec<Path> {
    access(organization, at_ms, question).iter().map(said).collect()
}

/// The same as a set; no path is found twice.
pub(crate) fn found_set(organization: &Organization, at_ms: i64, question: &Question) -> BTreeSet<Path> {
    let found = found(organization, at_ms, question);
    let set: BTreeSet<Path> = found.iter().cloned().collect();
    assert_eq!(set.len(), found.len(), "a path twice");
    set
}

pub(crate) fn said(path: &Found<'_>) -> Path {
    Path {
        kind: path.kind.name(),
        user: path.user.map(|user| user.id.to_owned()),
        workspace: path.workspace.map(|workspace| workspace.id.to_owned()),
        api_key: path.api_key.map(|key| key.id.clone()),
        role: path.role.map(str::to_owned),
        usable: path.usable,
        flags: path.flags.iter().map(Flag::name).collect(),
    }
}

pub(crate) fn user(user: simulator::anthropic::User) -> Vec<Element> {
    let user = raw::User {
        id: user.id,
        name: Some(user.name),
        email: Some(user.email),
        role: Some(user.role),
        added_at: Some(user.added_at),
        ..raw::User::default()
    };
    map(&Collection::Users, &Resource::User(user.into()))
}

pub(crate) fn workspace(workspace: simulator::anthropic::Workspace) -> Vec<Element> {
    let workspace = raw::Workspace {
        id: workspace.id,
        name: Some(workspace.name),
        created_at: Some(workspace.created_at),
        archived_at: workspace.archived_at,
        ..raw::Workspace::default()
    };
    map(&Collection::Workspaces, &Resource::Workspace(workspace.into()))
}

pub(crate) fn api_key(key: simulator::anthropic::ApiKey) -> Vec<Element> {
    let kind = if key.workspace_id.is_some() { "workspace" } else { "organization" };
    let key = raw::ApiKey {
        id: key.id,
        name: Some(key.name),
        status: Some(key.status),
        created_at: Some(key.created_at),
        expires_at: key.expires_at,
        created_by: key.created_by.map(actor),
        partial_key_hint: key.partial_key_hint,
        principal: key.principal.map(actor),
        scope: Some(raw::Scope { kind: Some(kind.to_owned()), workspace_id: key.workspace_id }),
        ..raw::ApiKey::default()
    };
    raw_api_key(key)
}

/// An API key as a generation of the API lists it.
pub(crate) fn raw_api_key(key: raw::ApiKey) -> Vec<Element> {
    map(&Collection::ApiKeys, &Resource::ApiKey(key.into()))
}

pub(crate) fn member(workspace_id: &str, user_id: &str, role: &str) -> Vec<Element> {
    let member = raw::Member {
        user_id: user_id.to_owned(),
        workspace_id: workspace_id.to_owned(),
        workspace_role: Some(role.to_owned()),
        ..raw::Member::default()
    };
    let collection = Collection::Members(workspace_id.to_owned());
    map(&collection, &Resource::Member(member.into()))
}

fn actor(actor: Actor) -> raw::Actor {
    raw::Actor { id: Some(actor.id), kind: Some(actor.kind) }
}

fn map(collection: &Collection, resource: &Resource) -> Vec<Element> {
    let configuration = Configuration {
        account_name: None,
        tag_account_name: false,
        max_deleted_fraction: 1.0,
        max_deleted_count: 100,
    };
    let digest = resource_digest(&encode_resource(resource));
    let context = Context::new(ORGANIZATION, collection, &configuration);
    mapping::elements(&context, resource, digest)
}

/// The change, seen in listings a second apart.
pub(crate) fn envelope(Images { before, after }: Images, revision: i64, ts_ms: i64) -> Envelope {
    let [before, after] = [before, after].map(|image| image.map(|element| element.decode()));
    let element = after.as_ref().or(before.as_ref()).expect("an element");
    let op = match (&before, &after) {
        (None, _) => Op::Create,
        (Some(_), Some(_)) => Op::Update,
        (Some(_), None) => Op::Delete,
    };
    Envelope {
        id: revision.to_string(),
        op,
        ts_ms,
        source: Source {
            version: String::new(),
            connector: String::new(),
            name: "nimbus".to_owned(),
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
        changed: vec!["role".to_owned()],
        reason: None,
        not_before_ts_ms: Some(ts_ms - 1_000),
        not_after_ts_ms: Some(ts_ms),
        before,
        after,
    }
}
