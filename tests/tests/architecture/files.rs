//! How long a file may be, and what it may be called.

use std::path::Path;

use crate::{sources, text};

/// Longest file (lines): what a reader takes in at one sitting.
const MAX_LINES: usize = 400;

/// Names that say nothing of what is inside, and so end up with everything inside.
const NAMES_OF_NOTHING: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "manager", "types", "model", "models"];

#[test]
fn no_source_is_longer_than_a_sitting() {
    let long: Vec<_> = sources().iter().filter_map(|source| too_long(source, &text(source))).collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn no_source_has_a_name_of_nothing() {
    let named: Vec<_> = sources().iter().filter_map(|source| named_for_nothing(source)).collect();
    assert_eq!(named, Vec::<String>::new());
}

#[test]
fn a_source_of_401_lines_is_found_and_one_of_400_is_not() {
    let source = Path::new("sink/src/long.rs");
    assert_eq!(too_long(source, &"//\n".repeat(401)).as_deref(), Some("sink/src/long.rs has 401 lines"));
    assert_eq!(too_long(source, &"//\n".repeat(400)), None);
}

#[test]
fn a_name_of_nothing_is_found_in_the_file_and_in_its_folders() {
    let found = |path: &str| named_for_nothing(Path::new(path)).is_some();
    assert!(found("sink/src/utils.rs"));
    assert!(found("common/src/lib.rs"));
    assert!(found("producer/src/job_manager.rs"));
    assert!(found("producer/tests/helpers/mod.rs"));
    assert!(!found("simulator/src/jupiterone/data_model.rs"));
    assert!(!found("tests/src/kafka.rs"));
}

fn too_long(source: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MAX_LINES).then(|| format!("{} has {lines} lines", source.display()))
}

fn named_for_nothing(source: &Path) -> Option<String> {
    let is_of_nothing = |name: &str| {
        // JupiterOne's data-model is the name of a thing.
        let last_word = name.rsplit('_').next().unwrap_or(name);
        NAMES_OF_NOTHING.contains(&name) || last_word != "model" && NAMES_OF_NOTHING.contains(&last_word)
    };
    let path = source.with_extension("");
    let mut names = path.iter().filter_map(|name| name.to_str());
    let name = names.find(|name| is_of_nothing(name))?;
    Some(format!("{}: {name} does not say what is inside", source.display()))
}
