//! What happens between the listings of one poll, and within one.

use schemas::change::{Op, Reason};
use simulator::anthropic::{Actor, Answer, Fault, IncludeDefault, Mutation, Settings, Truth};
use tests::comparison::{agree, changes};
use tests::world::World;

use super::content;

/// How long the page is under way during which something happens (ms).
const SLOW_MS: u64 = 1_000;

/// Polls, and has this happen when the collection's page was made and is under way; returns the exit code.
fn poll_while_listing(world: &World, collection: &str, happen: &[Mutation]) -> Option<i32> {
    let end = &world.anthropic[0];
    let asked = || end.requests().iter().filter(|it| it.collection.as_deref() == Some(collection)).count();
    let before = asked();
    end.fault(Fault::on(collection, Answer::SlowBody { milliseconds: SLOW_MS }).first(1));
    let mut producer = world.spawn("producer", &["poll"]);
    producer.until("list the collection", |_| asked() > before);
    for mutation in happen {
        end.mutate(mutation.clone()).unwrap_or_else(|error| panic!("{mutation:?}: {error}"));
    }
    let polled = producer.finish();
    end.clear_faults();
    polled.code
}

fn process(world: &World) {
    let processed = world.run("processor", &["run", "--until-end"]);
    assert!(matches!(processed.code, Some(0 | 3)), "{}", processed.stderr);
}

/// Element keys of the changes after the known ones, of this op.
fn keys(world: &World, known: usize, op: &Op) -> Vec<String> {
    let changes = changes(world, 0);
    changes[known..].iter().filter(|it| it.op == *op).map(|it| it.element_key.clone()).collect()
}

fn active_workspace(truth: &Truth) -> String {
    let is_active = |id: &&String| {
        **id != truth.default_workspace_id
            && truth.workspaces[*id].archived_at.is_none()
            && truth.members.get(*id).is_some_and(|members| !members.is_empty())
    };
    truth.workspaces.keys().find(is_active).expect("an active workspace with members").clone()
}

fn make_key(id: &str, user: &str, workspace: &str) -> Mutation {
    Mutation::MakeKey {
        id: Some(id.to_owned()),
        name: None,
        created_by: Some(Actor { id: user.to_owned(), kind: "user".to_owned() }),
        principal: None,
        workspace_id: Some(workspace.to_owned()),
        expires_at: None,
    }
}

fn add_user(id: &str) -> Mutation {
    Mutation::AddUser { id: Some(id.to_owned()), email: None, name: None, role: None }
}

fn member(user: &str, workspace: &str) -> Mutation {
    Mutation::GiveMembership {
        user_id: user.to_owned(),
        workspace_id: workspace.to_owned(),
        role: "workspace_user".to_owned(),
    }
}

#[test]
fn a_workspace_archived_or_deleted_between_the_listings_is_reported_once_and_takes_nothing_with_it() {
    let world = World::start();
    world.round();
    let truth = world.anthropic[0].truth();
    let archived = active_workspace(&truth);
    let known = changes(&world, 0).len();
    poll_while_listing(&world, "workspaces", &[Mutation::ArchiveWorkspace { id: archived.clone() }]);
    process(&world);
    assert_eq!(keys(&world, known, &Op::Delete), Vec::<String>::new());
    world.round();
    agree(&world, 0);

    let deleted = active_workspace(&world.anthropic[0].truth());
    let known = changes(&world, 0).len();
    poll_while_listing(&world, "workspaces", &[Mutation::DeleteWorkspace { id: deleted.clone() }]);
    process(&world);
    let early = keys(&world, known, &Op::Delete);
    assert_eq!(early, Vec::<String>::new(), "the listing of workspaces still had it");
    world.round();
    assert!(keys(&world, known, &Op::Delete).contains(&format!("anthropic_workspace:{deleted}")));
    content(&world);
}

#[test]
fn a_key_and_a_member_of_a_workspace_not_yet_listed_wait_for_it() {
    let world = World::start();
    world.round();
    let user = world.anthropic[0].truth().users.keys().next().expect("a user").clone();
    let known = changes(&world, 0).len();
    let workspace = Mutation::MakeWorkspace { id: Some("wrkspc_new".to_owned()), name: None };
    let happen = [workspace, member(&user, "wrkspc_new"), make_key("apikey_new", &user, "wrkspc_new")];
    let code = poll_while_listing(&world, "workspaces", &happen);
    assert_eq!(code, Some(0));
    process(&world);
    let made = keys(&world, known, &Op::Create);
    assert!(made.contains(&"anthropic_api_key:apikey_new".to_owned()), "{made:?}");
    assert!(made.iter().all(|key| !key.contains("wrkspc_new")), "{made:?}");
    world.round();
    assert_eq!(keys(&world, known, &Op::Delete), Vec::<String>::new());
    let has = "anthropic_workspace:wrkspc_new|has|anthropic_api_key:apikey_new";
    let appeared = changes(&world, 0).into_iter().find(|it| it.element_key == has).expect("it appeared");
    assert_eq!(appeared.reason, Some(Reason::EndAppeared));
    content(&world);
}

