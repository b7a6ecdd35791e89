//! Who can reach which workspace, and with which API key, worked out from the truth alone.
//!
//! Brute force: each triple of a person, a workspace and a key is asked whether there is a path. It judges the services and
//! shares no line with them. It supposes generation 3 or later, and that every collection has been listed whole.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::anthropic::{Actor, ApiKey, IncludeDefault, Truth, Workspace};

/// One way in which somebody reaches a workspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// `member`, `implicit` or `key`.
    pub kind: &'static str,
    /// ID of a person.
    pub user: Option<String>,
    /// ID of a workspace.
    pub workspace: Option<String>,
    /// ID of a key.
    pub api_key: Option<String>,
    /// The role in the workspace.
    pub role: Option<String>,
    pub usable: bool,
    /// What is unusual, sorted.
    pub flags: Vec<&'static str>,
}

/// All paths at that time (ms since 1970), by which keys may have expired.
///
/// # Panics
/// For a generation that does not list where a key belongs.
pub fn paths(truth: &Truth, at_ms: i64) -> BTreeSet<Path> {
    assert!(truth.switches.generation >= 3, "the API does not list where keys belong");
    let mut people: BTreeSet<Option<&str>> = truth.users.keys().map(|id| Some(id.as_str())).collect();
    let mut places: BTreeSet<Option<&str>> = truth.workspaces.keys().map(|id| Some(id.as_str())).collect();
    for key in truth.api_keys.values() {
        people.extend(behind(key).map(Some));
        places.insert(key.workspace_id.as_deref());
    }
    people.insert(None);
    places.insert(None);
    let mut paths = BTreeSet::new();
    for user in &people {
        for place in &places {
            paths.extend(by_role(truth, *user, *place));
            paths.extend(by_membership(truth, *user, *place));
            let through = |key: &ApiKey| through(truth, key, *user, *place, at_ms);
            paths.extend(truth.api_keys.values().filter_map(through));
        }
    }
    paths
}

fn by_membership(truth: &Truth, user: Option<&str>, place: Option<&str>) -> Option<Path> {
    let (user, place) = (truth.users.get(user?)?, listed(truth, place?)?);
    let role = truth.members.get(&place.id)?.get(&user.id)?;
    Some(direct("member", &user.id, place, role))
}

fn by_role(truth: &Truth, user: Option<&str>, place: Option<&str>) -> Option<Path> {
    let (user, place) = (truth.users.get(user?)?, listed(truth, place?)?);
    let role = match user.role.as_str() {
        "primary_owner" | "owner" | "admin" => "workspace_admin",
        "billing" => "workspace_billing",
        role if place.id == truth.default_workspace_id => role,
        _ => return None,
    };
    Some(direct("implicit", &user.id, place, role))
}

fn direct(kind: &'static str, user: &str, place: &Workspace, role: &str) -> Path {
    let is_archived = place.archived_at.is_some();
    Path {
        kind,
        user: Some(user.to_owned()),
        workspace: Some(place.id.clone()),
        api_key: None,
        role: Some(role.to_owned()),
        usable: !is_archived,
        flags: if is_archived { vec!["workspace_archived"] } else { Vec::new() },
    }
}

fn through(truth: &Truth, key: &ApiKey, user: Option<&str>, place: Option<&str>, at_ms: i64) -> Option<Path> {
    let is_person = match user {
        Some(id) => behind(key).any(|other| other == id),
        None => behind(key).next().is_none(),
    };
    if !is_person || !reaches(truth, key, place) {
        return None;
    }
    let archived = place.and_then(|id| listed(truth, id)).is_some_and(|it| it.archived_at.is_some());
    let end = key.expires_at.as_deref().and_then(|end| end.parse::<Timestamp>().ok());
    let expired = key.status == "expired" || end.is_some_and(|end| end.as_millisecond() <= at_ms);
    let usable = key.status == "active" && !expired && !archived;
    let has_left = |actor: Option<&Actor>| {
        actor.is_some_and(|actor| actor.kind == "user" && !truth.users.contains_key(&actor.id))
    };
    let (creator, principal) = (key.created_by.as_ref(), key.principal.as_ref());
    let all = [
        ("acts_for_other", creator.is_some() && principal.is_some() && creator != principal),
        ("creator_left", has_left(creator)),
        ("creator_unknown", creator.is_none()),
        ("expired", expired),
        ("organization_wide", key.workspace_id.is_none()),
        ("outlives_creator", has_left(creator) && usable),
        ("principal_left", has_left(principal)),
        ("reach_unknown", is_reach_unknown(truth, key)),
        ("workspace_archived", archived),
        ("workspace_not_listed", place.is_some_and(|id| listed(truth, id).is_none())),
    ];
    Some(Path {
        kind: "key",
        user: user.map(str::to_owned),
        workspace: place.map(str::to_owned),
        api_key: Some(key.id.clone()),
        role: None,
        usable,
        flags: all.into_iter().filter(|(_, holds)| *holds).map(|(flag, _)| flag).collect(),
    })
}

/// IDs of the people who may hold a key, or for whom it acts.
fn behind(key: &ApiKey) -> impl Iterator<Item = &str> {
    let actors = key.created_by.iter().chain(&key.principal);
    actors.filter(|actor| actor.kind == "user").map(|actor| actor.id.as_str())
}

fn reaches(truth: &Truth, key: &ApiKey, place: Option<&str>) -> bool {
    if let Some(own) = key.workspace_id.as_deref() {
        return place == Some(own);
    }
    let user = key.principal.as_ref().filter(|actor| actor.kind == "user").map(|actor| actor.id.as_str());
    let reachable = |id: &str| {
        let is_reached =
            by_role(truth, user, Some(id)).is_some() || by_membership(truth, user, Some(id)).is_some();
        is_reached || is_reach_unknown(truth, key) && listed(truth, id).is_some()
    };
    match place {
        Some(id) => reachable(id),
        None => !truth.workspaces.keys().any(|id| reachable(id)),
    }
}

/// Whether it is unknown which workspaces a key of the organization reaches: so it is for service accounts, and an
/// active key of somebody who left is unexpected.
fn is_reach_unknown(truth: &Truth, key: &ApiKey) -> bool {
    let user = key.principal.as_ref().filter(|actor| actor.kind == "user");
    let is_listed = user.is_some_and(|user| truth.users.contains_key(&user.id));
    key.workspace_id.is_none() && !is_listed && (user.is_none() || key.status == "active")
}

/// The workspace of that ID. The default one is listed only where the API knows `include_default`.
fn listed<'a>(truth: &'a Truth, id: &str) -> Option<&'a Workspace> {
    let is_shown =
        id != truth.default_workspace_id || truth.switches.include_default() == IncludeDefault::Known;
    truth.workspaces.get(id).filter(|_| is_shown)
}
