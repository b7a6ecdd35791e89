//! The mutations: patches in `tests/mutations`, each of which breaks one rule of the sources on purpose.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use diffy::{Patch, apply};

use crate::services::binaries::workspace;

/// The patches, in order.
pub fn patches() -> Result<Vec<PathBuf>> {
    let folder = workspace().join("tests/mutations");
    let mut patches: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    patches.retain(|path| path.extension().is_some_and(|extension| extension == "patch"));
    patches.sort();
    Ok(patches)
}

/// The file that a patch changes, relative to the workspace, and its text with the patch in the sources under `tree`.
pub fn mutated(patch: &str, tree: &Path) -> Result<(PathBuf, String)> {
    let headers = patch.lines().filter(|line| line.starts_with("diff --git ")).count();
    ensure!(headers == 1, "a mutation changes one file, and this one changes {headers}");
    let patch = Patch::from_str(patch).context("not a unified diff")?;
    let file = patch.modified().and_then(|name| name.strip_prefix("b/")).context("no line +++ b/FILE")?;
    let text = fs::read_to_string(tree.join(file)).with_context(|| format!("cannot read {file}"))?;
    let text = apply(&text, &patch).with_context(|| format!("does not apply to {file}"))?;
    Ok((file.into(), text))
}
