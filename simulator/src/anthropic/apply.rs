//! Applies mutations, with their consequences, and refuses what Anthropic would refuse.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::dice::Dice;
use super::effect::{Effect, Object};
use super::initial_organization;
use super::mutation::MutationError::{self, Exists, Refused, Unknown};
use super::mutation::{Event, Mutation};
use super::names;
use super::truth::{Actor, ApiKey, Truth, User, instant};

type Outcome = Result<Vec<Effect>, MutationError>;

/// Makes it happen now, or says why it cannot.
pub(super) fn apply(truth: &mut Truth, dice: &mut Dice, mut what: Mutation) -> Result<Event, MutationError> {
    let now = truth.clock();
    let effects = match &mut what {
        Mutation::AddUser { .. } => add_user(truth, dice, now, &mut what),
        Mutation::RemoveUser { id } => remove_user(truth, id),
        Mutation::ChangeRole { id, role } => edit_user(truth, id, "role", |user| user.role.clone_from(role)),
        Mutation::RenameUser { id, name } => edit_user(truth, id, "name", |user| user.name.clone_from(name)),
        Mutation::ChangeEmail { id, email } => {
            edit_user(truth, id, "email", |user| user.email.clone_from(email))
        }
        Mutation::GiveMembership { user_id, workspace_id, role } => {
            give_membership(truth, user_id, workspace_id, role)
        }
        Mutation::TakeMembership { user_id, workspace_id } => take_membership(truth, user_id, workspace_id),
        Mutation::ChangeWorkspaceRole { user_id, workspace_id, role } => {
            change_workspace_role(truth, user_id, workspace_id, role)
        }
        Mutation::MakeWorkspace { id, name } => make_workspace(truth, dice, now, id, name),
        Mutation::ArchiveWorkspace { id } => archive_workspace(truth, dice, now, id),
        Mutation::DeleteWorkspace { id } => delete_workspace(truth, id),
        Mutation::RenameWorkspace { id, name } => rename_workspace(truth, id, name),
        Mutation::TagWorkspace { id, tags } => {
            let workspace =
                truth.workspaces.get_mut(id).ok_or_else(|| Unknown(Object::Workspace, id.clone()))?;
            workspace.tags.clone_from(tags);
            Ok(vec![Effect::updated(Object::Workspace, id, &["tags"])])
        }
        Mutation::SetUserProfile { id, user_profile_id } => {
            let workspace =
                truth.workspaces.get_mut(id).ok_or_else(|| Unknown(Object::Workspace, id.clone()))?;
            workspace.user_profile_id.clone_from(user_profile_id);
            Ok(vec![Effect::updated(Object::Workspace, id, &["user_profile_id"])])
        }
        Mutation::MakeKey { .. } => make_key(truth, dice, now, &mut what),
        Mutation::SetKeyStatus { id, status } => {
            edit_key(truth, id, "status", |key| key.status.clone_from(status))
        }
        Mutation::ExpireKey { id } => expire_key(truth, dice, now, id),
        Mutation::DeleteKey { id } => {
            truth.api_keys.remove(id).ok_or_else(|| Unknown(Object::ApiKey, id.clone()))?;
            Ok(vec![Effect::deleted(Object::ApiKey, id)])
        }
        Mutation::RenameKey { id, name } => edit_key(truth, id, "name", |key| key.name.clone_from(name)),
        Mutation::RenameOrganization { name } => {
            truth.organization.name.clone_from(name);
            Ok(vec![Effect::updated(Object::Organization, &truth.organization.id, &["name"])])
        }
        Mutation::SwitchGeneration { generation } if (1..=4).contains(generation) => {
            truth.switches.generation = *generation;
            Ok(Vec::new())
        }
        Mutation::SwitchGeneration { generation } => {
            Err(Refused(format!("there is no generation {generation}: choose 1 to 4")))
        }
    }?;
    Ok(Event { at: truth.now.clone(), what, effects })
}

