//! Who gained and who lost which access between two moments.

use std::collections::BTreeMap;

use super::path::{Flag, Path};

/// What differs between two sets of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference<'a> {
    /// Paths that are usable now and did not exist before.
    pub gained: Vec<Path<'a>>,
    /// Paths that were usable before and do not exist now.
    pub lost: Vec<Path<'a>>,
    /// Of the same user, workspace and key, but with another role, usability, reason or flag: before and after.
    pub changed: Vec<(Path<'a>, Path<'a>)>,
}

/// The difference between two sets of paths, in their order. A path that cannot be used does not count as access: a
/// member who leaves a key of the whole organization has one more path, and gains nothing.
pub fn difference<'a>(before: &[Path<'a>], after: &[Path<'a>]) -> Difference<'a> {
    let by_identity = |paths: &[Path<'a>]| -> BTreeMap<_, Path<'a>> {
        paths.iter().map(|path| (path.identity(), *path)).collect()
    };
    let (was, is) = (by_identity(before), by_identity(after));
    let changed = after.iter().filter_map(|path| {
        let before = was.get(&path.identity())?;
        (!says_the_same(before, path)).then_some((*before, *path))
    });
    Difference {
        gained: after
            .iter()
            .filter(|path| path.usable && !was.contains_key(&path.identity()))
            .copied()
            .collect(),
        lost: before
            .iter()
            .filter(|path| path.usable && !is.contains_key(&path.identity()))
            .copied()
            .collect(),
        changed: changed.collect(),
    }
}

/// Names and uncertainty may differ: the access is the same.
fn says_the_same(before: &Path<'_>, after: &Path<'_>) -> bool {
    let flags = |path: &Path<'_>| path.flags.without(Flag::Uncertain);
    let status = |path: &Path<'_>| path.api_key.and_then(|key| key.status.clone());
    before.role == after.role
        && before.because == after.because
        && before.usable == after.usable
        && flags(before) == flags(after)
        && status(before) == status(after)
}
