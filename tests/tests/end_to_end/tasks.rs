//! Each task goes as its page says: its commands run one after the other, and print what the page shows.

use std::fs;
use std::path::Path;

use simulator::anthropic::{Mutation, ROUND, Settings};
use simulator::jupiterone::{Effect, Fault, Route};
use tests::pages::{blocks, text};
use tests::world::World;

use super::dead_letters::write_spoilt_listing;
use super::terminal::Terminal;
use super::transcript::{Values, steps};

pub(super) const PAGES: [&str; 10] = [
    "docs/approvals.md",
    "docs/dead-letters.md",
    "docs/forget.md",
    "docs/holds.md",
    "docs/key-rotation.md",
    "docs/organizations.md",
    "docs/parked-objects.md",
    "docs/replay.md",
    "docs/reset.md",
    "docs/resync.md",
];
/// What each page answers, in this order.
const HEADINGS: [&str; 4] = ["## When", "## Steps", "## Check", "## Undo"];

#[test]
fn each_page_says_when_how_whether_it_worked_and_how_to_undo_it() {
    for page in PAGES {
        let text = text(Path::new(page));
        let headings: Vec<&str> = text.lines().filter(|line| HEADINGS.contains(line)).collect();
        assert_eq!(headings, HEADINGS, "{page}");
        let unseen = blocks(&text, "sh").into_iter().find(|block| block.not_run.is_none());
        assert_eq!(unseen, None, "{page}: a block of commands that run is a `console` with their output");
    }
}

/// A page's world and terminal.
struct Desk {
    world: World,
    terminal: Terminal,
}

impl Desk {
    fn of(organizations: Vec<Settings>) -> Self {
        let world = World::of(organizations);
        let terminal = Terminal::open(&world);
        Self { world, terminal }
    }

    fn poll(&self) {
        self.terminal.run("producer --config graph.toml poll").expect(0);
    }

    fn process(&self) {
        let processed = self.terminal.run("processor --config graph.toml run --until-end");
        assert!(matches!(processed.code, Some(0 | 3)), "{}", processed.stderr);
    }

    /// The processor and the sink work, as they always do.
    fn work(&self) {
        self.process();
        let synced = self.terminal.run("sink --config graph.toml run --until-end");
        assert!(matches!(synced.code, Some(0 | 3)), "{}", synced.stderr);
    }

    fn round(&self) {
        self.poll();
        self.work();
    }

    /// So many users leave.
    fn leave(&self, count: usize) {
        let end = &self.world.anthropic[0];
        let users = end.truth().users.into_keys();
        let left = users.filter(|id| end.mutate(Mutation::RemoveUser { id: id.clone() }).is_ok());
        assert_eq!(left.take(count).count(), count);
    }

    /// Runs the commands of the page, after `before` has done what happens before each.
    fn play(&self, page: &str, mut before: impl FnMut(&str)) {
        let mut values = Values::default();
        let mut count = 0;
        let blocks = blocks(&text(Path::new(page)), "console");
        for step in blocks.iter().filter(|block| block.not_run.is_none()).flat_map(|block| steps(&block.code))
        {
            before(&step.command);
            // The page's prefixes are those of a cluster of one's own.
            let command =
                values.command(&step).replace("anthropic-replay", &format!("{}-replay", self.world.prefix));
            let finished = self.terminal.run(&command.replace("$(id -un)", "ada"));
            let printed =
                format!("{}{}", finished.stdout, finished.stderr).replace(&self.world.prefix, "anthropic");
            assert!(matches!(finished.code, Some(0 | 3)), "{page}: {command}\n{printed}");
            if let Err(problem) = values.learn(&step, &printed) {
                panic!("{page}: {command}\n{problem}");
            }
            count += 1;
        }
        assert!(count >= 2, "{page}: {count} commands: they are not found");
    }
}

fn many_users() -> Vec<Settings> {
    vec![Settings { users: 60, workspaces: 0, api_keys: 0, ..Settings::default() }]
}