fn add_user(truth: &mut Truth, dice: &mut Dice, now: Timestamp, what: &mut Mutation) -> Outcome {
    let Mutation::AddUser { id, email, name, role } = what else { return Ok(Vec::new()) };
    let number = 10_000 + dice.below(90_000);
    let (invented_name, invented_email) = names::person(dice, number, &truth.organization.name);
    let id = id.get_or_insert_with(|| dice.id("user")).clone();
    if truth.users.contains_key(&id) {
        return Err(Exists(Object::User, id));
    }
    let user = User {
        id: id.clone(),
        email: email.get_or_insert(invented_email).clone(),
        name: name.get_or_insert(invented_name).clone(),
        role: role.get_or_insert_with(|| "user".to_owned()).clone(),
        added_at: dice.write(now),
    };
    truth.users.insert(id.clone(), user);
    Ok(vec![Effect::created(Object::User, &id)])
}

fn remove_user(truth: &mut Truth, id: &str) -> Outcome {
    truth.users.remove(id).ok_or_else(|| Unknown(Object::User, id.to_owned()))?;
    let mut effects = Vec::new();
    for (workspace_id, members) in &mut truth.members {
        if members.remove(id).is_some() {
            effects.push(Effect::deleted(Object::Membership, &membership(workspace_id, id)));
        }
    }
    let personal = Some(Actor::user(id));
    for key in truth.api_keys.values_mut().filter(|key| key.principal == personal) {
        effects.extend(archive_key(key));
    }
    effects.push(Effect::deleted(Object::User, id));
    Ok(effects)
}

fn edit_user(truth: &mut Truth, id: &str, field: &str, edit: impl FnOnce(&mut User)) -> Outcome {
    let user = truth.users.get_mut(id).ok_or_else(|| Unknown(Object::User, id.to_owned()))?;
    edit(user);
    Ok(vec![Effect::updated(Object::User, id, &[field])])
}

fn give_membership(truth: &mut Truth, user_id: &str, workspace_id: &str, role: &str) -> Outcome {
    if !truth.users.contains_key(user_id) {
        return Err(Unknown(Object::User, user_id.to_owned()));
    }
    if !truth.workspaces.contains_key(workspace_id) {
        return Err(Unknown(Object::Workspace, workspace_id.to_owned()));
    }
    if !truth.takes_members(workspace_id) {
        return Err(Refused(format!(
            "workspace {workspace_id} is archived or the default one: it takes no members"
        )));
    }
    let members = truth.members.entry(workspace_id.to_owned()).or_default();
    let name = membership(workspace_id, user_id);
    if members.contains_key(user_id) {
        return Err(Exists(Object::Membership, name));
    }
    members.insert(user_id.to_owned(), role.to_owned());
    Ok(vec![Effect::created(Object::Membership, &name)])
}

fn take_membership(truth: &mut Truth, user_id: &str, workspace_id: &str) -> Outcome {
    let name = membership(workspace_id, user_id);
    let taken = truth.members.get_mut(workspace_id).and_then(|members| members.remove(user_id));
    taken.ok_or_else(|| Unknown(Object::Membership, name.clone()))?;
    Ok(vec![Effect::deleted(Object::Membership, &name)])
}

fn change_workspace_role(truth: &mut Truth, user_id: &str, workspace_id: &str, role: &str) -> Outcome {
    let name = membership(workspace_id, user_id);
    let held = truth.members.get_mut(workspace_id).and_then(|members| members.get_mut(user_id));
    role.clone_into(held.ok_or_else(|| Unknown(Object::Membership, name.clone()))?);
    Ok(vec![Effect::updated(Object::Membership, &name, &["workspace_role"])])
}

fn make_workspace(
    truth: &mut Truth,
    dice: &mut Dice,
    now: Timestamp,
    id: &mut Option<String>,
    name: &mut Option<String>,
) -> Outcome {
    let mut workspace = initial_organization::new_workspace(dice, now, truth.workspaces.len());
    workspace.id.clone_from(id.get_or_insert(workspace.id.clone()));
    workspace.name.clone_from(name.get_or_insert(workspace.name.clone()));
    if truth.workspaces.contains_key(&workspace.id) {
        return Err(Exists(Object::Workspace, workspace.id));
    }
    let effects = vec![Effect::created(Object::Workspace, &workspace.id)];
    truth.members.insert(workspace.id.clone(), BTreeMap::new());
    truth.workspaces.insert(workspace.id.clone(), workspace);
    Ok(effects)
}

