use std::collections::{BTreeMap, BTreeSet};

use simulator::anthropic::{Event, Mutation, MutationError, Object, Op, ROUND, Settings, Truth};
use simulator::oracle::{self, Options};

use crate::client::client;

/// The kinds of change between two truths, as a graph shows them: op and element type.
fn changes(before: &Truth, after: &Truth) -> BTreeSet<(char, String)> {
    let options = Options::default();
    let (before, after) = (oracle::expected(before, &options), oracle::expected(after, &options));
    let mut kinds = BTreeSet::new();
    for (before, after) in
        [(&before.entities, &after.entities), (&before.relationships, &after.relationships)]
    {
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for key in keys {
            let op = match (before.get(key), after.get(key)) {
                (None, _) => 'c',
                (_, None) => 'd',
                (before, after) if before != after => 'u',
                _ => continue,
            };
            let element = after.get(key).or(before.get(key)).expect("it is in one of them");
            kinds.insert((op, element["_type"].as_str().expect("a text").to_owned()));
        }
    }
    kinds
}

/// Everything that can change. The account only ever changes its name; of relationships, only a membership's role.
fn all_changes() -> BTreeSet<(char, String)> {
    let types = |op: char, types: &[&str]| {
        types.iter().map(|kind| (op, format!("anthropic_{kind}"))).collect::<Vec<_>>()
    };
    let relationships = [
        "account_has_user",
        "account_has_workspace",
        "user_assigned_workspace",
        "user_created_api_key",
        "workspace_has_api_key",
    ];
    let entities = ["user", "workspace", "api_key"];
    let mut all = BTreeSet::new();
    for op in ['c', 'd'] {
        all.extend(types(op, &relationships));
        all.extend(types(op, &entities));
    }
    all.extend(types('u', &["account", "user", "workspace", "api_key", "user_assigned_workspace"]));
    all
}

#[tokio::test]
async fn one_round_shows_every_change_of_every_kind_whatever_the_seed() {
    for seed in 0..40 {
        let client = client(Settings { seed, ..Settings::default() }).await;
        let before = client.anthropic.truth();
        client.anthropic.live(ROUND);
        let missing: Vec<_> =
            all_changes().difference(&changes(&before, &client.anthropic.truth())).cloned().collect();
        assert_eq!(missing, [], "seed {seed}");
    }
}

#[tokio::test]
async fn nothing_vanishes_where_the_simulator_does_what_the_real_api_does() {
    let client = client(Settings { vanishing: false, ..Settings::default() }).await;
    let before = client.anthropic.truth();
    let events = client.anthropic.live(10 * ROUND);
    let vanishes =
        |event: &Event| matches!(event.what, Mutation::DeleteWorkspace { .. } | Mutation::DeleteKey { .. });
    assert!(!events.iter().any(vanishes));
    let after = client.anthropic.truth();
    assert!(before.workspaces.keys().all(|id| after.workspaces.contains_key(id)));
    assert!(before.api_keys.keys().all(|id| after.api_keys.contains_key(id)));
}

