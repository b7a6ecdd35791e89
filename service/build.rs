//! The commit that a release build is made from, for `--version`.
//!
//! A development build does not name it: a commit would otherwise compile every crate that depends on this one again.

use std::env;
use std::path::Path;
use std::process::Command;

/// Names the commit where there is no repository, as in a container's build context.
const VARIABLE: &str = "ANTHROPIC_GRAPH_COMMIT";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let given = env::var(VARIABLE).ok().filter(|commit| !commit.is_empty());
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = given.or_else(|| is_release.then(commit).flatten());
    println!("cargo::rustc-env={VARIABLE}={}", commit.as_deref().unwrap_or("unknown"));
}

/// The commit that is checked out, if this folder is the one of that name in a repository, and git is there.
fn commit() -> Option<String> {
    let arguments = ["rev-parse", "--show-prefix", "--git-path", "logs/HEAD", "--short=12", "HEAD"];
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let output = String::from_utf8(output.stdout).ok()?;
    let mut lines = output.lines();
    let (prefix, log, commit) = (lines.next()?, lines.next()?, lines.next()?);
    if prefix != "service/" {
        return None;
    }
    // Each commit and each checkout adds a line to it. A file that is missing would compile the crate every time.
    if Path::new(log).exists() {
        println!("cargo::rerun-if-changed={log}");
    }
    Some(commit.to_owned())
}
