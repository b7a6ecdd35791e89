//! docs/exit-codes.md is what the programs end with.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use service::exit::Outcome;

use crate::generated::check_behind_mark;
use crate::{sources, text};

/// Where a command finishes but not all of it, the commands, and what the last line on stderr names.
const INCOMPLETE: [(&str, &str, &str); 7] = [
    ("cli/src/dead_letters.rs", "`dead-letters redrive`", "how many dead letters nothing replaces yet"),
    ("cli/src/who_can.rs", "`who-can`, `access`", "the changes that retention has deleted"),
    (
        "processor/src/replay.rs",
        "`replay`",
        "the listings of which a part is missing, new dead letters, and collections with held deletions",
    ),
    (
        "service/src/tasks.rs",
        "`processor run --until-end`",
        "new dead letters, and collections with held deletions",
    ),
    ("producer/src/poll_once.rs", "`producer poll`", "the listings that failed, while others are whole"),
    ("sink/src/run/once.rs", "`sink run --until-end`, `sync resync`", "the paused organizations"),
    ("verify/src/lib.rs", "`verify --organization`", "the organization that the topics do not contain"),
];

#[test]
fn the_page_of_exit_codes_is_what_the_programs_end_with() {
    let meaning = |outcome: Option<Outcome>| match outcome {
        Some(Outcome::Done) => "Done.",
        Some(Outcome::Failed) => "Failed. stderr says why, or stdout for `check` and `verify`.",
        Some(Outcome::Incomplete(_)) => {
            "Finished, but not all of it. The last line on stderr names what is missing."
        }
        None => {
            "The usage or the configuration is wrong. Nothing was done. stderr has a line for each mistake."
        }
    };
    let outcomes = [
        Some(Outcome::Done),
        Some(Outcome::Failed),
        // service::exit tests that a usage error ends with 2.
        None,
        Some(Outcome::Incomplete(String::new())),
    ];
    let mut page = "| code | meaning |\n|---|---|\n".to_owned();
    let mut line = |line: &str| writeln!(page, "{line}").expect("writing to a String cannot fail");
    for outcome in outcomes {
        let code = outcome.as_ref().map_or(2, Outcome::code);
        line(&format!("| {code} | {} |", meaning(outcome)));
    }
    line("\n## What ends with 3\n\n| command | what the last line names |\n|---|---|");
    for (_, commands, named) in INCOMPLETE {
        line(&format!("| {commands} | {named} |"));
    }
    check_behind_mark("docs/exit-codes.md", &page, None);
}

#[test]
fn each_place_that_ends_incomplete_is_on_the_page() {
    let found: BTreeSet<String> = sources()
        .into_iter()
        .filter(|source| is_of_a_program(source) && text(source).contains("Outcome::Incomplete"))
        .map(|source| source.display().to_string())
        .collect();
    assert_eq!(found, INCOMPLETE.map(|(source, ..)| source.to_owned()).into());
}

/// In `src` of a program, without tests, or where `service` ends the run of one.
fn is_of_a_program(source: &Path) -> bool {
    if source == Path::new("service/src/tasks.rs") {
        return true;
    }
    let parts: Vec<&str> = source.iter().filter_map(|part| part.to_str()).collect();
    let programs = ["cli", "console", "processor", "producer", "sink", "verify"];
    matches!(*parts, [program, "src", ..] if programs.contains(&program)) && !parts.contains(&"tests")
}
