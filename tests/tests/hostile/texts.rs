//! Ids and names that nobody should give: they are data like others.

use std::collections::BTreeMap;

use simulator::anthropic::{Actor, Mutation};
use tests::comparison::agree;
use tests::world::World;

/// Right to left, combining, beyond the basic plane, a zero, and what keys and paths are made of.
const NAME: &str = "e\u{301}\u{202e}txt\u{0}\u{1F4A5} \"\\|%2F/../ \u{feff}";

/// Ids that would read as something else in a key, a path or a topic.
const USERS: [&str; 7] = [
    "coverage/poll",
    "hold/anthropic_user:x",
    "u|assigned|anthropic_workspace:w",
    "u%7Cassigned%7Canthropic_workspace:w",
    "ключ/é💥",
    "a b?c#d&e=f",
    "u",
];
const WORKSPACES: [&str; 4] = ["w", "members/w", "w|created|x%", "../users?limit=1#"];

fn add(world: &World) {
    let end = &world.anthropic[0];
    let mutate = |mutation| drop(end.mutate(mutation).expect("a mutation that can be"));
    for (number, id) in USERS.iter().enumerate() {
        let email = Some(format!("hostile{number}@nimbus.example"));
        mutate(Mutation::AddUser {
            id: Some((*id).to_owned()),
            email,
            name: Some(NAME.to_owned()),
            role: None,
        });
    }
    for id in WORKSPACES {
        mutate(Mutation::MakeWorkspace { id: Some(id.to_owned()), name: Some(NAME.to_owned()) });
        for user_id in USERS {
            let (user_id, workspace_id) = (user_id.to_owned(), id.to_owned());
            mutate(Mutation::GiveMembership { user_id, workspace_id, role: NAME.to_owned() });
        }
    }
    let tags = BTreeMap::from([(NAME.to_owned(), NAME.to_owned())]);
    mutate(Mutation::TagWorkspace { id: "w".to_owned(), tags });
    for (number, creator) in USERS.iter().enumerate() {
        mutate(Mutation::MakeKey {
            id: Some(format!("{creator}/{number}|")),
            name: Some(NAME.to_owned()),
            created_by: Some(Actor { id: (*creator).to_owned(), kind: "user".to_owned() }),
            principal: None,
            workspace_id: Some(WORKSPACES[number % WORKSPACES.len()].to_owned()),
            expires_at: None,
        });
    }
}

#[test]
fn hostile_ids_and_names_come_change_and_go_as_others_do() {
    let world = World::start();
    world.round();
    agree(&world, 0);
    add(&world);
    world.round();
    agree(&world, 0);

    let end = &world.anthropic[0];
    end.mutate(Mutation::RenameUser { id: USERS[2].to_owned(), name: "Ada".to_owned() }).expect("a user");
    end.mutate(Mutation::RemoveUser { id: USERS[0].to_owned() }).expect("a user");
    end.mutate(Mutation::DeleteWorkspace { id: WORKSPACES[2].to_owned() }).expect("a workspace");
    world.round();
    agree(&world, 0);
    // What was restored is what was written.
    world.round();
    agree(&world, 0);
    world.ask(&["verify"]).expect(0);
}
