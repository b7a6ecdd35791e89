//! What a file may be called: it holds one thing, and its name says which.

use std::path::Path;

use crate::sources;

/// Names that say nothing of what is inside, and so end up with everything inside.
const NAMES_OF_NOTHING: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "manager", "types", "model", "models"];

#[test]
fn no_source_has_a_name_of_nothing() {
    let named: Vec<_> = sources().iter().filter_map(|source| named_for_nothing(source)).collect();
    assert_eq!(named, Vec::<String>::new());
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
