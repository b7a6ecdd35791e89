//! The commands on the pages run.

use std::path::Path;

use tests::pages::{commands, pages, text};
use tests::world::World;

use super::tasks;
use super::terminal::Terminal;

/// Whose pages have commands that need what they name.
const ELSEWHERE: [(&str, &str); 4] = [
    ("docs/console.md", "a console that runs, and jq"),
    ("docs/jupiterone-content.md", "a JupiterOne account"),
    ("docs/performance.md", "an hour"),
    ("docs/who-can.md", "jq; tests/tests/end_to_end/who_can.rs runs who-can"),
];

#[test]
fn the_commands_on_the_pages_run() {
    let world = World::start();
    let terminal = Terminal::open(&world);
    for command in ["producer poll", "processor run --until-end", "sink run --until-end"] {
        terminal.run(&command.replacen(' ', " --config graph.toml ", 1)).expect(0);
    }
    let mut count = 0;
    for page in pages() {
        let is_elsewhere = ELSEWHERE.iter().any(|(elsewhere, _)| Path::new(elsewhere) == page);
        if is_elsewhere || tasks::PAGES.iter().any(|task| Path::new(task) == page) {
            continue;
        }
        for block in commands(&text(&page)).iter().filter(|block| block.not_run.is_none()) {
            let finished = terminal.run(&block.code);
            let (page, code) = (page.display(), &block.code);
            assert_eq!(finished.code, Some(0), "{page}:\n{code}\n{}{}", finished.stdout, finished.stderr);
            count += 1;
        }
    }
    assert!(count >= 6, "{count} blocks of commands: they are not found");
}
