//! The binaries under test, built as this test is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

const NAMES: [&str; 4] = ["producer", "processor", "sink", "simulator"];
/// Those that have failpoints.
pub const SERVICES: [&str; 3] = ["producer", "processor", "sink"];

static BUILT: OnceLock<Result<BTreeMap<String, PathBuf>, String>> = OnceLock::new();

/// Where a binary lies. The first question has cargo build all that are not as their sources are.
pub fn path(name: &str) -> &'static Path {
    built().get(name).unwrap_or_else(|| panic!("{name} is none of {NAMES:?}"))
}

/// Builds them, so that no test that measures a binary measures cargo.
pub fn make_ready() {
    built();
}

/// Builds the three services of the workspace in `tree` with their failpoints, in the folder `target`, and copies them
/// into `folder`, where no later build replaces them.
pub fn build_with_failpoints(tree: &Path, target: &Path, folder: &Path) -> Result<(), String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--bins", "--message-format=json-render-diagnostics", "--profile", profile()]);
    cargo.arg("--target-dir").arg(target);
    for name in SERVICES {
        cargo.args(["--package", name, "--features", &format!("{name}/failpoints")]);
    }
    let built = run(cargo, tree)?;
    std::fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    for name in SERVICES {
        let program = built.get(name).ok_or_else(|| format!("cargo built no {name}"))?;
        std::fs::copy(program, folder.join(name))
            .map_err(|error| format!("cannot copy {}: {error}", program.display()))?;
    }
    Ok(())
}

/// Where the binaries with failpoints are built: those of the tests share the tests' folder, where all that they are
/// built from is built already; no release is to have a failpoint, so a release has a folder of its own for them.
pub fn failpoint_target() -> PathBuf {
    let target = workspace().join("target");
    if cfg!(debug_assertions) { target } else { target.join("failpoints") }
}

fn built() -> &'static BTreeMap<String, PathBuf> {
    match BUILT.get_or_init(build) {
        Ok(built) => built,
        Err(reason) => panic!("the binaries cannot be built: {reason}"),
    }
}

fn build() -> Result<BTreeMap<String, PathBuf>, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--bins", "--message-format=json-render-diagnostics", "--profile", profile()]);
    // The tests' package is named for its features: dependencies are shared with the build of this test.
    for name in NAMES.into_iter().chain(["tests"]) {
        cargo.args(["--package", name]);
    }
    run(cargo, workspace())
}

/// The binaries that cargo builds there, by name.
fn run(mut cargo: Command, tree: &Path) -> Result<BTreeMap<String, PathBuf>, String> {
    // What cargo told this test about itself would make build scripts that watch it run again.
    for (variable, _) in std::env::vars().filter(|(variable, _)| is_about_this_test(variable)) {
        cargo.env_remove(variable);
    }
    let output = cargo.current_dir(tree).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let lines = output.stdout.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| executable(&serde_json::from_slice(line).ok()?)).collect())
}

/// The workspace's folder.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package is a member of the workspace")
}

/// The name and path of a binary that cargo has built.
fn executable(message: &Value) -> Option<(String, PathBuf)> {
    let name = message["target"]["name"].as_str()?;
    Some((name.to_owned(), message["executable"].as_str()?.into()))
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "dev" } else { "release" }
}

fn is_about_this_test(variable: &str) -> bool {
    let begins = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    let whole = ["CARGO", "CARGO_PRIMARY_PACKAGE", "CARGO_TARGET_TMPDIR", "OUT_DIR"];
    begins.iter().any(|begin| variable.starts_with(begin)) || whole.contains(&variable)
}
