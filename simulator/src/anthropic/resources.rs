//! The read endpoints: a path and a query give a page or an object.

use super::page::{self, Query, array, boolean, parameter};
use super::refusal::Refusal;
use super::settings::{ApiVersion, ArchivedMembers, DefaultMembers, IncludeDefault, Order};
use super::truth::{ApiKey, Truth, User, Workspace, instant};
use super::wire;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Reverse;

/// The most `ids[]` of a workspace list (official SDK 2.12).
const MAX_IDS: usize = 100;
/// Since when a member exists who is no longer a user.
const UNKNOWN: &str = "1970-01-01T00:00:00Z";

type Answer = Result<Value, Refusal>;

/// The collection that a path belongs to, as listings name it.
pub(super) fn collection(path: &str) -> Option<String> {
    let segments = segments(path);
    match segments.iter().map(AsRef::as_ref).collect::<Vec<&str>>().as_slice() {
        ["v1", "organizations", "me"] => Some("organization".to_owned()),
        ["v1", "organizations", "workspaces", id, "members", ..] => Some(format!("members/{id}")),
        ["v1", "organizations", name @ ("users" | "workspaces" | "api_keys"), ..] => Some((*name).to_owned()),
        _ => None,
    }
}

/// A path's parts, each decoded.
fn segments(path: &str) -> Vec<Cow<'_, str>> {
    path.trim_matches('/').split('/').map(|part| percent_decode_str(part).decode_utf8_lossy()).collect()
}

/// What the API answers to a GET.
pub(super) fn get(truth: &Truth, version: ApiVersion, path: &str, query: &Query) -> Answer {
    let segments = segments(path);
    match segments.iter().map(AsRef::as_ref).collect::<Vec<&str>>().as_slice() {
        ["v1", "organizations", "me"] => Ok(wire::organization(truth)),
        ["v1", "organizations", "users"] => users(truth, query),
        ["v1", "organizations", "users", id] => {
            truth.users.get(*id).map(wire::user).ok_or_else(|| unknown("User", id))
        }
        ["v1", "organizations", "workspaces"] => workspaces(truth, query),
        ["v1", "organizations", "workspaces", id] => {
            let workspace = truth.workspaces.get(*id).ok_or_else(|| unknown("Workspace", id))?;
            Ok(wire::workspace(truth, workspace))
        }
        ["v1", "organizations", "workspaces", id, "members"] => members(truth, id, query),
        ["v1", "organizations", "workspaces", id, "members", user_id] => {
            let role = truth.members.get(*id).and_then(|members| members.get(*user_id));
            role.map(|role| wire::member(id, user_id, role)).ok_or_else(|| unknown("User", user_id))
        }
        ["v1", "organizations", "api_keys"] => api_keys(truth, version, query),
        ["v1", "organizations", "api_keys", id] => {
            let key = truth.api_keys.get(*id).ok_or_else(|| unknown("API key", id))?;
            Ok(wire::api_key(truth, version, key))
        }
        _ => Err(Refusal::not_found("Not found")),
    }
}

fn unknown(what: &str, id: &str) -> Refusal {
    Refusal::not_found(&format!("{what} `{id}` not found."))
}

fn users(truth: &Truth, query: &Query) -> Answer {
    let email = parameter(query, "email").map(base_address);
    let roles = array(query, "roles");
    let wanted = |user: &&User| {
        email.as_ref().is_none_or(|email| *email == base_address(&user.email))
            && (roles.is_empty() || roles.contains(&user.role.as_str()))
    };
    let rows = truth.users.values().filter(wanted).map(|user| (user.id.as_str(), user.added_at.as_str()));
    let ids = sorted(rows.collect(), Order::NewestFirst);
    page::page(&ids, query, truth.switches.unknown_cursor, |id| wire::user(&truth.users[id]))
}

/// An address without case and variant: `Jane+hiring@x` is `jane@x`.
fn base_address(email: &str) -> String {
    let email = email.to_lowercase();
    let Some((local, domain)) = email.rsplit_once('@') else { return email };
    format!("{}@{domain}", local.split('+').next().unwrap_or_default())
}

