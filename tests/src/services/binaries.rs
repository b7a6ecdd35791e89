//! The binaries under test, built as this test is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

const NAMES: [&str; 4] = ["producer", "processor", "sink", "simulator"];

static BUILT: OnceLock<Result<BTreeMap<String, PathBuf>, String>> = OnceLock::new();

/// Where a binary lies. The first question has cargo build all that are not as their sources are.
pub fn path(name: &str) -> &'static Path {
    built().get(name).unwrap_or_else(|| panic!("{name} is none of {NAMES:?}"))
}

/// Builds them, so that no test that measures a binary measures cargo.
pub fn make_ready() {
    built();
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
    // What cargo told this test about itself would make build scripts that watch it run again.
    for (variable, _) in std::env::vars().filter(|(variable, _)| is_about_this_test(variable)) {
        cargo.env_remove(variable);
    }
    let output = cargo.current_dir(workspace()).stdin(Stdio::null()).output();
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
