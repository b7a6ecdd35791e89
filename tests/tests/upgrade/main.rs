//! Versions that meet on one set of topics (docs/upgrade.md).

mod later;

use tests::mutations::mutated;
use tests::services::binaries::workspace;

#[test]
fn the_patch_of_the_next_version_still_applies() {
    let patch = include_str!("../../upgrade/next.patch");
    let applied = mutated(patch, workspace());
    applied.expect("tests/upgrade/next.patch has to be written again");
}
