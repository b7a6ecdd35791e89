//! The organization as it is at the start, with every oddity that the Admin API is known for.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan};

use super::dice::Dice;
use super::names;
use super::settings::Settings;
use super::truth::{
    Actor, ApiKey, DataResidency, Organization, ROLES, Truth, User, WORKSPACE_ROLES, Workspace, instant,
};

/// Hours of history before the start: two years.
const HISTORY: usize = 2 * 365 * 24;
/// The most members that a workspace has at the start.
const MEMBERS: usize = 12;
/// Service accounts that keys act as.
const SERVICE_ACCOUNTS: usize = 3;

/// The organization of these settings.
pub(super) fn organization(settings: &Settings) -> Truth {
    let mut dice = Dice::new(settings.seed, 1);
    let start = Timestamp::constant(1_780_000_000, 0);
    let simulated = start.saturating_add(i64::try_from(dice.below(86_400)).unwrap_or(0).seconds());
    let now = if settings.demonstration { Timestamp::now() } else { simulated.unwrap_or(start) };
    let default = default_workspace(&mut dice, now);
    let mut truth = Truth {
        organization: Organization { id: dice.uuid(), name: names::organization(&mut dice) },
        switches: settings.switches(),
        now: format!("{now:.6}"),
        default_workspace_id: default.id.clone(),
        legacy_creator_id: dice.id("user"),
        users: BTreeMap::new(),
        workspaces: BTreeMap::from([(default.id.clone(), default)]),
        api_keys: BTreeMap::new(),
        members: BTreeMap::new(),
    };
    for number in 0..settings.users {
        let user = user(&mut dice, now, number, &truth.organization.name);
        truth.users.insert(user.id.clone(), user);
    }
    for number in 0..settings.workspaces {
        let workspace = workspace(&mut dice, now, number);
        truth.members.insert(workspace.id.clone(), members(&mut dice, &truth));
        truth.workspaces.insert(workspace.id.clone(), workspace);
    }
    let cast = Cast::of(&mut dice, &truth);
    for number in 0..settings.api_keys {
        let key = api_key(&mut dice, &truth, &cast, number);
        truth.api_keys.insert(key.id.clone(), key);
    }
    truth
}

fn user(dice: &mut Dice, now: Timestamp, number: usize, organization: &str) -> User {
    let (mut name, mut email) = names::person(dice, number, organization);
    match number % 20 {
        3 => name = String::new(),
        5 => name.clone_from(&email),
        7 => name.truncate(name.find(' ').unwrap_or(name.len())),
        9 => name = format!("  {}  van  der\tBerg ", name.replace(' ', "   ")),
        11 => email = email.to_uppercase(),
        13 => name = format!("{name} {}", "Wolfeschlegelsteinhausen".repeat(8)),
        15 => email = email.replace('@', "+claude@"),
        17 => email = format!("deprovisioned-{number}"),
        _ => {}
    }
    // Everyone of the first nine has another role; later ones are mostly the humble ones.
    let role: &str = ROLES.get(number).copied().unwrap_or_else(|| *dice.pick::<&str>(&ROLES[2..]));
    User { id: dice.id("user"), email, name, role: role.to_owned(), added_at: dice.before(now, 24, HISTORY) }
}

fn default_workspace(dice: &mut Dice, now: Timestamp) -> Workspace {
    Workspace {
        id: dice.id("wrkspc"),
        name: "Default".to_owned(),
        created_at: dice.before(now, HISTORY, HISTORY + 24),
        archived_at: None,
        display_color: "#6C5BB9".to_owned(),
        compartment_id: dice.uuid(),
        external_key_id: None,
        data_residency: DataResidency {
            workspace_geo: "us".to_owned(),
            default_inference_geo: "global".to_owned(),
            allowed_inference_geos: None,
        },
        tags: BTreeMap::new(),
        inference_data_retention: Some("disabled".to_owned()),
        user_profile_id: None,
    }
}

/// A new workspace of that number.
pub(super) fn new_workspace(dice: &mut Dice, now: Timestamp, number: usize) -> Workspace {
    let allowed: Option<&[&str]> = *dice.pick(&[None, Some(&["us"][..]), Some(&["global", "us"][..])]);
    Workspace {
        id: dice.id("wrkspc"),
        name: names::workspace(number),
        created_at: dice.write(now),
        archived_at: None,
        display_color: dice.color(),
        compartment_id: dice.uuid(),
        external_key_id: dice.one_in(4).then(|| dice.id("ekey")),
        data_residency: DataResidency {
            workspace_geo: "us".to_owned(),
            default_inference_geo: if allowed.is_some_and(|geos| geos.len() == 1) { "us" } else { "global" }
                .to_owned(),
            allowed_inference_geos: allowed.map(|geos| geos.iter().map(|&geo| geo.to_owned()).collect()),
        },
        tags: tags(number),
        inference_data_retention: dice.one_in(2).then(|| "disabled".to_owned()),
        user_profile_id: (number % 6 == 4).then(|| format!("uprof_{number:02}")),
    }
}

