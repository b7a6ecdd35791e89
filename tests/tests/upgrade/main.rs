//! Versions that meet on one set of topics (docs/upgrade.md).

mod later;

use tests::mutations::mutated;
use tests::services::binaries::workspace;

#[test]
fn the_patch_of_the_next_version_still_applies() {
    let patch = include_str!("../../upgrade/next.patch");
    let files: Vec<&str> = patch.split("diff --git ").skip(1).collect();
    assert!(!files.is_empty());
    for file in files {
        let applied = mutated(&format!("diff --git {file}"), workspace());
        applied.expect("tests/upgrade/next.patch has to be written again");
    }
}