fn archive_workspace(truth: &mut Truth, dice: &mut Dice, now: Timestamp, id: &str) -> Outcome {
    if id == truth.default_workspace_id {
        return Err(Refused("the default workspace cannot be archived".to_owned()));
    }
    let workspace = truth.workspaces.get_mut(id).ok_or_else(|| Unknown(Object::Workspace, id.to_owned()))?;
    if workspace.archived_at.is_some() {
        return Err(Refused(format!("workspace {id} is archived already")));
    }
    workspace.archived_at = Some(dice.write(now));
    let mut effects = vec![Effect::updated(Object::Workspace, id, &["archived_at"])];
    for key in truth.api_keys.values_mut().filter(|key| key.workspace_id.as_deref() == Some(id)) {
        effects.extend(archive_key(key));
    }
    Ok(effects)
}

fn delete_workspace(truth: &mut Truth, id: &str) -> Outcome {
    if id == truth.default_workspace_id {
        return Err(Refused("the default workspace cannot be deleted".to_owned()));
    }
    truth.workspaces.remove(id).ok_or_else(|| Unknown(Object::Workspace, id.to_owned()))?;
    let members = truth.members.remove(id).unwrap_or_default();
    let taken = members.keys().map(|user_id| Effect::deleted(Object::Membership, &membership(id, user_id)));
    let mut effects: Vec<Effect> = taken.collect();
    effects.push(Effect::deleted(Object::Workspace, id));
    Ok(effects)
}

fn rename_workspace(truth: &mut Truth, id: &str, name: &str) -> Outcome {
    if id == truth.default_workspace_id {
        return Err(Refused("the default workspace cannot be renamed".to_owned()));
    }
    let workspace = truth.workspaces.get_mut(id).ok_or_else(|| Unknown(Object::Workspace, id.to_owned()))?;
    name.clone_into(&mut workspace.name);
    Ok(vec![Effect::updated(Object::Workspace, id, &["name"])])
}

fn make_key(truth: &mut Truth, dice: &mut Dice, now: Timestamp, what: &mut Mutation) -> Outcome {
    let Mutation::MakeKey { id, name, created_by, principal, workspace_id, expires_at } = what else {
        return Ok(Vec::new());
    };
    let id = id.get_or_insert_with(|| dice.id("apikey")).clone();
    if truth.api_keys.contains_key(&id) {
        return Err(Exists(Object::ApiKey, id));
    }
    if let Some(workspace_id) = workspace_id.as_ref().filter(|id| !truth.workspaces.contains_key(*id)) {
        return Err(Unknown(Object::Workspace, workspace_id.clone()));
    }
    let key = ApiKey {
        id: id.clone(),
        name: name.get_or_insert_with(|| names::key(dice)).clone(),
        status: "active".to_owned(),
        created_at: dice.write(now),
        expires_at: expires_at.clone(),
        created_by: created_by.clone(),
        partial_key_hint: Some(dice.hint()),
        principal: principal.clone(),
        workspace_id: workspace_id.clone(),
    };
    truth.api_keys.insert(id.clone(), key);
    Ok(vec![Effect::created(Object::ApiKey, &id)])
}

fn edit_key(truth: &mut Truth, id: &str, field: &str, edit: impl FnOnce(&mut ApiKey)) -> Outcome {
    let key = truth.api_keys.get_mut(id).ok_or_else(|| Unknown(Object::ApiKey, id.to_owned()))?;
    edit(key);
    Ok(vec![Effect::updated(Object::ApiKey, id, &[field])])
}

fn expire_key(truth: &mut Truth, dice: &mut Dice, now: Timestamp, id: &str) -> Outcome {
    let key = truth.api_keys.get_mut(id).ok_or_else(|| Unknown(Object::ApiKey, id.to_owned()))?;
    "expired".clone_into(&mut key.status);
    if key.expires_at.as_deref().is_some_and(|end| instant(end) <= now) {
        return Ok(vec![Effect::updated(Object::ApiKey, id, &["status"])]);
    }
    key.expires_at = Some(dice.write(now));
    Ok(vec![Effect::updated(Object::ApiKey, id, &["expires_at", "status"])])
}

/// Archived is for good: an expired key stays expired, an archived one archived.
fn archive_key(key: &mut ApiKey) -> Option<Effect> {
    if matches!(key.status.as_str(), "archived" | "expired") {
        return None;
    }
    "archived".clone_into(&mut key.status);
    Some(Effect::updated(Object::ApiKey, &key.id, &["status"]))
}

fn membership(workspace_id: &str, user_id: &str) -> String {
    format!("{workspace_id}/{user_id}")
}