#[test]
fn an_end_appears_for_what_was_withheld_although_its_collection_fails() {
    let world = World::start();
    world.round();
    let workspace = active_workspace(&world.anthropic[0].truth());
    let known = changes(&world, 0).len();
    let happen = [
        add_user("user_new"),
        member("user_new", &workspace),
        make_key("apikey_new", "user_new", &workspace),
    ];
    assert_eq!(poll_while_listing(&world, "users", &happen), Some(0));
    process(&world);
    assert!(keys(&world, known, &Op::Create).iter().all(|key| !key.contains("user_new")));

    for collection in ["api_keys".to_owned(), format!("members/{workspace}")] {
        world.anthropic[0].fault(Fault::on(&collection, Answer::Forbidden));
    }
    world.run("producer", &["poll"]).expect(3);
    process(&world);
    let appeared: Vec<_> = changes(&world, 0)
        .split_off(known)
        .into_iter()
        .filter(|it| it.reason == Some(Reason::EndAppeared))
        .collect();
    let mut made: Vec<_> = appeared.iter().map(|it| it.element_key.clone()).collect();
    made.sort();
    let created = "anthropic_user:user_new|created|anthropic_api_key:apikey_new".to_owned();
    let assigned = format!("anthropic_user:user_new|assigned|anthropic_workspace:{workspace}");
    assert_eq!(made, [assigned, created]);
    world.anthropic[0].clear_faults();
    world.round();
    assert_eq!(keys(&world, known, &Op::Delete), Vec::<String>::new());
    content(&world);
}

#[test]
fn a_creator_who_leaves_and_returns_is_the_creator_again() {
    let world = World::start();
    let workspace = active_workspace(&world.anthropic[0].truth());
    world.anthropic[0].mutate(add_user("user_back")).expect("a new user");
    world.anthropic[0].mutate(make_key("apikey_back", "user_back", &workspace)).expect("a new key");
    world.round();
    let created = "anthropic_user:user_back|created|anthropic_api_key:apikey_back";
    let listed = |world: &World| -> Vec<_> {
        let changes = changes(world, 0).into_iter().filter(|it| it.element_key == created);
        changes.map(|it| (it.op, it.reason)).collect()
    };
    world.anthropic[0].mutate(Mutation::RemoveUser { id: "user_back".to_owned() }).expect("the user");
    world.round();
    agree(&world, 0);
    world.anthropic[0].mutate(add_user("user_back")).expect("the user again");
    world.round();
    content(&world);
    let expected =
        [(Op::Read, None), (Op::Delete, Some(Reason::EndDeleted)), (Op::Create, Some(Reason::EndAppeared))];
    assert_eq!(listed(&world), expected);
}

#[test]
fn a_user_removed_while_being_paged_is_the_only_one_to_go() {
    // One more page than one of the producer's, which has a thousand.
    let world = World::of(vec![Settings { users: 1_010, workspaces: 2, api_keys: 4, ..Settings::default() }]);
    world.round();
    for answer in [Answer::ListedRemoved, Answer::CursorRemoved, Answer::InsertedAtHead] {
        let before = world.anthropic[0].truth();
        let known = changes(&world, 0).len();
        world.anthropic[0].fault(Fault::on("users", answer.clone()).first(1));
        let polled = world.run("producer", &["poll"]);
        assert!(matches!(polled.code, Some(0 | 3)), "{answer:?}: {}", polled.stderr);
        process(&world);
        world.anthropic[0].clear_faults();
        let now = world.anthropic[0].truth();
        for key in keys(&world, known, &Op::Delete).iter().filter(|key| key.starts_with("anthropic_user:")) {
            let id = key.trim_start_matches("anthropic_user:").split('|').next().unwrap_or_default();
            assert!(before.users.contains_key(id) && !now.users.contains_key(id), "{answer:?}: {key}");
        }
        world.run("producer", &["poll"]).expect(0);
        process(&world);
    }
    world.run("sink", &["run", "--until-end"]).expect(0);
    content(&world);
}

#[test]
fn no_order_of_generations_deletes_and_re_creates_anything() {
    use IncludeDefault::{Ignored, Known, Rejected};
    let orders = [
        (1, vec![(2, Known), (4, Rejected), (3, Known), (1, Rejected), (4, Ignored), (4, Known)]),
        (4, vec![(1, Ignored), (3, Rejected), (2, Known), (4, Ignored), (1, Known), (4, Known)]),
    ];
    for (first, order) in orders {
        let world = World::of(vec![Settings { generation: first, ..Settings::default() }]);
        world.round();
        let known = changes(&world, 0).len();
        for (generation, include_default) in order {
            world.anthropic[0].switch(|switches| {
                switches.generation = generation;
                switches.include_default = Some(include_default);
            });
            world.run("producer", &["poll"]).expect(0);
            process(&world);
        }
        world.run("sink", &["run", "--until-end"]).expect(0);
        assert_eq!(keys(&world, known, &Op::Delete), Vec::<String>::new(), "from generation {first}");
        let mut made = keys(&world, known, &Op::Create);
        let count = made.len();
        made.sort();
        made.dedup();
        assert_eq!(made.len(), count);
        content(&world);
    }
}