#[test]
fn held_deletions_are_decided_as_the_page_says() {
    let desk = Desk::of(many_users());
    desk.round();
    desk.leave(36);
    desk.round();
    let mut is_decided = false;
    desk.play("docs/holds.md", |command| {
        if is_decided {
            desk.work();
        }
        is_decided = command.contains(" approve ");
    });
}

#[test]
fn deletions_in_jupiterone_are_approved_as_the_page_says() {
    let desk = Desk::of(many_users());
    desk.round();
    // Each poll is within the guard's limits, both together are not.
    for count in [20, 10] {
        desk.leave(count);
        desk.poll();
        desk.process();
    }
    desk.work();
    let mut is_approved = false;
    desk.play("docs/approvals.md", |command| {
        if is_approved {
            desk.work();
        }
        is_approved = command.contains("--revision");
    });
}

#[test]
fn a_graph_is_uploaded_again_as_the_page_says() {
    let desk = Desk::of(vec![Settings::default()]);
    desk.round();
    desk.play("docs/resync.md", |_| {});
}

#[test]
fn a_refused_object_is_found_and_uploaded_as_the_page_says() {
    let desk = Desk::of(vec![Settings::default()]);
    desk.round();
    let id = desk.world.anthropic[0].truth().users.into_keys().next().expect("a user");
    let effect =
        Effect::RefuseObject { key: format!("anthropic_user:{id}"), named: false, while_property: None };
    desk.world.jupiterone.fault(Fault::new(Route::Entities, effect));
    let rename = Mutation::RenameUser { id, name: "Refused".to_owned() };
    desk.world.anthropic[0].mutate(rename).expect("a user of that ID");
    desk.round();
    desk.play("docs/parked-objects.md", |command| {
        if command.contains("resync") {
            desk.world.jupiterone.clear_faults();
        }
    });
}

#[test]
fn dead_letters_are_replaced_as_the_page_says() {
    let desk = Desk::of(vec![Settings::default()]);
    desk.round();
    let user_id = desk.world.anthropic[0].truth().users.into_keys().next().expect("a user");
    write_spoilt_listing(&desk.world, &user_id);
    desk.work();
    let mut is_polled = false;
    desk.play("docs/dead-letters.md", |command| {
        if is_polled {
            desk.work();
        }
        is_polled = command.ends_with(" poll");
    });
}

#[test]
fn an_organization_is_forgotten_as_the_page_says() {
    let desk = Desk::of(vec![Settings::default()]);
    desk.round();
    let mut is_forgotten = false;
    desk.play("docs/forget.md", |command| {
        if is_forgotten {
            desk.process();
        }
        is_forgotten = command.contains("--confirm");
        if is_forgotten {
            let configuration = fs::read_to_string(desk.world.config()).expect("the configuration");
            let (others, _) = configuration.split_once("[[organizations]]").expect("an organization");
            desk.terminal.configure(others);
        }
    });
}

#[test]
fn raw_records_are_replayed_as_the_page_says() {
    let desk = Desk::of(vec![Settings::default()]);
    for _ in 0..2 {
        desk.round();
        desk.world.anthropic[0].live(ROUND);
    }
    desk.poll();
    desk.play("docs/replay.md", |_| {});
}

#[test]
fn the_state_is_reset_as_the_page_says() {
    let desk = Desk::of(vec![Settings::default()]);
    for _ in 0..2 {
        desk.round();
        desk.world.anthropic[0].live(ROUND);
    }
    desk.play("docs/reset.md", |_| {});
}

#[test]
fn keys_are_replaced_as_the_page_says() {
    let desk = Desk::of(vec![Settings::default()]);
    desk.round();
    desk.play("docs/key-rotation.md", |_| {});
}

#[test]
fn an_organization_is_added_as_the_page_says() {
    let added = Settings { seed: 2, users: 9, workspaces: 3, api_keys: 5, ..Settings::default() };
    let desk = Desk::of(vec![Settings::default(), added]);
    desk.terminal.run("producer --config graph.toml poll --organization nimbus").expect(0);
    desk.work();
    let mut is_polled = false;
    desk.play("docs/organizations.md", |command| {
        if is_polled {
            desk.work();
        }
        is_polled = command.contains(" poll ");
    });
}