#[tokio::test]
async fn a_demonstration_keeps_the_machine_s_time_and_its_first_workspace() {
    let client = client(Settings { demonstration: true, ..Settings::default() }).await;
    let first = |truth: &Truth| {
        let named = truth.workspaces.values().find(|workspace| workspace.name == "Production");
        named.map(|workspace| (workspace.id.clone(), workspace.archived_at.clone()))
    };
    let before = client.anthropic.truth();
    let began: jiff::Timestamp = before.now.parse().expect("a time");
    let events = client.anthropic.live(20 * ROUND);
    let is_archived = |event: &Event| matches!(event.what, Mutation::ArchiveWorkspace { .. });
    assert!(events.iter().any(is_archived), "other workspaces are");
    let after = client.anthropic.truth();
    assert!(first(&before).is_some_and(|(_, archived_at)| archived_at.is_none()));
    assert_eq!(first(&before), first(&after));
    let ended: jiff::Timestamp = after.now.parse().expect("a time");
    let now = jiff::Timestamp::now();
    assert!(
        began <= ended && ended <= now && now.duration_since(began).as_secs() < 60,
        "{began} {ended} {now}"
    );
    assert_eq!(after.organization.slug(), "larkspur-labs");
    assert!(after.users.values().any(|user| user.email.ends_with("@larkspur.example")));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_organization_and_the_same_life() {
    let settings = || Settings { seed: 7, ..Settings::default() };
    let (one, other) = (client(settings()).await, client(settings()).await);
    assert_eq!(one.anthropic.admin_key(), other.anthropic.admin_key());
    assert_eq!(one.anthropic.truth(), other.anthropic.truth());
    let (whole, mut halves) = (one.anthropic.live(200), other.anthropic.live(90));
    halves.extend(other.anthropic.live(110));
    assert_eq!(whole, halves);
    assert_eq!(one.anthropic.truth(), other.anthropic.truth());
    let third = client(Settings { seed: 8, ..Settings::default() }).await;
    assert_ne!(one.anthropic.organization_id(), third.anthropic.organization_id());
}

/// What a truth shows of its objects, by kind and id as effects name them.
fn objects(truth: &Truth) -> BTreeMap<(Object, String), String> {
    let mut objects = BTreeMap::new();
    let mut put = |object, id: String, seen: String| objects.insert((object, id), seen);
    put(Object::Organization, truth.organization.id.clone(), truth.organization.name.clone());
    for (id, user) in &truth.users {
        put(Object::User, id.clone(), format!("{user:?}"));
    }
    for (id, workspace) in &truth.workspaces {
        put(Object::Workspace, id.clone(), format!("{workspace:?}"));
    }
    for (id, key) in &truth.api_keys {
        put(Object::ApiKey, id.clone(), format!("{key:?}"));
    }
    for (workspace_id, members) in &truth.members {
        for (user_id, role) in members {
            put(Object::Membership, format!("{workspace_id}/{user_id}"), role.clone());
        }
    }
    objects
}

#[tokio::test]
async fn events_show_everything_that_changed_and_nothing_else() {
    let client = client(Settings::default()).await;
    for _ in 0..400 {
        let before = objects(&client.anthropic.truth());
        let events = client.anthropic.live(1);
        let after = objects(&client.anthropic.truth());
        let mut events_of = BTreeMap::new();
        for effect in events.iter().flat_map(|event| &event.effects) {
            let of_this_step: &mut Vec<Op> = events_of.entry((effect.object, effect.id.clone())).or_default();
            of_this_step.push(effect.op);
        }
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
        for key in keys {
            let changed = before.get(&key) != after.get(&key);
            assert!(
                !changed || events_of.contains_key(&key),
                "{key:?} changed without an event in {events:?}"
            );
        }
        for (key, ops) in events_of {
            let wanted = match (before.get(&key), after.get(&key)) {
                (None, Some(_)) => Op::Created,
                (Some(_), None) => Op::Deleted,
                _ => Op::Updated,
            };
            assert_eq!(ops.last(), Some(&wanted), "{key:?} in {events:?}");
        }
    }
}

#[tokio::test]
async fn keys_expire_when_the_clock_says_so() {
    let client = client(Settings::default()).await;
    let events: Vec<Event> = client.anthropic.live(300);
    assert!(events.is_sorted_by_key(|event| event.at.parse::<jiff::Timestamp>().expect("a time")));
    let truth = client.anthropic.truth();
    let now: jiff::Timestamp = truth.now.parse().expect("a time");
    for key in truth.api_keys.values() {
        let over =
            key.expires_at.as_ref().is_some_and(|end| end.parse::<jiff::Timestamp>().expect("a time") <= now);
        assert!(!over || matches!(key.status.as_str(), "expired" | "archived"), "{key:?}");
        assert!(key.status != "expired" || over, "{key:?}");
    }
}

#[tokio::test]
async fn an_empty_organization_comes_to_life() {
    let client = client(Settings { users: 0, workspaces: 0, api_keys: 0, ..Settings::default() }).await;
    assert_eq!(client.anthropic.live(0), []);
    client.anthropic.live(3 * ROUND);
    let truth = client.anthropic.truth();
    assert!(!truth.users.is_empty() && truth.workspaces.len() > 1 && !truth.api_keys.is_empty());
}

#[tokio::test]
async fn a_mutation_of_something_unknown_or_refused_changes_nothing_and_says_why() {
    let client = client(Settings::default()).await;
    let before = client.anthropic.truth();
    let default = before.default_workspace_id.clone();
    let user_id = before.users.keys().next().expect("a user").clone();
    let nobody = || "nobody".to_owned();
    let key = |workspace_id| Mutation::MakeKey {
        id: None,
        name: None,
        created_by: None,
        principal: None,
        workspace_id,
        expires_at: None,
    };
    let again = Mutation::AddUser { id: Some(user_id.clone()), email: None, name: None, role: None };
    let role = "workspace_user".to_owned();
    for (what, message) in [
        (Mutation::RemoveUser { id: nobody() }, "there is no user nobody".to_owned()),
        (Mutation::ChangeRole { id: nobody(), role: nobody() }, "there is no user nobody".to_owned()),
        (Mutation::ArchiveWorkspace { id: nobody() }, "there is no workspace nobody".to_owned()),
        (Mutation::DeleteKey { id: nobody() }, "there is no API key nobody".to_owned()),
        (key(Some(nobody())), "there is no workspace nobody".to_owned()),
        (
            Mutation::TakeMembership { user_id: user_id.clone(), workspace_id: default.clone() },
            format!("there is no membership {default}/{user_id}"),
        ),
        (
            Mutation::GiveMembership { user_id: user_id.clone(), workspace_id: default.clone(), role },
            format!("workspace {default} is archived or the default one: it takes no members"),
        ),
        (again, format!("user {user_id} exists already")),
        (Mutation::DeleteWorkspace { id: default }, "the default workspace cannot be deleted".to_owned()),
        (Mutation::SwitchGeneration { generation: 5 }, "there is no generation 5: choose 1 to 4".to_owned()),
    ] {
        let error: MutationError = client.anthropic.mutate(what).expect_err(&message);
        assert_eq!(error.to_string(), message);
        assert_eq!(client.anthropic.truth(), before);
    }
}

#[tokio::test]
async fn a_leaver_takes_memberships_and_personal_keys_along_and_leaves_the_other_keys() {
    let client = client(Settings::default()).await;
    let truth = client.anthropic.truth();
    let personal = |key: &&simulator::anthropic::ApiKey| {
        key.status == "active" && key.principal.as_ref().is_some_and(|actor| actor.kind == "user")
    };
    let key = truth.api_keys.values().find(personal).expect("a personal key");
    let id = key.principal.as_ref().expect("just found by it").id.clone();
    client.anthropic.mutate(Mutation::RemoveUser { id: id.clone() }).expect("a user");
    let after = client.anthropic.truth();
    assert_eq!(after.api_keys[&key.id].status, "archived");
    assert!(after.members.values().all(|members| !members.contains_key(&id)));
    assert_eq!(after.api_keys.len(), truth.api_keys.len());
    assert_eq!(after.api_keys[&key.id].created_by, key.created_by, "it still names its creator");
}

#[tokio::test]
async fn archiving_a_workspace_archives_its_keys() {
    let client = client(Settings::default()).await;
    let truth = client.anthropic.truth();
    let open = |id: &&String| {
        **id != truth.default_workspace_id
            && truth.workspaces[*id].archived_at.is_none()
            && truth
                .api_keys
                .values()
                .any(|key| key.workspace_id.as_ref() == Some(*id) && key.status == "active")
    };
    let id = truth.workspaces.keys().find(open).expect("a workspace with a key").clone();
    client.anthropic.mutate(Mutation::ArchiveWorkspace { id: id.clone() }).expect("a workspace");
    let after = client.anthropic.truth();
    let of_it = after.api_keys.values().filter(|key| key.workspace_id.as_ref() == Some(&id));
    assert!(of_it.into_iter().all(|key| matches!(key.status.as_str(), "archived" | "expired")));
}