fn workspace(dice: &mut Dice, now: Timestamp, number: usize) -> Workspace {
    let mut workspace = new_workspace(dice, now, number);
    workspace.created_at = dice.before(now, 1_000, HISTORY);
    workspace.archived_at = (number % 5 == 1).then(|| dice.before(now, 24, 1_000));
    workspace
}

fn tags(number: usize) -> BTreeMap<String, String> {
    let tags: &[(&str, &str)] = match number % 6 {
        0 => &[("env", "prod"), ("team", "platform")],
        2 => &[("cost_center", "4711"), ("cost-center", "4712"), ("a b.c", "kept")],
        3 => &[("équipe", "données"), ("data/class", "internal")],
        4 => &[("AccountName", "somebody else"), ("owner_team", "")],
        _ => &[],
    };
    tags.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn members(dice: &mut Dice, truth: &Truth) -> BTreeMap<String, String> {
    let users: Vec<&String> = truth.users.keys().collect();
    if users.is_empty() {
        return BTreeMap::new();
    }
    let count = 1 + dice.below(MEMBERS.min(users.len()));
    (0..count).map(|_| ((*dice.pick(&users)).clone(), (*dice.pick(&WORKSPACE_ROLES)).to_owned())).collect()
}

/// Whom keys belong to.
struct Cast {
    users: Vec<String>,
    former: Vec<String>,
    service_accounts: Vec<String>,
    active: Vec<String>,
    archived: Vec<String>,
}

impl Cast {
    fn of(dice: &mut Dice, truth: &Truth) -> Self {
        let (active, archived): (Vec<_>, Vec<_>) =
            truth.workspaces.values().partition(|workspace| workspace.archived_at.is_none());
        let ids = |workspaces: Vec<&Workspace>| {
            let ordinary =
                workspaces.into_iter().filter(|workspace| workspace.id != truth.default_workspace_id);
            ordinary.map(|workspace| workspace.id.clone()).collect()
        };
        Self {
            users: truth.users.keys().cloned().collect(),
            former: (0..3).map(|_| dice.id("user")).collect(),
            service_accounts: (0..SERVICE_ACCOUNTS).map(|_| dice.id("svac")).collect(),
            active: ids(active),
            archived: ids(archived),
        }
    }
}

/// A key of the kind that its number says, so that the first ten show every kind.
fn api_key(dice: &mut Dice, truth: &Truth, cast: &Cast, number: usize) -> ApiKey {
    let now = truth.clock();
    let default = || Some(truth.default_workspace_id.clone());
    let creator = dice.choose(&cast.users).unwrap_or_else(|| truth.legacy_creator_id.clone());
    let service_account = dice.pick(&cast.service_accounts).clone();
    let mut key = ApiKey {
        id: dice.id("apikey"),
        name: names::key(dice),
        status: "active".to_owned(),
        created_at: dice.before(now, 30, 1_000),
        expires_at: None,
        created_by: Some(Actor::user(&creator)),
        partial_key_hint: Some(dice.hint()),
        principal: None,
        workspace_id: dice.choose(&cast.active).or_else(default),
    };
    match number % 10 {
        1 => {
            "inactive".clone_into(&mut key.status);
            key.created_by = None;
            key.partial_key_hint = None;
            key.workspace_id = default();
        }
        2 => {
            key.principal = Some(Actor::user(&creator));
            key.workspace_id = None;
        }
        3 => key.principal = Some(Actor::service_account(&service_account)),
        4 => {
            key.workspace_id = dice.choose(&cast.archived).or_else(default);
            "archived".clone_into(&mut key.status);
        }
        5 => key.created_by = Some(Actor::user(dice.pick::<String>(&cast.former))),
        6 => {
            key.created_at = dice.before(now, 200, 400);
            let life = i64::try_from(dice.below(100) + 1).unwrap_or(1);
            let end = instant(&key.created_at).saturating_add(life.hours()).unwrap_or(now);
            key.expires_at = Some(dice.write(end));
            "expired".clone_into(&mut key.status);
        }
        7 => {
            key.created_by = Some(Actor::service_account(&service_account));
            key.principal = Some(Actor::service_account(&service_account));
            key.workspace_id = None;
        }
        8 => {
            let left = i64::try_from(dice.below(300) + 2).unwrap_or(2);
            key.expires_at = Some(dice.write(now.saturating_add(left.hours()).unwrap_or(now)));
        }
        9 => key.workspace_id = default(),
        _ => {}
    }
    key
}
