//! Breaks the rules on purpose, one source patch of `tests/mutations` at a time, and runs each broken build through the
//! kill harness: `cargo run --release -p tests --bin mutations`. Its checker has to catch each, by one of the laws that
//! the patch names (`caught by: LAW, LAW…`, above the diff), and pass on the unbroken build, under the
//! same seed.
//!
//! The last line is `{"mutations":…,"caught":…}`. Exit code 0 only if all were caught and the clean build was not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tests::kill::{Options, Summary, run};
use tests::mutations::{mutated, patches};
use tests::services::binaries;

/// Kills of each build (count): each place once, and some.
const KILLS: u64 = 40;
/// The longest that a build is killed: one that is broken may reach hardly anything.
const LONGEST: Duration = Duration::from_mins(5);
/// What a run of few kills may miss without anything being wrong with the build.
const OF_THE_RUN: [&str; 2] = ["every-place", "not-idle"];
/// What lies in the workspace and is not built from.
const NOT_SOURCES: [&str; 3] = [".git", "target", "node_modules"];
/// Begins the line of a patch that names the laws.
const CAUGHT_BY: &str = "caught by: ";

fn main() -> Result<ExitCode> {
    let usage = "usage: mutations [--seed NUMBER] [--only PART-OF-A-NAME]…";
    let (mut seed, mut only) = (1, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().context(usage)?;
        match name.as_str() {
            "--seed" => seed = value.parse().context(usage)?,
            "--only" => only.push(value),
            _ => bail!("{usage}"),
        }
    }
    let tree = copy_of_the_sources()?;
    let clean = laws(&judged(&tree, seed)?);
    print(&format!("clean: {}", if clean.is_empty() { "content".to_owned() } else { clean.join(", ") }));
    let (mut mutations, mut caught) = (0, 0);
    for patch in patches()? {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !only.is_empty() && !only.iter().any(|part| name.contains(part)) {
            continue;
        }
        let text = fs::read_to_string(&patch)?;
        let expected = expected(&text).with_context(|| format!("{name} has no line {CAUGHT_BY:?}"))?;
        let (file, mutant) = mutated(&text, &tree).with_context(|| name.clone())?;
        fs::write(tree.join(&file), mutant)?;
        let judged = judged(&tree, seed);
        fs::copy(binaries::workspace().join(&file), tree.join(&file))?;
        mutations += 1;
        // One that does not build says nothing of the others.
        let laws = match judged {
            Ok(summary) => laws(&summary),
            Err(error) => {
                print(&format!("{name}: NOT CAUGHT: {error:#}"));
                continue;
            }
        };
        let is_caught = laws.iter().any(|law| expected.contains(law.as_str()));
        caught += u64::from(is_caught);
        let found = if laws.is_empty() { "nothing".to_owned() } else { laws.join(", ") };
        if is_caught {
            print(&format!("{name}: {found}"));
        } else {
            let expected = expected.into_iter().collect::<Vec<_>>().join(", ");
            print(&format!("{name}: NOT CAUGHT: found {found}; expected one of {expected}"));
        }
    }
    print(&json!({ "mutations": mutations, "caught": caught, "seed": seed }).to_string());
    let is_proved = caught == mutations && clean.is_empty();
    Ok(if is_proved { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The build of the tree, killed and judged.
fn judged(tree: &Path, seed: u64) -> Result<Summary> {
    let programs = tempfile::tempdir()?;
    // What the workspace is built from is built already; its own crates have another path here.
    let target = binaries::folder().parent().context("a profile's folder lies in the target folder")?;
    let built = binaries::build(tree, target).map_err(anyhow::Error::msg)?;
    binaries::copy(&built, programs.path()).map_err(anyhow::Error::msg)?;
    let programs = programs.path().to_owned();
    run(&Options { kills: KILLS, seed, is_cluster: false, programs, longest: LONGEST, stops_early: true })
}

/// The laws that were broken.
fn laws(summary: &Summary) -> Vec<String> {
    summary.by_law.keys().filter(|law| !OF_THE_RUN.contains(&law.as_str())).cloned().collect()
}

/// The laws of which a patch is to break one at least: with any law at all, a run that is merely unlucky would pass for
/// one that sees what is broken.
fn expected(patch: &str) -> Option<BTreeSet<&str>> {
    let above = patch.lines().take_while(|line| !line.starts_with("diff --git"));
    let laws = above.filter_map(|line| line.strip_prefix(CAUGHT_BY)).flat_map(|laws| laws.split(','));
    let laws: BTreeSet<&str> = laws.map(str::trim).filter(|law| !law.is_empty()).collect();
    (!laws.is_empty()).then_some(laws)
}

/// The workspace's files, as they lie there, in a folder that cargo's own clean removes.
fn copy_of_the_sources() -> Result<PathBuf> {
    let workspace = binaries::workspace();
    let tree = workspace.join("target/mutations");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    copy(workspace, &tree)?;
    Ok(tree)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        if NOT_SOURCES.iter().any(|folder| name == *folder) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&path, &to.join(&name))?;
        } else {
            fs::copy(&path, to.join(&name)).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result")]
fn print(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod headers {
    use std::collections::BTreeSet;
    use std::fs;

    use super::{expected, patches};

    #[test]
    fn every_patch_names_the_laws_that_catch_it() {
        for patch in patches().expect("the patches are there") {
            let text = fs::read_to_string(&patch).expect("a text");
            assert!(expected(&text).is_some(), "{}", patch.display());
        }
    }

    #[test]
    fn laws_stand_above_the_diff() {
        let patch = "Something.\n\ncaught by: graph, verify:fold\n\ndiff --git a/x b/x\ncaught by: holds\n";
        assert_eq!(expected(patch), Some(BTreeSet::from(["graph", "verify:fold"])));
        assert_eq!(expected("Something.\ncaught by: \ndiff --git a/x b/x\n"), None);
    }
}