fn workspaces(truth: &Truth, query: &Query) -> Answer {
    let archived = boolean(query, "include_archived")?;
    let default = match truth.switches.include_default() {
        IncludeDefault::Known => boolean(query, "include_default")?,
        IncludeDefault::Rejected if parameter(query, "include_default").is_some() => {
            return Err(Refusal::invalid("include_default: Extra inputs are not permitted"));
        }
        IncludeDefault::Ignored | IncludeDefault::Rejected => false,
    };
    let wanted_ids = array(query, "ids");
    if wanted_ids.len() > MAX_IDS {
        return Err(Refusal::invalid(&format!("ids: List should have at most {MAX_IDS} items")));
    }
    let wanted = |workspace: &&Workspace| {
        (archived || workspace.archived_at.is_none())
            && (default || workspace.id != truth.default_workspace_id)
            && (wanted_ids.is_empty() || wanted_ids.contains(&workspace.id.as_str()))
    };
    let rows = truth.workspaces.values().filter(wanted);
    let rows = rows.map(|workspace| (workspace.id.as_str(), workspace.created_at.as_str())).collect();
    let ids = sorted(rows, truth.switches.order);
    page::page(&ids, query, truth.switches.unknown_cursor, |id| wire::workspace(truth, &truth.workspaces[id]))
}

fn members(truth: &Truth, id: &str, query: &Query) -> Answer {
    let workspace = truth.workspaces.get(id).ok_or_else(|| unknown("Workspace", id))?;
    let mut listed = truth.members.get(id);
    if id == truth.default_workspace_id {
        match truth.switches.default_members {
            DefaultMembers::Empty => listed = None,
            DefaultMembers::NotFound => return Err(unknown("Workspace", id)),
        }
    } else if workspace.archived_at.is_some() {
        match truth.switches.archived_members {
            ArchivedMembers::Last => {}
            ArchivedMembers::Empty => listed = None,
            ArchivedMembers::NotFound => return Err(unknown("Workspace", id)),
            ArchivedMembers::BadRequest => return Err(Refusal::invalid("Workspace is archived.")),
        }
    }
    let rows = listed.into_iter().flatten().map(|(user_id, _)| {
        let added = truth.users.get(user_id).map_or(UNKNOWN, |user| user.added_at.as_str());
        (user_id.as_str(), added)
    });
    let ids = sorted(rows.collect(), truth.switches.order);
    page::page(&ids, query, truth.switches.unknown_cursor, |user_id| {
        wire::member(id, user_id, &truth.members[id][user_id])
    })
}

fn api_keys(truth: &Truth, version: ApiVersion, query: &Query) -> Answer {
    let status = parameter(query, "status");
    if status.is_some_and(|status| !["active", "inactive", "archived", "expired"].contains(&status)) {
        return Err(Refusal::invalid(
            "status: Input should be 'active', 'inactive', 'archived' or 'expired'",
        ));
    }
    let workspace_id = parameter(query, "workspace_id");
    let creator = parameter(query, "created_by_user_id");
    let wanted = |key: &&ApiKey| {
        status.is_none_or(|status| key.status == status)
            && workspace_id.is_none_or(|id| key.workspace_id.as_deref() == Some(id))
            && creator.is_none_or(|id| key.created_by.as_ref().is_some_and(|actor| actor.id == id))
    };
    let rows = truth.api_keys.values().filter(wanted);
    let rows = rows.map(|key| (key.id.as_str(), key.created_at.as_str())).collect();
    let ids = sorted(rows, truth.switches.order);
    page::page(&ids, query, truth.switches.unknown_cursor, |id| {
        wire::api_key(truth, version, &truth.api_keys[id])
    })
}

/// The IDs in that order, each given with when it came to be.
fn sorted<'a>(mut rows: Vec<(&'a str, &'a str)>, order: Order) -> Vec<&'a str> {
    match order {
        Order::NewestFirst => rows.sort_by_cached_key(|&(id, at)| (Reverse(instant(at)), id)),
        Order::OldestFirst => rows.sort_by_cached_key(|&(id, at)| (instant(at), id)),
        Order::Id => rows.sort_unstable(),
    }
    rows.into_iter().map(|(id, _)| id).collect()
}
